//! Signals with known truth, and measurements that share nothing with the engine.

use std::f64::consts::PI;

const RATE: f64 = 48_000.0;

/// White noise, uniform in ±0.1, from a linear congruential generator.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f64 / (1u64 << 24) as f64 * 0.2 - 0.1) as f32
        })
        .collect()
}

/// Complex gain of a neutral vowel: a glottal slope of -12 dB per octave and four resonances.
fn vowel_gain(hz: f64) -> (f64, f64) {
    let (mut re, mut im) = (1.0, 0.0);
    let mut divide = |r: f64, i: f64| {
        let norm = r * r + i * i;
        (re, im) = ((re * r + im * i) / norm, (im * r - re * i) / norm);
    };
    divide(1.0, hz / 100.0);
    divide(1.0, hz / 1500.0);
    for (formant, width) in [(600.0, 80.0), (1200.0, 100.0), (2500.0, 140.0), (3500.0, 200.0)] {
        let x = hz / formant;
        divide(1.0 - x * x, hz * width / (formant * formant));
    }
    (re, im)
}

/// A steady vowel sung with an F0 contour in Hz over time in seconds: harmonics up to 8 kHz, about -20 dBFS.
pub fn vowel(len: usize, f0_hz: impl Fn(f64) -> f64) -> Vec<f32> {
    let mut phase = 0.0_f64;
    let mut out: Vec<f64> = (0..len)
        .map(|n| {
            let f0 = f0_hz(n as f64 / RATE);
            phase += f0 / RATE;
            let mut sum = 0.0;
            let mut k = 1.0;
            while k * f0 < 8000.0 {
                let (re, im) = vowel_gain(k * f0);
                let (sin, cos) = (2.0 * PI * (k * phase).fract()).sin_cos();
                sum += re * cos - im * sin;
                k += 1.0;
            }
            sum
        })
        .collect();
    let level = (out.iter().map(|v| v * v).sum::<f64>() / len as f64).sqrt();
    out.iter_mut().for_each(|v| *v *= 0.1 / level);
    out.into_iter().map(|v| v as f32).collect()
}

/// Root mean square.
pub fn rms(signal: &[f32]) -> f64 {
    (signal.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() / signal.len() as f64).sqrt()
}

/// Level of `wanted` over the level of the difference, in dB.
pub fn snr_db(wanted: &[f32], got: &[f32]) -> f64 {
    let error: Vec<f32> = wanted.iter().zip(got).map(|(a, b)| a - b).collect();
    20.0 * (rms(wanted) / rms(&error).max(1e-12)).log10()
}

/// Semitones of a frequency ratio.
pub fn semitones(ratio: f64) -> f64 {
    12.0 * ratio.log2()
}

/// Median over 100 ms windows of the F0 near `expected`, from the peak of the autocorrelation after as many periods
/// as fit into 40 ms: independent of the engine's own estimate and precise to a fraction of a cent.
pub fn median_f0_hz(signal: &[f32], expected: f64) -> f64 {
    let window = 4800;
    let periods = (0.04 * expected).floor().max(1.0);
    let centre = periods * RATE / expected;
    // A third of a period to either side, so that another number of periods cannot be taken for it.
    let reach = RATE / expected / 3.0;
    let mut found: Vec<f64> = (0..(signal.len() - 2 * window) / 2400)
        .map(|i| {
            let at = i * 2400;
            let score = |lag: usize| {
                let (a, b) = (&signal[at..at + window], &signal[at + lag..at + lag + window]);
                let cross: f64 = a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                cross / (rms(a) * rms(b)).max(1e-12)
            };
            let (low, high) = ((centre - reach).ceil() as usize, (centre + reach) as usize);
            let best = (low..=high).max_by(|x, y| score(*x).total_cmp(&score(*y))).unwrap_or(low);
            let (a, b, c) = (score(best - 1), score(best), score(best + 1));
            let lag = best as f64 + 0.5 * (a - c) / (a - 2.0 * b + c);
            periods * RATE / lag
        })
        .collect();
    found.sort_by(f64::total_cmp);
    found[found.len() / 2]
}

/// Level of the harmonics of `f0` up to 5 kHz in a signal against the neutral vowel's, in dB: the root mean square of
/// the deviations after their mean is removed.
pub fn vowel_distance_db(signal: &[f32], f0: f64) -> f64 {
    let deviations: Vec<f64> = (1..)
        .map(|k| f64::from(k) * f0)
        .take_while(|hz| *hz < 5000.0)
        .map(|hz| {
            let (mut re, mut im) = (0.0, 0.0);
            for (n, value) in signal.iter().enumerate() {
                let window = 0.5 - 0.5 * (2.0 * PI * n as f64 / signal.len() as f64).cos();
                let (sin, cos) = (2.0 * PI * (hz / RATE * n as f64).fract()).sin_cos();
                re += f64::from(*value) * window * cos;
                im += f64::from(*value) * window * sin;
            }
            let (wanted_re, wanted_im) = vowel_gain(hz);
            10.0 * ((re * re + im * im) / (wanted_re * wanted_re + wanted_im * wanted_im)).log10()
        })
        .collect();
    let mean = deviations.iter().sum::<f64>() / deviations.len() as f64;
    (deviations.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / deviations.len() as f64).sqrt()
}
