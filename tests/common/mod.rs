//! Signals, partitions and comparisons that several test files need.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

/// A fixed sequence of uniform numbers (SplitMix64): the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..below`.
    pub fn below(&mut self, below: usize) -> usize {
        (self.next_u64() % below as u64) as usize
    }

    /// In `-1.0..1.0`.
    pub fn sample(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Something like singing: a few harmonics with vibrato and a little noise, peak below 0.7.
pub fn vocal_like(rate: u32, len: usize) -> Vec<f32> {
    let mut random = Random(7);
    let mut phase = 0.0f64;
    (0..len)
        .map(|n| {
            let t = n as f64 / f64::from(rate);
            let f0 = 180.0 * (1.0 + 0.02 * (std::f64::consts::TAU * 5.5 * t).sin());
            phase += std::f64::consts::TAU * f0 / f64::from(rate);
            let tone: f64 = (1..12).map(|h| (phase * f64::from(h)).sin() / f64::from(h)).sum();
            (0.25 * tone) as f32 + 0.002 * random.sample()
        })
        .collect()
}

/// Lengths that cover `total`, cycling through `pattern`.
pub fn partition(total: usize, pattern: &[usize]) -> Vec<usize> {
    let (mut parts, mut left) = (Vec::new(), total);
    for len in pattern.iter().cycle() {
        let len = (*len).min(left);
        parts.push(len);
        left -= len;
        if left == 0 {
            return parts;
        }
    }
    parts
}

/// Random lengths of 0 to `longest` that cover `total`.
pub fn random_partition(total: usize, longest: usize, seed: u64) -> Vec<usize> {
    let (mut parts, mut left, mut random) = (Vec::new(), total, Random(seed));
    while left > 0 {
        let len = random.below(longest + 1).min(left);
        parts.push(len);
        left -= len;
    }
    parts
}

/// Index of the largest absolute value.
pub fn peak_index(samples: &[f32]) -> usize {
    (0..samples.len()).max_by(|a, b| samples[*a].abs().total_cmp(&samples[*b].abs())).unwrap_or(0)
}
