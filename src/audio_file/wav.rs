//! Writes WAV, and RF64 where a file grows beyond 4 GB, with the chunks that the original had.
//!
//! Not a crate's: none writes integers, floating point, RF64 and other programs' chunks.

use std::io::{Result as IoResult, Seek, SeekFrom, Write};

use super::wave::Chunk;
use super::{AudioSpec, SampleFormat};

/// Largest length that a header of 32 bits counts.
const MAX_RIFF: u64 = u32::MAX as u64;

/// Content of the chunk `ds64` without a table: EBU Tech 3306, section 4.2.
const DS64_LEN: u32 = 28;

/// `WAVEFORMATEXTENSIBLE`'s identifiers of codings end so: Microsoft's ksmedia.h.
const GUID_END: &[u8; 14] = b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71";

/// A WAV file being written.
pub(super) struct WavWriter<W> {
    output: W,
    channels: u64,
    format: SampleFormat,
    /// The header counts in 32 bits: there is no room for RF64.
    is_narrow: bool,
    /// Where the number of frames stands, in floating point.
    fact: Option<u64>,
    /// Where the data chunk's content begins.
    start: u64,
    data_len: u64,
    bytes: Vec<u8>,
}

impl<W: Write + Seek> WavWriter<W> {
    /// Begins a file. `len` in samples per channel decides whether there has to be room for RF64; `None` = unknown.
    ///
    /// # Errors
    /// What the format does not allow, in words.
    pub(super) fn new(mut output: W, spec: AudioSpec, len: Option<u64>, chunks: &[Chunk]) -> Result<Self, String> {
        let channels = u16::try_from(spec.channels).map_err(|_| format!("WAV has no {} channels", spec.channels))?;
        let (bits, is_float) = match spec.format {
            SampleFormat::Int { bits } => (bits, false),
            SampleFormat::Float => (32, true),
        };
        let block = channels.checked_mul(bits / 8).ok_or_else(|| format!("WAV has no {channels} channels"))?;
        let kept: u64 = chunks.iter().map(|chunk| 9 + chunk.bytes.len() as u64).sum();
        let is_small = len.is_some_and(|len| len.saturating_mul(u64::from(block)) + kept + 200 < MAX_RIFF);
        let mut head = b"RIFF\0\0\0\0WAVE".to_vec();
        if !is_small {
            put(&mut head, *b"JUNK", &[0; DS64_LEN as usize]);
        }
        put(&mut head, *b"fmt ", &format_chunk(spec.rate, channels, bits, is_float, block));
        let fact = is_float.then(|| {
            put(&mut head, *b"fact", &[0; 4]);
            head.len() as u64 - 4
        });
        for chunk in chunks {
            put(&mut head, chunk.id, &chunk.bytes);
        }
        head.extend(b"data\0\0\0\0");
        output.write_all(&head).map_err(|error| crate::new_file::said(&error))?;
        Ok(Self {
            output,
            channels: u64::from(channels),
            format: spec.format,
            is_narrow: is_small,
            fact,
            start: head.len() as u64,
            data_len: 0,
            bytes: Vec::new(),
        })
    }

    /// Appends interleaved samples in full scale ±1; for integers, in their own scale.
    pub(super) fn write(&mut self, block: &[f32], integers: &[i32]) -> IoResult<()> {
        self.bytes.clear();
        match self.format {
            SampleFormat::Float => self.bytes.extend(block.iter().flat_map(|sample| sample.to_le_bytes())),
            // 8 bits are unsigned: Multimedia Programming Interface, 1991, page 60.
            SampleFormat::Int { bits: 8 } => self.bytes.extend(integers.iter().map(|sample| (sample + 128) as u8)),
            SampleFormat::Int { bits } => {
                let width = usize::from(bits / 8);
                self.bytes.extend(integers.iter().flat_map(|sample| sample.to_le_bytes().into_iter().take(width)));
            }
        }
        self.data_len += self.bytes.len() as u64;
        self.output.write_all(&self.bytes)
    }

    /// Fills the lengths in.
    pub(super) fn finish(mut self) -> IoResult<()> {
        if self.data_len % 2 == 1 {
            self.output.write_all(&[0])?;
        }
        let frames = self.data_len / (self.channels * self.sample_len());
        let riff_len = self.start + self.data_len + self.data_len % 2 - 8;
        let is_wide = riff_len > MAX_RIFF;
        let narrow = |len: u64| u32::try_from(len).unwrap_or(u32::MAX);
        if is_wide {
            if self.is_narrow {
                return Err(std::io::Error::other("it became longer than its header can say"));
            }
            let mut head = b"RF64\xff\xff\xff\xffWAVEds64".to_vec();
            head.extend(DS64_LEN.to_le_bytes());
            for number in [riff_len, self.data_len, frames] {
                head.extend(number.to_le_bytes());
            }
            self.place(0, &head)?;
        } else {
            self.place(4, &narrow(riff_len).to_le_bytes())?;
        }
        if let Some(fact) = self.fact {
            self.place(fact, &narrow(frames).to_le_bytes())?;
        }
        let data = if is_wide { u32::MAX } else { narrow(self.data_len) };
        self.place(self.start - 4, &data.to_le_bytes())?;
        self.output.flush()
    }

