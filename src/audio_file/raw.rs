//! Sound without a container of its own: the data of a WAV or AU file in packets for a decoder.
//!
//! Takes over where a header was read (`wave`, `sun`). Knows no file and no path.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use symphonia::core::audio::Channels;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, well_known as id};
use symphonia::core::errors::Error;
use symphonia::core::io::MediaSource;
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, Timestamp};

use super::SampleFormat;
use super::wave::{Chunk, read_up_to};

/// Frames in one packet of plain samples.
const PACKET_FRAMES: usize = 4_096;

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }
}

/// One sample as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    Unsigned8,
    Signed8,
    Int16,
    Int24,
    Int32,
    Float32,
    Float64,
    ALaw,
    MuLaw,
}

impl Sample {
    fn bytes(self) -> usize {
        match self {
            Self::Unsigned8 | Self::Signed8 | Self::ALaw | Self::MuLaw => 1,
            Self::Int16 => 2,
            Self::Int24 => 3,
            Self::Int32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    fn codec(self, order: Order) -> AudioCodecId {
        match (self, order) {
            (Self::Unsigned8, _) => id::CODEC_ID_PCM_U8,
            (Self::Signed8, _) => id::CODEC_ID_PCM_S8,
            (Self::Int16, Order::Little) => id::CODEC_ID_PCM_S16LE,
            (Self::Int16, Order::Big) => id::CODEC_ID_PCM_S16BE,
            (Self::Int24, Order::Little) => id::CODEC_ID_PCM_S24LE,
            (Self::Int24, Order::Big) => id::CODEC_ID_PCM_S24BE,
            (Self::Int32, Order::Little) => id::CODEC_ID_PCM_S32LE,
            (Self::Int32, Order::Big) => id::CODEC_ID_PCM_S32BE,
            (Self::Float32, Order::Little) => id::CODEC_ID_PCM_F32LE,
            (Self::Float32, Order::Big) => id::CODEC_ID_PCM_F32BE,
            (Self::Float64, Order::Little) => id::CODEC_ID_PCM_F64LE,
            (Self::Float64, Order::Big) => id::CODEC_ID_PCM_F64BE,
            (Self::ALaw, _) => id::CODEC_ID_PCM_ALAW,
            (Self::MuLaw, _) => id::CODEC_ID_PCM_MULAW,
        }
    }

    fn format(self) -> SampleFormat {
        match self {
            Self::Float32 | Self::Float64 => SampleFormat::Float,
            // Companded: 8 bits stored are worth more, and cannot be written.
            Self::Int16 | Self::ALaw | Self::MuLaw => SampleFormat::Int { bits: 16 },
            Self::Unsigned8 | Self::Signed8 => SampleFormat::Int { bits: 8 },
            Self::Int24 => SampleFormat::Int { bits: 24 },
            Self::Int32 => SampleFormat::Int { bits: 32 },
        }
    }
}

/// How the data are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Plain {
        sample: Sample,
        order: Order,
    },
    Adpcm {
        is_ima: bool,
        block_bytes: usize,
        /// Frames in a block, as the header says.
        frames: usize,
    },
    /// MPEG audio, which is a container of its own.
    Mpeg,
}

/// What a header says about the sound, corrected by what the file holds.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) coding: Coding,
    pub(super) rate: u32,
    pub(super) channels: usize,
    /// Where the sound lies in the file.
    pub(super) data: Range<u64>,
    /// The header promises another length: it was never completed, or the file was cut off.
    pub(super) is_open: bool,
    /// What the converted file is to keep.
    pub(super) chunks: Vec<Chunk>,
}

/// The sound in packets.
pub(super) struct RawPackets {
    source: Box<dyn MediaSource>,
    left: u64,
    /// Bytes and frames of one unit that cannot be cut.
    unit: (usize, usize),
    /// Units in a packet.
    count: usize,
    parameters: AudioCodecParameters,
    format: SampleFormat,
    frame: i64,
}

