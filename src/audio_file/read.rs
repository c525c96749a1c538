//! Reading: WAV and its relatives, AU, AIFF, CAF, FLAC, ALAC, MP3, AAC, Vorbis and Opus, whatever the name says.
//!
//! Headers of WAV and AU are read by `wave` and `sun`, the other containers and nearly all codings by Symphonia.

use std::fs::File;
use std::io::{ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::{
    AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions, well_known,
};
use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSource, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::opus::Opus;
use super::raw::{Coding, Layout, Part, RawPackets};
use super::wave::Chunk;
use super::{AudioFileError, AudioSpec, SampleFormat, kinds, sun, wave};
use crate::dsp::downmix::{Choice, DownMix};

/// More channels than any format that is read here can have in earnest.
const MAX_CHANNELS: usize = 64;

/// A length that stands for "not known when the header was written", as streaming programs write it.
const UNKNOWN_BYTES: u64 = 0xffff_0000;

/// Longest silence put in place of one damaged packet, in samples per channel; no coding has longer packets.
const MAX_PACKET: u64 = 1 << 16;

/// An audio file being read from its start to its end.
pub struct AudioReader {
    path: PathBuf,
    packets: Packets,
    decoder: Decoder,
    spec: AudioSpec,
    promised: Option<u64>,
    /// A file that ends before `promised` was cut off.
    is_promise_kept: bool,
    /// Damaged packets become silence instead of ending it all: lossy codings go on by themselves.
    is_lossy: bool,
    /// The header gives another length than the file has.
    is_open: bool,
    chunks: Vec<Chunk>,
    position: u64,
    bad_samples: u64,
    bad_packets: u64,
}

/// Where packets come from.
enum Packets {
    Container { format: Box<dyn FormatReader>, track_id: u32 },
    Raw(RawPackets),
}

/// What makes samples of them.
enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
}

/// What a file turned out to be.
struct Opened {
    packets: Packets,
    decoder: Decoder,
    parameters: AudioCodecParameters,
    format: SampleFormat,
    promised: Option<u64>,
}

/// Why a file did not open: the system, or what is in it, in plain words.
enum Refusal {
    System(std::io::Error),
    Content(String),
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Content(error.to_string()),
            _ => Self::System(error),
        }
    }
}

impl AudioReader {
    /// Opens a file and reads its header. What is no file (a pipe, a device) is refused.
    ///
    /// # Errors
    /// [`AudioFileError::Unreadable`], [`AudioFileError::Unsupported`] or [`AudioFileError::Empty`].
    pub fn open(path: &Path) -> Result<Self, AudioFileError> {
        Self::open_as(path, path)
    }

