//! Headers of the RIFF family: WAV, RF64, BW64, Wave64 and the big-endian RIFX.
//!
//! Recorders that lose power, pipes and old programs leave headers that are wrong about lengths. What is there is found
//! here, and what a header got wrong is told; the decoders get plain packets (`raw`). Knows no decoder.

use std::io::{Read, Seek, SeekFrom};

use super::raw::{Coding, Layout, Order, Sample};

/// A chunk that a program may want to find again in the converted file, as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Four characters.
    pub id: [u8; 4],
    /// Its content, without padding.
    pub bytes: Vec<u8>,
}

/// Chunks that stay true when the sound changes but not its length: place in the session, notes, markers, loops, tempo.
const KEPT: [&[u8; 4]; 11] =
    [b"bext", b"iXML", b"axml", b"cue ", b"smpl", b"inst", b"plst", b"LIST", b"acid", b"id3 ", b"ID3 "];

/// Bytes of kept chunks together; markers take kilobytes.
const MAX_KEPT: u64 = 16 << 20;

/// Chunks that are looked at: no program writes so many.
const MAX_CHUNKS: usize = 4_096;

/// Bytes behind the sound that count as more of it: 20 ms of CD sound. Less may be anything.
const MIN_MORE: u64 = 4_096;

/// A format chunk is 16 to 40 bytes; ADPCM has tables in it.
const MAX_FORMAT: u64 = 4_096;

/// Wave64 begins so instead of with `RIFF`, and its identifiers end in bytes that are the same for all chunks.
const WAVE64: &[u8; 16] = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00";

/// How sizes are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    /// 4-byte identifiers, sizes of 32 bits, chunks begin at even places.
    Riff(Order),
    /// 16-byte identifiers, sizes of 64 bits that count themselves, chunks begin at multiples of 8.
    Wave64,
}

/// A chunk's head.
struct Head {
    id: [u8; 4],
    size: u64,
    start: u64,
}

/// What the header says and what the file holds; `None` when the file is of another family.
///
/// # Errors
/// Of the system; `InvalidData` with plain words for a file of the family that holds no sound that can be read.
pub(super) fn layout<R: Read + Seek + ?Sized>(source: &mut R, len: u64) -> std::io::Result<Option<Layout>> {
    let base = after_tag(source)?;
    source.seek(SeekFrom::Start(base))?;
    let mut magic = [0; 12];
    if read_up_to(source, &mut magic)? < magic.len() {
        return Ok(None);
    }
    let (family, begin) = match &magic[..4] {
        b"riff" => (Family::Wave64, 40),
        b"RIFF" | b"RF64" | b"BW64" if &magic[8..] == b"WAVE" => (Family::Riff(Order::Little), 12),
        b"RIFX" if &magic[8..] == b"WAVE" => (Family::Riff(Order::Big), 12),
        _ => return Ok(None),
    };
    if family == Family::Wave64 {
        let mut rest = [0; 28];
        if read_up_to(source, &mut rest)? < rest.len() || magic[4..] != WAVE64[4..12] || &rest[12..16] != b"wave" {
            return Ok(None);
        }
    }
    Scan { source, len, family, format: None, wide_data: None, chunks: Vec::new() }.run(base + begin).map(Some)
}

/// Where the file proper begins: some programs put a tag of the kind ID3v2 before it (id3.org, ID3v2.4.0, section 3.1).
fn after_tag<R: Read + Seek + ?Sized>(source: &mut R) -> std::io::Result<u64> {
    source.seek(SeekFrom::Start(0))?;
    let mut head = [0; 10];
    let is_tag = read_up_to(source, &mut head)? == head.len() && head.starts_with(b"ID3");
    let size = head[6..].iter().fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
    let footer = if head[5] & 0x10 != 0 { 10 } else { 0 };
    Ok(if is_tag { 10 + size + footer } else { 0 })
}

struct Scan<'a, R: ?Sized> {
    source: &'a mut R,
    len: u64,
    family: Family,
    format: Option<Vec<u8>>,
    /// Bytes of sound according to the chunk `ds64`.
    wide_data: Option<u64>,
    chunks: Vec<Chunk>,
}

