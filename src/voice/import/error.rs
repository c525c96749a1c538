//! Errors of files from other programs, worded so that the user knows what to do.

use crate::voice::error::presentable;

/// Why a foreign file was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// The file could not be read at all.
    #[error("`{path}` cannot be read: {reason}. Check that the file exists and may be read")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// The system's own words.
        reason: String,
    },
    /// More bytes than any such file has.
    #[error("the file is {bytes} bytes long, at most {limit} are accepted. Give the small file made for inference")]
    TooLarge {
        /// Length of the file.
        bytes: u64,
        /// The largest accepted length.
        limit: u64,
    },
    /// Truncated or changed.
    #[error("the file is damaged: {reason}. Copy or download it again")]
    Damaged {
        /// What does not fit together.
        reason: String,
    },
    /// The file asks for code to be run, as an infected one does and an honest one never needs.
    #[error(
        "the file asks to run `{name}`; a voice holds only numbers. Nothing was run. Do not open this file with other \
         programs, and get the voice from somewhere else"
    )]
    Code {
        /// The function or class that it names.
        name: String,
    },
    /// A sound file of another kind.
    #[error("{reason}")]
    Unsupported {
        /// What it is, and what to give instead.
        reason: String,
    },
    /// A tensor that the network needs is absent.
    #[error("the tensor `{name}` is missing: this is not an RVC voice, or only a part of one")]
    MissingTensor {
        /// Name in the checkpoint.
        name: String,
    },
    /// A tensor does not have the shape that the configuration asks for.
    #[error("the tensor `{name}` has the shape {found:?}, {expected:?} is needed. The file contradicts itself")]
    Shape {
        /// Name in the checkpoint.
        name: String,
        /// What was found.
        found: Vec<usize>,
        /// What the configuration asks for.
        expected: Vec<usize>,
    },
}

impl ImportError {
    /// A damaged file, with the reason in words.
    pub(crate) fn damaged(reason: impl AsRef<str>) -> Self {
        Self::Damaged { reason: presentable(reason.as_ref()) }
    }

    /// Something else than what was asked for, with the remedy.
    pub(crate) fn unsupported(reason: impl AsRef<str>) -> Self {
        Self::Unsupported { reason: presentable(reason.as_ref()) }
    }
}
