//! The conversion engine: one hop of samples in, one hop of samples out.
//!
//! Runs on the worker thread of a plugin instance and in the command line, so both sound the same. Knows no thread, clock,
//! host or file.

pub mod analysis;
pub mod bands;
pub mod content;
pub mod envelope;
pub mod f0;
pub mod gate;
pub mod history;
pub mod latency;
pub mod level;
pub mod loudness;
pub mod mel;
pub mod native;
pub mod profile;
pub mod register;
pub mod resample;
pub mod retrieval;
pub mod rvc;
pub mod stream;

use std::sync::Arc;

use crate::provenance::Mark;

/// Sample rate at which every engine runs, in Hz. Host rates are converted outside ([`latency`] counts that).
pub const ENGINE_RATE: u32 = 48_000;

/// Samples of one hop at [`ENGINE_RATE`]: 10 ms.
pub const HOP_LEN: usize = 480;

/// Voices that one instance can hold ready, selected by the `voice` parameter.
pub const VOICE_SLOTS: usize = 16;

/// How much future the engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Least delay, for singing while hearing oneself.
    Live,
    /// More look-ahead for a better sound; the host compensates the delay.
    Mix,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Live, Self::Mix];
}

/// Which of the engines. They differ in delay, so a plugin instance runs one of them at a time. A new one joins here, with
/// its word and its row in [`EngineId::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineId {
    /// The embedded one: [`native`].
    #[default]
    Native,
    /// The one of RVC voices: [`rvc`].
    Rvc,
}

impl EngineId {
    /// All of them, with the words by which voice files and saved sessions name them.
    pub const ALL: [(Self, &'static str); 2] =
        [(Self::Native, crate::voice::manifest::ENGINE_NATIVE), (Self::Rvc, crate::voice::manifest::ENGINE_RVC)];

    /// Its place in [`EngineId::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its word in voice files and saved sessions.
    pub fn word(self) -> &'static str {
        Self::ALL[self.index()].1
    }

    /// The engine with this word; `None` for one that this Coffre does not know.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(engine, known)| (known == word).then_some(engine))
    }
}

/// What an engine is built for. Latency and slack follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Setup {
    /// Which engine.
    pub engine: EngineId,
    /// How much future it may use.
    pub mode: Mode,
}

impl Setup {
    /// How many there are.
    pub const COUNT: usize = EngineId::ALL.len() * Mode::ALL.len();

    /// The setup at a place, in `0..COUNT`.
    pub fn at(index: usize) -> Self {
        let modes = Mode::ALL.len();
        Self { engine: EngineId::ALL[index / modes].0, mode: Mode::ALL[index % modes] }
    }

    /// Its place: [`Setup::at`] of it is this one.
    pub fn index(self) -> usize {
        self.engine.index() * Mode::ALL.len() + self.mode as usize
    }
}

impl From<Mode> for Setup {
    /// The embedded engine in a mode.
    fn from(mode: Mode) -> Self {
        Self { engine: EngineId::Native, mode }
    }
}

/// A voice with everything loaded that its engine needs, so that no hop waits for it.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// For the native engine.
    Native(native::target::Target),
    /// For the engine of RVC voices.
    Rvc(Arc<rvc::loaded::Loaded>),
}

impl Prepared {
    /// The engine that takes it.
    pub fn engine(&self) -> EngineId {
        match self {
            Self::Native(_) => EngineId::Native,
            Self::Rvc(_) => EngineId::Rvc,
        }
    }
}

/// How the singer's register moves to the voice's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RegisterMode {
    /// By whole octaves, so that the song stays in its key; not at all where the singer is close to what the voice sings.
    #[default]
    Octaves,
    /// By whole semitones to the voice's median: for speech, and for songs without a band.
    Semitones,
    /// Not at all.
    Off,
}

/// The parameters of one hop. They act on the audio that entered with them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HopParams {
    /// Voice slot, in `0..VOICE_SLOTS`. An empty slot means no voice: only transpose and formant act.
    pub voice_slot: usize,
    /// Slot of the second voice, in `0..VOICE_SLOTS`. An empty one, or one with the same voice, means no morph.
    pub voice_b_slot: usize,
    /// How far from the voice to the second one, in `0.0..=1.0`. Engines that cannot morph ignore it.
    pub morph: f32,
    /// Transpose in semitones, in `-24.0..=24.0`.
    pub transpose_st: f32,
    /// How the source's register is moved to the target's.
    pub register: RegisterMode,
    /// Formant shift in semitones, in `-6.0..=6.0`; positive makes the voice smaller and brighter.
    pub formant_st: f32,
    /// How far towards the target, in `0.0..=1.0`.
    pub likeness: f32,
    /// Input below this level is treated as silence, in dBFS; `-100.0` or less switches the gate off.
    pub gate_db: f32,
    /// Whether the converted sound carries the watermark of [`crate::provenance`].
    pub is_marked: bool,
}

impl Default for HopParams {
    fn default() -> Self {
        Self {
            voice_slot: 0,
            voice_b_slot: 1,
            morph: 0.0,
            transpose_st: 0.0,
            register: RegisterMode::Octaves,
            formant_st: 0.0,
            likeness: 0.6,
            gate_db: -60.0,
            is_marked: true,
        }
    }
}

