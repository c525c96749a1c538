//! The native engine: the source's own pitch-period grains, re-pitched and filtered towards the target voice.
//!
//! ```text
//! hop ─▶ analysis ─▶ F0 ──────────────▶ register ─▶ pitch ───┐
//!            │                                               ▼
//!            ├─▶ mel ─▶ content ─┐                    grain synthesiser ─▶ gate ─▶ hop
//!            └─▶ envelope ───────┴─▶ mapping ─▶ filter ──────┘
//! ```
//!
//! Runs on the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

pub mod bands;
pub mod envelope;
pub mod filter;
pub mod gate;
pub mod grains;
pub mod history;
pub mod leveller;
pub mod mapping;
pub mod marks;
pub mod register;
pub mod synth;
pub mod track;

use std::sync::Arc;

use super::analysis::{Analyser, AnalysisFrame};
use super::content::{ContentEncoder, ContentFrame};
use super::profile::{LearnFrame, ProfileLearner, SourceProfile};
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, Mode, VOICE_SLOTS};
use crate::onnx::GraphError;
use crate::provenance::{EngineKind, Mark};
use crate::voice::{Voice, VoiceId};

use bands::ENV_BANDS;
use filter::FilterDesigner;
use gate::Gate;
use mapping::{MapContent, MapFrame, MapParams, Mapper, confidence_from_logp};
use register::{Register, register_st};
use synth::Synth;
use track::Pitch;

/// Hops whose parameters are remembered until their audio is heard; a power of two longer than the latency of mix mode.
const PARAM_HOPS: usize = 64;

/// Samples of the input beyond this are clipped: 18 dB over full scale, so that no sum can overflow.
const MAX_INPUT: f32 = 8.0;

/// Failures of the content graph in a row after which the engine stops asking it until the next reset.
const MAX_FAILURES: u32 = 3;

/// Frames by which the content graph's answer is late; the analysis waits for exactly these.
const CONTENT_LOOK_AHEAD_FRAMES: usize = 2;

/// Frames quieter than this are not learned from: root mean square, -50 dBFS.
const LEARN_RMS: f32 = 3.2e-3;

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
    register: Register,
    gate: Gate,
    /// Gain of the gate at the newest frames, by hop.
    gate_gains: [f32; PARAM_HOPS],
    /// Gain at the end of the last hop.
    gate_gain: f32,
    params: [HopParams; PARAM_HOPS],
    /// Hops since the last reset.
    hops: usize,
    voices: [Option<Arc<Voice>>; VOICE_SLOTS],
    learner: Option<ProfileLearner>,
    content_space: String,
    /// The voice that was heard last, its mark, and whether the sound is to carry it.
    heard_voice: Option<VoiceId>,
    mark: Mark,
    is_marked: bool,
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
        let unfit = look_ahead_frames.filter(|frames| *frames != CONTENT_LOOK_AHEAD_FRAMES).map(|frames| {
            let reason = format!("it looks {frames} frames ahead, not {CONTENT_LOOK_AHEAD_FRAMES}");
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
            register: Register::default(),
            gate: Gate::new(),
            gate_gains: [0.0; PARAM_HOPS],
            gate_gain: 0.0,
            params: [HopParams::default(); PARAM_HOPS],
            hops: 0,
            voices: Default::default(),
            learner: None,
            content_space,
            heard_voice: None,
            mark: Mark::new(EngineKind::Native, None),
            is_marked: false,
            frame: AnalysisFrame::default(),
            content_frame: ContentFrame::default(),
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

    /// Renders with another profile from now on, with a crossfade. Learning goes on as it was.
    pub fn set_profile(&mut self, profile: Arc<SourceProfile>) {
        self.mapper.set_profile(profile);
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

    fn learn(&mut self, has_key: bool) {
        let Some(learner) = &mut self.learner else { return };
        if self.frame.rms >= LEARN_RMS {
            learner.push(&LearnFrame {
                f0_hz: self.frame.f0_hz,
                loudness: self.frame.loudness,
                envelope: &self.frame.envelope,
                key: has_key.then_some(&self.content_frame.key),
            });
        }
    }

    /// Semitones from source to output for the given parameters.
    fn shift_st(&self, params: &HopParams) -> f32 {
        let register = match &self.voices[params.voice_slot.min(VOICE_SLOTS - 1)] {
            Some(voice) if params.auto_register => register_st(self.profile().median_f0_hz, voice.median_f0_hz()),
            _ => 0.0,
        };
        register + params.transpose_st
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
        self.synth.latency_len()
    }

    fn tail_len(&self) -> usize {
        self.synth.tail_len()
    }

    fn set_voice(&mut self, slot: usize, voice: Option<Arc<Voice>>) {
        if let Some(place) = self.voices.get_mut(slot) {
            *place = voice;
        }
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
        self.content_failure().cloned().map(EngineError::from)
    }

    fn mark(&self) -> Option<Mark> {
        self.is_marked.then_some(self.mark)
    }

    fn reset(&mut self) {
        self.is_marked = false;
        self.analyser.reset();
        if let Some(content) = &mut self.content {
            content.reset();
        }
        self.failures = 0;
        self.last_failure = None;
        self.mapper.reset();
        self.synth.reset();
        self.register.reset();
        self.gate = Gate::new();
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
        self.learn(confidence.is_some());

        // Pitch and level belong to the frame that was analysed now.
        let params = self.params_at(self.frame.centre);
        let ratio = self.register.next(self.frame.f0_hz, self.shift_st(&params));
        self.gate_gains[self.hops % PARAM_HOPS] = self.gate.next(self.frame.rms, params.gate_db);
        self.synth.push_audio(&clean);
        self.synth.push_pitch(Pitch { f0_hz: self.frame.f0_hz, ratio });

        // Timbre belongs to the frame that leaves the mapper's window, which is the one that is heard now.
        let lag = self.mapper.lag_frames();
        let heard = self.params_at(self.frame.centre - (lag * HOP_LEN) as i64);
        let voice = self.voices[heard.voice_slot.min(VOICE_SLOTS - 1)].clone();
        let heard_voice = voice.as_ref().map(|voice| voice.id());
        if heard_voice != self.heard_voice {
            self.mark = Mark::new(EngineKind::Native, voice.as_deref());
            self.heard_voice = heard_voice;
        }
        self.is_marked = heard.is_marked;
        self.mapper.set_voice(voice);
        let content = confidence.map(|confidence| MapContent { key: &self.content_frame.key, confidence });
        let mut difference = [0.0; ENV_BANDS];
        self.mapper.push(
            &MapFrame { envelope: &self.frame.envelope, voicing: self.frame.voicing, content },
            &MapParams { likeness: heard.likeness, formant_st: heard.formant_st },
            &mut difference,
        );
        self.designer.design(&difference, self.synth.push_response());
        self.synth.render(output);

        let gain = if self.hops > lag { self.gate_gains[(self.hops - lag) % PARAM_HOPS] } else { 0.0 };
        let step = (gain - self.gate_gain) / HOP_LEN as f32;
        for (n, sample) in output.iter_mut().enumerate() {
            let gain = self.gate_gain + step * (n + 1) as f32;
            *sample = if sample.is_finite() { *sample * gain } else { 0.0 };
        }
        self.gate_gain = gain;

        Ok(HopReport {
            f0_source_hz: self.frame.f0_hz,
            f0_output_hz: self.frame.f0_hz * ratio,
            confidence: confidence.unwrap_or(0.0),
            profile_progress: self.progress(),
        })
    }
}