    /// As [`AudioReader::open`], with another name in messages.
    ///
    /// # Errors
    /// As [`AudioReader::open`].
    pub fn open_as(path: &Path, shown: &Path) -> Result<Self, AudioFileError> {
        let unreadable = |source| AudioFileError::Unreadable { path: shown.into(), source };
        // Asked before opening: that would wait for whoever writes into a pipe.
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(std::io::Error::from(ErrorKind::IsADirectory)));
        }
        if !metadata.is_file() {
            let reason = "it is a pipe or a device".to_owned();
            return Err(AudioFileError::Unsupported { path: shown.into(), reason });
        }
        let file = File::open(path).map_err(unreadable)?;
        Self::from_source(shown, Box::new(file), metadata.len())
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
        let unsupported = |reason: String| AudioFileError::Unsupported { path: path.into(), reason };
        let refused = |refusal| match refusal {
            Refusal::System(source) => AudioFileError::Unreadable { path: path.into(), source },
            Refusal::Content(reason) => unsupported(reason),
        };
        if len == 0 {
            return Err(AudioFileError::Empty { path: path.into() });
        }
        // Whatever becomes of the source, it is not used again after a panic.
        let source = std::panic::AssertUnwindSafe(source);
        // The decoders return errors; should one of them panic on a hostile file, that is an error as well.
        let opened = std::panic::catch_unwind(move || {
            let std::panic::AssertUnwindSafe(mut source) = { source };
            let layout = layout(&mut source, len)?;
            open(source, layout.as_ref()).map(|opened| (layout, opened))
        });
        let opened = opened.unwrap_or_else(|_| Err(Refusal::Content("its header makes no sense".into())));
        let (layout, opened) = opened.map_err(refused)?;
        let is_raw = layout.as_ref().is_some_and(|layout| layout.coding != Coding::Mpeg);
        let (is_open, chunks) = layout.map_or((false, Vec::new()), |layout| (layout.is_open, layout.chunks));
        let Opened { packets, decoder, parameters, format, promised } = opened;

        let rate = parameters.sample_rate.filter(|&rate| rate > 0);
        let rate = rate.ok_or_else(|| unsupported("it does not say its sample rate".into()))?;
        let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(unsupported(format!("{channels} channels")));
        }
        let is_lossless = is_lossless(parameters.codec);
        Ok(Self {
            path: path.into(),
            packets,
            decoder,
            spec: AudioSpec { rate, channels, format },
            promised,
            is_promise_kept: is_lossless && !is_raw,
            is_lossy: !is_lossless,
            is_open,
            chunks,
            position: 0,
            bad_samples: 0,
            bad_packets: 0,
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

    /// What was wrong with the file although it could be read, as half a sentence; known in full at its end.
    pub fn remark(&self) -> Option<String> {
        let seconds = self.position as f64 / f64::from(self.spec.rate);
        match (self.is_open, self.bad_packets) {
            (true, _) => Some(format!(
                "its header gives a wrong length: it was never completed, or the file was cut off. {seconds:.2} s are there"
            )),
            (false, 0) => None,
            (false, count) => Some(format!("{count} damaged places became silence")),
        }
    }

    /// What the header keeps beside the sound: place in the session, notes, markers.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
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
                Err(_) => return Err(AudioFileError::Damaged { path: self.path.clone(), position: self.position }),
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
        let packet = match &mut self.packets {
            Packets::Raw(packets) => packets.next()?,
            Packets::Container { format, .. } => format.next_packet()?,
        };
        let Some(packet) = packet else { return Ok(false) };
        if matches!(&self.packets, Packets::Container { track_id, .. } if *track_id != packet.track_id) {
            return Ok(true);
        }
        match self.decode(&packet, block) {
            Err(Error::DecodeError(_)) if self.is_lossy => {
                self.bad_packets += 1;
                let frames = packet.dur.get().min(MAX_PACKET) as usize;
                block.resize(frames * self.spec.channels, 0.0);
                Ok(true)
            }
            result => result.map(|()| true),
        }
    }

    fn decode(&mut self, packet: &Packet, block: &mut Vec<f32>) -> Result<(), Error> {
        match &mut self.decoder {
            Decoder::Symphonia(decoder) => {
                let decoded = decoder.decode(packet)?;
                if decoded.num_planes() != self.spec.channels || decoded.spec().rate() != self.spec.rate {
                    return Err(Error::DecodeError("rate or channels change within the file"));
                }
                decoded.copy_to_vec_interleaved(block);
                Ok(())
            }
            Decoder::Opus(opus) => {
                // The last packet is longer than the sound.
                let left = self.promised.map_or(u64::MAX, |promised| promised.saturating_sub(self.position));
                opus.decode(&packet.data, left, block)
            }
        }
    }

    fn at_end(&self) -> Result<bool, AudioFileError> {
        let path = || self.path.clone();
        match self.promised {
            Some(promised) if self.is_promise_kept && self.position < promised => {
                Err(AudioFileError::Truncated { path: path(), found: self.position, promised })
            }
            _ if self.position == 0 => Err(AudioFileError::Empty { path: path() }),
            _ => Ok(false),
        }
    }
}

/// The header of a WAV or AU file; `None` for others.
fn layout(source: &mut Box<dyn MediaSource>, len: u64) -> std::io::Result<Option<Layout>> {
    let found = match wave::layout(source, len)? {
        None => sun::layout(source, len)?,
        found => found,
    };
    source.seek(SeekFrom::Start(0))?;
    Ok(found)
}

fn open(mut source: Box<dyn MediaSource>, layout: Option<&Layout>) -> Result<Opened, Refusal> {
    match layout {
        Some(layout) if layout.coding == Coding::Mpeg => {
            open_container(Box::new(Part::new(source, layout.data.clone())?))
        }
        Some(layout) => open_raw(source, layout),
        None => {
            let mut start = [0; 16];
            let found = wave::read_up_to(&mut source, &mut start)?;
            source.seek(SeekFrom::Start(0))?;
            match kinds::not_audio(&start[..found]) {
                Some(what) => Err(Refusal::Content(what.to_owned())),
                None => open_container(source),
            }
        }
    }
}

fn open_raw(source: Box<dyn MediaSource>, layout: &Layout) -> Result<Opened, Refusal> {
    let packets = RawPackets::new(source, layout)?;
    let parameters = packets.parameters().clone();
    let decoder = symphonia::default::get_codecs()
        .make_audio_decoder(&parameters, &AudioDecoderOptions::default())
        .map_err(|_| Refusal::Content("the numbers in its header make no sense".into()))?;
    let (format, frames) = (packets.format(), packets.frames());
    Ok(Opened {
        packets: Packets::Raw(packets),
        decoder: Decoder::Symphonia(decoder),
        parameters,
        format,
        promised: Some(frames).filter(|&frames| frames > 0),
    })
}

