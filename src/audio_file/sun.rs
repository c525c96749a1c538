//! Headers of AU files, of Sun and NeXT. Knows no decoder.

use std::io::{Read, Seek, SeekFrom};

use super::raw::{Coding, Layout, Order, Sample};
use super::wave::{read_up_to, wrong};

/// What the header says and what the file holds; `None` when it is no AU file.
///
/// # Errors
/// Of the system; `InvalidData` with plain words for codings that are not read.
pub(super) fn layout<R: Read + Seek + ?Sized>(source: &mut R, len: u64) -> std::io::Result<Option<Layout>> {
    source.seek(SeekFrom::Start(0))?;
    let mut header = [0; 24];
    if read_up_to(source, &mut header)? < header.len() {
        return Ok(None);
    }
    let order = match &header[..4] {
        b".snd" => Order::Big,
        b"dns." => Order::Little,
        _ => return Ok(None),
    };
    let word = |n: usize| order.u32([header[4 * n], header[4 * n + 1], header[4 * n + 2], header[4 * n + 3]]);
    let (start, claimed) = (u64::from(word(1)), u64::from(word(2)));
    let sample = match word(3) {
        1 => Sample::MuLaw,
        2 => Sample::Signed8,
        3 => Sample::Int16,
        4 => Sample::Int24,
        5 => Sample::Int32,
        6 => Sample::Float32,
        7 => Sample::Float64,
        27 => Sample::ALaw,
        kind => return Err(wrong(&format!("the sound in it is of kind {kind}, which Coffre cannot read"))),
    };
    if !(24..=len).contains(&start) {
        return Err(wrong("it has a header, but no sound"));
    }
    let there = len - start;
    // The format has a word for a length that is not known yet.
    let is_unknown = claimed == u64::from(u32::MAX);
    let channels = usize::try_from(word(5)).unwrap_or(0);
    Ok(Some(Layout {
        coding: Coding::Plain { sample, order },
        rate: word(4),
        channels,
        data: start..start + if is_unknown { there } else { claimed.min(there) },
        is_open: !is_unknown && claimed > there,
        chunks: Vec::new(),
    }))
}
