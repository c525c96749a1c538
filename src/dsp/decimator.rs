//! From 48 kHz to 16 kHz by a short linear-phase filter. Allocates in [`Decimator::new`] only.

use super::window::low_pass;

/// Input samples per output sample.
pub const DECIMATION: usize = 3;

/// Delay of the filter in input samples (1 ms at 48 kHz): output sample `n` shows the input around
/// `DECIMATION * n - DECIMATOR_DELAY_LEN`.
pub const DECIMATOR_DELAY_LEN: usize = 48;

const TAPS: usize = 2 * DECIMATOR_DELAY_LEN + 1;

/// -6 dB point in units of the input rate: 7.93 kHz at 48 kHz. With [`BETA`] the pass band then reaches 7.0 kHz
/// (-0.5 dB or better) and the stop band begins at 9.0 kHz, which is where what folds back below 7 kHz begins.
const CUTOFF: f64 = 7_930.0 / 48_000.0;

/// Kaiser shape for 60 dB of stop-band attenuation.
const BETA: f64 = 5.7;

/// Streaming decimator by [`DECIMATION`].
#[derive(Debug)]
pub struct Decimator {
    taps: Box<[f32]>,
    /// The last `TAPS - 1` input samples followed by room for the current ones.
    line: Box<[f32]>,
    max_input_len: usize,
}

impl Decimator {
    /// A decimator that takes at most `max_input_len` samples at once.
    pub fn new(max_input_len: usize) -> Self {
        let line = vec![0.0; TAPS - 1 + max_input_len].into_boxed_slice();
        Self { taps: low_pass(TAPS, CUTOFF, BETA), line, max_input_len }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
    }

    /// Filters `input` and keeps every third sample, beginning with the first.
    ///
    /// # Panics
    /// When `input` is longer than promised or not three times as long as `output`.
    pub fn process(&mut self, input: &[f32], output: &mut [f32]) {
        assert!(input.len() <= self.max_input_len && input.len() == DECIMATION * output.len());
        let history = TAPS - 1;
        self.line[history..history + input.len()].copy_from_slice(input);
        for (n, out) in output.iter_mut().enumerate() {
            let stretch = &self.line[DECIMATION * n..DECIMATION * n + TAPS];
            *out = super::dot(stretch, &self.taps);
        }
        self.line.copy_within(input.len()..input.len() + history, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gain_db(hz: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (n, tap) in low_pass(TAPS, CUTOFF, BETA).iter().enumerate() {
            let phase = std::f64::consts::TAU * hz / 48_000.0 * n as f64;
            re += f64::from(*tap) * phase.cos();
            im += f64::from(*tap) * phase.sin();
        }
        10.0 * (re * re + im * im).log10()
    }

    #[test]
    fn pass_band_is_flat_and_stop_band_is_60_db_down() {
        for hz in (0..=7_000).step_by(50) {
            assert!(gain_db(f64::from(hz)).abs() < 0.5, "{hz} Hz: {} dB", gain_db(f64::from(hz)));
        }
        for hz in (9_000..=24_000).step_by(20) {
            assert!(gain_db(f64::from(hz)) < -60.0, "{hz} Hz: {} dB", gain_db(f64::from(hz)));
        }
    }

    #[test]
    fn an_impulse_comes_out_after_the_stated_delay() {
        let mut decimator = Decimator::new(480);
        let mut input = [0.0; 480];
        input[300] = 1.0;
        let mut output = [0.0; 160];
        decimator.process(&input, &mut output);
        let peak = (0..160).max_by(|&a, &b| output[a].total_cmp(&output[b])).expect("not empty");
        assert_eq!(DECIMATION * peak, 300 + DECIMATOR_DELAY_LEN);
    }

    #[test]
    fn blocks_of_any_length_give_the_same_samples() {
        let input: Vec<f32> = (0..1440).map(|n| ((n * n) as f32 * 1e-3).sin()).collect();
        let mut whole = vec![0.0; 480];
        Decimator::new(1440).process(&input, &mut whole);
        let mut parts = vec![0.0; 480];
        let mut decimator = Decimator::new(480);
        for (from, to) in [(0, 3), (3, 300), (300, 780), (780, 960), (960, 1440)] {
            decimator.process(&input[from..to], &mut parts[from / 3..to / 3]);
        }
        assert_eq!(whole, parts);
    }
}