fn open_container(source: Box<dyn MediaSource>) -> Result<Opened, Refusal> {
    let unknown = "Coffre does not know this kind of file";
    let content = |what: &str| Refusal::Content(what.to_owned());
    let stream = MediaSourceStream::new(source, Default::default());
    let options = (FormatOptions::default(), MetadataOptions::default());
    let format = symphonia::default::get_probe().probe(&Hint::new(), stream, options.0, options.1);
    let format = format.map_err(|error| match error {
        Error::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => content("it ends within its header"),
        // A place that no file has.
        Error::IoError(error) if error.kind() == ErrorKind::InvalidInput => content("its header makes no sense"),
        Error::IoError(error) => Refusal::System(error),
        Error::DecodeError(_) => content("its header makes no sense"),
        _ => content(unknown),
    })?;
    let track = format.default_track(TrackType::Audio).ok_or_else(|| content("there is no sound in it"))?;
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
        return Err(content("the way its sound is coded is not known to Coffre"));
    };
    let (track_id, mut frames, delay, mut parameters) =
        (track.id, track.num_frames, track.delay.unwrap_or(0), parameters.clone());
    let decoder = if parameters.codec == well_known::CODEC_ID_OPUS {
        // Positions of Opus in Ogg count what is dropped at the start: RFC 7845, section 4.3.
        frames = frames.map(|frames| frames.saturating_sub(u64::from(delay)));
        let opus = Opus::new(&parameters, delay).map_err(|reason| content(&reason))?;
        Decoder::Opus(Box::new(opus))
    } else {
        let decoder = symphonia::default::get_codecs().make_audio_decoder(&parameters, &AudioDecoderOptions::default());
        let decoder = decoder.map_err(|_| content("the way its sound is coded is not known to Coffre"))?;
        // Some containers leave to the decoder what the sound is like.
        let known = decoder.codec_params();
        parameters.channels = parameters.channels.or_else(|| known.channels.clone());
        parameters.sample_rate = parameters.sample_rate.or(known.sample_rate);
        Decoder::Symphonia(decoder)
    };
    let format_stored = stored_as(&parameters);
    let channels = parameters.channels.as_ref().map_or(1, |channels| channels.count()) as u64;
    let promised = frames.filter(|&frames| frames > 0 && frames.saturating_mul(channels * 4) < UNKNOWN_BYTES);
    let packets = Packets::Container { format, track_id };
    Ok(Opened { packets, decoder, parameters, format: format_stored, promised })
}

/// Codings that give back the recorded samples, so that a file of them has as many as it says.
fn is_lossless(codec: AudioCodecId) -> bool {
    use well_known as id;
    const LOSSY: [AudioCodecId; 10] = [
        id::CODEC_ID_MP1,
        id::CODEC_ID_MP2,
        id::CODEC_ID_MP3,
        id::CODEC_ID_AAC,
        id::CODEC_ID_VORBIS,
        id::CODEC_ID_OPUS,
        id::CODEC_ID_ADPCM_MS,
        id::CODEC_ID_ADPCM_IMA_WAV,
        id::CODEC_ID_ADPCM_IMA_QT,
        id::CODEC_ID_SPEEX,
    ];
    !LOSSY.contains(&codec)
}

/// How samples are to be stored so that nothing gets lost.
fn stored_as(parameters: &AudioCodecParameters) -> SampleFormat {
    use well_known as id;
    const FLOATS: [AudioCodecId; 4] =
        [id::CODEC_ID_PCM_F32LE, id::CODEC_ID_PCM_F32BE, id::CODEC_ID_PCM_F64LE, id::CODEC_ID_PCM_F64BE];
    // 8 bits stored are worth more, and cannot be written.
    const COMPANDED: [AudioCodecId; 2] = [id::CODEC_ID_PCM_ALAW, id::CODEC_ID_PCM_MULAW];
    let bits = parameters.bits_per_sample.or(parameters.bits_per_coded_sample).filter(|&bits| bits > 0);
    // ALAC says it in a place of its own; 24 hold all that there is but 32.
    let bits = bits.unwrap_or(if parameters.codec == id::CODEC_ID_ALAC { 24 } else { 16 });
    if FLOATS.contains(&parameters.codec) {
        SampleFormat::Float
    } else if COMPANDED.contains(&parameters.codec) {
        SampleFormat::Int { bits: 16 }
    } else if !is_lossless(parameters.codec) {
        // The decoders give more than 16 bits.
        SampleFormat::Int { bits: 24 }
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

/// A whole file as one channel, see [`DownMix`], and its rate in Hz.
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
    let (mut mono, mut block, mut down) = (Vec::new(), Vec::new(), DownMix::new(channels, Choice::Sum));
    while reader.read(&mut block)? {
        mono.extend(block.chunks_exact(channels).map(|frame| down.step(frame)));
        if mono.len() as f64 > max_seconds * f64::from(rate) {
            let reason = format!("it is longer than {max_seconds:.0} s");
            return Err(AudioFileError::Unsupported { path: reader.path, reason });
        }
    }
    Ok((mono, rate))
}
