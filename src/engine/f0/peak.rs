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
