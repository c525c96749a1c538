//! Where the vocal comes from: files, pipes, standard input.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use coffre::audio_file::{AudioFileError, AudioReader};

use super::STANDARD;
use crate::cli::CliError;
use crate::cli::spool::Spool;

/// A vocal that can be read as often as is wanted.
pub struct Input {
    /// As the user named it.
    shown: PathBuf,
    /// What comes through a pipe is kept while it is needed: it is read twice.
    spool: Option<Spool>,
}

impl Input {
    /// A file; or all that comes through standard input or a pipe, which this waits for.
    pub fn open(path: &Path) -> Result<Self, CliError> {
        let unreadable = |source| CliError::Input(AudioFileError::Unreadable { path: path.into(), source });
        if path == Path::new(STANDARD) {
            let shown = PathBuf::from("standard input");
            return Ok(Self { shown, spool: Some(Spool::take(std::io::stdin().lock()).map_err(unreadable)?) });
        }
        let is_pipe = std::fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir());
        let spool = match is_pipe {
            true => Some(File::open(path).and_then(|file| Spool::take(BufReader::new(file))).map_err(unreadable)?),
            false => None,
        };
        Ok(Self { shown: path.into(), spool })
    }

    /// The name that the user knows it by.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// A reader at its start.
    pub fn reader(&self) -> Result<AudioReader, CliError> {
        let path = self.spool.as_ref().map_or(self.shown.as_path(), Spool::path);
        AudioReader::open_as(path, &self.shown).map_err(CliError::Input)
    }
}
