//! Runs the refiner's graph over a sound and records its hidden values and gains per frame: the data that adaptations are
//! fitted to.
//!
//! Off the audio thread. Knows no voice file and no fit.

use realfft::num_complex::Complex32;

use crate::engine::HOP_LEN;
use crate::engine::content::PHONES;
use crate::onnx::GraphError;

use super::super::network::{RecentLevel, VOICE_LEN};
use super::graph::RefineGraph;
use super::spectrum::{FrameSpectrum, features, powers};
use super::{FRAME_LEN, KNOWN_BINS, LOOK_AHEAD_FRAMES};

/// One frame of two sounds that are compared.
#[derive(Clone, Copy, Debug)]
pub struct ProbedFrame<'a> {
    /// What the last layer of the graph saw.
    pub hidden: &'a [f32],
    /// What it answered, natural logarithms of amplitude.
    pub gains: &'a [f32],
    /// Power per bin of the sound that was heard.
    pub heard: &'a [f32; KNOWN_BINS],
    /// Power per bin of the sound as it should be.
    pub wanted: &'a [f32; KNOWN_BINS],
}

/// Two sounds side by side: the graph's input, and the sound that its output should be like.
#[derive(Debug)]
pub struct Probe {
    graph: RefineGraph,
    frames: FrameSpectrum,
    spectrum: Box<[Complex32]>,
    level: RecentLevel,
    /// The newest samples of both, a frame of each.
    recent: [Box<[f32]>; 2],
    /// Powers of the frames that wait for their answer, oldest first, of both sounds.
    waiting: [[[f32; KNOWN_BINS]; 2]; LOOK_AHEAD_FRAMES + 1],
    pushed: usize,
}

impl Probe {
    /// At the start of two sounds that aim at the voice that `described` tells of, see [`describe`](super::super::network::describe).
    pub fn new(mut graph: RefineGraph, described: &[f32; VOICE_LEN]) -> Self {
        graph.reset();
        graph.aim_at(described);
        let frames = FrameSpectrum::new();
        let recent = || vec![0.0; FRAME_LEN].into_boxed_slice();
        Self {
            graph,
            spectrum: frames.empty(),
            frames,
            level: RecentLevel::default(),
            recent: [recent(), recent()],
            waiting: [[[0.0; KNOWN_BINS]; 2]; LOOK_AHEAD_FRAMES + 1],
            pushed: 0,
        }
    }

    /// Takes the next hop of both, and what is said [`super::HEARD_HOPS`] before its end, and gives `take` the frame that
    /// has its answer now, once there is one.
    ///
    /// # Errors
    /// [`GraphError`] when the graph fails.
    /// [worker-thread]
    pub fn push(
        &mut self,
        heard: &[f32; HOP_LEN],
        wanted: &[f32; HOP_LEN],
        phones: &[f32; PHONES],
        mut take: impl FnMut(ProbedFrame<'_>),
    ) -> Result<(), GraphError> {
        self.waiting.rotate_left(1);
        for (side, hop) in [wanted, heard].into_iter().enumerate() {
            let recent = &mut self.recent[side];
            recent.copy_within(HOP_LEN.., 0);
            recent[FRAME_LEN - HOP_LEN..].copy_from_slice(hop);
            self.frames.forward(recent, &mut self.spectrum);
            self.waiting[LOOK_AHEAD_FRAMES][side] = powers(&self.spectrum);
        }
        // The sound that is heard came last.
        features(&self.spectrum, &mut self.level, self.graph.features_mut());
        self.graph.say(phones);
        let (gains, hidden) = self.graph.step()?;
        self.pushed += 1;
        if self.pushed > LOOK_AHEAD_FRAMES {
            let [wanted, heard] = &self.waiting[0];
            take(ProbedFrame { hidden, gains, heard, wanted });
        }
        Ok(())
    }
}
