//! Joins blocks: finds where the new one fits the old one best, and crossfades there.

/// Offset in `0..=search` at which `new` correlates best with `tail`, normalised by the energy of `new` (SOLA as RVC does
/// it).
pub fn best_offset(new: &[f32], tail: &[f32], search: usize) -> usize {
    let score = |offset: usize| {
        let part = &new[offset..offset + tail.len()];
        let energy = crate::dsp::dot(part, part);
        crate::dsp::dot(part, tail) / (energy + 1e-8).sqrt()
    };
    let mut best = (0, f32::NEG_INFINITY);
    for offset in 0..=search {
        let score = score(offset);
        if score > best.1 {
            best = (offset, score);
        }
    }
    best.0
}

/// Fades from `tail` to the beginning of `new`; the weights sum to 1.
pub fn crossfade(tail: &[f32], new: &mut [f32]) {
    let last = tail.len().saturating_sub(1).max(1) as f32;
    for (n, (new, old)) in new.iter_mut().zip(tail).enumerate() {
        let rise = (std::f32::consts::FRAC_PI_2 * n as f32 / last).sin().powi(2);
        *new = *new * rise + old * (1.0 - rise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shifted_copy_is_found() {
        let wave = |n: usize| (n as f32 * 0.13).sin() + 0.3 * (n as f32 * 0.041).cos();
        let tail: Vec<f32> = (0..200).map(|n| wave(n + 37)).collect();
        let new: Vec<f32> = (0..400).map(wave).collect();
        assert_eq!(best_offset(&new, &tail, 100), 37);
        let loud: Vec<f32> = new.iter().map(|v| v * 9.0).collect();
        assert_eq!(best_offset(&loud, &tail, 100), 37);
        assert_eq!(best_offset(&vec![0.0; 400], &tail, 100), 0);
    }

    #[test]
    fn equal_sounds_stay_as_they_are() {
        let mut new = vec![0.7; 100];
        crossfade(&[0.7; 100], &mut new);
        assert!(new.iter().all(|v| (v - 0.7).abs() < 1e-6));
        let mut new = vec![1.0; 3];
        crossfade(&[0.0; 3], &mut new);
        assert!((new[1] - 0.5).abs() < 1e-6 && new[0] == 0.0 && (new[2] - 1.0).abs() < 1e-6);
    }
}
