//! The native engine: the source's own pitch-period grains, re-pitched and filtered towards the target voice.
//!
//! ```text
//! hop ─▶ analysis ─▶ F0 ──────────────▶ register ─▶ pitch ───┐
//!            │                                               ▼
//!            ├─▶ mel ─▶ content ─┐                    grain synthesiser ─▶ gate ─▶ stages ─▶ hop
//!            └─▶ envelope ───────┴─▶ mapping ─▶ stages ─▶ filter ──────┘
//! ```
//!
//! What the modes have between map and filter (live: a corrector) and behind the gate (mix: a refiner) are [`stages`].
//!
//! Runs on the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

pub mod aim;
mod cast;
pub mod correct;
pub mod difference;
pub mod filter;
pub mod grains;
mod hearing;
mod learning;
pub mod leveller;
pub mod mapping;
pub mod marks;
pub mod memory;
pub mod network;
pub mod refine;
pub mod stage;
pub mod stages;
pub mod synth;
pub mod target;
pub mod track;
mod transposer;

use std::sync::Arc;

use super::bands::ENV_BANDS;
use super::content::{ContentEncoder, PHONES};
use super::gate::{Gate, GateRamp};
use super::profile::SourceProfile;
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, Mode, Prepared, clean_hop};
use crate::onnx::{GraphError, Runtime};
use crate::provenance::Mark;
use crate::voice::Voice;

use cast::{Cast, MarkLine};
use filter::FilterDesigner;
use hearing::Hearing;
use learning::Learning;
use mapping::{MapFrame, MapParams, Mapper, Side};
use memory::{Heard, MEMORY_HOPS, Memory};
use stage::Moment;
use stages::Stages;
use synth::Synth;
use target::Target;
use track::Pitch;
use transposer::Transposer;

/// The embedded engine. Allocates in [`NativeEngine::new`] and while learning is started or finished.
pub struct NativeEngine {
    hearing: Hearing,
    learning: Learning,
    cast: Cast,
    transposer: Transposer,
    gate: Gate,
    memory: Memory,
    mapper: Mapper,
    designer: FilterDesigner,
    synth: Synth,
    ramp: GateRamp,
    stages: Stages,
    marks: MarkLine,
}

impl NativeEngine {
    /// An engine without voices that renders with `profile`. Without a content encoder it converts register, colour and
    /// formants only.
    ///
    /// Starts to learn the singer when the profile is the population's.
    pub fn new(mode: Mode, content: Option<ContentEncoder>, profile: Arc<SourceProfile>) -> Self {
        // Without their graphs they delay: the latency is the same with and without a runtime.
        Self::with_stages(mode, content, profile, Stages::without_graphs(mode))
    }

    /// An engine with the graphs of this mode that ship inside the program.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses one of them.
    /// [worker-thread]
    pub fn open(runtime: &Runtime, mode: Mode, profile: Arc<SourceProfile>) -> Result<Self, GraphError> {
        let content = ContentEncoder::new(runtime, mode)?;
        Ok(Self::with_stages(mode, Some(content), profile, Stages::open(runtime, mode)?))
    }

    /// As [`NativeEngine::new`], with stages of the caller's.
    ///
    /// # Panics
    /// When a stage before the sound delays.
    pub fn with_stages(
        mode: Mode,
        content: Option<ContentEncoder>,
        profile: Arc<SourceProfile>,
        stages: Stages,
    ) -> Self {
        assert!(stages.shaping.iter().all(|stage| stage.delay_hops() == 0), "a stage before the sound delays");
        let hearing = Hearing::new(mode, content);
        let is_population = Arc::ptr_eq(&profile, &SourceProfile::population());
        let mapper = Mapper::new(mode, profile, hearing.content_space());
        let pitch_delay_len = hearing.delay_len();
        let latency_len = pitch_delay_len + mapper.lag_frames() * HOP_LEN;
        assert!(latency_len / HOP_LEN + 2 < MEMORY_HOPS);
        let mut engine = Self {
            hearing,
            learning: Learning::default(),
            cast: Cast::new(),
            transposer: Transposer::default(),
            gate: Gate::new(),
            memory: Memory::new(mapper.lag_frames()),
            mapper,
            designer: FilterDesigner::new(),
            synth: Synth::new(latency_len, pitch_delay_len, latency_len),
            ramp: GateRamp::default(),
            marks: MarkLine::new(stages.delay_hops()),
            stages,
        };
        if is_population {
            engine.start_learning();
        }
        engine
    }

    /// The profile that the engine renders with.
    pub fn profile(&self) -> &Arc<SourceProfile> {
        self.mapper.profile()
    }

    /// Renders with another profile from now on, with a crossfade. Learning is not affected.
    pub fn set_profile(&mut self, profile: Arc<SourceProfile>) {
        self.mapper.set_profile(profile);
    }

    /// Puts a voice into a slot, or empties it; one of another engine empties it too.
    pub fn set_voice(&mut self, slot: usize, voice: Option<Arc<Voice>>) {
        self.cast.put(slot, voice.as_ref().and_then(Target::of));
    }

