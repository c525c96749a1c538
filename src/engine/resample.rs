//! Sample rate conversion on an exact grid.
//!
//! Runs on the worker thread or in the command line. A windowed sinc whose output positions are integers over
//! integers: no clock drifts, output sample `j` depends on `j` and the input alone, so any partition of the input gives
//! the same bits, and the total delay can be made an integer at every pair of rates. General-purpose resamplers round
//! their start phase to what suits their chunks, which is why none is used here.

/// Zero crossings of the sinc on each side, counted at the lower of both rates: 1 ms at 48 kHz.
const HALF_CROSSINGS: u64 = 48;

/// Cut-off as a fraction of the lower Nyquist frequency: -6 dB point. At 44.1 kHz 20 kHz passes within 0.1 dB.
const CUTOFF: f64 = 0.97;

/// Shape of the Kaiser window: about 90 dB of rejection (Kaiser 1974, `beta = 0.1102 (A - 8.7)`).
const KAISER_BETA: f64 = 9.0;

/// Above this many exact phases, rows are interpolated between `MAX_PHASES + 1` of them; the error is about -118 dB.
const MAX_PHASES: u64 = 1024;

/// Input samples that a conversion looks ahead, at the input rate. 0 when both rates are equal.
pub fn look_ahead_len(input_rate: u32, output_rate: u32) -> usize {
    if input_rate == output_rate {
        return 0;
    }
    let (input, lower) = (u64::from(input_rate), u64::from(input_rate.min(output_rate)));
    (HALF_CROSSINGS * input).div_ceil(lower) as usize
}

/// Converts one channel from one rate to another.
///
/// Output sample `j` is the input at position `(j * input_rate + shift) / output_rate`, with `shift` in units of one
/// input sample over `output_rate`. Before position 0 the input is silence.
#[derive(Debug)]
pub struct Resampler {
    /// Input samples per output sample, as `step / denominator` in lowest terms.
    step: u64,
    denominator: u64,
    /// Position of output sample 0, in units of `1 / denominator` input samples.
    shift: i64,
    half_len: usize,
    phases: u64,
    /// `[phases (+ 1 when interpolated), 2 * half_len]`, each row summing to 1. Empty when both rates are equal.
    table: Vec<f32>,
    /// Input from `history_start` on. Input indices are absolute; those before 0 are silence put there by `reset`.
    history: Vec<f32>,
    history_start: i64,
    output_count: u64,
}

impl Resampler {
    /// A conversion whose output sample 0 sits at input position `shift_num / output_rate`, in input samples.
    ///
    /// # Panics
    /// When a rate is 0; callers check rates first.
    pub fn new(input_rate: u32, output_rate: u32, shift_num: i64) -> Self {
        assert!(input_rate > 0 && output_rate > 0, "sample rates are positive");
        let divisor = gcd(u64::from(input_rate), u64::from(output_rate));
        let (step, denominator) = (u64::from(input_rate) / divisor, u64::from(output_rate) / divisor);
        // Off the reduced grid only when the caller asks for a shift finer than the grid itself; then the fraction is
        // kept by not reducing.
        let (step, denominator, shift) = if shift_num.rem_euclid(divisor as i64) == 0 {
            (step, denominator, shift_num / divisor as i64)
        } else {
            (u64::from(input_rate), u64::from(output_rate), shift_num)
        };
        let half_len = look_ahead_len(input_rate, output_rate);
        let phases = denominator.min(MAX_PHASES);
        let scale = CUTOFF * (f64::from(output_rate) / f64::from(input_rate)).min(1.0);
        let rows = if denominator > MAX_PHASES { phases + 1 } else { phases };
        let table = if half_len == 0 {
            Vec::new()
        } else {
            (0..rows).flat_map(|row| kernel_row(row as f64 / phases as f64, half_len, scale)).collect()
        };
        let mut resampler = Self {
            step,
            denominator,
            shift,
            half_len,
            phases,
            table,
            history: Vec::new(),
            history_start: 0,
            output_count: 0,
        };
        resampler.reset();
        resampler
    }

    /// Back to position 0 with silence before it. Keeps the capacity it has.
    pub fn reset(&mut self) {
        let first = self.position(0).0 - self.half_len as i64;
        self.history_start = first.min(0);
        self.history.clear();
        self.history.resize(self.history_start.unsigned_abs() as usize, 0.0);
        self.output_count = 0;
    }

