//! Reading: any WAV (integers of 8 to 32 bits, floating point of 32 and 64, A-law, µ-law, extensible headers), AIFF
//! and FLAC.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{AudioCodecId, AudioDecoder, AudioDecoderOptions, well_known};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use super::{AudioFileError, AudioSpec, SampleFormat};

/// More channels than any format that is read here can have in earnest.
const MAX_CHANNELS: usize = 64;

/// A length that stands for "not known when the header was written", as streaming programs write it.
const UNKNOWN_BYTES: u64 = 0xffff_0000;

/// An audio file being read from its start to its end.
pub struct AudioReader {
    path: PathBuf,
    format: Box<dyn FormatReader>,
    decoder: Box<dyn AudioDecoder>,
    track_id: u32,
    spec: AudioSpec,
    promised: Option<u64>,
    position: u64,
    bad_samples: u64,
}

impl AudioReader {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`AudioFileError::Unreadable`], [`AudioFileError::Unsupported`] or [`AudioFileError::Empty`].
    pub fn open(path: &Path) -> Result<Self, AudioFileError> {
        let unreadable = |source| AudioFileError::Unreadable { path: path.into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(std::io::Error::from(ErrorKind::IsADirectory)));
        }
        Self::from_source(path, Box::new(file), metadata.len())
    }

    /// Opens a file that is in memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As [`AudioReader::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, AudioFileError> {
        let len = bytes.len() as u64;
        Self::from_source(Path::new(name), Box::new(std::io::Cursor::new(bytes)), len)
    }

    fn from_source(path: &Path, source: Box<dyn MediaSource>, len: u64) -> Result<Self, AudioFileError> {
        let unreadable = |source| AudioFileError::Unreadable { path: path.into(), source };
        let unsupported = |reason: String| AudioFileError::Unsupported { path: path.into(), reason };
        if len == 0 {
            return Err(AudioFileError::Empty { path: path.into() });
        }
        // Whatever becomes of the source, it is not used again after a panic.
        let source = std::panic::AssertUnwindSafe(source);
        // The decoders return errors; should one of them panic on a hostile file, that is an error as well.
        let opened = std::panic::catch_unwind(move || {
            let std::panic::AssertUnwindSafe(source) = { source };
            let source = MediaSourceStream::new(source, Default::default());
            let options = (FormatOptions::default(), MetadataOptions::default());
            let format = symphonia::default::get_probe().probe(&Hint::new(), source, options.0, options.1)?;
            let track = format.default_track(TrackType::Audio).ok_or(Error::Unsupported("it has no audio"))?;
            let Some(CodecParameters::Audio(params)) = &track.codec_params else {
                return Err(Error::Unsupported("its coding is not known"));
            };
            let decoder =
                symphonia::default::get_codecs().make_audio_decoder(params, &AudioDecoderOptions::default())?;
            let (track_id, promised, params) = (track.id, track.num_frames, params.clone());
            Ok((format, decoder, track_id, promised, params))
        });
        let (format, decoder, track_id, promised, params) =
            opened.unwrap_or(Err(Error::DecodeError("its header makes no sense"))).map_err(|error| match error {
                Error::IoError(source) if source.kind() != ErrorKind::UnexpectedEof => unreadable(source),
                other => unsupported(other.to_string()),
            })?;

        let rate = params.sample_rate.filter(|&rate| rate > 0).ok_or_else(|| unsupported("no sample rate".into()))?;
        let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(unsupported(format!("{channels} channels")));
        }
        let bits = params.bits_per_sample.or(params.bits_per_coded_sample).unwrap_or(16);
        let format_stored = stored_as(params.codec, bits);
        let frame_bytes = channels as u64 * u64::from(bits.div_ceil(8));
        let promised = promised.filter(|&frames| frames > 0 && frames.saturating_mul(frame_bytes) < UNKNOWN_BYTES);
        Ok(Self {
            path: path.into(),
            format,
            decoder,
            track_id,
            spec: AudioSpec { rate, channels, format: format_stored },
            promised,
            position: 0,
            bad_samples: 0,
        })
    }

    /// Rate, channels and format.
    pub fn spec(&self) -> AudioSpec {
        self.spec
    }

    /// Samples per channel according to the header; `None` when it does not say.
    pub fn len_hint(&self) -> Option<u64> {
        self.promised
    }

    /// Samples per channel read so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Samples read so far that were not finite and became 0.
    pub fn bad_samples(&self) -> u64 {
        self.bad_samples
    }

    /// Replaces `block` by the next samples, interleaved, full scale ±1; returns `false` at the end.
    ///
    /// # Errors
    /// [`AudioFileError::Truncated`] when the file ends before its header says, [`AudioFileError::Damaged`] for data that
    /// cannot be decoded, [`AudioFileError::Empty`] for a file without a sample.
    pub fn read(&mut self, block: &mut Vec<f32>) -> Result<bool, AudioFileError> {
        block.clear();
        while block.is_empty() {
            // A decoder must not take the program along, whatever it is fed.
            let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.decode_next(block)));
            let is_more = match next.unwrap_or(Err(Error::DecodeError("the data make no sense"))) {
                Ok(is_more) => is_more,
                Err(Error::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => false,
                Err(Error::IoError(source)) => {
                    return Err(AudioFileError::Unreadable { path: self.path.clone(), source });
                }
                Err(error) => {
                    let (path, position) = (self.path.clone(), self.position);
                    return Err(AudioFileError::Damaged { path, position, reason: error.to_string() });
                }
            };
            if !is_more {
                return self.at_end();
            }
        }
        for sample in block.iter_mut().filter(|sample| !sample.is_finite()) {
            *sample = 0.0;
            self.bad_samples += 1;
        }
        self.position += (block.len() / self.spec.channels) as u64;
        Ok(true)
    }

    /// Decodes the next packet of our track into `block`, which stays empty for packets of others.
    fn decode_next(&mut self, block: &mut Vec<f32>) -> Result<bool, Error> {
        let Some(packet) = self.format.next_packet()? else { return Ok(false) };
        if packet.track_id != self.track_id {
            return Ok(true);
        }
        let decoded = self.decoder.decode(&packet)?;
        if decoded.num_planes() != self.spec.channels || decoded.spec().rate() != self.spec.rate {
            return Err(Error::DecodeError("rate or channels change within the file"));
        }
        decoded.copy_to_vec_interleaved(block);
        Ok(true)
    }

    fn at_end(&self) -> Result<bool, AudioFileError> {
        let path = || self.path.clone();
        match self.promised {
            Some(promised) if self.position < promised => {
                Err(AudioFileError::Truncated { path: path(), found: self.position, promised })
            }
            _ if self.position == 0 => Err(AudioFileError::Empty { path: path() }),
            _ => Ok(false),
        }
    }
}