    fn sample_len(&self) -> u64 {
        match self.format {
            SampleFormat::Int { bits } => u64::from(bits / 8),
            SampleFormat::Float => 4,
        }
    }

    fn place(&mut self, at: u64, bytes: &[u8]) -> IoResult<()> {
        self.output.seek(SeekFrom::Start(at))?;
        self.output.write_all(bytes)
    }
}

fn put(file: &mut Vec<u8>, id: [u8; 4], content: &[u8]) {
    file.extend(id);
    file.extend((content.len() as u32).to_le_bytes());
    file.extend(content);
    if content.len() % 2 == 1 {
        file.push(0);
    }
}

/// The plain chunk where that says enough, the extensible one otherwise.
fn format_chunk(rate: u32, channels: u16, bits: u16, is_float: bool, block: u16) -> Vec<u8> {
    let tag: u16 = if is_float { 3 } else { 1 };
    let is_plain = channels <= 2 && (is_float || bits <= 16);
    let mut format = (if is_plain { tag } else { 0xfffe }).to_le_bytes().to_vec();
    format.extend(channels.to_le_bytes());
    format.extend(rate.to_le_bytes());
    format.extend(rate.wrapping_mul(u32::from(block)).to_le_bytes());
    format.extend(block.to_le_bytes());
    format.extend(bits.to_le_bytes());
    if !is_plain {
        // One channel is the centre; more are the first ones in the order of the specification.
        let mask: u32 = match channels {
            1 => 4,
            2..=18 => (1 << channels) - 1,
            _ => 0,
        };
        format.extend(22_u16.to_le_bytes());
        format.extend(bits.to_le_bytes());
        format.extend(mask.to_le_bytes());
        format.extend(tag.to_le_bytes());
        format.extend(GUID_END);
    } else if is_float {
        format.extend([0; 2]);
    }
    format
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Counts what is written in the middle instead of keeping it.
    struct Sparse {
        inner: Cursor<Vec<u8>>,
        begin: u64,
        place: u64,
        end: u64,
    }

    impl Write for Sparse {
        fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
            if self.place + (bytes.len() as u64) <= self.begin {
                self.inner.set_position(self.place);
                self.inner.write_all(bytes)?;
            }
            self.place += bytes.len() as u64;
            self.end = self.end.max(self.place);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> IoResult<()> {
            Ok(())
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
            if let SeekFrom::Start(place) = to {
                self.place = place;
            }
            Ok(self.place)
        }
    }

    #[test]
    fn beyond_four_gigabytes_it_is_rf64_whose_lengths_are_right() {
        let spec = AudioSpec { rate: 192_000, channels: 2, format: SampleFormat::Int { bits: 24 } };
        let mut output = Sparse { inner: Cursor::new(Vec::new()), begin: 4_096, place: 0, end: 0 };
        let mut wav = WavWriter::new(&mut output, spec, None, &[]).expect("begun");
        let block = vec![0; 6 << 20];
        let frames = 250 * (block.len() as u64 / 2);
        for _ in 0..250 {
            wav.write(&[], &block).expect("written");
        }
        wav.finish().expect("finished");
        let (end, head) = (output.end, output.inner.into_inner());
        let layout = super::super::wave::layout(&mut Cursor::new(head.clone()), end).expect("readable");
        let layout = layout.expect("its own");
        assert_eq!(&head[..4], b"RF64");
        assert_eq!(layout.data.end - layout.data.start, frames * 6);
        assert!(!layout.is_open && layout.data.end == end && end > MAX_RIFF);
    }

    #[test]
    fn a_small_file_has_the_header_that_everybody_knows() {
        let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Int { bits: 16 } };
        let mut output = Cursor::new(Vec::new());
        let mut wav = WavWriter::new(&mut output, spec, Some(3), &[]).expect("begun");
        wav.write(&[], &[1, 2, -3]).expect("written");
        wav.finish().expect("finished");
        let mut wanted = b"RIFF\x2a\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\xbb\0\0\0\x77\x01\0\x02\0\x10\0".to_vec();
        wanted.extend(b"data\x06\0\0\0\x01\0\x02\0\xfd\xff");
        assert_eq!(output.into_inner(), wanted);
    }
}
