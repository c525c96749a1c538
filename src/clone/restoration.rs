//! Measures how much variance averaging neighbours removes, by querying the bank with its own recordings.
//!
//! A recording's own frames are left out of its queries, so that the answer is as smooth as for another singer. The
//! absolute map multiplies by the ratio of the standard deviations per band, limited to 1..=1.7.

use super::FeatureFrame;
use crate::engine::bands::ENV_BANDS;
use crate::engine::retrieval::Retriever;
use crate::voice::{Bank, KEY_LEN, MeanShapes, Restoration};

/// Most frames asked; spread over all takes.
const MOST_QUERIES: usize = 6_000;

/// Least frames of a class for a ratio of its own.
const LEAST_FRAMES: f64 = 50.0;

/// Largest ratio.
const MAX_RATIO: f32 = 1.7;

/// Least standard deviation, natural-log power.
const LEAST_DEVIATION: f64 = 0.05;

/// Hann window over nine frames, as in mix mode.
const SMOOTHING: [f32; 9] = [0.0191, 0.0691, 0.1309, 0.1809, 0.2, 0.1809, 0.1309, 0.0691, 0.0191];

/// Sums for means and deviations per band.
#[derive(Clone)]
struct Moments {
    count: f64,
    sum: [f64; ENV_BANDS],
    squares: [f64; ENV_BANDS],
}

impl Moments {
    const EMPTY: Self = Self { count: 0.0, sum: [0.0; ENV_BANDS], squares: [0.0; ENV_BANDS] };

    fn push(&mut self, shape: &[f32; ENV_BANDS]) {
        self.count += 1.0;
        for (band, &value) in shape.iter().enumerate() {
            self.sum[band] += f64::from(value);
            self.squares[band] += f64::from(value).powi(2);
        }
    }

    fn mean(&self, band: usize) -> f64 {
        self.sum[band] / self.count
    }

    fn deviation(&self, band: usize) -> f64 {
        (self.squares[band] / self.count - self.mean(band).powi(2)).max(0.0).sqrt()
    }
}

/// Asks the bank about the takes. `chosen` says which frame of which take each bank frame is.
pub(super) fn measure(
    takes: &[Vec<FeatureFrame>],
    threshold: f32,
    bank: &Bank,
    chosen: &[(usize, usize)],
    mean_key: &[f32; KEY_LEN],
    shapes: &MeanShapes,
) -> Restoration {
    let mut own = [Moments::EMPTY, Moments::EMPTY];
    let mut retrieved = [Moments::EMPTY, Moments::EMPTY];
    let mut retriever = Retriever::new();
    let total: usize = takes.iter().map(Vec::len).sum();
    // Whole takes, because smoothing needs neighbours in time.
    let stride = total.div_ceil(MOST_QUERIES).max(1);
    for (index, frames) in takes.iter().enumerate().filter(|(index, _)| index % stride == 0 || takes.len() < 20) {
        let first = chosen.partition_point(|&(take, _)| take < index);
        let last = chosen.partition_point(|&(take, _)| take <= index);
        // With a single take, leave out a second on both sides of the frame instead.
        let excluded = |at: usize| {
            let place = |at: usize| chosen.partition_point(|&place| place < (index, at));
            if last - first < bank.len() { first..last } else { place(at.saturating_sub(100))..place(at + 100) }
        };
        let answers: Vec<Option<[f32; ENV_BANDS]>> = frames
            .iter()
            .enumerate()
            .map(|(at, frame)| {
                let key = frame.key.as_deref()?;
                let key = std::array::from_fn(|n| key[n] - mean_key[n]);
                let voicing = if frame.is_voiced() { 1.0 } else { 0.0 };
                let mut shape = [0.0; ENV_BANDS];
                retriever.query_excluding(bank, &key, voicing, excluded(at), &mut shape)?;
                Some(shape)
            })
            .collect();
        for (at, frame) in frames.iter().enumerate().filter(|(_, frame)| frame.loudness > threshold) {
            let Some(smoothed) = smooth(&answers, at) else { continue };
            let class = usize::from(!frame.is_voiced());
            own[class].push(&frame.shape());
            retrieved[class].push(&smoothed);
        }
    }
    let fallback = [shapes.voiced, shapes.unvoiced];
    let mut restoration = Restoration { mean: fallback, ratio: [[1.0; ENV_BANDS]; 2] };
    for class in 0..2 {
        if retrieved[class].count < LEAST_FRAMES {
            continue;
        }
        for band in 0..ENV_BANDS {
            let lost = retrieved[class].deviation(band).max(LEAST_DEVIATION);
            restoration.mean[class][band] = retrieved[class].mean(band) as f32;
            restoration.ratio[class][band] = ((own[class].deviation(band) / lost) as f32).clamp(1.0, MAX_RATIO);
        }
    }
    restoration
}

/// Weighted mean of the answers around a frame; `None` when there are none.
fn smooth(answers: &[Option<[f32; ENV_BANDS]>], at: usize) -> Option<[f32; ENV_BANDS]> {
    let mut sum = [0.0; ENV_BANDS];
    let mut weights = 0.0;
    for (offset, weight) in SMOOTHING.iter().enumerate() {
        let Some(Some(answer)) = (at + offset).checked_sub(SMOOTHING.len() / 2).and_then(|n| answers.get(n)) else {
            continue;
        };
        weights += weight;
        sum.iter_mut().zip(answer).for_each(|(total, value)| *total += weight * value);
    }
    (weights > 0.0).then(|| sum.map(|value| value / weights))
}
