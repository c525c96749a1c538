//! Nearest-neighbour search in a bank of content keys.
//!
//! Exact search over all frames. Everything up to the choice of the neighbours is integer arithmetic, so the choice is the
//! same on every processor and with every compiler. Runs on the worker thread; knows no voice, file or thread.
//!
//! Formulae: weights and the voicing dimension follow kNN voice conversion as measured for this engine: squared
//! Euclidean distance of the keys plus `(2 (v - v'))²` for voicing, weights `softmax(-(d - d_min) / (0.15 mean d))`.

use crate::voice::bank::{Bank, KEY_LEN, SHAPE_BANDS};

/// Neighbours that are averaged.
pub const NEIGHBOURS: usize = 16;

/// Frames whose distances are computed before they are compared: fits the first-level cache.
const BLOCK: usize = 256;

/// Weight of the voicing dimension, in units of key distance.
const VOICING_WEIGHT: f32 = 2.0;

/// Softmax width as a fraction of the neighbours' mean distance.
const WIDTH: f32 = 0.15;

/// A nearest frame with less than this share of the last neighbour's distance is the moment that is asked about.
const OWN_MOMENT: f32 = 0.6;

/// Frames around such a moment that are as near in time as to say the same: 0.25 s of a bank that holds two of three.
const OWN_REACH: usize = 17;

/// Searches banks without allocating; one per stream.
#[derive(Clone, Debug)]
pub struct Retriever {
    query: [i16; KEY_LEN],
    distances: [i32; BLOCK],
    /// Best frames so far, nearest first: squared distance in key steps, frame.
    best: [(i32, u32); NEIGHBOURS],
    found: usize,
    weights: [f32; NEIGHBOURS],
}

impl Default for Retriever {
    fn default() -> Self {
        Self {
            query: [0; KEY_LEN],
            distances: [0; BLOCK],
            best: [(i32::MAX, 0); NEIGHBOURS],
            found: 0,
            weights: [0.0; NEIGHBOURS],
        }
    }
}

/// One neighbour of the last query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbour {
    /// Index into the bank.
    pub frame: usize,
    /// Weight; the weights of one query sum to 1.
    pub weight: f32,
}

impl Retriever {
    /// A retriever that has found nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the nearest frames to `key` and writes the weighted mean of their shapes.
    ///
    /// `key` has the speaker's mean key subtracted; `voicing` is in `0.0..=1.0`. Returns the neighbours' mean distance
    /// in units of the key, or `None` for an empty bank, which leaves `shape` untouched.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks; 20 000 frames take a fraction of a millisecond. [worker-thread]
    pub fn query(
        &mut self,
        bank: &Bank,
        key: &[f32; KEY_LEN],
        voicing: f32,
        shape: &mut [f32; SHAPE_BANDS],
    ) -> Option<f32> {
        self.query_excluding(bank, key, voicing, 0..0, shape)
    }

    /// As [`Retriever::query`], leaving out a range of frames: how a bank is asked about its own recordings.
    pub fn query_excluding(
        &mut self,
        bank: &Bank,
        key: &[f32; KEY_LEN],
        voicing: f32,
        excluded: std::ops::Range<usize>,
        shape: &mut [f32; SHAPE_BANDS],
    ) -> Option<f32> {
        self.search(bank, key, voicing, excluded);
        if self.found == 0 {
            return None;
        }
        let mean = self.weigh(bank.key_scale());
        shape.fill(0.0);
        for (&(_, frame), &weight) in self.best.iter().zip(&self.weights).take(self.found) {
            bank.add_shape(frame as usize, weight, shape);
        }
        bank.finish_shape(shape);
        Some(mean)
    }

    /// As [`Retriever::query`], for a bank that may hold the very moment that is asked about: a singer's profile learned
    /// from the same take. The moment itself would answer with its own envelope instead of what the singer usually does
    /// there, so it is left out with its surroundings.
    pub fn query_apart(
        &mut self,
        bank: &Bank,
        key: &[f32; KEY_LEN],
        voicing: f32,
        shape: &mut [f32; SHAPE_BANDS],
    ) -> Option<f32> {
        self.search(bank, key, voicing, 0..0);
        let own = self.own_moment(bank.len()).unwrap_or(0..0);
        self.query_excluding(bank, key, voicing, own, shape)
    }

    /// Surroundings of the nearest frame, if it is nearer than another moment would ever be.
    fn own_moment(&self, len: usize) -> Option<std::ops::Range<usize>> {
        let found = &self.best[..self.found];
        let ((nearest, frame), (farthest, _)) = (*found.first()?, *found.last()?);
        let is_own = (nearest.max(0) as f32).sqrt() < OWN_MOMENT * (farthest.max(0) as f32).sqrt();
        let frame = frame as usize;
        is_own.then(|| frame.saturating_sub(OWN_REACH)..(frame + OWN_REACH + 1).min(len))
    }

