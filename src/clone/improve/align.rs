//! Fits the linear map that moves a voice's content keys to where the population's are for the same sounds.
//!
//! After INCA (Erro, Moreno, Bonafonte, 2010): pair each frame of either side with its nearest neighbours on the other,
//! fit the map by least squares, map, pair again. A ridge keeps the fit close to "no change", so that a short
//! bank moves little.

use std::sync::Arc;

use super::least_squares;
use crate::engine::profile::SourceProfile;
use crate::engine::retrieval::Retriever;
use crate::voice::{Bank, BankFrame, KEY_LEN, SHAPE_BANDS};

/// Rounds of pairing.
pub(super) const ROUNDS: usize = 4;

/// Weight of "no change", as a share of the pairs' own weight.
const RIDGE: f64 = 0.3;

/// Frames of one step.
const STEP_FRAMES: usize = 16;

/// Inputs of the map: the key and a constant.
const INPUTS: usize = KEY_LEN + 1;

/// A linear map of keys: `[INPUTS, KEY_LEN]`, the last row is the offset.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyMap(pub(super) Box<[[f32; KEY_LEN]; INPUTS]>);

impl KeyMap {
    /// Changes nothing.
    fn none() -> Self {
        let mut rows = Box::new([[0.0; KEY_LEN]; INPUTS]);
        (0..KEY_LEN).for_each(|n| rows[n][n] = 1.0);
        Self(rows)
    }

    /// The mapped key.
    pub(super) fn apply(&self, key: &[f32; KEY_LEN]) -> [f32; KEY_LEN] {
        let mut mapped = self.0[KEY_LEN];
        for (row, value) in self.0.iter().zip(key) {
            mapped.iter_mut().zip(row).for_each(|(sum, weight)| *sum += value * weight);
        }
        mapped
    }
}

/// Sums over pairs for the least squares.
#[derive(Clone, Debug)]
struct Sums {
    /// Inputs × inputs; the lower half is kept.
    inputs: Box<[[f64; INPUTS]; INPUTS]>,
    outputs: Box<[[f64; KEY_LEN]; INPUTS]>,
    pairs: f64,
}

impl Sums {
    fn new() -> Self {
        Self { inputs: Box::new([[0.0; INPUTS]; INPUTS]), outputs: Box::new([[0.0; KEY_LEN]; INPUTS]), pairs: 0.0 }
    }

    fn push(&mut self, from: &[f32; KEY_LEN], to: &[f32; KEY_LEN]) {
        let input = |n: usize| if n < KEY_LEN { f64::from(from[n]) } else { 1.0 };
        for row in 0..INPUTS {
            let value = input(row);
            for column in 0..=row {
                self.inputs[row][column] += value * input(column);
            }
            self.outputs[row].iter_mut().zip(to).for_each(|(sum, to)| *sum += value * f64::from(*to));
        }
        self.pairs += 1.0;
    }

    /// The best map; `None` when the pairs leave it open.
    fn solve(mut self) -> Option<KeyMap> {
        let power: f64 = (0..KEY_LEN).map(|n| self.inputs[n][n]).sum::<f64>() / KEY_LEN as f64;
        let ridge = RIDGE * power;
        for n in 0..KEY_LEN {
            self.inputs[n][n] += ridge;
            self.outputs[n][n] += ridge;
        }
        if !least_squares::solve(self.inputs.as_flattened_mut(), self.outputs.as_flattened_mut(), INPUTS) {
            return None;
        }
        let map = KeyMap(Box::new(self.outputs.map(|row| row.map(|value| value as f32))));
        map.0.iter().flatten().all(|value| value.is_finite()).then_some(map)
    }
}

/// The fit, cut into steps.
#[derive(Debug)]
pub(super) struct Alignment {
    population: Arc<SourceProfile>,
    retriever: Retriever,
    /// Rounds that are done.
    round: usize,
    map: KeyMap,
    /// The voice's bank with mapped keys; its shapes are not used.
    mapped: Bank,
    sums: Sums,
    /// Frames of both sides that have their pair in this round.
    paired: usize,
    total: usize,
}

impl Alignment {
    pub(super) fn new(bank: &Bank, population: Arc<SourceProfile>) -> Self {
        let total = bank.len() + population.bank.len();
        let map = KeyMap::none();
        let mapped = mapped(bank, &map);
        Self { population, retriever: Retriever::new(), round: 0, map, mapped, sums: Sums::new(), paired: 0, total }
    }

    pub(super) fn progress(&self) -> f32 {
        (self.round as f32 + self.paired as f32 / self.total as f32) / ROUNDS as f32
    }

    /// The map of the last round that is done.
    pub(super) fn map(&self) -> &KeyMap {
        &self.map
    }

    /// Rounds that are done.
    pub(super) fn round(&self) -> usize {
        self.round
    }

    /// Resumes after `round` rounds that gave `map`.
    pub(super) fn resume(&mut self, bank: &Bank, round: usize, map: KeyMap) {
        self.mapped = mapped(bank, &map);
        (self.round, self.map, self.sums, self.paired) = (round, map, Sums::new(), 0);
    }

