//! Window functions, in closed form. Plain arithmetic; the constructors of their users call it once.

use std::f64::consts::PI;

/// Hann window with period `len`: starts at 0, would reach 0 again at index `len`.
pub fn hann_periodic(len: usize) -> Box<[f32]> {
    (0..len).map(|n| (0.5 - 0.5 * (2.0 * PI * n as f64 / len as f64).cos()) as f32).collect()
}

/// Kaiser window of `len` points with shape `beta` (Kaiser and Schafer 1980).
pub fn kaiser(len: usize, beta: f64) -> Box<[f64]> {
    let half = (len - 1) as f64 / 2.0;
    (0..len)
        .map(|n| {
            let position = if half > 0.0 { (n as f64 - half) / half } else { 0.0 };
            bessel_i0(beta * (1.0 - position * position).max(0.0).sqrt()) / bessel_i0(beta)
        })
        .collect()
}

/// Odd-length linear-phase low-pass of `len` taps with its -6 dB point at `cutoff` (1.0 = sample rate), gain 1 at 0 Hz:
/// a sinc under a Kaiser window.
pub fn low_pass(len: usize, cutoff: f64, beta: f64) -> Box<[f32]> {
    let half = (len / 2) as f64;
    let taps: Vec<f64> = kaiser(len, beta)
        .iter()
        .enumerate()
        .map(|(n, window)| {
            let x = 2.0 * cutoff * (n as f64 - half);
            window * if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..64 {
        term *= (x / (2.0 * k as f64)).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hann_windows_at_half_overlap_sum_to_one() {
        let window = hann_periodic(320);
        assert_eq!(window[0], 0.0);
        for n in 0..160 {
            assert!((window[n] + window[n + 160] - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn kaiser_is_symmetric_and_one_in_the_middle() {
        let window = kaiser(97, 5.65);
        assert!((window[48] - 1.0).abs() < 1e-12);
        assert!((window[10] - window[86]).abs() < 1e-12);
        assert!(window[0] > 0.0 && window[0] < 0.05);
    }

    #[test]
    fn low_pass_has_unit_gain_at_zero_hz() {
        let taps = low_pass(17, 0.2, 3.0);
        assert!((taps.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((taps[3] - taps[13]).abs() < 1e-9);
    }
}
