//! Writing WAV and FLAC, complete or not at all: into a temporary file beside the target, which is renamed at the end.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::flac::FlacWriter;
use super::{AudioFileError, AudioSpec, SampleFormat};

/// Bytes that the lengths in a WAV header can count, less a generous header.
const MAX_WAV_BYTES: u64 = u32::MAX as u64 - 4096;

/// The file being written, by format.
enum Sink {
    Wav(hound::WavWriter<BufWriter<std::fs::File>>),
    Flac(Box<FlacWriter<BufWriter<std::fs::File>>>),
}

/// An audio file being written. Dropping it before [`AudioWriter::finish`] leaves nothing behind.
pub struct AudioWriter {
    path: PathBuf,
    file: NamedTempFile,
    sink: Sink,
    format: SampleFormat,
    frame_bytes: u64,
    written: u64,
    clipped: u64,
    /// Scratch for integer samples.
    integers: Vec<i32>,
}

impl AudioWriter {
    /// Begins the file `path`, whose extension decides its format.
    ///
    /// FLAC holds integers of at most 24 bits: more, and floating point, become 24 bits.
    ///
    /// # Errors
    /// [`AudioFileError::UnknownExtension`], [`AudioFileError::Impossible`] for channels or rates that the format cannot
    /// have, [`AudioFileError::Unwritable`].
    pub fn create(path: &Path, spec: AudioSpec) -> Result<Self, AudioFileError> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let is_flac = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("wav" | "wave") => false,
            Some("flac") => true,
            _ => return Err(AudioFileError::UnknownExtension { path: path.into() }),
        };
        let impossible = |reason: String| AudioFileError::Impossible { path: path.into(), reason };
        let unwritable = |reason: String| AudioFileError::Unwritable { path: path.into(), reason };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".coffre-").suffix(".part");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // What any new file gets; the user's mask applies.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let file = builder.tempfile_in(folder).map_err(|error| unwritable(error.to_string()))?;
        let handle = file.reopen().map_err(|error| unwritable(error.to_string()))?;
        let output = BufWriter::with_capacity(1 << 16, handle);

        let format = match spec.format {
            SampleFormat::Int { bits } if is_flac => SampleFormat::Int { bits: bits.min(24) },
            SampleFormat::Float if is_flac => SampleFormat::Int { bits: 24 },
            format => format,
        };
        let (bits, sample_format) = match format {
            SampleFormat::Int { bits } => (bits, hound::SampleFormat::Int),
            SampleFormat::Float => (32, hound::SampleFormat::Float),
        };
        let sink = if is_flac {
            Sink::Flac(Box::new(FlacWriter::new(output, spec.rate, spec.channels, bits).map_err(impossible)?))
        } else {
            let channels = u16::try_from(spec.channels).map_err(|error| impossible(error.to_string()))?;
            let header = hound::WavSpec { channels, sample_rate: spec.rate, bits_per_sample: bits, sample_format };
            Sink::Wav(hound::WavWriter::new(output, header).map_err(|error| impossible(error.to_string()))?)
        };
        Ok(Self {
            path: path.into(),
            file,
            sink,
            format,
            frame_bytes: spec.channels as u64 * u64::from(bits / 8),
            written: 0,
            clipped: 0,
            integers: Vec::new(),
        })
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
    /// [`AudioFileError::Unwritable`]; [`AudioFileError::Impossible`] when a WAV file grows beyond 4 GB.
    pub fn write(&mut self, block: &[f32]) -> Result<(), AudioFileError> {
        self.written += block.len() as u64;
        let unwritable = |path: &Path, reason: String| AudioFileError::Unwritable { path: path.into(), reason };
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
        match &mut self.sink {
            Sink::Wav(wav) => {
                if self.written * (self.frame_bytes / u64::from(wav.spec().channels)) > MAX_WAV_BYTES {
                    let reason = "a WAV file holds at most 4 GB. Choose a name that ends in .flac".into();
                    return Err(AudioFileError::Impossible { path: self.path.clone(), reason });
                }
                let result = match self.format {
                    SampleFormat::Float => block.iter().try_for_each(|sample| wav.write_sample(*sample)),
                    SampleFormat::Int { .. } => self.integers.iter().try_for_each(|sample| wav.write_sample(*sample)),
                };
                result.map_err(|error| unwritable(&self.path, error.to_string()))
            }
            Sink::Flac(flac) => flac.write(&self.integers).map_err(|reason| unwritable(&self.path, reason)),
        }
    }

    /// Completes the file and gives it its name, replacing what was there.
    ///
    /// # Errors
    /// [`AudioFileError::Unwritable`].
    pub fn finish(self) -> Result<(), AudioFileError> {
        let path = self.path;
        let unwritable = |reason: String| AudioFileError::Unwritable { path: path.clone(), reason };
        match self.sink {
            Sink::Wav(wav) => wav.finalize().map_err(|error| unwritable(error.to_string()))?,
            Sink::Flac(flac) => flac.finish().map_err(unwritable)?,
        }
        self.file.as_file().sync_all().map_err(|error| unwritable(error.to_string()))?;
        self.file.persist(&path).map_err(|error| unwritable(error.error.to_string()))?;
        Ok(())
    }
}

impl std::fmt::Debug for AudioWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioWriter").field("path", &self.path).field("format", &self.format).finish_non_exhaustive()
    }
}
