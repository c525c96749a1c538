//! The native engine: the source's own pitch-period grains, re-pitched and filtered towards the target voice.
//!
//! ```text
//! hop ─▶ analysis ─▶ F0 ──────────────▶ register ─▶ pitch ───┐
//!            │                                               ▼
//!            ├─▶ mel ─▶ content ─┐                    grain synthesiser ─▶ gate ─▶ refiner (mix mode) ─▶ hop
//!            └─▶ envelope ───────┴─▶ mapping ─▶ filter ──────┘
//!                                       └▶ corrector (live mode)
//! ```
//!
//! Runs on the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

pub mod bands;
pub mod correct;
pub mod envelope;
pub mod filter;
pub mod gate;
pub mod grains;
pub mod history;
pub mod leveller;
pub mod mapping;
pub mod marks;
pub mod refine;
pub mod register;
pub mod synth;
pub mod target;
pub mod track;

use std::sync::Arc;

use super::analysis::{Analyser, AnalysisFrame, content_look_ahead_frames};
use super::content::{ContentEncoder, ContentFrame, PHONES};
use super::profile::{LearnFrame, ProfileLearner, SourceProfile};
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, Mode, Prepared, RegisterMode, VOICE_SLOTS};
use crate::onnx::{GraphError, Runtime};
use crate::provenance::{EngineKind, Mark};
use crate::voice::{Voice, VoiceId};

use bands::ENV_BANDS;
use correct::{CorrectFrame, Corrector};
use filter::FilterDesigner;
use gate::Gate;
use mapping::{DIFFERENTIAL_LIKENESS, MapContent, MapFrame, MapParams, Mapper, Side, confidence_from_logp};
use refine::{DELAY_HOPS, HEARD_HOPS, RefineGraph, Refiner};
use register::{OctaveKeeper, Register, SungBand, distance_st, semitones_st};
use synth::Synth;
use target::Target;
use track::Pitch;

/// Hops whose parameters are remembered until their audio is heard; a power of two longer than the latency of mix mode.
const PARAM_HOPS: usize = 64;

/// Samples of the input beyond this are clipped: 18 dB over full scale, so that no sum can overflow.
const MAX_INPUT: f32 = 8.0;

/// Failures of the content graph in a row after which the engine stops asking it until the next reset.
const MAX_FAILURES: u32 = 3;

/// The watermark names the voice with the larger share of the sound. It switches to the other one only this far beyond the
/// middle, so that automation around the middle does not break it up.
const MARK_MARGIN: f32 = 0.05;

/// Shares of the refiner's gains at the likeness of the differential map and at full likeness. More would sound more like
/// the voice, but cost some words.
const REFINED: [f32; 2] = [0.6, 0.8];

/// The same for the corrector's gains, which are more cautious than the refiner's that they predict.
const CORRECTED: [f32; 2] = [0.75, 0.9];

/// Frames quieter than this are not learned from, and none below the gate: root mean square, -85 dBFS. What is quiet
/// beside the rest is left out by the learner.
const LEARN_RMS: f32 = 5.6e-5;

/// The embedded engine. Allocates in [`NativeEngine::new`] and while learning is started or finished.
pub struct NativeEngine {
    analyser: Analyser,
    content: Option<ContentEncoder>,
    /// Failures of the content graph since it last worked.
    failures: u32,
    last_failure: Option<GraphError>,
    /// Why the content graph is not asked at all.
    unfit: Option<GraphError>,
    mapper: Mapper,
    designer: FilterDesigner,
    synth: Synth,
    /// In mix mode.
    refiner: Option<Refiner>,
    /// In live mode.
    corrector: Option<Corrector>,
    register: Register,
    octaves: OctaveKeeper,
    gate: Gate,
    /// Probabilities of the phones in the newest frames, by hop.
    phones: Box<[[f32; PHONES]; PARAM_HOPS]>,
    /// Gain of the gate at the newest frames, by hop.
    gate_gains: [f32; PARAM_HOPS],
    /// Gain at the end of the last hop.
    gate_gain: f32,
    params: [HopParams; PARAM_HOPS],
    /// Hops since the last reset.
    hops: usize,
    voices: [Option<Target>; VOICE_SLOTS],
    learner: Option<ProfileLearner>,
    content_space: String,
    /// The voice that has most of the sound: which one, its id, its mark, and whether the sound is to carry it.
    leading: Side,
    marked_voice: Option<VoiceId>,
    mark: Mark,
    /// Marks of the newest hops that were synthesised, oldest first: that of the hop that comes out and of those that wait
    /// in the refiner.
    marks: [Option<Mark>; DELAY_HOPS + 1],
    frame: AnalysisFrame,
    content_frame: ContentFrame,
}

