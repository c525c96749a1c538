//! Least squares for an adaptation: sums over frames, and the solution. Knows nothing of sounds.

use crate::clone::improve::least_squares;
use crate::engine::native::refine::{ADAPTATION_SHAPE, HIDDEN_LEN, KNOWN_BINS};

/// Hidden values and a constant.
const ROWS: usize = ADAPTATION_SHAPE[0];

/// Weight of "no change" against each unit of the frames' weight: hidden values are of the order of 1. The constant is
/// held hardly at all.
const RIDGE: f64 = 0.05;
const RIDGE_OF_CONSTANT: f64 = 0.001;

/// Weight of "no change" besides, in frames: few of them say little.
const PRIOR: f64 = 100.0;

/// Sums over weighted frames.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sums {
    /// `[ROWS, ROWS]`; the lower half is kept.
    inputs: Box<[f64]>,
    /// `[ROWS, KNOWN_BINS]`.
    outputs: Box<[f64]>,
    weight: f64,
}

impl Sums {
    /// Numbers that [`Sums::values`] gives.
    pub(crate) const LEN: usize = ROWS * ROWS + ROWS * KNOWN_BINS + 1;

    pub(crate) fn new() -> Self {
        let zeros = |len: usize| vec![0.0; len].into_boxed_slice();
        Self { inputs: zeros(ROWS * ROWS), outputs: zeros(ROWS * KNOWN_BINS), weight: 0.0 }
    }

    /// Takes one frame: what the last layer saw, and what should be added to its answer.
    pub(crate) fn push(&mut self, hidden: &[f32], missing: &[f32; KNOWN_BINS], weight: f32) {
        let weight = f64::from(weight);
        let mut input = [1.0; ROWS];
        input.iter_mut().zip(&hidden[..HIDDEN_LEN]).for_each(|(input, value)| *input = f64::from(*value));
        let missing = missing.map(f64::from);
        let rows = self.inputs.chunks_exact_mut(ROWS).zip(self.outputs.chunks_exact_mut(KNOWN_BINS));
        for (row, (inputs, outputs)) in rows.enumerate() {
            let value = weight * input[row];
            inputs[..=row].iter_mut().zip(&input).for_each(|(sum, input)| *sum += value * input);
            outputs.iter_mut().zip(&missing).for_each(|(sum, missing)| *sum += value * missing);
        }
        self.weight += weight;
    }

    /// Takes all frames of others.
    pub(crate) fn add(&mut self, others: &Self) {
        let add = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        add(&mut self.inputs, &others.inputs);
        add(&mut self.outputs, &others.outputs);
        self.weight += others.weight;
    }

    /// The map `[ROWS, KNOWN_BINS]`; `None` when the frames leave it open.
    pub(crate) fn solve(&self) -> Option<Vec<f32>> {
        if self.weight <= 0.0 {
            return None;
        }
        let (mut inputs, mut outputs) = (self.inputs.clone(), self.outputs.clone());
        for n in 0..ROWS {
            inputs[n * ROWS + n] +=
                if n < HIDDEN_LEN { RIDGE * self.weight + PRIOR } else { RIDGE_OF_CONSTANT * self.weight };
        }
        if !least_squares::solve(&mut inputs, &mut outputs, ROWS) {
            return None;
        }
        let map: Vec<f32> = outputs.iter().map(|&value| value as f32).collect();
        map.iter().all(|value| value.is_finite()).then_some(map)
    }

    /// All numbers, to be kept.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.inputs.iter().chain(&self.outputs).copied().chain([self.weight])
    }

    /// From what [`Sums::values`] gave; `None` for anything else.
    pub(crate) fn from_values(values: &[f64]) -> Option<Self> {
        if values.len() != Self::LEN || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let (inputs, rest) = values.split_at(ROWS * ROWS);
        let (outputs, weight) = rest.split_at(ROWS * KNOWN_BINS);
        Some(Self { inputs: inputs.into(), outputs: outputs.into(), weight: weight[0] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_lack_is_found_and_what_is_open_stays_as_it_is() {
        assert!(Sums::new().solve().is_none());
        let mut seed = 7_u64;
        let mut number = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let mut sums = Sums::new();
        for _ in 0..4_000 {
            let mut hidden: [f32; HIDDEN_LEN] = std::array::from_fn(|_| 1.7 * number());
            hidden[9] = 0.0;
            let missing = std::array::from_fn(|bin| 0.3 * hidden[bin % 4] - 0.1);
            sums.push(&hidden, &missing, 1.0);
        }
        let map = sums.solve().expect("enough frames");
        for bin in [0, 5, 240] {
            for row in 0..ROWS {
                let expected = if row == HIDDEN_LEN {
                    -0.1
                } else if row == bin % 4 {
                    0.3
                } else {
                    0.0
                };
                // The ridge takes a little.
                assert!((map[row * KNOWN_BINS + bin] - expected).abs() < 0.03, "{row} {bin}");
            }
        }
        assert_eq!(map[9 * KNOWN_BINS], 0.0);
        let mut twice = sums.clone();
        twice.add(&sums);
        let surer = twice.solve().expect("as many");
        assert!((surer[0] - 0.3).abs() < (map[0] - 0.3).abs(), "more frames are believed more");
        let values: Vec<f64> = sums.values().collect();
        assert_eq!(Sums::from_values(&values).expect("its own"), sums);
        assert!(Sums::from_values(&values[1..]).is_none());
    }
}