impl<R: Read + Seek + ?Sized> Scan<'_, R> {
    fn run(mut self, begin: u64) -> std::io::Result<Layout> {
        let (mut place, mut data) = (begin, None);
        for _ in 0..MAX_CHUNKS {
            let Some(head) = self.head(place)? else { break };
            let mut end = head.start.saturating_add(head.size);
            match &head.id {
                b"fmt " if self.format.is_none() => self.format = Some(self.content(&head, MAX_FORMAT)?),
                b"ds64" => {
                    let content = self.content(&head, 28)?;
                    self.wide_data = content.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
                }
                b"data" if data.is_none() => {
                    let claimed = match (head.size, self.wide_data) {
                        (0xffff_ffff, Some(wide)) => wide,
                        (size, _) => size,
                    };
                    let there = self.len - head.start;
                    // A recorder that was cut off, or a pipe, never filled the size in: the sound goes on to the end.
                    let is_open = claimed > there || self.goes_on(head.start + claimed)?;
                    end = head.start + if is_open { there } else { claimed };
                    data = Some((head.start..end, is_open && there > 0));
                }
                id if KEPT.contains(&id) => self.keep(&head)?,
                _ => {}
            }
            place = self.after(end, data.is_some())?;
        }
        let format = self.format.as_deref().ok_or_else(|| wrong("its header does not say how the sound is stored"))?;
        let (data, is_open) = data.ok_or_else(|| wrong("it has a header, but no sound"))?;
        let order = if let Family::Riff(order) = self.family { order } else { Order::Little };
        let mut layout = described(format, order)?;
        layout.data = data;
        layout.is_open = is_open;
        layout.chunks = self.chunks;
        Ok(layout)
    }

    /// The head of the chunk at a place; `None` beyond the end.
    fn head(&mut self, place: u64) -> std::io::Result<Option<Head>> {
        let mut bytes = [0; 24];
        let wanted = if self.family == Family::Wave64 { 24 } else { 8 };
        if place.saturating_add(wanted as u64) > self.len {
            return Ok(None);
        }
        self.source.seek(SeekFrom::Start(place))?;
        if read_up_to(self.source, &mut bytes[..wanted])? < wanted {
            return Ok(None);
        }
        let id = [bytes[0], bytes[1], bytes[2], bytes[3]];
        let start = place + wanted as u64;
        let size = match self.family {
            Family::Wave64 => u64::from_le_bytes(bytes[16..].try_into().unwrap_or_default()).saturating_sub(24),
            Family::Riff(order) => u64::from(order.u32([bytes[4], bytes[5], bytes[6], bytes[7]])),
        };
        Ok(Some(Head { id, size, start }))
    }

    /// Where the next chunk begins. Some programs leave the padding out after sound of odd length.
    fn after(&mut self, end: u64, is_after_data: bool) -> std::io::Result<u64> {
        let unit = if self.family == Family::Wave64 { 8 } else { 2 };
        let padded = end.saturating_add(end.wrapping_neg() % unit);
        let is_unpadded = padded != end && is_after_data && !self.is_chunk_at(padded)? && self.is_chunk_at(end)?;
        Ok(if is_unpadded { end } else { padded })
    }

    /// Whether a chunk seems to begin at a place: four printable characters and a size that fits.
    fn is_chunk_at(&mut self, place: u64) -> std::io::Result<bool> {
        let head = self.head(place)?;
        Ok(head.is_some_and(|head| {
            head.id.iter().all(|byte| (0x20..0x7f).contains(byte))
                && head.id[0].is_ascii_alphabetic()
                && head.size <= self.len - head.start
        }))
    }

    /// Whether what follows the claimed end of the sound is more of it: much, no chunk, and no tag.
    fn goes_on(&mut self, end: u64) -> std::io::Result<bool> {
        let mut start = [0; 8];
        self.source.seek(SeekFrom::Start(end))?;
        read_up_to(self.source, &mut start)?;
        let is_tag = [&b"TAG"[..], b"ID3", b"APETAGEX", b"LYRICS"].iter().any(|magic| start.starts_with(magic));
        let next = self.after(end, true)?;
        Ok(!is_tag && self.len - end >= MIN_MORE && !self.is_chunk_at(next)?)
    }

    fn content(&mut self, head: &Head, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(head.size.min(limit)).unwrap_or(0)];
        self.source.seek(SeekFrom::Start(head.start))?;
        let found = read_up_to(self.source, &mut bytes)?;
        bytes.truncate(found);
        Ok(bytes)
    }

    fn keep(&mut self, head: &Head) -> std::io::Result<()> {
        let so_far: u64 = self.chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        let fits = head.size <= self.len.saturating_sub(head.start) && so_far.saturating_add(head.size) <= MAX_KEPT;
        // What is big-endian, or has 64-bit places, would have to be rewritten.
        if fits && self.family == Family::Riff(Order::Little) {
            let bytes = self.content(head, MAX_KEPT)?;
            self.chunks.push(Chunk { id: head.id, bytes });
        }
        Ok(())
    }
}

