//! Writes the pitch tracker's output for recordings: part of the recipe that trains and measures it (`f0.py`).
//!
//! ```text
//! cargo run --release --no-default-features --features recipe --example f0-frames -- FILE.f32...
//! ```
//!
//! Each file holds little-endian 32-bit samples at 16 kHz. `FILE.track` gets one line of four values per hop: F0 and
//! voicing in live mode, then in mix mode, both moved to where they belong, so that line `n` is about sample `160 n`.
//! `FILE.clues` gets a block for each hop and each look ahead (0, 1 and 2 frames): two levels in dB, the lowest F0 that
//! can be seen, the number of candidates, and [`MAX_CANDIDATES`] times F0 and clues, zeros where there is none.

use anyhow::{Context as _, Result};
use coffre::engine::Mode;
use coffre::engine::f0::candidates::{CLUES, CandidateFinder, Candidates, MAX_CANDIDATES, PREVIEW_FRAMES};
use coffre::engine::f0::evidence::VoicingEvidence;
use coffre::engine::f0::prefilter::Prefilter;
use coffre::engine::f0::{F0_DELAY_HOPS, F0_HOP_LEN, F0Frame, F0Tracker, lag_frames};

fn main() -> Result<()> {
    for path in std::env::args().skip(1) {
        let bytes = std::fs::read(&path).with_context(|| path.clone())?;
        let (words, _) = bytes.as_chunks::<4>();
        let samples: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let tracks = [Mode::Live, Mode::Mix].map(|mode| track(mode, &samples));
        let mut bytes = Vec::new();
        for (live, mix) in tracks[0].iter().zip(&tracks[1]) {
            for value in [live.f0_hz, live.voicing, mix.f0_hz, mix.voicing] {
                bytes.extend(value.to_le_bytes());
            }
        }
        std::fs::write(format!("{path}.track"), bytes)?;
        let bytes: Vec<u8> = clues(&samples).iter().flat_map(|value| value.to_le_bytes()).collect();
        std::fs::write(format!("{path}.clues"), bytes)?;
    }
    Ok(())
}

/// The frames whose centres are the samples `0, 160, 320...`.
fn track(mode: Mode, samples: &[f32]) -> Vec<F0Frame> {
    let mut tracker = F0Tracker::new(mode);
    let late = F0_DELAY_HOPS + lag_frames(mode) - 1;
    let mut padded = samples.to_vec();
    padded.resize(samples.len() + late * F0_HOP_LEN, 0.0);
    let frames = padded.chunks_exact(F0_HOP_LEN).map(|hop| tracker.push(hop));
    frames.skip(late).collect()
}

/// What the tracker's judge is told. Block `n` is of the frame whose look ahead ends where that of the frame at sample
/// `160 n` does.
fn clues(samples: &[f32]) -> Vec<f32> {
    let (mut prefilter, mut evidence, mut finder) =
        (Prefilter::new(), VoicingEvidence::default(), CandidateFinder::new());
    let late = F0_DELAY_HOPS - 1;
    let mut padded = samples.to_vec();
    padded.resize(samples.len() + late * F0_HOP_LEN, 0.0);
    let mut candidates = Candidates::default();
    let mut filtered = [0.0; F0_HOP_LEN];
    let mut out = Vec::new();
    for (number, hop) in padded.chunks_exact(F0_HOP_LEN).enumerate() {
        prefilter.process(hop, &mut filtered);
        evidence.push(hop, &filtered);
        for ahead in 0..=PREVIEW_FRAMES {
            match ahead {
                0 => finder.push(&filtered, &mut candidates),
                _ => finder.preview(ahead, &mut candidates),
            }
            if number < late {
                continue;
            }
            let found = candidates.as_slice();
            out.extend(evidence.levels_db(ahead));
            out.extend([candidates.lowest_hz, found.len() as f32]);
            for candidate in found {
                out.push(candidate.f0_hz);
                out.extend(candidate.clues);
            }
            out.resize(out.len() + (MAX_CANDIDATES - found.len()) * (1 + CLUES), 0.0);
        }
    }
    out
}