/// The class of formats that a coding belongs to: what a converted file should be stored as.
fn stored_as(codec: AudioCodecId, bits: u32) -> SampleFormat {
    const FLOATS: [AudioCodecId; 4] = [
        well_known::CODEC_ID_PCM_F32LE,
        well_known::CODEC_ID_PCM_F32BE,
        well_known::CODEC_ID_PCM_F64LE,
        well_known::CODEC_ID_PCM_F64BE,
    ];
    // These store 16-bit sound in fewer bits, and cannot be written.
    const COMPANDED: [AudioCodecId; 2] = [well_known::CODEC_ID_PCM_ALAW, well_known::CODEC_ID_PCM_MULAW];
    if FLOATS.contains(&codec) {
        SampleFormat::Float
    } else if COMPANDED.contains(&codec) {
        SampleFormat::Int { bits: 16 }
    } else {
        SampleFormat::Int { bits: (bits.clamp(8, 32).div_ceil(8) * 8) as u16 }
    }
}

impl std::fmt::Debug for AudioReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioReader")
            .field("path", &self.path)
            .field("spec", &self.spec)
            .field("promised", &self.promised)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// A whole file as the mean of its channels, and its rate in Hz.
///
/// # Errors
/// As [`AudioReader`]; [`AudioFileError::Unsupported`] beyond `max_seconds`, so that memory stays bounded.
pub fn read_mono(path: &Path, max_seconds: f64) -> Result<(Vec<f32>, u32), AudioFileError> {
    all_mono(AudioReader::open(path)?, max_seconds)
}

/// As [`read_mono`], of a file in memory; `name` stands for its path in messages.
///
/// # Errors
/// As [`read_mono`].
pub fn mono_from_bytes(name: &str, bytes: Vec<u8>, max_seconds: f64) -> Result<(Vec<f32>, u32), AudioFileError> {
    all_mono(AudioReader::from_bytes(name, bytes)?, max_seconds)
}

fn all_mono(mut reader: AudioReader, max_seconds: f64) -> Result<(Vec<f32>, u32), AudioFileError> {
    let AudioSpec { rate, channels, .. } = reader.spec();
    let (mut mono, mut block) = (Vec::new(), Vec::new());
    while reader.read(&mut block)? {
        mono.extend(block.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() / channels as f32));
        if mono.len() as f64 > max_seconds * f64::from(rate) {
            let reason = format!("it is longer than {max_seconds:.0} s");
            return Err(AudioFileError::Unsupported { path: reader.path, reason });
        }
    }
    Ok((mono, rate))
}