    /// The neighbours of the last query, nearest first.
    pub fn neighbours(&self) -> impl Iterator<Item = Neighbour> {
        let found = self.best.iter().zip(&self.weights).take(self.found);
        found.map(|(&(_, frame), &weight)| Neighbour { frame: frame as usize, weight })
    }

    fn search(&mut self, bank: &Bank, key: &[f32; KEY_LEN], voicing: f32, excluded: std::ops::Range<usize>) {
        let scale = bank.key_scale();
        for (step, &value) in self.query.iter_mut().zip(key) {
            *step = to_step(value * scale);
        }
        let query_norm: i32 = self.query.iter().map(|&q| i32::from(q) * i32::from(q)).sum();
        let voicing = if voicing.is_finite() { voicing.clamp(0.0, 1.0) } else { 0.0 };
        let far = (VOICING_WEIGHT * scale).powi(2);
        // The distance to a voiced frame grows with what the query lacks of voicing, and the other way round.
        let penalty_voiced = to_distance(far * (1.0 - voicing).powi(2)) + query_norm;
        let penalty_unvoiced = to_distance(far * voicing.powi(2)) + query_norm;
        self.found = 0;
        let blocks = bank.keys().chunks(BLOCK * KEY_LEN);
        let norms = bank.norms().chunks(BLOCK).zip(bank.f0_steps().chunks(BLOCK));
        for (block, (keys, (norms, f0))) in blocks.zip(norms).enumerate() {
            let (rows, _) = keys.as_chunks::<KEY_LEN>();
            for (((distance, row), &norm), &f0) in self.distances.iter_mut().zip(rows).zip(norms).zip(f0) {
                let penalty = if f0 > 0 { penalty_voiced } else { penalty_unvoiced };
                *distance = norm + penalty - 2 * dot(&self.query, row);
            }
            self.keep_best(block * BLOCK, rows.len(), &excluded);
        }
    }

    /// Inserts the distances of one block into the sorted list; equal distances keep the earlier frame.
    fn keep_best(&mut self, start: usize, len: usize, excluded: &std::ops::Range<usize>) {
        let mut limit = if self.found == NEIGHBOURS { self.best[NEIGHBOURS - 1].0 } else { i32::MAX };
        for (offset, &distance) in self.distances[..len].iter().enumerate() {
            if distance >= limit || excluded.contains(&(start + offset)) {
                continue;
            }
            let at = self.best[..self.found].partition_point(|&(kept, _)| kept <= distance);
            self.found = (self.found + 1).min(NEIGHBOURS);
            self.best[at..self.found].rotate_right(1);
            // A bank has at most 65 536 frames.
            self.best[at] = (distance, u32::try_from(start + offset).unwrap_or(u32::MAX));
            if self.found == NEIGHBOURS {
                limit = self.best[NEIGHBOURS - 1].0;
            }
        }
    }

    /// Turns distances into weights; returns the mean distance in units of the key.
    fn weigh(&mut self, scale: f32) -> f32 {
        let found = &self.best[..self.found];
        for (weight, &(distance, _)) in self.weights.iter_mut().zip(found) {
            *weight = (distance.max(0) as f32).sqrt() / scale;
        }
        let weights = &mut self.weights[..self.found];
        let mean = weights.iter().sum::<f32>() / weights.len() as f32;
        let nearest = weights[0];
        let width = (WIDTH * mean).max(1e-6);
        weights.iter_mut().for_each(|weight| *weight = (-(*weight - nearest) / width).exp());
        let total: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        mean
    }
}

/// Dot product of 64 16-bit numbers: a loop that compilers turn into multiply-add instructions of 8 or more lanes.
#[inline]
fn dot(a: &[i16; KEY_LEN], b: &[i16; KEY_LEN]) -> i32 {
    let mut sum = 0;
    for i in 0..KEY_LEN {
        sum += i32::from(a[i]) * i32::from(b[i]);
    }
    sum
}