    /// Begins to learn the singer of the input, beside the conversion: nothing changes until the result is put in with
    /// [`Self::set_profile`].
    pub fn start_learning(&mut self) {
        self.learning.start();
    }

    /// Ends learning without a result.
    pub fn stop_learning(&mut self) {
        self.learning.stop();
    }

    /// Hands out the learned profile once learning is complete, and ends it.
    pub fn take_learned(&mut self) -> Option<SourceProfile> {
        self.learning.take(self.hearing.content_space())
    }

    /// As [`Self::take_learned`], from whatever was heard; `None` below one second of voiced audio. For short files.
    pub fn take_learned_early(&mut self) -> Option<SourceProfile> {
        self.learning.take_early(self.hearing.content_space())
    }

    /// Probabilities of the phones of the sound so many hops before the end of the newest hop of the synthesiser; all 0
    /// where nothing is known.
    pub fn phones_heard(&self, hops: usize) -> &[f32; PHONES] {
        self.memory.phones(hops)
    }
}

impl Engine for NativeEngine {
    fn latency_len(&self) -> usize {
        self.synth.latency_len() + self.stages.delay_hops() * HOP_LEN
    }

    fn tail_len(&self) -> usize {
        self.synth.tail_len() + (self.stages.delay_hops() + self.stages.tail_hops()) * HOP_LEN
    }

    fn put(&mut self, slot: usize, voice: Option<Prepared>) {
        let target = match voice {
            Some(Prepared::Native(target)) => Some(target),
            _ => None,
        };
        self.cast.put(slot, target);
    }

    fn set_profile(&mut self, profile: Option<Arc<SourceProfile>>) {
        NativeEngine::set_profile(self, profile.unwrap_or_else(SourceProfile::population));
    }

    fn learn_profile(&mut self, is_on: bool) {
        if is_on {
            self.start_learning();
        } else {
            self.stop_learning();
        }
    }

    fn take_profile(&mut self) -> Option<SourceProfile> {
        self.take_learned()
    }

    fn trouble(&self) -> Option<EngineError> {
        self.hearing.failure().or_else(|| self.stages.failure()).cloned().map(EngineError::from)
    }

    fn mark(&self) -> Option<Mark> {
        self.marks.heard()
    }

    fn reset(&mut self) {
        self.hearing.reset();
        self.cast.reset();
        self.transposer.reset();
        self.gate = Gate::new();
        self.memory.reset();
        self.mapper.reset();
        self.synth.reset();
        self.ramp = GateRamp::default();
        self.stages.reset();
        self.marks.reset();
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        self.memory.begin(params);
        let clean = clean_hop(input);
        self.hearing.push(&clean);
        self.learning.push(&self.hearing, params.gate_db);

        // Pitch and level belong to the frame that was analysed now.
        let frame = self.hearing.frame();
        let params = self.memory.params_at(frame.centre);
        let transposition = self.transposer.next(&self.cast, self.mapper.profile(), &params, frame.f0_hz);
        let f0_hz = frame.f0_hz * transposition.ratio;
        let gate = self.gate.next(frame.rms, params.gate_db);
        self.memory.hear(Heard { phones: self.hearing.phones(), f0_hz, gate });
        self.synth.push_audio(&clean);
        self.synth.push_pitch(Pitch { f0_hz: frame.f0_hz, ratio: transposition.ratio });

        // Timbre belongs to the frame that leaves the mapper's window, which is the one that is heard now.
        let position = frame.centre - (self.mapper.lag_frames() * HOP_LEN) as i64;
        let heard = self.memory.params_at(position);
        let sides = self.cast.sides(self.mapper.heard_sides(), self.memory.params_since(position));
        let choice = self.cast.choose(&heard);
        // A voice that cannot be heard costs nothing, not even the fit to the singer.
        for (side, target) in [Side::A, Side::B].into_iter().zip(choice.voices) {
            if sides[side as usize] {
                self.mapper.set_voice(side, target);
            }
        }
        let content = self.hearing.content();
        let mut difference = [0.0; ENV_BANDS];
        self.mapper.push(
            &MapFrame { envelope: &frame.envelope, voicing: frame.voicing, content, sides },
            &MapParams { likeness: heard.likeness, formant_st: heard.formant_st, morph: choice.morph },
            &mut difference,
        );
        let moment = Moment {
            aim: self.mapper.aim(),
            likeness: heard.likeness,
            newest: frame,
            memory: &self.memory,
            behind_hops: 0,
        };
        self.stages.shape(&moment, &mut difference);
        self.designer.design(&difference, self.synth.push_response());
        self.synth.render(output);
        self.ramp.apply(self.memory.gate(0), output);
        self.marks.push(heard.is_marked.then_some(self.cast.mark()), self.memory.is_first());
        self.stages.finish(&moment, output);

        Ok(HopReport {
            f0_source_hz: frame.f0_hz,
            f0_output_hz: f0_hz,
            confidence: content.map_or(0.0, |content| content.confidence),
            profile_progress: self.learning.progress(),
            register_st: transposition.register_st,
        })
    }
}
