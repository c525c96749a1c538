//! An RVC voice with its graphs loaded: the slow part, done before an engine gets the voice.
//!
//! Made on the loader's thread or in the command line, shared by the engines of all instances that use it. Knows no file:
//! it is given graphs and voice.

use std::sync::Arc;

use super::contentvec::{ContentLine, ContentVec};
use super::generator::{Generator, Network, Window};
use super::geometry::Geometry;
use super::rmvpe::{PitchLine, Rmvpe};
use crate::onnx::{GraphError, Runtime};
use crate::provenance::{EngineKind, Mark};
use crate::voice::Voice;

/// Samples at 16 kHz of a frame.
const LOW_FRAME_LEN: usize = 160;

/// The graphs that a voice needs besides its own.
#[derive(Clone, Debug)]
pub struct Foundations {
    /// What is said.
    pub content: ContentVec,
    /// F0, where RMVPE is at hand; without it Coffre's own serves.
    pub pitch: Option<Rmvpe>,
}

impl From<ContentVec> for Foundations {
    fn from(content: ContentVec) -> Self {
        Self { content, pitch: None }
    }
}

/// Voice, content graph and generator.
#[derive(Debug)]
pub struct Loaded {
    pub(super) voice: Arc<Voice>,
    pub(super) mark: Mark,
    pub(super) content: ContentVec,
    pub(super) pitch: Option<Rmvpe>,
    pub(super) network: Network,
}

impl Loaded {
    /// Loads the generator of `voice`, or joins those who use it already.
    ///
    /// # Errors
    /// [`GraphError`] when it cannot be used.
    /// [worker-thread]
    pub fn new(
        runtime: &Runtime,
        foundations: Foundations,
        voice: Arc<Voice>,
        speaker: usize,
    ) -> Result<Self, GraphError> {
        let network = Network::new(runtime, &voice, speaker)?;
        let Foundations { content, pitch } = foundations;
        Ok(Self { mark: Mark::new(EngineKind::Rvc, Some(&voice)), voice, content, pitch, network })
    }

    /// Runs all networks once over a silent window: the runtime plans its memory at the first run of a shape, and a
    /// graph that does not run is found here and not during a performance.
    ///
    /// # Errors
    /// [`GraphError`] of the graph that does not run.
    /// [worker-thread]
    pub fn warm_up(&self, geometry: Geometry) -> Result<(), GraphError> {
        let window = geometry.window();
        let silence = vec![0.0; window * LOW_FRAME_LEN];
        let mut content = ContentLine::new(self.content.clone(), geometry);
        content.update(&silence, 0)?;
        if let Some(rmvpe) = &self.pitch {
            PitchLine::new(rmvpe.clone(), geometry).update(Some(&silence), geometry.block)?;
        }
        let f0_hz = vec![0.0; window];
        let window = Window { start: 0, phone: content.phone(), f0_hz: &f0_hz, phase: 0.0, formant: 1.0 };
        Generator::new(self.network.clone(), geometry).run(&window).map(drop)
    }
}
