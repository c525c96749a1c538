//! `--force`: what becomes of a file that has the output's name already.

use std::path::Path;

use coffre::new_file::{Existing, WriteError};

/// The option, for every command that writes a file of a name that the user gives.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Force {
    /// Replace the output if there is such a file already
    #[arg(long)]
    force: bool,
}

impl Force {
    /// What becomes of a file that is there.
    pub fn existing(self) -> Existing {
        if self.force { Existing::Replace } else { Existing::Keep }
    }

    /// Refuses a name that is taken, before the work.
    pub fn check(self, path: &Path) -> Result<(), WriteError> {
        let is_taken =
            !self.force && std::fs::symlink_metadata(path).is_ok_and(|about| about.is_file() || about.is_symlink());
        match is_taken {
            true => Err(WriteError {
                path: path.into(),
                reason: "there is such a file already. Choose another name, or --force to replace it".into(),
            }),
            false => Ok(()),
        }
    }
}
