//! A stage of the sound behind the map: frames in, frames out, some hops later, and what it may ask about them.
//!
//! There are two places for stages: before the sound is made they change what the map says ([`Difference`](super::difference::Difference)), after it
//! they change the sound itself, hop by hop. The map is none of them: it decides whom the sound aims at, and all others
//! are told. Which stages a mode has is said in [`stages`](super::stages); nothing else in the engine names one.
//!
//! Runs on the engine's thread.

use super::aim::Aim;
use super::memory::Memory;
use crate::engine::analysis::AnalysisFrame;
use crate::engine::content::PHONES;
use crate::onnx::GraphError;

/// Something that changes frames on their way.
pub trait Stage<Frame: ?Sized>: Send + std::fmt::Debug {
    /// Hops from a frame that goes in to the same frame that comes out; constant, with and without a graph.
    fn delay_hops(&self) -> usize {
        0
    }

    /// Hops after that until what follows the last sound is silent.
    fn tail_hops(&self) -> usize {
        0
    }

    /// Replaces a frame by the one [`Stage::delay_hops`] before it.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks, but may run a graph. [worker-thread]
    fn process(&mut self, moment: &Moment<'_>, frame: &mut Frame);

    /// Why it does less than it could; `None` while all is well.
    fn failure(&self) -> Option<&GraphError> {
        None
    }

    /// Forgets the stream.
    fn reset(&mut self);
}

/// What a stage may know of the frame that it is given: the voices, the parameters and the singer at that moment. Ages
/// are in hops before its end; what nobody knows yet or any more is silent.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The voices that are aimed at, and how far towards them, in `0.0..=1.0`. Both are those of the hop that is made now:
    /// behind a stage that delays they are early by as much.
    pub aim: Aim<'a>,
    /// See `aim`.
    pub likeness: f32,
    /// The newest frame of the singer: this one in live mode, a later one in mix mode.
    pub newest: &'a AnalysisFrame,
    /// The hops before it.
    pub memory: &'a Memory,
    /// By how many hops the frame is older than the one that is made now.
    pub behind_hops: usize,
}

impl Moment<'_> {
    /// Probabilities of the phones; all 0 where nothing is known.
    pub fn phones(&self, age_hops: usize) -> &[f32; PHONES] {
        self.memory.phones(self.behind_hops + age_hops)
    }

    /// Pitch that is heard, in Hz; 0.0 = unvoiced.
    pub fn f0_hz(&self, age_hops: usize) -> f32 {
        self.memory.f0_hz(self.behind_hops + age_hops)
    }

    /// Gain of the gate, in `0.0..=1.0`.
    pub fn gate(&self, age_hops: usize) -> f32 {
        self.memory.gate(self.behind_hops + age_hops)
    }
}
