//! Recordings of floating point, to compare two of them.

use std::path::Path;

use anyhow::{Context, ensure};

/// All samples of a WAV file of 32-bit floating point.
pub fn read(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    samples(&bytes).with_context(|| format!("{} is no WAV file of floating point", path.display()))
}

fn samples(bytes: &[u8]) -> Option<Vec<f32>> {
    let mut chunks = bytes.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut is_float = false;
    while let Some((head, rest)) = chunks.split_at_checked(8) {
        let len = u32::from_le_bytes(head[4..].try_into().ok()?) as usize;
        let content = rest.get(..len)?;
        match &head[..4] {
            b"fmt " => {
                // The format, or that of the extended header; then the bits of a sample.
                let format = content.get(..2)?;
                let extended = content.get(24..26).filter(|_| format == [0xfe, 0xff]);
                is_float = extended.unwrap_or(format) == [3, 0] && content.get(14..16)? == [32, 0];
            }
            b"data" if is_float => {
                return Some(content.chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect());
            }
            _ => {}
        }
        chunks = rest.get(len + len % 2..)?;
    }
    None
}

/// The largest difference between samples of the same place.
///
/// # Errors
/// The lengths differ, or one holds what is no number.
pub fn largest_difference(one: &[f32], other: &[f32]) -> anyhow::Result<f32> {
    ensure!(one.len() == other.len(), "{} and {} samples", one.len(), other.len());
    ensure!(one.iter().chain(other).all(|sample| sample.is_finite()), "what is no number");
    Ok(one.iter().zip(other).map(|(one, other)| (one - other).abs()).fold(0.0, f32::max))
}

/// Root mean square.
pub fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8], content: &[u8]) -> Vec<u8> {
        [name, &(content.len() as u32).to_le_bytes(), content].concat()
    }

    #[test]
    fn floating_point_is_read_and_nothing_else() {
        let mut format = [0; 16];
        (format[0], format[14]) = (3, 32);
        let data: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let file = |format: &[u8]| {
            let chunks = [chunk(b"LIST", b"xx"), chunk(b"fmt ", format), chunk(b"data", &data)].concat();
            [b"RIFF\0\0\0\0WAVE".as_slice(), &chunks].concat()
        };
        assert_eq!(samples(&file(&format)), Some(vec![0.5, -1.0]));
        let mut extended = [0; 40];
        (extended[0], extended[1], extended[14], extended[24]) = (0xfe, 0xff, 32, 3);
        assert_eq!(samples(&file(&extended)), Some(vec![0.5, -1.0]));
        (format[0], format[14]) = (1, 16);
        assert_eq!(samples(&file(&format)), None);
        let whole = file(&extended);
        assert!((0..whole.len()).all(|len| samples(&whole[..len]).is_none()));
    }

    #[test]
    fn differences_are_found_wherever_they_are() {
        assert_eq!(largest_difference(&[0.0, 1.0], &[0.25, 1.0]).expect("comparable"), 0.25);
        assert!(largest_difference(&[0.0], &[]).is_err());
        assert!(largest_difference(&[f32::NAN], &[0.0]).is_err());
        assert_eq!(rms(&[3.0, -3.0]), 3.0);
    }
}
