//! The few seconds of a recording that a voice file carries, to hear a voice before using it.

use super::FeatureFrame;
use crate::audio_file::flac_from_samples;
use crate::engine::resample::Resampler;
use crate::engine::{ENGINE_RATE, HOP_LEN};

/// Length in frames: 4 s.
const FRAMES: usize = 400;

/// Rate in Hz: enough to know a voice by.
const RATE: u32 = 24_000;

/// Fade at both ends, in samples at 24 kHz: 20 ms.
const FADE_LEN: usize = 480;

/// Full scale of 16 bits.
pub(super) fn to_i16(sample: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range first; NaN becomes 0")]
    let value = (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16;
    value
}

/// The stretch with the most voice of the first recording, as FLAC; `None` when there is nothing.
///
/// `samples` are all recordings at 48 kHz; the first one begins at sample 0.
pub(super) fn make(samples: &[i16], takes: &[Vec<FeatureFrame>]) -> Option<Result<Vec<u8>, String>> {
    let take = takes.first().filter(|take| !take.is_empty())?;
    let voiced: Vec<usize> = std::iter::once(0)
        .chain(take.iter().scan(0, |sum, frame| {
            *sum += usize::from(frame.is_voiced());
            Some(*sum)
        }))
        .collect();
    let last = take.len().saturating_sub(FRAMES);
    let share = |at: usize| voiced[(at + FRAMES).min(take.len())] - voiced[at];
    // The earliest of the best, so that the choice does not depend on what follows.
    let start = (0..=last).rev().max_by_key(|&at| share(at))? * HOP_LEN;
    let part = samples.get(start..(start + FRAMES * HOP_LEN).min(samples.len()))?;
    let mut resampler = Resampler::new(ENGINE_RATE, RATE, 0);
    resampler.push(&part.iter().map(|&sample| f32::from(sample) / 32_768.0).collect::<Vec<f32>>());
    let mut preview = vec![0.0; resampler.available()];
    resampler.pull(&mut preview);
    let len = preview.len();
    for (n, sample) in preview.iter_mut().enumerate() {
        *sample *= (n.min(len - 1 - n) as f32 / FADE_LEN as f32).min(1.0);
    }
    let preview: Vec<i16> = preview.into_iter().map(to_i16).collect();
    (!preview.is_empty()).then(|| flac_from_samples(&preview, RATE))
}
