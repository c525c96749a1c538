//! Errors of the command and their exit codes.

use std::path::PathBuf;

use coffre::audio_file::AudioFileError;
use coffre::clone::CloneError;
use coffre::clone::improve::ImproveError;
use coffre::clone::recording::RecordingError;
use coffre::engine::EngineError;
use coffre::engine::stream::UnsupportedRate;
use coffre::new_file::WriteError;
use coffre::onnx::{GraphError, RuntimeError};
use coffre::voice::VoiceError;

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The options contradict each other or ask for what does not exist.
    #[error("{0}")]
    Usage(String),
    /// The input file.
    #[error("{0}")]
    Input(AudioFileError),
    /// The input file has a rate that is not converted.
    #[error("{}: {source}. Convert it to another sample rate first", .path.display())]
    Rate {
        /// The input file.
        path: PathBuf,
        /// The rate and the limits.
        source: UnsupportedRate,
    },
    /// Recordings to clone.
    #[error("{0}")]
    Recording(RecordingError),
    /// No voice came out of the recordings.
    #[error("{0}")]
    Clone(CloneError),
    /// A voice or profile.
    #[error("{what}: {source}")]
    Voice {
        /// As the user named it.
        what: String,
        /// What is wrong.
        source: VoiceError,
    },
    /// A voice that cannot be improved.
    #[error("{what}: {source}")]
    Improve {
        /// As the user named it.
        what: String,
        /// Why.
        source: ImproveError,
    },
    /// ONNX Runtime.
    #[error("{0}. Or convert with --no-content, which changes register and colour only and needs no runtime")]
    Runtime(#[from] RuntimeError),
    /// A graph did not come over the network.
    #[cfg(feature = "fetch")]
    #[error("{address}: {reason}")]
    Fetch {
        /// Where it was asked for.
        address: String,
        /// Why.
        reason: String,
    },
    /// A graph that the user has to bring.
    #[error("{0}")]
    Missing(String),
    /// A voice whose graphs cannot be used; the reason has the remedy.
    #[error("{0}")]
    Unusable(String),
    /// A graph.
    #[error("{0}. Reinstall Coffre if this happens again")]
    Graph(#[from] GraphError),
    /// The engine failed while converting.
    #[error("{0}. Nothing was written; try again, and reinstall Coffre if this happens again")]
    Engine(#[from] EngineError),
    /// The engine failed in the middle of a file; what it had done is kept.
    #[error("{source}. The first {seconds:.0} s are in {}; try again, and reinstall Coffre if this happens again", .path.display())]
    Stopped {
        /// Why.
        source: EngineError,
        /// Where the beginning is.
        path: PathBuf,
        /// How much it is.
        seconds: f64,
    },
    /// Of several files some failed; each was told already.
    #[error("{failed} of {count} files failed")]
    Several {
        /// How many failed.
        failed: usize,
        /// How many there were.
        count: usize,
        /// The first failure, which gives the exit code.
        first: Box<CliError>,
    },
    /// The output file.
    #[error("{0}")]
    Output(AudioFileError),
    /// A file that is not audio.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Something that `doctor` found; its report has the details.
    #[error("{problem}")]
    Unhealthy {
        /// The first problem.
        problem: String,
        /// The exit code that belongs to it.
        exit_code: u8,
    },
}

impl CliError {
    /// The exit code, as documented in the command's help.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Input(_) | Self::Rate { .. } | Self::Recording(_) | Self::Clone(_) => 3,
            Self::Voice { source: VoiceError::Unwritable(_), .. } => 6,
            Self::Voice { .. } | Self::Improve { .. } => 4,
            Self::Runtime(_) | Self::Missing(_) | Self::Unusable(_) | Self::Graph(_) | Self::Engine(_) => 5,
            #[cfg(feature = "fetch")]
            Self::Fetch { .. } => 5,
            Self::Output(_) | Self::Write(_) => 6,
            Self::Stopped { .. } => 5,
            Self::Several { first, .. } => first.exit_code(),
            Self::Unhealthy { exit_code, .. } => *exit_code,
        }
    }

    /// An input file whose rate is not converted.
    pub fn rate(path: &std::path::Path, source: UnsupportedRate) -> Self {
        Self::Rate { path: path.into(), source }
    }

    /// A voice error, for mapping.
    pub fn voice(what: impl std::fmt::Display) -> impl FnOnce(VoiceError) -> Self {
        move |source| Self::Voice { what: what.to_string(), source }
    }
}
