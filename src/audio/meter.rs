//! Peak and level of a signal, for the editor. Runs on the audio thread.

/// Time constant of the level, in seconds.
const LEVEL_S: f32 = 0.05;

/// Peak since the last report and smoothed power.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    peak: f32,
    power: f32,
    rise: f32,
}

impl Meter {
    /// A meter for samples at `host_rate`.
    pub fn new(host_rate: u32) -> Self {
        Self { peak: 0.0, power: 0.0, rise: 1.0 - (-1.0 / (LEVEL_S * host_rate.max(1) as f32)).exp() }
    }

    /// Forgets everything. [audio-thread]
    pub fn reset(&mut self) {
        (self.peak, self.power) = (0.0, 0.0);
    }

    /// Sees one sample. [audio-thread]
    pub fn step(&mut self, sample: f32) {
        self.peak = self.peak.max(sample.abs());
        self.power += self.rise * (sample * sample - self.power);
    }

    /// Peak since the last call and root mean square, both linear. [audio-thread]
    pub fn take(&mut self) -> (f32, f32) {
        if self.power < 1e-20 {
            self.power = 0.0;
        }
        (std::mem::take(&mut self.peak), self.power.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sine_reads_its_peak_and_its_level() {
        let mut meter = Meter::new(48_000);
        for n in 0..48_000 {
            meter.step(0.5 * (n as f32 * 0.05).sin());
        }
        let (peak, rms) = meter.take();
        assert!((peak - 0.5).abs() < 1e-3 && (rms - 0.3536).abs() < 0.01, "{peak}, {rms}");
        assert_eq!(meter.take().0, 0.0);
    }
}
