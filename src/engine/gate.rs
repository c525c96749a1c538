//! The gate: what is quieter than the threshold becomes silence, without a click.
//!
//! Plain arithmetic on the engine's thread.

/// The gate closes only this far below its threshold, in dB.
const HYSTERESIS_DB: f32 = 6.0;

/// Frames below the threshold before the gate begins to close: 120 ms, longer than any stop consonant.
const HOLD_FRAMES: u32 = 12;

/// Change of the gain per frame while it closes: 50 ms from open to shut. It opens within one frame.
const CLOSE_STEP: f32 = 0.2;

/// Threshold from which downwards the gate is off, in dBFS.
const OFF_DB: f32 = -100.0;

/// State of one gate. One gain per 10 ms frame; the caller ramps between them.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    gain: f32,
    hold: u32,
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self { gain: 0.0, hold: 0 }
    }

    /// Gain at the centre of a frame with this level (root mean square), in `0.0..=1.0`.
    pub fn next(&mut self, rms: f32, threshold_db: f32) -> f32 {
        let level_db = 20.0 * rms.max(1e-9).log10();
        if threshold_db <= OFF_DB || level_db >= threshold_db {
            *self = Self { gain: 1.0, hold: HOLD_FRAMES };
        } else if level_db >= threshold_db - HYSTERESIS_DB && self.gain > 0.0 {
            self.hold = HOLD_FRAMES;
        } else if self.hold > 0 {
            self.hold -= 1;
        } else {
            self.gain = (self.gain - CLOSE_STEP).max(0.0);
        }
        self.gain
    }
}

/// A gate with the gain that the sound has at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateRamp {
    gain: f32,
}

impl GateRamp {
    /// Brings a hop from the present gain to this one, sample by sample. What is no number becomes silence.
    pub fn apply(&mut self, gain: f32, hop: &mut [f32]) {
        let step = (gain - self.gain) / hop.len() as f32;
        for (n, sample) in hop.iter_mut().enumerate() {
            let gain = self.gain + step * (n + 1) as f32;
            *sample = if sample.is_finite() { *sample * gain } else { 0.0 };
        }
        self.gain = gain;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_opens_at_once_and_closes_gradually_after_a_hold() {
        let mut gate = Gate::new();
        assert_eq!(gate.next(1e-4, -60.0), 0.0);
        assert_eq!(gate.next(1e-2, -60.0), 1.0);
        let gains: Vec<f32> = (0..20).map(|_| gate.next(1e-5, -60.0)).collect();
        assert!(gains[..HOLD_FRAMES as usize].iter().all(|gain| *gain == 1.0));
        assert!(gains.windows(2).all(|pair| pair[0] - pair[1] <= CLOSE_STEP + 1e-6 && pair[1] <= pair[0]));
        assert_eq!(gains[19], 0.0);
    }

    #[test]
    fn levels_inside_the_hysteresis_keep_the_gate_as_it_is() {
        let mut gate = Gate::new();
        let between = 10.0_f32.powf(-63.0 / 20.0);
        assert_eq!(gate.next(between, -60.0), 0.0);
        gate.next(0.1, -60.0);
        assert!((0..100).all(|_| gate.next(between, -60.0) == 1.0));
    }

    #[test]
    fn a_threshold_of_minus_100_lets_everything_pass() {
        assert_eq!(Gate::new().next(0.0, -100.0), 1.0);
    }
}
