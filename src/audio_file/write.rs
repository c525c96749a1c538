//! Writing WAV and FLAC, complete or not at all.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use super::flac::FlacWriter;
use super::wav::WavWriter;
use super::wave::Chunk;
use super::{AudioFileError, AudioSpec, SampleFormat};
use crate::new_file::{Existing, NewFile, WriteError, said};

/// The file being written, by format.
enum Sink {
    Wav(WavWriter<BufWriter<File>>),
    Flac(Box<FlacWriter<BufWriter<File>>>),
}

/// What a file gets besides its samples.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Chunks of the original, for WAV.
    pub chunks: Vec<Chunk>,
    /// Samples per channel that will be written, if that is known.
    pub len: Option<u64>,
}

/// An audio file being written. Dropping it before [`AudioWriter::finish`] leaves nothing behind.
pub struct AudioWriter {
    path: PathBuf,
    file: NewFile,
    sink: Sink,
    format: SampleFormat,
    clipped: u64,
    /// Scratch for integer samples.
    integers: Vec<i32>,
}

impl AudioWriter {
    /// Begins the file `path`, whose extension decides its format.
    ///
    /// FLAC holds integers of at most 24 bits: more, and floating point, become 24 bits. A WAV file beyond 4 GB is RF64.
    ///
    /// # Errors
    /// [`AudioFileError::UnknownExtension`], [`AudioFileError::Impossible`] for channels or rates that the format cannot
    /// have, [`AudioFileError::Unwritable`].
    pub fn create(path: &Path, spec: AudioSpec) -> Result<Self, AudioFileError> {
        Self::create_with(path, spec, &Extras::default())
    }

    /// As [`AudioWriter::create`], with more than samples.
    ///
    /// # Errors
    /// As [`AudioWriter::create`].
    pub fn create_with(path: &Path, spec: AudioSpec, extras: &Extras) -> Result<Self, AudioFileError> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let is_flac = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("wav" | "wave") => false,
            Some("flac") => true,
            _ => return Err(AudioFileError::UnknownExtension { path: path.into() }),
        };
        let impossible = |reason: String| AudioFileError::Impossible { path: path.into(), reason };
        let file = NewFile::create(path)?;
        let handle = file.file().try_clone().map_err(|error| WriteError::new(path, &error))?;
        let output = BufWriter::with_capacity(1 << 16, handle);
        let format = match spec.format {
            SampleFormat::Int { bits } if is_flac => SampleFormat::Int { bits: bits.min(24) },
            SampleFormat::Float if is_flac => SampleFormat::Int { bits: 24 },
            format => format,
        };
        let spec = AudioSpec { format, ..spec };
        let sink = match format {
            SampleFormat::Int { bits } if is_flac => {
                Sink::Flac(Box::new(FlacWriter::new(output, spec.rate, spec.channels, bits).map_err(impossible)?))
            }
            _ => Sink::Wav(WavWriter::new(output, spec, extras.len, &extras.chunks).map_err(impossible)?),
        };
        Ok(Self { path: path.into(), file, sink, format, clipped: 0, integers: Vec::new() })
    }

    /// How samples are stored, after what the format does not have was replaced.
    pub fn format(&self) -> SampleFormat {
        self.format
    }

    /// Samples that were beyond full scale and were limited, in integer formats.
    pub fn clipped(&self) -> u64 {
        self.clipped
    }

    /// Appends interleaved samples.
    ///
    /// # Errors
    /// [`AudioFileError::Unwritable`].
    pub fn write(&mut self, block: &[f32]) -> Result<(), AudioFileError> {
        if let SampleFormat::Int { bits } = self.format {
            self.integers.clear();
            let scale = f64::from(1_u32 << (bits - 1));
            for sample in block {
                let exact = (f64::from(*sample) * scale).round();
                let limited = exact.clamp(-scale, scale - 1.0);
                // +1.0 itself has no integer; that is no clipping worth telling.
                self.clipped += u64::from((exact - limited).abs() > 1.0);
                self.integers.push(limited as i32);
            }
        }
        let written = match &mut self.sink {
            Sink::Wav(wav) => wav.write(block, &self.integers).map_err(|error| said(&error)),
            Sink::Flac(flac) => flac.write(&self.integers),
        };
        written.map_err(|reason| WriteError { path: self.path.clone(), reason }.into())
    }

    /// Completes the file and gives it its name, replacing what was there.
    ///
    /// # Errors
    /// [`AudioFileError::Unwritable`].
    pub fn finish(self) -> Result<(), AudioFileError> {
        self.finish_as(Existing::Replace)
    }

    /// As [`AudioWriter::finish`], with a word on what was there.
    ///
    /// # Errors
    /// As [`AudioWriter::finish`].
    pub fn finish_as(self, existing: Existing) -> Result<(), AudioFileError> {
        let path = self.path.clone();
        self.finish_under(&path, existing)
    }

    /// As [`AudioWriter::finish_as`], with another name in the same folder.
    ///
    /// # Errors
    /// As [`AudioWriter::finish`].
    pub fn finish_under(self, path: &Path, existing: Existing) -> Result<(), AudioFileError> {
        let is_other = path != self.path;
        let path = path.to_path_buf();
        let finished = match self.sink {
            Sink::Wav(wav) => wav.finish().map_err(|error| said(&error)),
            Sink::Flac(flac) => flac.finish(),
        };
        finished.map_err(|reason| WriteError { path: path.clone(), reason })?;
        let file = if is_other { self.file.renamed(path) } else { self.file };
        Ok(file.finish(existing).map(drop)?)
    }
}

impl std::fmt::Debug for AudioWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioWriter").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}
