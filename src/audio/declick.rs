//! Switches between the converted signal and the fallback without a click.
//!
//! Runs on the audio thread, one instance per channel. When converted samples stop coming there is nothing left to fade
//! out, so the step between the last sample and the fallback becomes an offset that decays. When they come back, both
//! signals are there and are crossfaded, so the output never exceeds either of them.

/// Time constant of the offset, and length of the crossfade, in seconds.
const FADE_S: f32 = 0.005;

/// The offset is dropped below this: -120 dBFS.
const SMALLEST_OFFSET: f32 = 1e-6;

/// Which signal sounds, and the transition between both.
#[derive(Clone, Copy, Debug)]
pub struct Declick {
    /// Share of the converted signal; 0.0 = the fallback sounds, 1.0 = the converted signal sounds.
    share: f32,
    share_step: f32,
    offset: f32,
    offset_decay: f32,
    last: f32,
}

impl Declick {
    /// Settled at the converted signal, for samples at `host_rate`.
    pub fn new(host_rate: u32) -> Self {
        let fade_len = (host_rate as f32 * FADE_S).max(1.0);
        Self { share: 1.0, share_step: 1.0 / fade_len, offset: 0.0, offset_decay: (-1.0 / fade_len).exp(), last: 0.0 }
    }

    /// Settles at the converted signal. [audio-thread]
    pub fn reset(&mut self) {
        (self.share, self.offset, self.last) = (1.0, 0.0, 0.0);
    }

    /// The sample to be heard: `converted` if there is one, else `fallback`. [audio-thread]
    pub fn step(&mut self, converted: Option<f32>, fallback: f32) -> f32 {
        match converted {
            Some(converted) => {
                self.share = (self.share + self.share_step).min(1.0);
                if self.share < 1.0 {
                    let sounding = fallback + self.fading_offset();
                    self.last = sounding + self.share * (converted - sounding);
                } else {
                    // Exactly the converted sample while nothing is fading.
                    (self.offset, self.last) = (0.0, converted);
                }
            }
            None => {
                if self.share > 0.0 {
                    self.share = 0.0;
                    self.offset = self.last - fallback;
                }
                self.last = fallback + self.fading_offset();
            }
        }
        self.last
    }

    fn fading_offset(&mut self) -> f32 {
        self.offset = if self.offset.abs() < SMALLEST_OFFSET { 0.0 } else { self.offset * self.offset_decay };
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest difference between neighbours.
    fn largest_step(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn settled_it_passes_the_converted_signal_unchanged() {
        let mut declick = Declick::new(48_000);
        for n in 0..1_000 {
            let converted = (n as f32 * 0.1).sin();
            assert_eq!(declick.step(Some(converted), 0.3).to_bits(), converted.to_bits());
        }
    }

    #[test]
    fn neither_losing_nor_regaining_the_signal_clicks() {
        let mut declick = Declick::new(48_000);
        let mut output = Vec::new();
        for n in 0..6_000 {
            let is_there = !(1_000..1_500).contains(&n) && !(1_520..3_000).contains(&n);
            output.push(declick.step(is_there.then_some(0.9), -0.9));
        }
        assert!(largest_step(&output) < 0.01, "step of {}", largest_step(&output));
        assert!((output[2_900] + 0.9).abs() < 0.01, "the fallback sounds: {}", output[2_900]);
        assert_eq!(output[5_999], 0.9);
    }

    #[test]
    fn many_short_gaps_stay_between_both_signals_and_as_gentle_as_one() {
        let mut declick = Declick::new(48_000);
        let mut output = Vec::new();
        for n in 0..20_000usize {
            let is_there = n < 1_000 || n % 391 > 100 + n / 100;
            output.push(declick.step(is_there.then_some(0.9), -0.9));
        }
        assert!(output.iter().all(|sample| sample.abs() <= 0.9 + 1e-6));
        assert!(largest_step(&output) <= 1.8 / 240.0 + 1e-6, "step of {}", largest_step(&output));
    }
}