impl RawPackets {
    /// Packets of what a layout says. Its coding must not be [`Coding::Mpeg`].
    ///
    /// # Errors
    /// `InvalidData` for numbers that make no sense; of the system.
    pub(super) fn new(mut source: Box<dyn MediaSource>, layout: &Layout) -> std::io::Result<Self> {
        let channels = layout.channels;
        let wrong = super::wave::wrong;
        let count = u16::try_from(channels).ok().filter(|&count| count > 0);
        let count = count.ok_or_else(|| wrong(&format!("{channels} channels")))?;
        let mut parameters = AudioCodecParameters::new();
        parameters.with_sample_rate(layout.rate).with_channels(Channels::Discrete(count));
        let (unit, units, format) = match layout.coding {
            Coding::Plain { sample, order } => {
                parameters.for_codec(sample.codec(order));
                ((sample.bytes() * channels, 1), PACKET_FRAMES, sample.format())
            }
            Coding::Adpcm { is_ima, block_bytes, frames } => {
                // A block begins with a head per channel; IMA codes one sample of it there, Microsoft's two. Then 4 bits each.
                let (head, first) = if is_ima { (4 * channels, 1) } else { (7 * channels, 2) };
                let fits = block_bytes.checked_sub(head).map(|rest| rest * 2 / channels + first);
                let known = fits.filter(|&fits| channels <= 2 && (2..=fits).contains(&frames));
                let frames = known.ok_or_else(|| wrong("the blocks of its ADPCM make no sense"))?;
                parameters
                    .for_codec(if is_ima { id::CODEC_ID_ADPCM_IMA_WAV } else { id::CODEC_ID_ADPCM_MS })
                    .with_frames_per_block(frames as u64)
                    .with_max_frames_per_packet(frames as u64);
                ((block_bytes, frames), 1, SampleFormat::Int { bits: 16 })
            }
            Coding::Mpeg => return Err(wrong("MPEG audio has packets of its own")),
        };
        source.seek(SeekFrom::Start(layout.data.start))?;
        let left = layout.data.end - layout.data.start;
        Ok(Self { source, left, unit, count: units, parameters, format, frame: 0 })
    }

    pub(super) fn parameters(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    pub(super) fn format(&self) -> SampleFormat {
        self.format
    }

    /// Frames in the file; what is less than a frame or a block at its end does not count.
    pub(super) fn frames(&self) -> u64 {
        self.left / self.unit.0 as u64 * self.unit.1 as u64
    }

    /// The next packet; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Packet>, Error> {
        let wanted = (self.unit.0 * self.count).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut bytes = vec![0; wanted];
        let found = read_up_to(&mut self.source, &mut bytes)?;
        let units = found / self.unit.0;
        if units == 0 {
            return Ok(None);
        }
        bytes.truncate(units * self.unit.0);
        // A file that shrinks meanwhile ends here.
        self.left = if found < wanted { 0 } else { self.left - bytes.len() as u64 };
        let frames = units * self.unit.1;
        let packet = Packet::new(0, Timestamp::new(self.frame), Duration::new(frames as u64), bytes);
        self.frame += frames as i64;
        Ok(Some(packet))
    }
}

/// A part of a file as a file of its own.
pub(super) struct Part {
    source: Box<dyn MediaSource>,
    range: Range<u64>,
    place: u64,
}

impl Part {
    pub(super) fn new(mut source: Box<dyn MediaSource>, range: Range<u64>) -> std::io::Result<Self> {
        source.seek(SeekFrom::Start(range.start))?;
        Ok(Self { source, range, place: 0 })
    }

    fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Read for Part {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let left = self.len().saturating_sub(self.place);
        let wanted = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let found = self.source.read(&mut bytes[..wanted])?;
        self.place += found as u64;
        Ok(found)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.len().checked_add_signed(by),
        };
        let place = place.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        self.source.seek(SeekFrom::Start(self.range.start.saturating_add(place)))?;
        self.place = place;
        Ok(place)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len())
    }
}
