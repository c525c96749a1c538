//! The excitation of the decoder and all random numbers, each a function of its absolute place in the stream.
//!
//! So the content of a window does not depend on where the window begins: neighbouring windows agree where they overlap,
//! and any partition into blocks gives the same samples.

/// Amplitude of the sine.
const SINE_AMPLITUDE: f32 = 0.1;

/// Standard deviation of the noise where there is pitch.
const VOICED_NOISE: f32 = 0.003;

/// Standard deviation of the noise where there is none.
const UNVOICED_NOISE: f32 = SINE_AMPLITUDE / 3.0;

/// Which of the independent noises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Beside the sine, by sample.
    Excitation,
    /// Between encoder and flow, by frame and channel.
    Prior,
}

/// A standard normal number for a place in a stream (SplitMix64 of the place, then Box and Muller).
pub fn normal(stream: Stream, place: u64) -> f32 {
    let seed = match stream {
        Stream::Excitation => 0x0005_eed0_0001,
        Stream::Prior => 0x0005_eed0_0002,
    };
    let first = mix(place.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(seed));
    let second = mix(first);
    let unit = |bits: u64| ((bits >> 40) as f32 + 0.5) / (1_u64 << 24) as f32;
    (-2.0 * unit(first).ln()).sqrt() * (std::f32::consts::TAU * unit(second)).cos()
}

fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Cycles of the sine over one frame, and their sum modulo 1 after it.
pub fn advance(phase: f64, f0_hz: f32) -> f64 {
    (phase + f64::from(f0_hz) / 100.0).fract()
}

/// Writes the sine of one frame: `phase` cycles at its start, constant F0, silent where unvoiced.
pub fn sine(phase: f64, f0_hz: f32, sample_rate: u32, frame: &mut [f32]) {
    let step = f64::from(f0_hz) / f64::from(sample_rate);
    for (n, sample) in frame.iter_mut().enumerate() {
        #[expect(clippy::cast_possible_truncation, reason = "a sample")]
        let value = (std::f64::consts::TAU * (phase + step * (n + 1) as f64).fract()).sin() as f32;
        *sample = if f0_hz > 0.0 { SINE_AMPLITUDE * value } else { 0.0 };
    }
}

/// Adds the noise of one frame, whose first sample has the absolute index `start`.
pub fn add_noise(start: i64, f0_hz: f32, frame: &mut [f32]) {
    let level = if f0_hz > 0.0 { VOICED_NOISE } else { UNVOICED_NOISE };
    for (n, sample) in frame.iter_mut().enumerate() {
        *sample += level * normal(Stream::Excitation, (start + n as i64).cast_unsigned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_normal_and_streams_are_independent() {
        let count = 20_000_u64;
        let values: Vec<f32> = (0..count).map(|place| normal(Stream::Prior, place)).collect();
        let mean = values.iter().sum::<f32>() / count as f32;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / count as f32;
        let beyond = values.iter().filter(|v| v.abs() > 1.96).count() as f32 / count as f32;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04 && (beyond - 0.05).abs() < 0.01);
        let product: f32 = (0..count).map(|p| normal(Stream::Excitation, p) * values[p as usize]).sum();
        let next: f32 = values.windows(2).map(|pair| pair[0] * pair[1]).sum();
        assert!(product.abs() / (count as f32) < 0.03 && next.abs() / (count as f32) < 0.03);
    }
}
