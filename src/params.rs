//! The parameters: stable ids, ranges, units, text both ways, and what else a session keeps. No behaviour.
//!
//! Ids and ranges never change once released: automation is stored in normalised values. Nothing is smoothed here; the
//! audio path ramps what needs it, so that it can delay the ramps with the audio.

mod base64;
mod text;

use std::sync::{Arc, RwLock};

use nice_plug::params::persist::PersistentField;
use nice_plug::plugin::ParamValue;
use nice_plug::prelude::{BoolParam, Enum, EnumParam, FloatParam, FloatRange, IntParam, IntRange, Params, PluginState};

use crate::audio::{Controls, Fallback};
use crate::bridge::{Session, VoiceRef};
use crate::engine::{HopParams, Mode, VOICE_SLOTS};

/// How much future the engine may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum LatencyMode {
    /// Least delay.
    #[id = "live"]
    Live,
    /// Better sound, more delay.
    #[id = "mix"]
    Mix,
}

/// What sounds while the converted signal is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum WhenLate {
    /// The input, delayed.
    #[id = "dry"]
    Dry,
    /// Nothing.
    #[id = "silence"]
    Silence,
}

/// Parameters and persistent fields of one instance.
#[derive(Params)]
pub struct CoffreParams {
    /// Voice slot, 1 to 16; its text is the name of the voice.
    #[id = "voice"]
    pub voice: IntParam,
    /// Transpose in semitones with cents.
    #[id = "transpose"]
    pub transpose: FloatParam,
    /// Whether the median F0 moves to the target's.
    #[id = "auto-register"]
    pub auto_register: BoolParam,
    /// Formant shift in semitones.
    #[id = "formant"]
    pub formant: FloatParam,
    /// How far towards the target, in percent.
    #[id = "likeness"]
    pub likeness: FloatParam,
    /// Slot of the second voice, 1 to 16; its text is the name of the voice.
    #[id = "voice-b"]
    pub voice_b: IntParam,
    /// How far from the voice to the second one, in percent.
    #[id = "morph"]
    pub morph: FloatParam,
    /// Share of the converted signal, in percent.
    #[id = "mix"]
    pub mix: FloatParam,
    /// Gain at the input, in dB.
    #[id = "input-gain"]
    pub input_gain: FloatParam,
    /// Gain after the mix, in dB.
    #[id = "output-gain"]
    pub output_gain: FloatParam,
    /// Input below this counts as silence, in dBFS; the lowest value is off.
    #[id = "gate"]
    pub gate: FloatParam,
    /// Live or mix.
    #[id = "latency-mode"]
    pub latency_mode: EnumParam<LatencyMode>,
    /// What sounds when the worker is late.
    #[id = "when-late"]
    pub when_late: EnumParam<WhenLate>,
    /// Whether the converted sound carries the watermark that says which voice made it.
    #[id = "watermark"]
    pub watermark: BoolParam,
    /// The input, delayed and untouched.
    #[id = "bypass"]
    pub bypass: BoolParam,

    /// Voices by slot.
    #[persist = "voices"]
    voices: SavedVoices,
    /// The learned source profile.
    #[persist = "source-profile"]
    profile: SavedProfile,
    /// Size of the editor's window in points. As saved, so of any value: the editor bounds it.
    #[persist = "editor-size"]
    pub editor_size: Arc<RwLock<(f32, f32)>>,
}

/// Slot of a parameter that counts from 1.
fn slot_of(param: &IntParam) -> usize {
    (param.value() - 1).clamp(0, VOICE_SLOTS as i32 - 1) as usize
}

impl CoffreParams {
    /// Parameters of an instance with this session, at their defaults; the editor opens with `editor_size` points.
    pub fn new(session: &Arc<Session>, editor_size: (f32, f32)) -> Self {
        let decibels = |name: &str| {
            FloatParam::new(name, 0.0, FloatRange::Linear { min: -24.0, max: 24.0 })
                .with_step_size(0.01)
                .with_unit(" dB")
                .with_value_to_string(text::signed(2))
                .with_string_to_value(text::number())
        };
        let semitones = |name: &str, range: f32| {
            FloatParam::new(name, 0.0, FloatRange::Linear { min: -range, max: range })
                .with_step_size(0.01)
                .with_unit(" st")
                .with_value_to_string(text::signed(2))
                .with_string_to_value(text::number())
        };
        let percent = |name: &str, default: f32| {
            FloatParam::new(name, default, FloatRange::Linear { min: 0.0, max: 100.0 })
                .with_step_size(0.1)
                .with_unit(" %")
                .with_value_to_string(text::unsigned(1))
                .with_string_to_value(text::number())
        };
        let slot = |name: &str, default: usize| {
            IntParam::new(name, default as i32 + 1, IntRange::Linear { min: 1, max: VOICE_SLOTS as i32 })
                .with_value_to_string(text::slot_name(session.clone()))
                .with_string_to_value(text::slot_number(session.clone()))
        };
        let defaults = HopParams::default();
        Self {
            voice: slot("Voice", defaults.voice_slot),
            transpose: semitones("Transpose", 24.0),
            auto_register: BoolParam::new("Auto-register", defaults.auto_register)
                .with_value_to_string(text::on_off())
                .with_string_to_value(text::is_on()),
            formant: semitones("Formant", 6.0),
            likeness: percent("Likeness", 100.0 * defaults.likeness),
            voice_b: slot("Voice B", defaults.voice_b_slot),
            morph: percent("Morph", 100.0 * defaults.morph),
            mix: percent("Mix", 100.0),
            input_gain: decibels("Input gain"),
            output_gain: decibels("Output gain"),
            gate: FloatParam::new("Gate", defaults.gate_db, FloatRange::Linear { min: GATE_OFF_DB, max: -20.0 })
                .with_step_size(0.1)
                .with_unit(" dB")
                .with_value_to_string(text::gate(GATE_OFF_DB))
                .with_string_to_value(text::gate_value(GATE_OFF_DB)),
            // A host that automates the latency would have to restart the plugin at every point.
            latency_mode: EnumParam::new("Latency mode", LatencyMode::Live).non_automatable(),
            when_late: EnumParam::new("When late", WhenLate::Dry).non_automatable(),
            // A mark that comes and goes within a song would say nothing about the song.
            watermark: BoolParam::new("Watermark", defaults.is_marked)
                .with_value_to_string(text::on_off())
                .with_string_to_value(text::is_on())
                .non_automatable(),
            bypass: BoolParam::new("Bypass", false)
                .with_value_to_string(text::on_off())
                .with_string_to_value(text::is_on())
                .make_bypass(),
            voices: SavedVoices(session.clone()),
            profile: SavedProfile(session.clone()),
            editor_size: Arc::new(RwLock::new(editor_size)),
        }
    }