/// What a format chunk says: `WAVEFORMATEX` and `WAVEFORMATEXTENSIBLE` of Microsoft's mmreg.h.
fn described(format: &[u8], order: Order) -> std::io::Result<Layout> {
    let short = |place: usize| format.get(place..place + 2).map_or(0, |bytes| order.u16([bytes[0], bytes[1]]));
    if format.len() < 14 {
        return Err(wrong("its header does not say how the sound is stored"));
    }
    let rate = order.u32([format[4], format[5], format[6], format[7]]);
    let (channels, block, bits) = (short(2), short(12), short(14));
    let mut tag = short(0);
    if tag == 0xfffe && format.len() >= 26 {
        tag = short(24);
    }
    // 20 bits in 3 bytes, 24 in 4: samples begin at the upper end, so the place that they take is what counts.
    let stored = match block.checked_div(channels) {
        Some(bytes) if block % channels == 0 && bytes > 0 && u32::from(bytes) * 8 >= u32::from(bits) => bytes,
        _ => bits.div_ceil(8),
    };
    let sample = match (tag, stored) {
        (1, 1) => Some(Sample::Unsigned8),
        (1, 2) => Some(Sample::Int16),
        (1, 3) => Some(Sample::Int24),
        (1, 4) => Some(Sample::Int32),
        (3, 4) => Some(Sample::Float32),
        (3, 8) => Some(Sample::Float64),
        (6, 1) => Some(Sample::ALaw),
        (7, 1) => Some(Sample::MuLaw),
        _ => None,
    };
    let coding = match (tag, sample) {
        (_, Some(sample)) => Coding::Plain { sample, order },
        (2 | 0x11, _) if block > 0 => {
            Coding::Adpcm { is_ima: tag == 0x11, block_bytes: usize::from(block), frames: usize::from(short(18)) }
        }
        (0x55 | 0x50, _) => Coding::Mpeg,
        (1 | 3 | 6 | 7, None) => return Err(wrong(&format!("samples of {bits} bits are not known"))),
        _ => return Err(wrong(&format!("the sound in it is {}, which Coffre cannot read", name_of(tag)))),
    };
    Ok(Layout { coding, rate, channels: usize::from(channels), data: 0..0, is_open: false, chunks: Vec::new() })
}

/// What people call a format tag.
fn name_of(tag: u16) -> String {
    match tag {
        0x31 => "GSM 6.10 (dictation machines)".to_owned(),
        0x40 | 0x45 | 0x64 | 0x65 => "G.72x (telephones)".to_owned(),
        0xff | 0x1600 | 0x1602 | 0x1610 => "AAC inside a WAV".to_owned(),
        0x160..=0x163 => "Windows Media".to_owned(),
        0x674f..=0x6771 => "Ogg Vorbis inside a WAV".to_owned(),
        tag => format!("of kind 0x{tag:04x}"),
    }
}

pub(super) fn wrong(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what)
}

/// Fills as much as there is.
pub(super) fn read_up_to<R: Read + ?Sized>(source: &mut R, bytes: &mut [u8]) -> std::io::Result<usize> {
    let mut found = 0;
    while found < bytes.len() {
        match source.read(&mut bytes[found..]) {
            Ok(0) => break,
            Ok(more) => found += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
