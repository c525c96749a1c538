//! Files that are needed for the time of one run: in the system's temporary folder, gone afterwards and after Ctrl-C.

use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};

use coffre::new_file::{Begun, WriteError};
use tempfile::TempDir;

use super::CliError;

/// A file in a folder of its own among the system's temporary ones, gone afterwards.
pub struct Spool {
    path: PathBuf,
    folder: TempDir,
    _begun: Begun,
}

impl Spool {
    /// An empty place for a WAV file.
    pub fn new() -> Result<Self, WriteError> {
        Self::make("sound.wav").map_err(|error| WriteError::new(&std::env::temp_dir(), &error))
    }

    /// A file of this name with this content.
    pub fn holding(name: &str, content: &[u8]) -> Result<Self, WriteError> {
        let made = Self::make(name).and_then(|spool| std::fs::write(&spool.path, content).map(|()| spool));
        made.map_err(|error| WriteError::new(&std::env::temp_dir(), &error))
    }

    fn make(name: &str) -> std::io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("coffre-").tempdir()?;
        let begun = Begun::note(folder.path());
        Ok(Self { path: folder.path().join(name), folder, _begun: begun })
    }

    /// All that comes through a pipe, which this waits for.
    pub fn take(mut source: impl Read) -> std::io::Result<Self> {
        let spool = Self::make("sound.wav")?;
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
