//! Audio files: what people have in, WAV and FLAC out, block by block.
//!
//! For the command line and for building voices, on their own threads. Memory use is bounded, whatever a file claims. Does
//! not know what the samples are for.

mod error;
mod flac;
pub mod folder;
mod kinds;
mod opus;
mod raw;
mod read;
mod sun;
mod wav;
mod wave;
mod write;

pub use error::AudioFileError;
pub use flac::flac_from_samples;
pub use read::{AudioReader, mono_from_bytes, read_mono};
pub use wave::Chunk;
pub use write::{AudioWriter, Extras};

/// How a file stores one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleFormat {
    /// Integers of 8, 16, 24 or 32 bits.
    Int {
        /// Bits per sample.
        bits: u16,
    },
    /// 32-bit floating point; files of 64-bit floating point count as this too.
    Float,
}

impl std::fmt::Display for SampleFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int { bits } => write!(f, "{bits}-bit"),
            Self::Float => f.write_str("floating point"),
        }
    }
}

/// What an audio file says about its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioSpec {
    /// Sample rate in Hz.
    pub rate: u32,
    /// Channels, interleaved in all blocks that are read and written.
    pub channels: usize,
    /// How samples are stored.
    pub format: SampleFormat,
}