impl NativeEngine {
    /// An engine without voices that renders with `profile`. Without a content encoder it converts register, colour and
    /// formants only.
    ///
    /// Starts to learn the singer when the profile is the population's.
    pub fn new(mode: Mode, content: Option<ContentEncoder>, profile: Arc<SourceProfile>) -> Self {
        let look_ahead_frames = content.as_ref().map(ContentEncoder::look_ahead_frames);
        // The analysis waits for exactly these.
        let wanted_frames = content_look_ahead_frames(mode);
        let unfit = look_ahead_frames.filter(|frames| *frames != wanted_frames).map(|frames| {
            let reason = format!("it looks {frames} frames ahead, not {wanted_frames}");
            GraphError::Contract { graph: "content", reason }
        });
        let content = content.filter(|_| unfit.is_none());
        let content_space = content.as_ref().map(|content| content.space().to_owned()).unwrap_or_default();
        let analyser = Analyser::new(mode);
        let is_population = Arc::ptr_eq(&profile, &SourceProfile::population());
        let mapper = Mapper::new(mode, profile, &content_space);
        let pitch_delay_len = analyser.delay_len();
        let latency_len = pitch_delay_len + mapper.lag_frames() * HOP_LEN;
        assert!(latency_len / HOP_LEN + 2 < PARAM_HOPS);
        let mut engine = Self {
            analyser,
            content,
            failures: 0,
            last_failure: None,
            unfit,
            mapper,
            designer: FilterDesigner::new(),
            synth: Synth::new(latency_len, pitch_delay_len, latency_len),
            // Without its graph it delays: the latency is the same with and without a runtime.
            refiner: (mode == Mode::Mix).then(|| Refiner::new(None)),
            corrector: (mode == Mode::Live).then(|| Corrector::new(None)),
            register: Register::default(),
            octaves: OctaveKeeper::default(),
            gate: Gate::new(),
            phones: Box::new([[0.0; PHONES]; PARAM_HOPS]),
            gate_gains: [0.0; PARAM_HOPS],
            gate_gain: 0.0,
            params: [HopParams::default(); PARAM_HOPS],
            hops: 0,
            voices: Default::default(),
            learner: None,
            content_space,
            leading: Side::A,
            marked_voice: None,
            mark: Mark::new(EngineKind::Native, None),
            marks: [None; DELAY_HOPS + 1],
            frame: AnalysisFrame::default(),
            content_frame: ContentFrame::default(),
        };
        if is_population {
            engine.start_learning();
        }
        engine
    }

    /// An engine with the graphs of this mode that ship inside the program.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses one of them.
    /// [worker-thread]
    pub fn open(runtime: &Runtime, mode: Mode, profile: Arc<SourceProfile>) -> Result<Self, GraphError> {
        let mut engine = Self::new(mode, Some(ContentEncoder::new(runtime, mode)?), profile);
        if engine.refiner.is_some() {
            engine.refiner = Some(Refiner::new(Some(RefineGraph::shipped(runtime)?)));
        }
        if engine.corrector.is_some() {
            engine.corrector = Some(Corrector::new(Some(Corrector::shipped(runtime)?)));
        }
        Ok(engine)
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
        self.set_target(slot, voice.as_ref().and_then(Target::of));
    }

    fn set_target(&mut self, slot: usize, target: Option<Target>) {
        if let Some(place) = self.voices.get_mut(slot) {
            *place = target;
        }
    }

    /// Begins to learn the singer of the input, beside the conversion: nothing changes until the result is put in with
    /// [`Self::set_profile`].
    pub fn start_learning(&mut self) {
        // Quiet frames are left out by their level, see `LEARN_RMS`.
        self.learner = Some(ProfileLearner::new(f32::MIN));
    }

    /// Ends learning without a result.
    pub fn stop_learning(&mut self) {
        self.learner = None;
    }

    /// Hands out the learned profile once learning is complete, and ends it.
    pub fn take_learned(&mut self) -> Option<SourceProfile> {
        let learned = self.learner.as_ref()?.finish(&self.content_space)?;
        self.learner = None;
        Some(learned)
    }

    /// As [`Self::take_learned`], from whatever was heard; `None` below one second of voiced audio. For short files.
    pub fn take_learned_early(&mut self) -> Option<SourceProfile> {
        let learned = self.learner.as_ref()?.finish_early(&self.content_space)?;
        self.learner = None;
        Some(learned)
    }