    /// The mode that the parameter asks for; it takes effect at the next activation.
    pub fn mode(&self) -> Mode {
        match self.latency_mode.value() {
            LatencyMode::Live => Mode::Live,
            LatencyMode::Mix => Mode::Mix,
        }
    }

    /// The chosen slot, in `0..VOICE_SLOTS`. [audio-thread]
    pub fn voice_slot(&self) -> usize {
        slot_of(&self.voice)
    }

    /// The values of this moment for the audio path. Neither allocates nor locks. [audio-thread]
    pub fn controls(&self) -> Controls {
        Controls {
            hop: HopParams {
                voice_slot: self.voice_slot(),
                voice_b_slot: slot_of(&self.voice_b),
                morph: self.morph.value() / 100.0,
                transpose_st: self.transpose.value(),
                auto_register: self.auto_register.value(),
                formant_st: self.formant.value(),
                likeness: self.likeness.value() / 100.0,
                gate_db: self.gate.value(),
                is_marked: self.watermark.value(),
            },
            mix: self.mix.value() / 100.0,
            input_gain: gain_from_db(self.input_gain.value()),
            output_gain: gain_from_db(self.output_gain.value()),
            is_bypassed: self.bypass.value(),
            fallback: match self.when_late.value() {
                WhenLate::Dry => Fallback::Dry,
                WhenLate::Silence => Fallback::Silence,
            },
            obstacle: None,
        }
    }
}

/// Brings the values of a saved state into the ranges of their parameters: the framework would take them as they are.
/// Numbers that are none are left out, so that what is set stays.
pub fn bound(state: &mut PluginState) {
    state.params.retain(|_, value| !matches!(value, ParamValue::F32(value) if !value.is_finite()));
    let params = CoffreParams::new(&Arc::default(), (0.0, 0.0));
    for (id, param, _) in params.param_map() {
        // SAFETY: it points into `params`, which lives until the end of this function.
        let [low, high] = [0.0, 1.0].map(|normalised| unsafe { param.preview_plain(normalised) });
        match state.params.get_mut(&id) {
            Some(ParamValue::F32(value)) => *value = value.clamp(low, high),
            Some(ParamValue::I32(value)) => *value = (*value).clamp(low as i32, high as i32),
            _ => {}
        }
    }
}

/// The gate is off at this value, in dBFS.
const GATE_OFF_DB: f32 = -100.0;

/// Exactly 1.0 at 0 dB.
fn gain_from_db(db: f32) -> f32 {
    10.0f32.powf(db / 20.0)
}

/// The slots of a session as a saved field: name and content hash each, empty ones at the end left out.
struct SavedVoices(Arc<Session>);

impl PersistentField<'_, Vec<Option<VoiceRef>>> for SavedVoices {
    fn set(&self, voices: Vec<Option<VoiceRef>>) {
        self.0.set_slots(voices);
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&Vec<Option<VoiceRef>>) -> R,
    {
        let mut voices = self.0.slots().to_vec();
        while voices.last().is_some_and(Option::is_none) {
            voices.pop();
        }
        f(&voices)
    }
}

/// The source profile of a session as a saved field: its file form in base64, empty = none.
struct SavedProfile(Arc<Session>);

impl PersistentField<'_, String> for SavedProfile {
    fn set(&self, profile: String) {
        // What cannot be read is kept as it is: the loader names the trouble, and saving again loses nothing.
        self.0.set_profile(base64::decode(&profile).unwrap_or_else(|| profile.into_bytes()));
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&String) -> R,
    {
        f(&base64::encode(&self.0.profile()))
    }
}
