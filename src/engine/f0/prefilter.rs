//! Band-limits the signal before the period search: rumble and fricative noise carry no F0.

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Gain in dB for a sine, measured once it is settled.
    fn gain_db(hz: f32) -> f32 {
        let mut filter = Prefilter::new();
        let mut out = [0.0; F0_HOP_LEN];
        let mut power = [0.0_f32; 2];
        for hop in 0..60 {
            let sine = |n: usize| (std::f32::consts::TAU * hz * (hop * F0_HOP_LEN + n) as f32 / F0_RATE as f32).sin();
            let input: [f32; F0_HOP_LEN] = std::array::from_fn(sine);
            filter.process(&input, &mut out);
            if hop >= 20 {
                power[0] += dot(&input, &input);
                power[1] += dot(&out, &out);
            }
        }
        10.0 * (power[1] / power[0]).log10()
    }

    #[test]
    fn the_range_of_the_voice_passes_and_rumble_and_hiss_do_not() {
        assert!(gain_db(10.0) < -20.0, "{}", gain_db(10.0));
        assert!(gain_db(80.0) > -1.0, "{}", gain_db(80.0));
        assert!(gain_db(1200.0).abs() < 1.0, "{}", gain_db(1200.0));
        assert!(gain_db(6000.0) < -30.0, "{}", gain_db(6000.0));
    }

    #[test]
    fn the_low_pass_delays_by_the_stated_length() {
        let mut filter = Prefilter::new();
        let mut input = [0.0; F0_HOP_LEN];
        input[50] = 1.0;
        let mut out = [0.0; F0_HOP_LEN];
        filter.process(&input, &mut out);
        let peak = (0..F0_HOP_LEN).max_by(|&a, &b| out[a].total_cmp(&out[b]));
        assert_eq!(peak, Some(50 + PREFILTER_DELAY_LEN));
    }
}
