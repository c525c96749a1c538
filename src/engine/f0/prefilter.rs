//! Band-limits the signal before periods are sought: rumble and fricative noise say nothing about F0.

use crate::dsp::dot;
use crate::dsp::window::low_pass;

use super::{F0_HOP_LEN, F0_RATE};

/// Delay of the low-pass, in samples at 16 kHz: 0.5 ms.
pub const PREFILTER_DELAY_LEN: usize = 8;

const TAPS: usize = 2 * PREFILTER_DELAY_LEN + 1;

/// -6 dB point of the low-pass in Hz: leaves three harmonics of 1 kHz, and enough of a voiced fricative's voice.
const LOW_PASS_HZ: f64 = 2600.0;

/// Corner of the second-order high-pass, in Hz.
const HIGH_PASS_HZ: f64 = 45.0;

/// High-pass (recursive: a constant phase change does not move a period) followed by a linear-phase low-pass.
#[derive(Debug)]
pub struct Prefilter {
    taps: Box<[f32]>,
    line: [f32; TAPS - 1 + F0_HOP_LEN],
    /// Numerator and denominator of the high-pass, normalised: `b0 b1 b2 a1 a2`.
    high_pass: [f64; 5],
    state: [f64; 2],
}

impl Default for Prefilter {
    fn default() -> Self {
        Self::new()
    }
}

impl Prefilter {
    /// A filter that has heard silence.
    pub fn new() -> Self {
        // Second-order Butterworth by the bilinear transform.
        let k = (std::f64::consts::PI * HIGH_PASS_HZ / f64::from(F0_RATE)).tan();
        let norm = 1.0 / (1.0 + std::f64::consts::SQRT_2 * k + k * k);
        let high_pass =
            [norm, -2.0 * norm, norm, 2.0 * (k * k - 1.0) * norm, (1.0 - std::f64::consts::SQRT_2 * k + k * k) * norm];
        Self {
            taps: low_pass(TAPS, LOW_PASS_HZ / f64::from(F0_RATE), 3.0),
            line: [0.0; TAPS - 1 + F0_HOP_LEN],
            high_pass,
            state: [0.0; 2],
        }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
        self.state = [0.0; 2];
    }

    /// Filters one hop.
    pub fn process(&mut self, hop: &[f32], out: &mut [f32; F0_HOP_LEN]) {
        assert_eq!(hop.len(), F0_HOP_LEN);
        let [b0, b1, b2, a1, a2] = self.high_pass;
        for (slot, &sample) in self.line[TAPS - 1..].iter_mut().zip(hop) {
            let x = f64::from(sample);
            let y = b0 * x + self.state[0];
            self.state[0] = b1 * x - a1 * y + self.state[1];
            self.state[1] = b2 * x - a2 * y;
            *slot = y as f32;
        }
        if self.state.iter().any(|value| value.abs() < 1e-30) {
            // Keeps the recursion out of denormal numbers.
            self.state = self.state.map(|value| if value.abs() < 1e-30 { 0.0 } else { value });
        }
        for (n, value) in out.iter_mut().enumerate() {
            *value = dot(&self.line[n..n + TAPS], &self.taps);
        }
        self.line.copy_within(F0_HOP_LEN.., 0);
    }
}