    /// Why the last call of the content graph failed or why it is never called; `None` while it works or where there is
    /// none.
    pub fn content_failure(&self) -> Option<&GraphError> {
        self.last_failure.as_ref().or(self.unfit.as_ref())
    }

    /// Parameters of the audio at an absolute sample position.
    fn params_at(&self, position: i64) -> HopParams {
        let newest = self.hops as i64 - 1;
        let hop = position.div_euclid(HOP_LEN as i64).clamp((newest - PARAM_HOPS as i64 + 1).max(0), newest.max(0));
        self.params[hop as usize % PARAM_HOPS]
    }

    /// Runs the content graph on the newest frame. Returns the trust in its answer, or `None` without one.
    fn step_content(&mut self) -> Option<f32> {
        let content = self.content.as_mut()?;
        if self.failures >= MAX_FAILURES {
            return None;
        }
        match content.step(&self.frame.mel, &mut self.content_frame) {
            Ok(()) => {
                self.failures = 0;
                self.last_failure = None;
                Some(confidence_from_logp(&self.content_frame.logp))
            }
            Err(error) => {
                self.failures += 1;
                self.last_failure = Some(error);
                None
            }
        }
    }

    fn learn(&mut self, has_key: bool, gate_db: f32) {
        let Some(learner) = &mut self.learner else { return };
        let gate = 10.0_f32.powf(gate_db.clamp(-100.0, 0.0) / 20.0);
        if self.frame.rms >= gate.max(LEARN_RMS) {
            learner.push(&LearnFrame {
                f0_hz: self.frame.f0_hz,
                loudness: self.frame.loudness,
                envelope: &self.frame.envelope,
                key: has_key.then_some(&self.content_frame.key),
            });
        }
    }

    fn voice(&self, slot: usize) -> Option<&Target> {
        self.voices[slot.min(VOICE_SLOTS - 1)].as_ref()
    }

    /// The second voice and how far the way to it is gone; `None` where there is no such way.
    fn morph(&self, params: &HopParams) -> Option<(&Target, f32)> {
        if params.morph.is_nan() || params.morph <= 0.0 {
            return None;
        }
        let b = self.voice(params.voice_b_slot)?;
        let is_other = self.voice(params.voice_slot).is_none_or(|a| a.id() != b.id());
        is_other.then_some((b, params.morph.min(1.0)))
    }

    /// Whether voice A and voice B can be heard while the newest frame counts: from the frame at `position`, which is
    /// heard now, to the newest parameters.
    fn sides(&self, position: i64) -> [bool; 2] {
        let mut sides = self.mapper.heard_sides();
        let newest = self.hops as i64 - 1;
        let oldest = position.div_euclid(HOP_LEN as i64).clamp((newest - PARAM_HOPS as i64 + 1).max(0), newest);
        for hop in oldest..=newest {
            let morph = self.morph(&self.params[hop as usize % PARAM_HOPS]).map_or(0.0, |(_, morph)| morph);
            sides = [sides[0] || morph < 1.0, sides[1] || morph > 0.0];
        }
        sides
    }

    /// Semitones by which the register moves at the given parameters, transpose left out. `f0_hz` is the source's.
    fn register_st(&mut self, params: &HopParams, f0_hz: f32) -> f32 {
        let source_hz = self.profile().median_f0_hz;
        let a = self.voice(params.voice_slot);
        let b = self.morph(params);
        let distance = |target: &Target| distance_st(source_hz, target.voice().median_f0_hz());
        let band = |target: &Target| SungBand::new(distance(target), target.voice().manifest().is_sung());
        match params.register {
            RegisterMode::Off => 0.0,
            // Whole ones between two voices too.
            RegisterMode::Semitones => semitones_st(match b {
                None => a.map_or(0.0, distance),
                Some((b, morph)) if morph >= 1.0 => distance(b),
                Some((b, morph)) => {
                    let a_st = a.map_or(0.0, distance);
                    a_st + morph * (distance(b) - a_st)
                }
            }),
            RegisterMode::Octaves => {
                let from = a.map_or(SungBand::OWN, band);
                let band = b.map_or(from, |(b, morph)| from.towards(band(b), morph));
                let choice = [params.voice_slot, params.voice_b_slot].map(|slot| self.voice(slot).map(Target::id));
                // Nothing is known of a singer who was not learned: the song stays where it is.
                let is_known = !Arc::ptr_eq(self.profile(), &SourceProfile::population());
                self.octaves.next(choice, is_known.then_some(band), f0_hz)
            }
        }
    }

