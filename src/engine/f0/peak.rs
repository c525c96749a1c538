//! The top of a curve between its samples. Plain arithmetic.

/// Height of the cosine through three equally spaced points whose middle is highest. Near the top a correlation is
/// a sum of cosines; the parabola is too low by several percent when the signal reaches a third of the Nyquist
/// frequency, which would favour multiples of the period that fall on whole samples.
pub fn crest(before: f32, peak: f32, after: f32) -> f32 {
    let cosine = (before + after) / (2.0 * peak);
    let sine = (1.0 - cosine * cosine).max(0.0).sqrt();
    if !(-0.9..0.995).contains(&cosine) {
        return parabola(before, peak, after).1;
    }
    let slope = (after - before) / (2.0 * sine);
    (peak * peak + slope * slope).sqrt()
}

/// Offset (in `-0.5..=0.5`) and height of the parabola through three equally spaced points whose middle is highest.
pub fn parabola(before: f32, peak: f32, after: f32) -> (f32, f32) {
    let curvature = before - 2.0 * peak + after;
    if curvature >= 0.0 {
        return (0.0, peak);
    }
    let offset = (0.5 * (before - after) / curvature).clamp(-0.5, 0.5);
    (offset, peak - 0.25 * (before - after) * offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_of_a_cosine_is_found_between_samples() {
        for omega in [0.1_f32, 0.5, 1.0] {
            for place in [-0.45_f32, -0.2, 0.0, 0.3, 0.49] {
                let at = |step: f32| 0.9 * (omega * (step - place)).cos();
                let (before, peak, after) = (at(-1.0), at(0.0), at(1.0));
                assert!((crest(before, peak, after) - 0.9).abs() < 1e-3, "{omega} {place}");
                let (offset, height) = parabola(before, peak, after);
                assert!(
                    (offset - place).abs() < 0.06 && (height - 0.9).abs() < 0.03,
                    "{omega} {place}: {offset} {height}"
                );
            }
        }
    }

    #[test]
    fn a_flat_curve_has_its_top_in_the_middle() {
        assert_eq!(parabola(0.5, 0.5, 0.5), (0.0, 0.5));
        assert_eq!(crest(0.5, 0.5, 0.5), 0.5);
    }
}
