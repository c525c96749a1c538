//! Applies some of the input's loudness contour to the output.

/// Quietest output level that is brought up.
const FLOOR: f32 = 1e-3;

/// Multiplies `output` by (level of input / its own level)^(1 - `own`): 1 leaves it alone, 0 follows the input fully.
///
/// Levels are root mean squares of 40 ms every 10 ms (`hop` samples), interpolated between.
pub fn mix(input: &[f32], output: &mut [f32], own: f32, hop: usize) {
    if own >= 1.0 {
        return;
    }
    let (input, levels) = (contour(input, hop), contour(output, hop));
    let gain = |place: usize| (input[place] / levels[place].max(FLOOR)).powf(1.0 - own);
    let count = input.len().min(levels.len());
    let gains: Vec<f32> = (0..count).map(gain).collect();
    let step = (count - 1) as f32 / output.len() as f32;
    for (n, sample) in output.iter_mut().enumerate() {
        let place = n as f32 * step;
        let index = (place as usize).min(count - 1);
        let next = (index + 1).min(count - 1);
        *sample *= gains[index] + (gains[next] - gains[index]) * (place - index as f32);
    }
}

/// Levels around the multiples of `hop`, silence beyond both ends.
fn contour(samples: &[f32], hop: usize) -> Vec<f32> {
    let energy = |part: &[f32]| crate::dsp::dot(part, part);
    let hops: Vec<f32> = samples.chunks(hop).map(energy).collect();
    let at = |index: isize| usize::try_from(index).ok().and_then(|index| hops.get(index)).copied().unwrap_or(0.0);
    let level = |frame: isize| ((-2..2).map(|shift| at(frame + shift)).sum::<f32>() / (4 * hop) as f32).sqrt();
    (0..=hops.len() as isize).map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_moves_as_far_as_asked() {
        let input = vec![0.1; 4_800];
        for (own, wanted) in [(1.0, 0.4), (0.0, 0.1), (0.5, 0.2)] {
            let mut output = vec![0.4; 4_800];
            mix(&input, &mut output, own, 480);
            assert!(output[960..3_840].iter().all(|v| (v - wanted).abs() < 1e-5), "{own}: {}", output[2_000]);
        }
    }
}
