//! What is remembered of each hop of the window: parameters, octaves, gate.
//!
//! Owned by one engine, used on its thread. Allocates in [`Memory::new`] only.

use crate::engine::HopParams;

/// What belongs to one hop.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Remembered {
    pub(super) params: HopParams,
    /// Octaves to the voice, in semitones.
    pub(super) octaves_st: f32,
    /// Gain of the gate, in `0.0..=1.0`.
    pub(super) gate: f32,
}

/// The newest hops.
#[derive(Debug)]
pub(super) struct Memory {
    /// By hop modulo their number.
    ring: Box<[Remembered]>,
    /// Hops since the last reset.
    hops: usize,
}

impl Memory {
    /// Nothing yet; so many hops will be remembered.
    pub(super) fn new(len: usize) -> Self {
        Self { ring: vec![Remembered::default(); len].into(), hops: 0 }
    }

    /// Forgets everything.
    pub(super) fn reset(&mut self) {
        self.ring.fill(Remembered::default());
        self.hops = 0;
    }

    /// Takes the next hop.
    pub(super) fn push(&mut self, remembered: Remembered) {
        let place = self.hops % self.ring.len();
        self.ring[place] = remembered;
        self.hops += 1;
    }

    /// Hops since the last reset.
    pub(super) fn hops(&self) -> usize {
        self.hops
    }

    /// The newest hop.
    pub(super) fn newest(&self) -> i64 {
        self.hops as i64 - 1
    }

    /// A hop, or the nearest one that is remembered.
    pub(super) fn at(&self, hop: i64) -> &Remembered {
        let oldest = self.hops as i64 - self.ring.len() as i64;
        let hop = hop.max(oldest).clamp(0, self.newest().max(0));
        &self.ring[hop as usize % self.ring.len()]
    }

    /// Gain of the gate in a hop; closed in one that is not remembered.
    pub(super) fn gate(&self, hop: i64) -> f32 {
        let is_kept = hop >= 0 && hop <= self.newest() && hop >= self.hops as i64 - self.ring.len() as i64;
        if is_kept { self.at(hop).gate } else { 0.0 }
    }

    /// Whether the gate is open somewhere from a hop on.
    pub(super) fn is_open_since(&self, hop: i64) -> bool {
        (hop..self.hops as i64).any(|hop| self.gate(hop) > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_remembered_is_the_nearest_and_closed() {
        let mut memory = Memory::new(4);
        assert_eq!((memory.at(3).octaves_st, memory.gate(0), memory.newest()), (0.0, 0.0, -1));
        for hop in 0..10 {
            memory.push(Remembered { octaves_st: hop as f32, gate: 1.0, ..Remembered::default() });
        }
        for (hop, octaves_st, gate) in [(-5, 6.0, 0.0), (5, 6.0, 0.0), (6, 6.0, 1.0), (9, 9.0, 1.0), (12, 9.0, 0.0)] {
            assert_eq!((memory.at(hop).octaves_st, memory.gate(hop)), (octaves_st, gate), "hop {hop}");
        }
        assert!(memory.is_open_since(9) && !memory.is_open_since(10));
    }
}