/// What an engine tells about one hop, for meters and the editor.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HopReport {
    /// F0 of the source in Hz; 0.0 = unvoiced.
    pub f0_source_hz: f32,
    /// F0 commanded for the output in Hz; 0.0 = unvoiced.
    pub f0_output_hz: f32,
    /// Confidence in the content features, in `0.0..=1.0`.
    pub confidence: f32,
    /// Progress of learning the source profile, in `0.0..=1.0`; 1.0 = frozen.
    pub profile_progress: f32,
    /// How far the register is moved, in semitones, transpose left out.
    pub register_st: f32,
}

/// Why a hop could not be converted. The worker sends the fallback sound for that hop and carries on.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The runtime refused to run a graph.
    #[error("the graph `{graph}` failed: {reason}")]
    Graph {
        /// Name of the graph.
        graph: &'static str,
        /// The runtime's own words.
        reason: String,
    },
}

/// One hop in, one hop out.
///
/// The output of call `h` is the stretch `[h * HOP_LEN, (h + 1) * HOP_LEN)` of the output stream, in which the input
/// sample with index `n` is heard at `n + latency_len()`. Output is a function of the input, the parameters and the
/// voices since the last reset alone: no clock, no randomness that is not keyed by the sample index.
pub trait Engine: Send {
    /// Delay of the output stream against the input stream, in samples at [`ENGINE_RATE`]; constant.
    fn latency_len(&self) -> usize;

    /// Samples after the end of the input until the output is silent, at [`ENGINE_RATE`], latency included.
    fn tail_len(&self) -> usize;

    /// Puts a voice into a slot, or empties it; a voice of another engine empties it too. The voice of a sounding slot is
    /// crossfaded.
    fn put(&mut self, slot: usize, voice: Option<Prepared>);

    /// The next `len` samples of output are not heard: an engine that computes in large portions may leave them out.
    /// Holds until the next reset.
    fn expect_unheard(&mut self, _len: usize) {}

    /// Uses a source profile from the next hop on; `None` = the population profile. Engines without one ignore it.
    fn set_profile(&mut self, _profile: Option<Arc<profile::SourceProfile>>) {}

    /// Begins to learn a source profile from the audio that comes, from scratch, or stops learning.
    ///
    /// Learning alone changes nothing in the output: only [`Engine::set_profile`] does.
    fn learn_profile(&mut self, _is_on: bool) {}

    /// The learned profile, once, as soon as enough was heard; learning has stopped then.
    fn take_profile(&mut self) -> Option<profile::SourceProfile> {
        None
    }

    /// Why the engine does less than it could, such as a graph that does not run; `None` while all is well. The sound
    /// goes on meanwhile.
    fn trouble(&self) -> Option<EngineError> {
        None
    }

    /// What the watermark of the hop put out last has to say; `None` = it carries none. [`stream::HostStream`] puts it in.
    fn mark(&self) -> Option<Mark> {
        None
    }

    /// Forgets all audio; keeps voices, the source profile and what was learned so far.
    fn reset(&mut self);

    /// Converts one hop. Both slices hold [`HOP_LEN`] samples.
    ///
    /// # Errors
    /// [`EngineError`] when a graph failed; `output` then holds silence and the engine can go on.
    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError>;
}

/// Samples of the input beyond this are clipped: 18 dB over full scale, so that no sum can overflow.
const MAX_INPUT: f32 = 8.0;

/// A hop of input as engines take it: what is no number is silence, and nothing is louder than [`MAX_INPUT`].
fn clean_hop(input: &[f32]) -> [f32; HOP_LEN] {
    let mut clean = [0.0; HOP_LEN];
    for (clean, sample) in clean.iter_mut().zip(input) {
        *clean = if sample.is_finite() { sample.clamp(-MAX_INPUT, MAX_INPUT) } else { 0.0 };
    }
    clean
}

/// Passes audio through unchanged, with a chosen latency: the yardstick of the latency tests.
#[derive(Debug)]
pub struct IdentityEngine {
    line: std::collections::VecDeque<f32>,
    latency_len: usize,
}

impl IdentityEngine {
    /// An identity with a delay of `latency_len` samples.
    pub fn new(latency_len: usize) -> Self {
        Self { line: std::iter::repeat_n(0.0, latency_len).collect(), latency_len }
    }
}

impl Engine for IdentityEngine {
    fn latency_len(&self) -> usize {
        self.latency_len
    }

    fn tail_len(&self) -> usize {
        self.latency_len
    }

    fn put(&mut self, _slot: usize, _voice: Option<Prepared>) {}

    fn reset(&mut self) {
        self.line.iter_mut().for_each(|sample| *sample = 0.0);
    }

    fn process_hop(
        &mut self,
        _params: &HopParams,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<HopReport, EngineError> {
        for (out, sample) in output.iter_mut().zip(input) {
            self.line.push_back(*sample);
            *out = self.line.pop_front().unwrap_or(0.0);
        }
        Ok(HopReport::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_has_its_place_and_its_word() {
        for (place, (engine, word)) in EngineId::ALL.into_iter().enumerate() {
            assert_eq!((engine.index(), engine.word(), EngineId::from_word(word)), (place, word, Some(engine)));
        }
        assert_eq!(EngineId::from_word("a later one"), None);
        for place in 0..Setup::COUNT {
            assert_eq!(Setup::at(place).index(), place);
        }
    }
}
