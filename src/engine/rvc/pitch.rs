//! F0 as RVC's networks expect it: one of 255 classes on a mel scale.

/// Lowest and highest F0 with a class of its own, in Hz.
pub const F0_RANGE_HZ: [f32; 2] = [50.0, 1100.0];

/// Class of an F0 in Hz, 1 to 255; unvoiced (0 Hz) has the class 1.
///
/// Rounds halves to even, as the reference does.
pub fn coarse(f0_hz: f32) -> f32 {
    let mel = |hz: f64| 1127.0 * (hz / 700.0).ln_1p();
    let [low, high] = F0_RANGE_HZ.map(|hz| mel(f64::from(hz)));
    let here = mel(f64::from(f0_hz));
    let scaled = if here > 0.0 { (here - low) * 254.0 / (high - low) + 1.0 } else { here };
    #[expect(clippy::cast_possible_truncation, reason = "a whole number up to 255")]
    let class = scaled.clamp(1.0, 255.0).round_ties_even() as f32;
    class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_table() {
        // Before rounding: 1.0, 23.33, 60.27, 122.48, 217.18, 255.0.
        for (f0_hz, class) in [
            (0.0, 1.0),
            (20.0, 1.0),
            (50.0, 1.0),
            (110.0, 23.0),
            (220.0, 60.0),
            (440.0, 122.0),
            (880.0, 217.0),
            (1100.0, 255.0),
            (2000.0, 255.0),
        ] {
            assert_eq!(coarse(f0_hz), class, "{f0_hz} Hz");
        }
    }
}
