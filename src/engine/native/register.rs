//! Which pitch the output gets: transpose, register of the voice, limits, glides.
//!
//! Plain arithmetic on the engine's thread.

/// Lowest F0 that is sung, in Hz.
pub const LOWEST_OUTPUT_HZ: f32 = 45.0;

/// Highest F0 that is sung, in Hz.
pub const HIGHEST_OUTPUT_HZ: f32 = 1600.0;

/// Share of the way to a new shift that is covered in one frame of 10 ms: time constant about 25 ms.
const GLIDE: f32 = 0.33;

/// Distances below this count as arrived, in semitones.
const ARRIVED_ST: f32 = 0.002;

/// Semitones from one median F0 to another; 0 for impossible medians.
pub fn distance_st(source_median_hz: f32, target_median_hz: f32) -> f32 {
    let distance = 12.0 * (target_median_hz / source_median_hz).log2();
    if distance.is_finite() { distance } else { 0.0 }
}

/// The shift for a distance between medians: rounded, so that the singer stays in the key.
pub fn register_st(distance_st: f32) -> f32 {
    distance_st.round().clamp(-36.0, 36.0)
}

/// Follows the commanded shift without steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register {
    /// Shift in use, in semitones; `None` before the first frame.
    shift_st: Option<f32>,
}

impl Register {
    /// Output F0 over source F0 for the next frame. `f0_hz` is 0.0 where the source is unvoiced.
    pub fn next(&mut self, f0_hz: f32, shift_st: f32) -> f32 {
        let goal = if shift_st.is_finite() { shift_st.clamp(-36.0, 36.0) } else { 0.0 };
        let old = self.shift_st.unwrap_or(goal);
        let new = if (goal - old).abs() < ARRIVED_ST { goal } else { old + GLIDE * (goal - old) };
        self.shift_st = Some(new);
        let ratio = (new / 12.0).exp2();
        if f0_hz > 0.0 && (ratio != 1.0) {
            // What lies outside keeps the source's pitch rather than being pulled off further.
            let low = LOWEST_OUTPUT_HZ.min(f0_hz);
            let high = HIGHEST_OUTPUT_HZ.max(f0_hz);
            return (f0_hz * ratio).clamp(low, high) / f0_hz;
        }
        ratio
    }

    /// The next frame starts at its commanded shift.
    pub fn reset(&mut self) {
        self.shift_st = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_whole_semitones() {
        for (source_hz, target_hz, st) in [(110.0, 220.0, 12.0), (110.0, 205.0, 11.0), (0.0, 205.0, 0.0)] {
            assert_eq!(register_st(distance_st(source_hz, target_hz)), st);
        }
    }

    #[test]
    fn the_first_frame_does_not_glide_and_later_ones_do() {
        let mut register = Register::default();
        assert_eq!(register.next(100.0, 12.0), 2.0);
        let next = register.next(100.0, 0.0);
        assert!(next > 1.4 && next < 2.0, "{next}");
        let last = (0..60).map(|_| register.next(100.0, 0.0)).last();
        assert_eq!(last, Some(1.0));
    }

    #[test]
    fn the_output_stays_singable() {
        let mut register = Register::default();
        assert!((register.next(1000.0, 12.0) * 1000.0 - HIGHEST_OUTPUT_HZ).abs() < 0.1);
        register.reset();
        assert!((register.next(80.0, -24.0) * 80.0 - LOWEST_OUTPUT_HZ).abs() < 0.1);
        register.reset();
        assert_eq!(register.next(40.0, 0.0), 1.0);
    }
}
