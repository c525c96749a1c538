//! The block that is heard, and how it joins its neighbours.
//!
//! Owned by one engine, used on its thread. Allocates in [`Block::new`] only.

use super::geometry::Geometry;
use super::{SEARCH_LEN, splice};
use crate::engine::HOP_LEN;

/// Sound of the current block and the end of the one before.
pub(super) struct Block {
    sound: Vec<f32>,
    /// What followed the last block, to be faded from.
    tail: Vec<f32>,
}

impl Block {
    /// Silence.
    pub(super) fn new(geometry: Geometry) -> Self {
        Self { sound: vec![0.0; geometry.block * HOP_LEN], tail: vec![0.0; geometry.crossfade * HOP_LEN] }
    }

    /// Silence again, without a fade.
    pub(super) fn silence(&mut self) {
        self.sound.fill(0.0);
        self.tail.fill(0.0);
    }

    /// Where a sound that begins at about `offset` fits best, at most [`SEARCH_LEN`] samples to each side.
    pub(super) fn best_offset(&self, sound: &[f32], offset: usize) -> usize {
        let from = offset - SEARCH_LEN;
        from + splice::best_offset(&sound[from..], &self.tail, 2 * SEARCH_LEN)
    }

    /// Takes the sound of the next block and of what follows it.
    pub(super) fn take(&mut self, sound: &mut [f32]) {
        splice::crossfade(&self.tail, sound);
        let (block, rest) = sound.split_at(self.sound.len());
        self.sound.copy_from_slice(block);
        self.tail.iter_mut().zip(rest).for_each(|(tail, sample)| *tail = *sample);
    }

    /// A hop of the block.
    pub(super) fn hop(&self, part: usize) -> &[f32] {
        &self.sound[part * HOP_LEN..][..HOP_LEN]
    }
}