    /// Whether both rates are equal: samples are passed on unchanged.
    pub fn is_identity(&self) -> bool {
        self.half_len == 0
    }

    /// Takes any number of input samples.
    pub fn push(&mut self, input: &[f32]) {
        self.discard_used();
        self.history.extend_from_slice(input);
    }

    /// Fills `output` as far as the input reaches and returns how many samples that were.
    pub fn pull(&mut self, output: &mut [f32]) -> usize {
        let count = output.len().min(self.available());
        for slot in &mut output[..count] {
            *slot = self.value(self.output_count);
            self.output_count += 1;
        }
        count
    }

    /// How many output samples are ready.
    pub fn available(&self) -> usize {
        let input_end = self.history_start + self.history.len() as i64;
        // Output j is ready when floor(position(j)) + half_len < input_end, that is position(j) < limit.
        let limit = (input_end - self.half_len as i64) * self.denominator as i64 - self.shift;
        if limit <= 0 {
            return 0;
        }
        let total = (limit as u64).div_ceil(self.step);
        total.saturating_sub(self.output_count) as usize
    }

    /// Input samples still missing until `count` output samples are ready.
    pub fn missing_len(&self, count: usize) -> usize {
        let Some(last) = (self.output_count + count as u64).checked_sub(1) else { return 0 };
        let input_end = self.history_start + self.history.len() as i64;
        (self.position(last).0 + self.half_len as i64 + 1 - input_end).max(0) as usize
    }

    /// Whole input index and phase, in `0..denominator`, of output sample `index`.
    fn position(&self, index: u64) -> (i64, u64) {
        let ticks = index as i64 * self.step as i64 + self.shift;
        let denominator = self.denominator as i64;
        (ticks.div_euclid(denominator), ticks.rem_euclid(denominator) as u64)
    }

    fn value(&self, index: u64) -> f32 {
        let (whole, phase) = self.position(index);
        if self.is_identity() {
            return self.history[(whole - self.history_start) as usize];
        }
        let taps = 2 * self.half_len;
        let start = (whole - self.half_len as i64 + 1 - self.history_start) as usize;
        let window = &self.history[start..start + taps];
        if self.phases == self.denominator {
            return dot(self.row(phase), window);
        }
        let exact = phase as f64 * self.phases as f64 / self.denominator as f64;
        let row = exact.floor();
        let fraction = (exact - row) as f32;
        let row = row as u64;
        let (low, high) = (dot(self.row(row), window), dot(self.row(row + 1), window));
        low + (high - low) * fraction
    }

    fn row(&self, row: u64) -> &[f32] {
        let taps = 2 * self.half_len;
        let start = row as usize * taps;
        &self.table[start..start + taps]
    }

    /// Drops input that no later output needs, once there is enough of it to make moving the rest worth while.
    fn discard_used(&mut self) {
        let oldest = self.position(self.output_count).0 - self.half_len as i64;
        let unused = (oldest - self.history_start).clamp(0, self.history.len() as i64) as usize;
        if unused >= 4096 {
            self.history.copy_within(unused.., 0);
            self.history.truncate(self.history.len() - unused);
            self.history_start += unused as i64;
        }
    }
}

/// Weights of the input samples `-half_len + 1 ..= half_len` for an output at `fraction` of a sample after index 0.
fn kernel_row(fraction: f64, half_len: usize, scale: f64) -> Vec<f32> {
    let half = half_len as f64;
    let weights: Vec<f64> = (0..2 * half_len)
        .map(|tap| {
            let distance = tap as f64 - (half - 1.0) - fraction;
            sinc(scale * distance) * kaiser(distance / half)
        })
        .collect();
    // Unit gain at 0 Hz for every phase, so that a constant stays constant.
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    let angle = std::f64::consts::PI * x;
    if angle.abs() < 1e-9 { 1.0 } else { angle.sin() / angle }
}

fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 { 0.0 } else { bessel_i0(KAISER_BETA * (1.0 - x * x).sqrt()) / bessel_i0(KAISER_BETA) }
}

/// Modified Bessel function of order 0, by its power series (Abramowitz and Stegun 9.6.12).
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, quarter) = (1.0, 1.0, x * x / 4.0);
    for k in 1..64 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

