//! The refiner's graphs: which there are, their inputs and outputs.
//!
//! Knows no audio and no spectrum. Used on the engine's thread, and where a voice is improved.

use crate::engine::content::PHONES;
use crate::onnx::{Graph, GraphError, Port, RecurrentCall, Runtime};
use crate::voice::VoiceId;

use super::super::network::VOICE_LEN;
use super::{FEATURES, HIDDEN_LEN, KNOWN_BINS};

/// The graphs that ship inside the program; `models/NOTEBOOK.md` says how they were trained and how well they do. The
/// first knows a few voices well, the second has met hundreds.
static GRAPHS: [&[u8]; 2] =
    [include_bytes!("../../../../models/refine.onnx"), include_bytes!("../../../../models/refine_any.onnx")];

/// Name of the graphs in messages.
const NAME: &str = "refine";

/// Metadata entry of a graph: the ids of the voices that it knows well, apart by commas.
const KNOWN_VOICES: &str = "known_voices";

/// Metadata entry of a graph: what its hidden values mean.
const HIDDEN_SPACE: &str = "hidden_space";

const INPUTS: [Port<'_>; 4] = [
    Port { name: "features", shape: Some(&[1, FEATURES]) },
    Port { name: "voice", shape: Some(&[1, VOICE_LEN]) },
    Port { name: "phones", shape: Some(&[1, PHONES]) },
    Port { name: "state", shape: None },
];
const OUTPUTS: [Port<'_>; 3] = [
    Port { name: "gain", shape: Some(&[1, KNOWN_BINS]) },
    Port { name: "hidden", shape: Some(&[1, HIDDEN_LEN]) },
    Port { name: "state_out", shape: None },
];
const INPUT_FEATURES: usize = 0;
const INPUT_VOICE: usize = 1;
const INPUT_PHONES: usize = 2;
const OUTPUT_GAIN: usize = 0;
const OUTPUT_HIDDEN: usize = 1;

/// A graph with the state of one stream. The weights are shared by the process.
#[derive(Debug)]
pub struct RefineGraph {
    call: RecurrentCall,
    known: Vec<VoiceId>,
    hidden_space: String,
}

impl RefineGraph {
    /// The graphs that ship inside the program, at the start of a stream: for the voices that it knows, and for all
    /// others.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses one of them.
    /// [worker-thread]
    pub fn shipped(runtime: &Runtime) -> Result<[Self; 2], GraphError> {
        let [known, any] = GRAPHS;
        Ok([Self::from_graph(runtime, known)?, Self::from_graph(runtime, any)?])
    }

    /// The graph for voices that were not in its training, at the start of a stream.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses it.
    /// [worker-thread]
    pub fn for_any(runtime: &Runtime) -> Result<Self, GraphError> {
        Self::from_graph(runtime, GRAPHS[1])
    }

    /// Another graph with the same contract, at the start of a stream.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses it, or when it has other inputs and outputs.
    /// [worker-thread]
    pub fn from_graph(runtime: &Runtime, bytes: &[u8]) -> Result<Self, GraphError> {
        let graph = Graph::open(runtime, NAME, bytes)?;
        let known = graph.metadata(KNOWN_VOICES)?.unwrap_or_default();
        let known = known.split(',').filter_map(|id| id.parse().ok()).collect();
        let hidden_space = graph.metadata(HIDDEN_SPACE)?.unwrap_or_default();
        let call = RecurrentCall::new(&graph, &INPUTS, &OUTPUTS)?;
        Ok(Self { call, known, hidden_space })
    }

    /// Whether every voice that is heard is one that the graph knows well.
    pub fn knows(&self, voices: &[Option<VoiceId>; 2]) -> bool {
        voices.iter().flatten().all(|id| self.known.contains(id))
    }

    /// What its hidden values mean: adaptations of other spaces are of no use to it.
    pub fn hidden_space(&self) -> &str {
        &self.hidden_space
    }

    /// Where the features of the next frame go.
    pub(super) fn features_mut(&mut self) -> &mut [f32] {
        self.call.input_mut(INPUT_FEATURES)
    }

    /// Says which voice is aimed at.
    pub fn aim_at(&mut self, described: &[f32; VOICE_LEN]) {
        self.call.input_mut(INPUT_VOICE).copy_from_slice(described);
    }

    /// Says how probable each phone is in the next frame; all 0 where nothing is known.
    pub(super) fn say(&mut self, phones: &[f32; PHONES]) {
        self.call.input_mut(INPUT_PHONES).copy_from_slice(phones);
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.call.reset();
    }

    /// Gains of the frame [`super::LOOK_AHEAD_FRAMES`] before the one whose features were put in, natural logarithms of
    /// amplitude, and the inputs of the last layer. After an error the stream starts over.
    pub(super) fn step(&mut self) -> Result<(&[f32], &[f32]), GraphError> {
        self.call.step()?;
        Ok((self.call.output(OUTPUT_GAIN), self.call.output(OUTPUT_HIDDEN)))
    }
}
