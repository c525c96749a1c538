//! Where the vocal comes from and goes to: files, pipes, standard input and output.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};

use coffre::audio_file::{AudioFileError, AudioReader};
use coffre::new_file::{Begun, WriteError};
use tempfile::TempDir;

use super::STANDARD;
use crate::cli::CliError;

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

/// A file in a folder of its own among the system's temporary ones, gone afterwards.
pub struct Spool {
    path: PathBuf,
    folder: TempDir,
    _begun: Begun,
}

impl Spool {
    /// An empty place.
    pub fn new() -> Result<Self, CliError> {
        Ok(Self::make().map_err(|error| WriteError::new(&std::env::temp_dir(), &error))?)
    }

    fn make() -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("coffre-").tempdir()?;
        let begun = Begun::note(folder.path());
        Ok(Self { path: folder.path().join("sound.wav"), folder, _begun: begun })
    }

    fn take(mut source: impl Read) -> std::io::Result<Self> {
        let spool = Self::make()?;
        std::io::copy(&mut source, &mut File::create(&spool.path)?)?;
        Ok(spool)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sends it to standard output. A reader that went away is no error.
    pub fn into_standard_output(self) -> Result<(), CliError> {
        let mut output = std::io::stdout().lock();
        let sent = File::open(&self.path).and_then(|mut file| std::io::copy(&mut file, &mut output));
        drop(self.folder);
        match sent.and_then(|_| output.flush()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(WriteError::new(Path::new("standard output"), &error).into())
            }
            _ => Ok(()),
        }
    }
}
