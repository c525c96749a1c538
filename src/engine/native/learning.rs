//! Learns the singer beside the conversion: which frames count, and what comes of them.
//!
//! Runs on the engine's thread; allocates when learning begins or ends.

use super::hearing::Hearing;
use crate::engine::profile::{LearnFrame, ProfileLearner, SourceProfile};

/// Frames quieter than this are not learned from, and none below the gate: root mean square, -85 dBFS. What is quiet
/// beside the rest is left out by the learner.
const LEARN_RMS: f32 = 5.6e-5;

/// A singer who is being learned, or not.
#[derive(Default)]
pub struct Learning(Option<ProfileLearner>);

impl Learning {
    /// Begins from scratch.
    pub fn start(&mut self) {
        // Quiet frames are left out by their level, see `LEARN_RMS`.
        self.0 = Some(ProfileLearner::new(f32::MIN));
    }

    /// Ends without a result.
    pub fn stop(&mut self) {
        self.0 = None;
    }

    /// Takes the newest frame.
    pub fn push(&mut self, hearing: &Hearing, gate_db: f32) {
        let Some(learner) = &mut self.0 else { return };
        let (frame, gate) = (hearing.frame(), 10.0_f32.powf(gate_db.clamp(-100.0, 0.0) / 20.0));
        if frame.rms >= gate.max(LEARN_RMS) {
            learner.push(&LearnFrame {
                f0_hz: frame.f0_hz,
                loudness: frame.loudness,
                envelope: &frame.envelope,
                key: hearing.content().map(|content| content.key),
            });
        }
    }

    /// Hands out the profile once learning is complete, and ends it. `content_space` is that of the keys.
    pub fn take(&mut self, content_space: &str) -> Option<SourceProfile> {
        let learned = self.0.as_ref()?.finish(content_space)?;
        self.0 = None;
        Some(learned)
    }

    /// As [`Self::take`], from whatever was heard; `None` below one second of voiced audio.
    pub fn take_early(&mut self, content_space: &str) -> Option<SourceProfile> {
        let learned = self.0.as_ref()?.finish_early(content_space)?;
        self.0 = None;
        Some(learned)
    }

    /// Progress, in `0.0..=1.0`; 1.0 where nothing is being learned.
    pub fn progress(&self) -> f32 {
        self.0.as_ref().map_or(1.0, ProfileLearner::progress)
    }
}