    /// Pairs some frames; `false` when all rounds are done.
    pub(super) fn step(&mut self, bank: &Bank) -> bool {
        if self.round >= ROUNDS {
            return false;
        }
        let end = (self.paired + STEP_FRAMES).min(self.total);
        for at in self.paired..end {
            self.pair(bank, at);
        }
        self.paired = end;
        if self.paired == self.total {
            // Pairs that say nothing leave the map as it was.
            if let Some(map) = std::mem::replace(&mut self.sums, Sums::new()).solve() {
                self.map = map;
            }
            self.mapped = mapped(bank, &self.map);
            (self.round, self.paired) = (self.round + 1, 0);
        }
        self.round < ROUNDS
    }

    /// Pairs one frame: first those of the voice, then those of the population.
    fn pair(&mut self, bank: &Bank, at: usize) {
        let others = &self.population.bank;
        match at.checked_sub(bank.len()) {
            None => {
                let mapped = self.map.apply(&key(bank, at));
                let voicing = voicing(bank, at);
                if let Some(to) = nearest(&mut self.retriever, others, others, &mapped, voicing) {
                    self.sums.push(&key(bank, at), &to);
                }
            }
            Some(at) => {
                let to = key(others, at);
                // Found among the mapped keys, but it is the unmapped ones that the map starts from.
                if let Some(from) = nearest(&mut self.retriever, &self.mapped, bank, &to, voicing(others, at)) {
                    self.sums.push(&from, &to);
                }
            }
        }
    }
}

fn voicing(bank: &Bank, at: usize) -> f32 {
    if bank.is_voiced(at) { 1.0 } else { 0.0 }
}

/// The mean key, as `keys` has it, of the frames of `bank` nearest to `query`.
fn nearest(
    retriever: &mut Retriever,
    bank: &Bank,
    keys: &Bank,
    query: &[f32; KEY_LEN],
    voicing: f32,
) -> Option<[f32; KEY_LEN]> {
    let mut shape = [0.0; SHAPE_BANDS];
    retriever.query(bank, query, voicing, &mut shape)?;
    let mut mean = [0.0; KEY_LEN];
    for neighbour in retriever.neighbours() {
        let key = key(keys, neighbour.frame);
        mean.iter_mut().zip(key).for_each(|(sum, value)| *sum += neighbour.weight * value);
    }
    Some(mean)
}

/// The key of a frame as the retriever takes it.
pub(super) fn key(bank: &Bank, at: usize) -> [f32; KEY_LEN] {
    let row = &bank.keys()[at * KEY_LEN..(at + 1) * KEY_LEN];
    std::array::from_fn(|n| f32::from(row[n]) / bank.key_scale())
}

fn mapped(bank: &Bank, map: &KeyMap) -> Bank {
    let frame =
        |at: usize| BankFrame { key: map.apply(&key(bank, at)), shape: [0.0; SHAPE_BANDS], f0_hz: bank.f0_hz(at) };
    Bank::quantise(&(0..bank.len()).map(frame).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bank with the population's contents, moved by a known map.
    fn moved(scale: f32, offset: f32) -> Bank {
        let population = SourceProfile::population();
        let bank = &population.bank;
        let frame = |at: usize| BankFrame {
            key: key(bank, at).map(|value| (value - offset) / scale),
            shape: bank.shape(at),
            f0_hz: bank.f0_hz(at),
        };
        Bank::quantise(&(0..bank.len()).step_by(3).map(frame).collect::<Vec<_>>())
    }

    /// Mean distance between where a frame lies after the map and where it came from.
    fn distance(bank: &Bank, map: &KeyMap) -> f32 {
        let population = SourceProfile::population();
        let one = |at: usize| {
            let home = key(&population.bank, 3 * at);
            let squares = map.apply(&key(bank, at)).iter().zip(home).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            squares.sqrt()
        };
        (0..bank.len()).map(one).sum::<f32>() / bank.len() as f32
    }

    #[test]
    fn keys_that_were_moved_come_back() {
        let bank = moved(0.8, 0.3);
        let mut alignment = Alignment::new(&bank, SourceProfile::population());
        let before = distance(&bank, alignment.map());
        while alignment.step(&bank) {}
        assert_eq!((alignment.round(), alignment.progress()), (ROUNDS, 1.0));
        let after = distance(&bank, alignment.map());
        // The ridge keeps a part of the way.
        assert!(after < 0.65 * before, "{before} -> {after}");
    }

    #[test]
    fn the_fit_solves_the_equations_and_refuses_what_is_open() {
        let mut sums = Sums::new();
        assert!(Sums::new().solve().is_none(), "no pairs");
        let mut seed = 1_u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        for _ in 0..2_000 {
            let from: [f32; KEY_LEN] = std::array::from_fn(|_| noise());
            let to = std::array::from_fn(|n| 2.0 * from[n] + 0.5);
            sums.push(&from, &to);
        }
        let map = sums.solve().expect("enough pairs");
        // Ridge regression towards 1: (2 + ridge) / (1 + ridge).
        let wanted = (2.0 + RIDGE as f32) / (1.0 + RIDGE as f32);
        for n in 0..KEY_LEN {
            assert!((map.0[n][n] - wanted).abs() < 0.03, "{}", map.0[n][n]);
            assert!((map.0[KEY_LEN][n] - 0.5).abs() < 0.05, "{}", map.0[KEY_LEN][n]);
        }
    }
}
