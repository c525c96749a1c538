//! The table of parameters as the framework's, with text both ways, and what else a session keeps. No behaviour.
//!
//! Nothing is smoothed here; the audio path ramps what needs it, so that it can delay the ramps with the audio.

mod text;

use std::sync::{Arc, RwLock};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use nice_plug::params::persist::PersistentField;
use nice_plug::plugin::ParamValue;
use nice_plug::prelude::{BoolParam, Enum, EnumParam, FloatParam, FloatRange, IntParam, IntRange, Params, PluginState};

use crate::audio::{Controls, Fallback};
use crate::bridge::{Session, VoiceRef};
use crate::engine::{HopParams, Mode, RegisterMode, VOICE_SLOTS};
use crate::parameter::{Domain, Number, Parameter};

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

/// How the singer's register moves to the voice's: [`RegisterMode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Register {
    /// By whole octaves.
    #[id = "octaves"]
    Octaves,
    /// By whole semitones.
    #[id = "semitones"]
    Semitones,
    /// Not at all.
    #[id = "off"]
    Off,
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
    /// How the singer's register moves to the target's.
    #[id = "register"]
    pub register: EnumParam<Register>,
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

/// A number of the table as the framework's parameter.
fn number(parameter: Parameter) -> FloatParam {
    let spec = parameter.spec();
    let Domain::Number(number) = spec.domain else { unreachable!("{} is no number", spec.id) };
    let range = FloatRange::Linear { min: number.low, max: number.high };
    let param = FloatParam::new(spec.name, number.default, range).with_step_size(number.step).with_unit(number.unit);
    let (to_text, to_value) = match number {
        Number { is_off_at_lowest: true, low, .. } => (text::gate(low), text::gate_value(low)),
        Number { is_signed: true, digits, .. } => (text::signed(digits), text::number()),
        Number { digits, .. } => (text::unsigned(digits), text::number()),
    };
    param.with_value_to_string(to_text).with_string_to_value(to_value)
}

/// A slot of the table.
fn slot(parameter: Parameter, session: &Arc<Session>) -> IntParam {
    let spec = parameter.spec();
    let Domain::Slot { default } = spec.domain else { unreachable!("{} is no slot", spec.id) };
    IntParam::new(spec.name, default as i32 + 1, IntRange::Linear { min: 1, max: VOICE_SLOTS as i32 })
        .with_value_to_string(text::slot_name(session.clone()))
        .with_string_to_value(text::slot_number(session.clone()))
}

/// A choice of the table; the first word is a new instance's.
fn choice<T: Enum + PartialEq + 'static>(parameter: Parameter) -> EnumParam<T> {
    let spec = parameter.spec();
    let param = EnumParam::new(spec.name, T::from_index(0));
    if spec.is_automatable { param } else { param.non_automatable() }
}

/// A switch of the table.
fn switch(parameter: Parameter) -> BoolParam {
    let spec = parameter.spec();
    let Domain::Switch { default } = spec.domain else { unreachable!("{} is no switch", spec.id) };
    let param =
        BoolParam::new(spec.name, default).with_value_to_string(text::on_off()).with_string_to_value(text::is_on());
    if spec.is_automatable { param } else { param.non_automatable() }
}

/// Slot of a parameter that counts from 1.
fn slot_of(param: &IntParam) -> usize {
    (param.value() - 1).clamp(0, VOICE_SLOTS as i32 - 1) as usize
}

impl CoffreParams {
    /// Parameters of an instance with this session, at their defaults; the editor opens with `editor_size` points.
    pub fn new(session: &Arc<Session>, editor_size: (f32, f32)) -> Self {
        let slot = |parameter| slot(parameter, session);
        Self {
            voice: slot(Parameter::Voice),
            transpose: number(Parameter::Transpose),
            register: choice(Parameter::Register),
            formant: number(Parameter::Formant),
            likeness: number(Parameter::Likeness),
            voice_b: slot(Parameter::VoiceB),
            morph: number(Parameter::Morph),
            mix: number(Parameter::Mix),
            input_gain: number(Parameter::InputGain),
            output_gain: number(Parameter::OutputGain),
            gate: number(Parameter::Gate),
            latency_mode: choice(Parameter::LatencyMode),
            when_late: choice(Parameter::WhenLate),
            watermark: switch(Parameter::Watermark),
            bypass: switch(Parameter::Bypass).make_bypass(),
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
                register: match self.register.value() {
                    Register::Octaves => RegisterMode::Octaves,
                    Register::Semitones => RegisterMode::Semitones,
                    Register::Off => RegisterMode::Off,
                },
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
    keep_old_register(state);
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

/// What a state says of the register before it could move by octaves: a switch, whose "on" were semitones.
const OLD_REGISTER: &str = "auto-register";

/// Lets a state from before octaves sound as it was saved.
fn keep_old_register(state: &mut PluginState) {
    let Some(ParamValue::Bool(was_on)) = state.params.remove(OLD_REGISTER) else { return };
    let id = if was_on { "semitones" } else { "off" };
    state.params.entry("register".to_owned()).or_insert_with(|| ParamValue::String(id.to_owned()));
}

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
        self.0.set_profile(BASE64_STANDARD.decode(&profile).unwrap_or_else(|_| profile.into_bytes()));
    }

    fn map<F, R>(&self, f: F) -> R
    where
        F: Fn(&String) -> R,
    {
        f(&BASE64_STANDARD.encode(self.0.profile()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter;

    #[test]
    fn the_frameworks_parameters_are_those_of_the_table() {
        let params = CoffreParams::new(&Arc::default(), (0.0, 0.0));
        let map = params.param_map();
        assert_eq!(map.len(), Parameter::ALL.len());
        for parameter in Parameter::ALL {
            let spec = parameter.spec();
            let (_, param, _) = map.iter().find(|(id, ..)| id == spec.id).expect("it is there");
            // SAFETY: it points into `params`, which lives until the end of this function.
            let (name, default, steps, plain) = unsafe {
                (param.name().to_owned(), param.default_plain_value(), param.step_count(), |v| param.preview_plain(v))
            };
            assert_eq!(name, spec.name);
            match spec.domain {
                Domain::Number(number) => {
                    assert_eq!([plain(0.0), plain(1.0), default], [number.low, number.high, number.default], "{name}");
                }
                Domain::Slot { default: slot } => assert_eq!((default, steps), (slot as f32 + 1.0, Some(15)), "{name}"),
                Domain::Choice(words) => assert_eq!((default, steps), (0.0, Some(words.len() - 1)), "{name}"),
                Domain::Switch { default: is_on } => assert_eq!(default, f32::from(u8::from(is_on)), "{name}"),
            }
        }
        assert_eq!(params.controls().hop, HopParams::default());
    }

    #[test]
    fn the_words_of_a_choice_are_those_of_the_table() {
        fn words<T: Enum + 'static>() -> Vec<(&'static str, &'static str)> {
            T::ids().into_iter().flatten().copied().zip(T::variants().iter().copied()).collect()
        }
        assert_eq!(words::<Register>(), parameter::REGISTERS);
        assert_eq!(words::<LatencyMode>(), parameter::LATENCY_MODES);
        assert_eq!(words::<WhenLate>(), parameter::WHEN_LATE);
    }
}