/// Sum of products in eight fixed lanes: the compiler vectorises it, and the order never depends on the machine.
fn dot(weights: &[f32], samples: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (weight_chunks, sample_chunks) = (weights.chunks_exact(8), samples.chunks_exact(8));
    let rest: f32 = weight_chunks.remainder().iter().zip(sample_chunks.remainder()).map(|(w, s)| w * s).sum();
    for (weight, sample) in weight_chunks.zip(sample_chunks) {
        for lane in 0..8 {
            lanes[lane] += weight[lane] * sample[lane];
        }
    }
    let pairs = [lanes[0] + lanes[4], lanes[1] + lanes[5], lanes[2] + lanes[6], lanes[3] + lanes[7]];
    (pairs[0] + pairs[2]) + (pairs[1] + pairs[3]) + rest
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, frequency_hz: f64, len: usize) -> Vec<f32> {
        (0..len).map(|n| (std::f64::consts::TAU * frequency_hz * n as f64 / f64::from(rate)).sin() as f32).collect()
    }

    fn convert(resampler: &mut Resampler, input: &[f32], partition: &[usize]) -> Vec<f32> {
        let (mut output, mut position, mut turn) = (Vec::new(), 0, 0);
        while position < input.len() {
            let end = (position + partition[turn % partition.len()]).min(input.len());
            resampler.push(&input[position..end]);
            let mut part = vec![0.0; resampler.available()];
            assert_eq!(resampler.pull(&mut part), part.len());
            output.extend(part);
            (position, turn) = (end, turn + 1);
        }
        output
    }

    #[test]
    fn a_sine_stays_the_same_sine() {
        for (from, to) in [(44_100, 48_000), (96_000, 48_000), (48_000, 44_100), (48_000, 192_000), (44_101, 48_000)] {
            for frequency_hz in [440.0, 9_000.0, 17_000.0] {
                let input = sine(from, frequency_hz, from as usize / 4);
                let output = convert(&mut Resampler::new(from, to, 0), &input, &[4096]);
                let wanted = sine(to, frequency_hz, output.len());
                let error = output[600..].iter().zip(&wanted[600..]).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
                assert!(error < 3e-4, "{from} -> {to} at {frequency_hz} Hz: error {error}");
            }
        }
    }

    #[test]
    fn what_lies_above_the_lower_nyquist_is_removed() {
        let input = sine(96_000, 26_000.0, 24_000);
        let output = convert(&mut Resampler::new(96_000, 48_000, 0), &input, &[512]);
        let peak = output[200..].iter().fold(0.0f32, |peak, sample| peak.max(sample.abs()));
        assert!(peak < 1e-4, "alias of {peak}");
    }

    #[test]
    fn partition_does_not_matter() {
        let input = sine(44_101, 1_234.5, 30_000);
        let whole = convert(&mut Resampler::new(44_101, 48_000, -12_345), &input, &[30_000]);
        for partition in [&[1][..], &[7, 1, 113], &[4096], &[480]] {
            assert_eq!(convert(&mut Resampler::new(44_101, 48_000, -12_345), &input, partition), whole);
        }
    }

    #[test]
    fn a_shift_moves_the_output_by_exactly_that() {
        // Output sample 0 at input position -10: ten input samples of silence first.
        let mut resampler = Resampler::new(48_000, 48_000, -10 * 48_000);
        assert_eq!(convert(&mut resampler, &[1.0, 2.0], &[1]), [vec![0.0; 10], vec![1.0, 2.0]].concat());
    }

    #[test]
    fn the_missing_input_is_exactly_what_makes_the_output_ready() {
        for (from, to) in [(48_000, 48_000), (44_100, 48_000), (48_000, 37_123), (192_000, 48_000)] {
            let mut resampler = Resampler::new(from, to, -777 * i64::from(from));
            for turn in 0..40 {
                let missing = resampler.missing_len(480);
                resampler.push(&vec![0.0; missing.saturating_sub(1)]);
                assert!(missing == 0 || resampler.available() < 480, "{from} -> {to}, turn {turn}");
                resampler.push(&vec![0.0; missing.min(1)]);
                assert!(resampler.available() >= 480, "{from} -> {to}, turn {turn}");
                resampler.pull(&mut [0.0; 480]);
            }
        }
    }

    #[test]
    fn reset_forgets_everything() {
        let input = sine(44_100, 700.0, 9_000);
        let mut resampler = Resampler::new(44_100, 48_000, 0);
        let first = convert(&mut resampler, &input, &[300]);
        resampler.reset();
        assert_eq!(convert(&mut resampler, &input, &[300]), first);
    }
}
