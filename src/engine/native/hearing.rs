//! What is heard in the newest hop: the analysis, and what the content graph says of it.
//!
//! Runs on the engine's thread; allocates in [`Hearing::new`] only. A graph that fails is missed, not waited for.

use super::mapping::{MapContent, confidence_from_logp};
use super::network::Health;
use crate::engine::Mode;
use crate::engine::analysis::{Analyser, AnalysisFrame, content_look_ahead_frames};
use crate::engine::content::{ContentEncoder, ContentFrame, PHONES};
use crate::onnx::GraphError;

/// Analysis and content of one input.
pub struct Hearing {
    analyser: Analyser,
    content: Option<ContentEncoder>,
    health: Health,
    /// Why the content graph is not asked at all.
    unfit: Option<GraphError>,
    frame: AnalysisFrame,
    content_frame: ContentFrame,
    /// Trust in `content_frame`; `None` where it is of an older frame.
    confidence: Option<f32>,
}

impl Hearing {
    /// With a content encoder, or without one.
    pub fn new(mode: Mode, content: Option<ContentEncoder>) -> Self {
        let look_ahead_frames = content.as_ref().map(ContentEncoder::look_ahead_frames);
        // The analysis waits for exactly these.
        let wanted_frames = content_look_ahead_frames(mode);
        let unfit = look_ahead_frames.filter(|frames| *frames != wanted_frames).map(|frames| {
            let reason = format!("it looks {frames} frames ahead, not {wanted_frames}");
            GraphError::Contract { graph: "content", reason }
        });
        Self {
            analyser: Analyser::new(mode),
            content: content.filter(|_| unfit.is_none()),
            health: Health::default(),
            unfit,
            frame: AnalysisFrame::default(),
            content_frame: ContentFrame::default(),
            confidence: None,
        }
    }

    /// Space of the content keys; empty without an encoder.
    pub fn content_space(&self) -> &str {
        self.content.as_ref().map(ContentEncoder::space).unwrap_or_default()
    }

    /// Samples from the centre of a frame to the end of the hop with which it comes.
    pub fn delay_len(&self) -> usize {
        self.analyser.delay_len()
    }

    /// Listens to a hop.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks, but runs the graph. [worker-thread]
    pub fn push(&mut self, hop: &[f32]) {
        self.analyser.push(hop, &mut self.frame);
        self.confidence = self.step();
    }

    /// Runs the content graph on the newest frame. Returns the trust in its answer, or `None` without one.
    fn step(&mut self) -> Option<f32> {
        let content = self.content.as_mut().filter(|_| self.health.is_good())?;
        self.health.note(content.step(&self.frame.mel, &mut self.content_frame))?;
        Some(confidence_from_logp(&self.content_frame.logp))
    }

    /// The newest frame.
    pub fn frame(&self) -> &AnalysisFrame {
        &self.frame
    }

    /// Content of that frame; `None` without an encoder, or while it fails.
    pub fn content(&self) -> Option<MapContent<'_>> {
        self.confidence.map(|confidence| MapContent { key: &self.content_frame.key, confidence })
    }

    /// Probabilities of the phones in that frame; all 0 where nothing is known.
    pub fn phones(&self) -> [f32; PHONES] {
        match self.confidence {
            Some(_) => self.content_frame.logp.map(f32::exp),
            None => [0.0; PHONES],
        }
    }

    /// Why the last call of the content graph failed or why it is never called; `None` while it works or where there is
    /// none.
    pub fn failure(&self) -> Option<&GraphError> {
        self.health.failure().or(self.unfit.as_ref())
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.analyser.reset();
        if let Some(content) = &mut self.content {
            content.reset();
        }
        self.health = Health::default();
        self.content_frame = ContentFrame::default();
        self.confidence = None;
    }
}