    /// Puts the voices of the frame that is heard now into the mapper, and takes the mark of the leading one. Returns how
    /// far from voice A to voice B.
    fn choose_voices(&mut self, heard: &HopParams, sides: [bool; 2]) -> f32 {
        let a = self.voice(heard.voice_slot).cloned();
        let (b, morph) = match self.morph(heard) {
            Some((b, morph)) => (Some(b.clone()), morph),
            // At its beginning the way is there too, unless it leads nowhere.
            None => {
                let b = self.voice(heard.voice_b_slot).filter(|b| a.as_ref().is_none_or(|a| a.id() != b.id()));
                (b.cloned(), 0.0)
            }
        };
        let middle = match self.leading {
            Side::A => 0.5 + MARK_MARGIN,
            Side::B => 0.5 - MARK_MARGIN,
        };
        self.leading = if b.is_some() && morph > middle { Side::B } else { Side::A };
        let leading = if self.leading == Side::B { &b } else { &a };
        let id = leading.as_ref().map(Target::id);
        if id != self.marked_voice {
            self.mark = Mark::new(EngineKind::Native, leading.as_ref().map(|target| &**target.voice()));
            self.marked_voice = id;
        }
        // A voice that cannot be heard costs nothing, not even the fit to the singer.
        if sides[Side::A as usize] {
            self.mapper.set_voice(Side::A, a);
        }
        if sides[Side::B as usize] {
            self.mapper.set_voice(Side::B, b);
        }
        morph
    }

    /// Delay of the refiner in samples.
    fn refiner_len(&self) -> usize {
        if self.refiner.is_some() { DELAY_HOPS * HOP_LEN } else { 0 }
    }

    /// Probabilities of the phones of the sound so many hops before the end of the newest hop of the synthesiser; all 0
    /// where nothing is known.
    pub fn phones_heard(&self, hops: usize) -> &[f32; PHONES] {
        let age = self.mapper.lag_frames() + hops;
        &self.phones[self.hops.saturating_sub(age) % PARAM_HOPS]
    }

    /// Takes back what the conversion left in the newest hop, and keeps its mark until it is heard.
    fn refine(&mut self, likeness: f32, is_marked: bool, output: &mut [f32]) {
        let mark = is_marked.then_some(self.mark);
        if self.hops == 1 {
            // Nothing waits yet.
            self.marks = [mark; DELAY_HOPS + 1];
        }
        self.marks.rotate_left(1);
        self.marks[DELAY_HOPS] = mark;
        let phones = *self.phones_heard(HEARD_HOPS);
        let Some(refiner) = &mut self.refiner else { return };
        let aim = self.mapper.aim();
        refiner.process(output, &aim, &phones, aim.share * share(REFINED, likeness));
    }

    /// Corrects what the map says of the newest frame, which is the one that is heard now. The loudness stays.
    fn correct(&mut self, likeness: f32, f0_hz: f32, difference: &mut [f32; ENV_BANDS]) {
        let phones = *self.phones_heard(0);
        let Some(corrector) = &mut self.corrector else { return };
        let AnalysisFrame { envelope, voicing, mel, .. } = &self.frame;
        let aim = self.mapper.aim();
        let frame = CorrectFrame { envelope, voicing: *voicing, f0_hz, phones: &phones, ahead: mel };
        if corrector.correct(&frame, &aim, aim.share * share(CORRECTED, likeness), difference) {
            self.mapper.keep_loudness(envelope, difference);
        }
    }

    /// What the corrector made of the newest frame; `None` in mix mode.
    pub fn corrector(&self) -> Option<&Corrector> {
        self.corrector.as_ref()
    }

    fn progress(&self) -> f32 {
        match &self.learner {
            Some(learner) => learner.progress(),
            None => 1.0,
        }
    }
}

impl Engine for NativeEngine {
    fn latency_len(&self) -> usize {
        self.synth.latency_len() + self.refiner_len()
    }

    fn tail_len(&self) -> usize {
        // What is refined rings for a frame at most.
        self.synth.tail_len() + 2 * self.refiner_len()
    }

    fn put(&mut self, slot: usize, voice: Option<Prepared>) {
        self.set_target(
            slot,
            match voice {
                Some(Prepared::Native(target)) => Some(target),
                _ => None,
            },
        );
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
        let refiner_failure = self.refiner.as_ref().and_then(Refiner::failure);
        let corrector_failure = self.corrector.as_ref().and_then(Corrector::failure);
        self.content_failure().or(refiner_failure).or(corrector_failure).cloned().map(EngineError::from)
    }

