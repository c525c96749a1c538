//! Sounds on their way through analysis and conversion, a tenth of a second at a time.

use std::sync::Arc;

use crate::clone::features::{FeatureExtractor, FeatureFrame, encode};
use crate::engine::content::{ContentEncoder, PHONES};
use crate::engine::native::NativeEngine;
use crate::engine::native::refine::{DELAY_HOPS, HEARD_HOPS};
use crate::engine::profile::{LearnFrame, ProfileLearner, SourceProfile};
use crate::engine::{Engine as _, HOP_LEN, HopParams, Mode};
use crate::voice::Voice;

/// Hops of one step.
pub(super) const STEP_HOPS: usize = 10;

/// The singer is learned from frames of at least this loudness: natural-log power, the engine's own -50 dBFS.
const LEARN_FLOOR: f32 = -12.0;

/// A sound on its way to features and a singer's profile.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) samples: Arc<[f32]>,
    position: usize,
    extractor: FeatureExtractor,
    content: ContentEncoder,
    frames: Vec<FeatureFrame>,
    learner: ProfileLearner,
}

impl Hearing {
    pub(super) fn new(samples: Arc<[f32]>, content: ContentEncoder) -> Self {
        Self {
            samples,
            position: 0,
            extractor: FeatureExtractor::new(),
            content,
            frames: Vec::new(),
            learner: ProfileLearner::new(LEARN_FLOOR),
        }
    }

    pub(super) fn progress(&self) -> f32 {
        self.position as f32 / self.samples.len().max(1) as f32
    }

    pub(super) fn step(&mut self) -> Result<bool, String> {
        let end = (self.position + STEP_HOPS * HOP_LEN).min(self.samples.len());
        let mut analysed = Vec::new();
        self.extractor.push(&self.samples[self.position..end], &mut analysed);
        self.position = end;
        if end == self.samples.len() {
            self.extractor.end(&mut analysed);
        }
        let mut frames = encode(&analysed, Some(&mut self.content)).map_err(|error| error.to_string())?;
        for frame in &frames {
            self.learner.push(&LearnFrame {
                f0_hz: frame.f0_hz,
                loudness: frame.loudness,
                envelope: &frame.envelope,
                key: frame.key.as_deref(),
            });
        }
        self.frames.append(&mut frames);
        Ok(end < self.samples.len())
    }

    pub(super) fn finish(self) -> (Vec<FeatureFrame>, Arc<SourceProfile>) {
        let learned = self.learner.finish_early(self.content.space());
        (self.frames, learned.map_or_else(SourceProfile::population, Arc::new))
    }
}

/// A sound on its way through the engine, without the refiner.
pub(super) struct Passage {
    engine: Box<NativeEngine>,
    input: Arc<[f32]>,
    params: HopParams,
    output: Vec<f32>,
    /// The phones that the refiner would be given with a hop of `output`.
    phones: Vec<[f32; PHONES]>,
    /// Samples put in so far.
    position: usize,
}

impl std::fmt::Debug for Passage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passage({} of {})", self.position, self.input.len())
    }
}

impl Passage {
    /// At the start of a sound, which goes to `voice`.
    pub(super) fn new(
        content: ContentEncoder,
        input: Arc<[f32]>,
        profile: Arc<SourceProfile>,
        voice: &Arc<Voice>,
        params: HopParams,
    ) -> Self {
        let mut engine = NativeEngine::new(Mode::Mix, Some(content), profile);
        engine.stop_learning();
        engine.set_voice(params.voice_slot, Some(voice.clone()));
        Self { engine: Box::new(engine), input, params, output: Vec::new(), phones: Vec::new(), position: 0 }
    }

    pub(super) fn progress(&self) -> f32 {
        self.position as f32 / (self.input.len() + self.engine.latency_len()) as f32
    }

    pub(super) fn step(&mut self) -> Result<bool, String> {
        for _ in 0..STEP_HOPS {
            let mut hop = [0.0; HOP_LEN];
            let rest = &self.input[self.position.min(self.input.len())..];
            let len = rest.len().min(HOP_LEN);
            hop[..len].copy_from_slice(&rest[..len]);
            let mut output = [0.0; HOP_LEN];
            self.engine.process_hop(&self.params, &hop, &mut output).map_err(|error| error.to_string())?;
            self.output.extend(output);
            // The engine's output is late by its refiner, which only delays here.
            self.phones.push(*self.engine.phones_heard(DELAY_HOPS + HEARD_HOPS));
            self.position += HOP_LEN;
        }
        Ok(self.output.len() < self.input.len() + self.engine.latency_len())
    }

    /// The output, aligned with the input sample by sample, and the phones for each hop of it.
    pub(super) fn output(self) -> (Arc<[f32]>, Arc<[[f32; PHONES]]>) {
        let from = self.engine.latency_len();
        let first = (from + HOP_LEN / 2) / HOP_LEN;
        (self.output[from..from + self.input.len()].into(), self.phones[first..].into())
    }
}
