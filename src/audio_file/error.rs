//! Errors of audio files, worded so that the user knows what to do.

use std::path::PathBuf;

/// Why an audio file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AudioFileError {
    /// The system would not open or read it.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// Nothing that is known as audio.
    #[error("{} cannot be read as audio: {reason}. Convert it to WAV or FLAC first", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Why, in plain words.
        reason: String,
    },
    /// The file is shorter than its header says.
    #[error("{} is truncated: {found} of {promised} samples per channel are there. Copy or export it again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Samples per channel found.
        found: u64,
        /// Samples per channel that the header promises.
        promised: u64,
    },
    /// The audio data contradict themselves.
    #[error("{} is damaged {position} samples from its start. Copy or export it again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Samples per channel before the damage.
        position: u64,
    },
    /// Not one sample.
    #[error("{} holds no audio", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The name of a file to write says neither WAV nor FLAC.
    #[error("{} must end in .wav or .flac", .path.display())]
    UnknownExtension {
        /// The file to write.
        path: PathBuf,
    },
    /// The file to write is not possible in its format.
    #[error("{} cannot be written: {reason}", .path.display())]
    Impossible {
        /// The file to write.
        path: PathBuf,
        /// What the format does not allow, and what to do instead.
        reason: String,
    },
    /// The system would not write it.
    #[error(transparent)]
    Unwritable(#[from] crate::new_file::WriteError),
}