/// Rounds into a range in which no sum can overflow: 64 × 2047 × 127 and 64 × 2047² stay below 2³¹.
#[expect(clippy::cast_possible_truncation, reason = "clamped to the range first; NaN becomes 0")]
fn to_step(value: f32) -> i16 {
    value.round().clamp(-2047.0, 2047.0) as i16
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range first; NaN becomes 0")]
fn to_distance(value: f32) -> i32 {
    value.round().clamp(0.0, 1.0e8) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::voice::bank::BankFrame;

    /// Reproducible numbers of about unit variance.
    fn noise(seed: &mut u64) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (*seed >> 40) as f32 / (1 << 24) as f32 - 0.5;
        }
        sum * 1.732
    }

    fn frames(n: usize, seed: u64) -> Vec<BankFrame> {
        let mut seed = seed;
        let mut frame = |i: usize| BankFrame {
            key: std::array::from_fn(|_| 2.0 * noise(&mut seed)),
            shape: std::array::from_fn(|_| 3.0 * noise(&mut seed) - 5.0),
            f0_hz: if i.is_multiple_of(3) { 0.0 } else { 150.0 },
        };
        (0..n).map(&mut frame).collect()
    }

    #[test]
    fn search_finds_the_same_frames_as_sorting_everything() {
        let frames = frames(3_000, 1);
        let bank = Bank::quantise(&frames);
        let mut seed = 77;
        let mut retriever = Retriever::new();
        let mut agree = 0;
        for trial in 0..40 {
            let key: [f32; KEY_LEN] = std::array::from_fn(|_| 2.0 * noise(&mut seed));
            let voicing = if trial % 2 == 0 { 1.0 } else { 0.0 };
            let mut shape = [0.0; SHAPE_BANDS];
            retriever.query(&bank, &key, voicing, &mut shape).expect("the bank is not empty");
            let mut exact: Vec<(f32, usize)> = frames
                .iter()
                .enumerate()
                .map(|(i, frame)| {
                    let keys: f32 = frame.key.iter().zip(key).map(|(a, b)| (a - b).powi(2)).sum();
                    let flag = if frame.f0_hz > 0.0 { 1.0 } else { 0.0 };
                    (keys + (2.0_f32 * (voicing - flag)).powi(2), i)
                })
                .collect();
            exact.sort_by(|a, b| a.0.total_cmp(&b.0));
            let wanted: Vec<usize> = exact[..NEIGHBOURS].iter().map(|e| e.1).collect();
            agree += retriever.neighbours().filter(|n| wanted.contains(&n.frame)).count();
            let nearest = retriever.neighbours().next().expect("neighbours").frame;
            let exact_of = |frame: usize| exact.iter().find(|e| e.1 == frame).expect("a frame").0;
            assert!(exact_of(nearest) < 1.02 * exact[0].0);
        }
        // Only rounding of the keys to 8 bits may swap frames at the edge.
        assert!(agree >= 40 * NEIGHBOURS * 95 / 100, "{agree} of {}", 40 * NEIGHBOURS);
    }

    #[test]
    fn voicing_of_the_query_decides_between_equal_keys() {
        let mut pair = frames(2, 5);
        pair[0].f0_hz = 0.0;
        pair[1].f0_hz = 200.0;
        pair[1].key = pair[0].key;
        let bank = Bank::quantise(&pair);
        let mut retriever = Retriever::new();
        let mut shape = [0.0; SHAPE_BANDS];
        for (voicing, nearest) in [(0.0, 0), (1.0, 1)] {
            retriever.query(&bank, &pair[0].key, voicing, &mut shape).expect("the bank is not empty");
            let first = retriever.neighbours().next().expect("two neighbours");
            assert_eq!(first.frame, nearest);
            assert!(first.weight > 0.99, "{}", first.weight);
        }
    }

    #[test]
    fn excluded_frames_are_never_found() {
        let frames = frames(400, 9);
        let bank = Bank::quantise(&frames);
        let mut retriever = Retriever::new();
        let mut shape = [0.0; SHAPE_BANDS];
        retriever.query_excluding(&bank, &frames[100].key, 1.0, 50..300, &mut shape).expect("frames remain");
        assert!(retriever.neighbours().all(|n| !(50..300).contains(&n.frame)));
        assert!(retriever.query_excluding(&bank, &frames[100].key, 1.0, 0..400, &mut shape).is_none());
        assert!(retriever.query(&Bank::default(), &frames[0].key, 1.0, &mut shape).is_none());
    }

    #[test]
    fn impossible_queries_give_finite_shapes() {
        let bank = Bank::quantise(&frames(300, 3));
        let mut retriever = Retriever::new();
        for value in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            let mut shape = [0.0; SHAPE_BANDS];
            retriever.query(&bank, &[value; KEY_LEN], value, &mut shape).expect("the bank is not empty");
            assert!(shape.iter().all(|v| v.is_finite()));
            let total: f32 = retriever.neighbours().map(|n| n.weight).sum();
            assert!((total - 1.0).abs() < 1e-5);
        }
    }
}
