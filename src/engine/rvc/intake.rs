//! The newest window of the input, at the engine's rate and at 16 kHz.
//!
//! Owned by one engine, used on its thread. Allocates in [`Intake::new`] only.

use super::LOW_HOP_LEN;
use crate::dsp::decimator::{DECIMATOR_DELAY_LEN, Decimator};
use crate::engine::HOP_LEN;

/// Audio of a window and a hop.
pub(super) struct Intake {
    decimator: Decimator,
    input: Vec<f32>,
    low: Vec<f32>,
    window: usize,
}

impl Intake {
    /// Silence of so many hops.
    pub(super) fn new(window: usize) -> Self {
        let mut intake = Self { decimator: Decimator::new(HOP_LEN), input: Vec::new(), low: Vec::new(), window };
        intake.reset();
        intake
    }

    /// Silence again.
    pub(super) fn reset(&mut self) {
        self.decimator.reset();
        for (line, len) in [(&mut self.input, HOP_LEN), (&mut self.low, LOW_HOP_LEN)] {
            line.clear();
            line.resize((self.window + 1) * len, 0.0);
        }
    }

    /// Takes a hop, and gives it at 16 kHz.
    pub(super) fn push(&mut self, hop: &[f32; HOP_LEN]) -> [f32; LOW_HOP_LEN] {
        let mut low = [0.0; LOW_HOP_LEN];
        self.decimator.process(hop, &mut low);
        append(&mut self.input, hop, self.window * HOP_LEN);
        append(&mut self.low, &low, self.window * LOW_HOP_LEN);
        low
    }

    /// The window at 16 kHz, and more before it.
    pub(super) fn low(&self) -> &[f32] {
        &self.low
    }

    /// `len` samples at the engine's rate from so many hops before the end on, as late as those at 16 kHz.
    pub(super) fn since(&self, hops: usize, len: usize) -> &[f32] {
        let end = self.input.len() - DECIMATOR_DELAY_LEN;
        &self.input[end - hops * HOP_LEN..][..len]
    }
}

/// Adds to the end and keeps at least the newest `keep` samples.
fn append(line: &mut Vec<f32>, samples: &[f32], keep: usize) {
    line.extend_from_slice(samples);
    // Moved rarely, so that a hop costs no copy of the window.
    if line.len() > 2 * keep + 4 * samples.len() {
        line.drain(..line.len() - keep - samples.len());
    }
}
