//! Content features: what is being said, frame by frame, apart from who says it.
//!
//! Runs on the worker thread, one call per hop. Knows the graph's contract, but neither how its input is computed nor what
//! its output is used for.

use crate::engine::{EngineError, Mode};
use crate::onnx::{Graph, GraphError, Port, RecurrentCall, Runtime};

/// Mel bands of one input frame.
pub const MEL_BANDS: usize = 80;

/// Classes of the posteriors: silence, then the 39 phones of ARPABET.
pub const PHONES: usize = 40;

/// Length of a retrieval key.
pub const KEY_LEN: usize = 64;

/// The graphs that ship inside the program; `models/NOTEBOOK.md` says how they were trained and how well they do.
static LIVE_GRAPH: &[u8] = include_bytes!("../../models/content.onnx");
static MIX_GRAPH: &[u8] = include_bytes!("../../models/content_mix.onnx");

/// Name of the graph in messages.
const NAME: &str = "content";

const INPUTS: [Port<'_>; 2] =
    [Port { name: "mel", shape: Some(&[1, 1, MEL_BANDS]) }, Port { name: "state", shape: None }];
const OUTPUTS: [Port<'_>; 3] = [
    Port { name: "logp", shape: Some(&[1, 1, PHONES]) },
    Port { name: "key", shape: Some(&[1, 1, KEY_LEN]) },
    Port { name: "state_out", shape: None },
];
const MEL: usize = 0;
const LOGP: usize = 0;
const KEY: usize = 1;

/// What the graph gets for a band that is not a number: the value of digital silence, `(ln(1e-6) + 7) / 3`.
const SILENT_MEL: f32 = -2.271_837;

/// Content features of one 10 ms frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentFrame {
    /// Natural-log posteriors of the classes; their exponentials sum to 1.
    pub logp: [f32; PHONES],
    /// Retrieval key: linear features with a standard deviation of about 1 within a phone. The speaker's mean is still
    /// in it; who compares keys of different speakers subtracts it.
    pub key: [f32; KEY_LEN],
}

impl Default for ContentFrame {
    fn default() -> Self {
        Self { logp: [-(PHONES as f32).ln(); PHONES], key: [0.0; KEY_LEN] }
    }
}

/// The content graph with the state of one stream. The weights are shared by all encoders of the process.
#[derive(Debug)]
pub struct ContentEncoder {
    call: RecurrentCall,
    look_ahead_frames: usize,
    phones: Vec<String>,
    space: String,
}

impl ContentEncoder {
    /// An encoder at the start of a stream, on the graph of this mode that ships inside the program. Both speak of the
    /// same space; that of mix mode looks farther ahead and knows more. Banks are made with it.
    ///
    /// Takes some 50 ms for the first one of a process.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses the graph.
    /// [worker-thread]
    pub fn new(runtime: &Runtime, mode: Mode) -> Result<Self, GraphError> {
        let graph = match mode {
            Mode::Live => LIVE_GRAPH,
            Mode::Mix => MIX_GRAPH,
        };
        Self::from_graph(runtime, graph)
    }

    /// An encoder on another graph with the same contract.
    ///
    /// # Errors
    /// [`GraphError::Load`] for a file that is no graph, [`GraphError::Contract`] for one with other inputs, outputs,
    /// state or metadata.
    /// [worker-thread]
    pub fn from_graph(runtime: &Runtime, bytes: &[u8]) -> Result<Self, GraphError> {
        let graph = Graph::open(runtime, NAME, bytes)?;
        let unfit = |reason: String| GraphError::Contract { graph: NAME, reason };
        let metadata =
            |key: &str| graph.metadata(key)?.ok_or_else(|| unfit(format!("it has no metadata entry `{key}`")));

        let look_ahead = metadata("look_ahead_frames")?;
        let look_ahead_frames = look_ahead.trim().parse().ok().filter(|&frames: &usize| frames <= 100);
        let look_ahead_frames =
            look_ahead_frames.ok_or_else(|| unfit(format!("look_ahead_frames is `{look_ahead}`")))?;
        let separator = |letter: char| letter == ',' || letter.is_whitespace();
        let phones: Vec<String> =
            metadata("phones")?.split(separator).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if phones.len() != PHONES {
            return Err(unfit(format!("it names {} phones, not {PHONES}", phones.len())));
        }
        let space = metadata("space")?;

        let call = RecurrentCall::new(&graph, &INPUTS, &OUTPUTS)?;
        Ok(Self { call, look_ahead_frames, phones, space })
    }

    /// By how many calls the output is late: the output of call `k` belongs to the frame of call
    /// `k - look_ahead_frames()`.
    pub fn look_ahead_frames(&self) -> usize {
        self.look_ahead_frames
    }

    /// Names of the classes, in the order of [`ContentFrame::logp`].
    pub fn phones(&self) -> &[String] {
        &self.phones
    }

    /// Identity of the space in which keys live. Keys of different spaces cannot be compared, so a voice's bank names
    /// the space that it was made in.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.call.reset();
    }

    /// Encodes one frame of [`MEL_BANDS`] values, scaled as the graph was trained: `(ln(power + 1e-6) + 7) / 3`.
    ///
    /// Values that are not finite are taken as silence.
    ///
    /// # Errors
    /// [`GraphError::Run`] or [`GraphError::TimedOut`] when the run failed, [`GraphError::Run`] also when it gave numbers
    /// that are not finite; `frame` is untouched and the stream starts over with the next call.
    /// [worker-thread]
    pub fn step(&mut self, mel: &[f32; MEL_BANDS], frame: &mut ContentFrame) -> Result<(), GraphError> {
        for (input, &value) in self.call.input_mut(MEL).iter_mut().zip(mel) {
            *input = if value.is_finite() { value } else { SILENT_MEL };
        }
        self.call.step()?;
        frame.logp.copy_from_slice(self.call.output(LOGP));
        frame.key.copy_from_slice(self.call.output(KEY));
        Ok(())
    }
}

impl From<GraphError> for EngineError {
    fn from(error: GraphError) -> Self {
        Self::Graph { graph: error.graph(), reason: error.reason() }
    }
}