    fn mark(&self) -> Option<Mark> {
        let waiting = if self.refiner.is_some() { DELAY_HOPS } else { 0 };
        self.marks[DELAY_HOPS - waiting]
    }

    fn reset(&mut self) {
        self.marks = [None; DELAY_HOPS + 1];
        self.leading = Side::A;
        self.analyser.reset();
        if let Some(content) = &mut self.content {
            content.reset();
        }
        self.failures = 0;
        self.last_failure = None;
        self.mapper.reset();
        self.synth.reset();
        if let Some(refiner) = &mut self.refiner {
            refiner.reset();
        }
        if let Some(corrector) = &mut self.corrector {
            corrector.reset();
        }
        self.register.reset();
        self.octaves.reset();
        self.gate = Gate::new();
        self.phones.fill([0.0; PHONES]);
        self.gate_gains = [0.0; PARAM_HOPS];
        self.gate_gain = 0.0;
        self.hops = 0;
        self.content_frame = ContentFrame::default();
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        self.params[self.hops % PARAM_HOPS] = *params;
        self.hops += 1;
        let mut clean = [0.0; HOP_LEN];
        for (clean, sample) in clean.iter_mut().zip(input) {
            *clean = if sample.is_finite() { sample.clamp(-MAX_INPUT, MAX_INPUT) } else { 0.0 };
        }

        self.analyser.push(&clean, &mut self.frame);
        let confidence = self.step_content();
        self.learn(confidence.is_some(), params.gate_db);
        self.phones[self.hops % PARAM_HOPS] = match confidence {
            Some(_) => self.content_frame.logp.map(f32::exp),
            None => [0.0; PHONES],
        };

        // Pitch and level belong to the frame that was analysed now.
        let params = self.params_at(self.frame.centre);
        let register_st = self.register_st(&params, self.frame.f0_hz);
        let ratio = self.register.next(self.frame.f0_hz, register_st + params.transpose_st);
        self.gate_gains[self.hops % PARAM_HOPS] = self.gate.next(self.frame.rms, params.gate_db);
        self.synth.push_audio(&clean);
        self.synth.push_pitch(Pitch { f0_hz: self.frame.f0_hz, ratio });

        // Timbre belongs to the frame that leaves the mapper's window, which is the one that is heard now.
        let lag = self.mapper.lag_frames();
        let heard = self.params_at(self.frame.centre - (lag * HOP_LEN) as i64);
        let sides = self.sides(self.frame.centre - (lag * HOP_LEN) as i64);
        let morph = self.choose_voices(&heard, sides);
        let content = confidence.map(|confidence| MapContent { key: &self.content_frame.key, confidence });
        let mut difference = [0.0; ENV_BANDS];
        self.mapper.push(
            &MapFrame { envelope: &self.frame.envelope, voicing: self.frame.voicing, content, sides },
            &MapParams { likeness: heard.likeness, formant_st: heard.formant_st, morph },
            &mut difference,
        );
        self.correct(heard.likeness, self.frame.f0_hz * ratio, &mut difference);
        self.designer.design(&difference, self.synth.push_response());
        self.synth.render(output);

        let gain = if self.hops > lag { self.gate_gains[(self.hops - lag) % PARAM_HOPS] } else { 0.0 };
        let step = (gain - self.gate_gain) / HOP_LEN as f32;
        for (n, sample) in output.iter_mut().enumerate() {
            let gain = self.gate_gain + step * (n + 1) as f32;
            *sample = if sample.is_finite() { *sample * gain } else { 0.0 };
        }
        self.gate_gain = gain;
        self.refine(heard.likeness, heard.is_marked, output);

        Ok(HopReport {
            f0_source_hz: self.frame.f0_hz,
            f0_output_hz: self.frame.f0_hz * ratio,
            confidence: confidence.unwrap_or(0.0),
            profile_progress: self.progress(),
            register_st,
        })
    }
}

/// How much acts of gains that have these shares. Where the banks are asked less, there is less to take back.
fn share([default, full]: [f32; 2], likeness: f32) -> f32 {
    let likeness = if likeness.is_finite() { likeness.clamp(0.0, 1.0) } else { 0.0 };
    let beyond = ((likeness - DIFFERENTIAL_LIKENESS) / (1.0 - DIFFERENTIAL_LIKENESS)).max(0.0);
    default * (likeness / DIFFERENTIAL_LIKENESS).min(1.0) + (full - default) * beyond
}
