//! The table of parameters: for each its id, names, range, default, unit, steps and words. The plugin's parameters, the
//! editor and the command's options are made from it.
//!
//! Data only; any thread may read it. Knows no framework, no window and no engine. Ids and ranges never change once they
//! were released: hosts keep automation in normalised values.

/// A parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    /// Voice slot that sounds.
    Voice,
    /// Transpose in semitones.
    Transpose,
    /// How the register moves: by octaves, by semitones, not at all.
    Register,
    /// Formant shift in semitones.
    Formant,
    /// How far towards the target.
    Likeness,
    /// Voice slot that the morph leads to.
    VoiceB,
    /// How far from the voice to the second one.
    Morph,
    /// Share of the converted signal.
    Mix,
    /// Gain before the conversion.
    InputGain,
    /// Gain after the mix.
    OutputGain,
    /// Level below which the input counts as silence.
    Gate,
    /// Live or mix.
    LatencyMode,
    /// What sounds when a hop is late.
    WhenLate,
    /// Watermark on or off.
    Watermark,
    /// Bypass on or off.
    Bypass,
}

/// What is known about one parameter.
#[derive(Debug)]
pub struct Spec {
    /// Its id in saved states and for hosts.
    pub id: &'static str,
    /// Its name for hosts, the editor and screen readers.
    pub name: &'static str,
    /// A shorter name where the place already says the rest.
    pub short_name: &'static str,
    /// What it does, in a singer's words.
    pub explanation: &'static str,
    /// The values that it takes.
    pub domain: Domain,
    /// Whether hosts may automate it.
    pub is_automatable: bool,
}

/// The values of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Domain {
    /// A voice slot, from 0; shown from 1.
    Slot {
        /// The slot of a new instance.
        default: usize,
    },
    /// A number.
    Number(Number),
    /// One of some words, in this order: id in saved states and on the command line, and name.
    Choice(&'static [(&'static str, &'static str)]),
    /// On or off.
    Switch {
        /// Of a new instance.
        default: bool,
    },
}

/// The values of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// Lowest value.
    pub low: f32,
    /// Highest value.
    pub high: f32,
    /// Value of a new instance.
    pub default: f32,
    /// Distance of two values.
    pub step: f32,
    /// Unit, as it is written behind the value, with the space between them.
    pub unit: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// Whether positive values have a sign, and the knob's arc starts at the default.
    pub is_signed: bool,
    /// Whether the lowest value is called "off".
    pub is_off_at_lowest: bool,
    /// Change for one arrow key or one notch of the wheel, and the fine one with shift.
    pub nudges: [f32; 2],
}

impl Number {
    /// As a share of the range, in `0.0..=1.0`.
    pub fn normalized(&self, value: f32) -> f32 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    /// Whether a value may be set.
    pub fn contains(&self, value: f32) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

const SEMITONES: Number = Number {
    low: -24.0,
    high: 24.0,
    default: 0.0,
    step: 0.01,
    unit: " st",
    digits: 2,
    is_signed: true,
    is_off_at_lowest: false,
    nudges: [1.0, 0.1],
};

const PERCENT: Number = Number {
    low: 0.0,
    high: 100.0,
    default: 0.0,
    step: 0.1,
    unit: " %",
    digits: 1,
    is_signed: false,
    is_off_at_lowest: false,
    nudges: [1.0, 0.2],
};

const DECIBELS: Number = Number {
    low: -24.0,
    high: 24.0,
    default: 0.0,
    step: 0.01,
    unit: " dB",
    digits: 2,
    is_signed: true,
    is_off_at_lowest: false,
    nudges: [0.5, 0.1],
};

/// Transpose.
pub const TRANSPOSE: Number = SEMITONES;
/// Formant shift.
pub const FORMANT: Number = Number { low: -6.0, high: 6.0, nudges: [0.5, 0.1], ..SEMITONES };
/// Likeness.
pub const LIKENESS: Number = Number { default: 60.0, ..PERCENT };
/// Morph.
pub const MORPH: Number = PERCENT;
/// Mix.
pub const MIX: Number = Number { default: 100.0, ..PERCENT };
/// Input and output gain.
pub const GAIN: Number = DECIBELS;
/// Gate.
pub const GATE: Number = Number {
    low: -100.0,
    high: -20.0,
    default: -60.0,
    step: 0.1,
    digits: 1,
    is_signed: false,
    is_off_at_lowest: true,
    nudges: [0.8, 0.16],
    ..DECIBELS
};

/// How much of what is retrieved unvoiced sounds of RVC voices keep; the command's alone so far.
pub const PROTECT: Number = Number { high: 50.0, default: 33.0, ..PERCENT };
/// Share of an RVC voice's own loudness; the command's alone so far.
pub const OWN_LEVEL: Number = Number { default: 25.0, ..PERCENT };

/// Words of the register, in the order of [`crate::engine::RegisterMode`].
pub const REGISTERS: &[(&str, &str)] = &[("octaves", "Octaves"), ("semitones", "Semitones"), ("off", "Off")];
/// Words of the latency mode, in the order of [`crate::engine::Mode`].
pub const LATENCY_MODES: &[(&str, &str)] = &[("live", "Live"), ("mix", "Mix")];
/// Words of what sounds when a hop is late.
pub const WHEN_LATE: &[(&str, &str)] = &[("dry", "Dry"), ("silence", "Silence")];

static VOICE_SPEC: Spec = Spec {
    id: "voice",
    name: "Voice",
    short_name: "Voice",
    explanation: "Which slot sounds. Automate it to change voices during the song.",
    domain: Domain::Slot { default: 0 },
    is_automatable: true,
};
static TRANSPOSE_SPEC: Spec = Spec {
    id: "transpose",
    name: "Transpose",
    short_name: "Transpose",
    explanation: "Moves the melody up or down, in semitones. +12 is one octave higher.",
    domain: Domain::Number(TRANSPOSE),
    is_automatable: true,
};
static REGISTER_SPEC: Spec = Spec {
    id: "register",
    name: "Register",
    short_name: "Register",
    explanation: "How you move to where the target voice sings. Octaves: only if it is far, and in the key of the song. \
                  Semitones: as near as can be, for speech and songs without a band. Off: not at all. Coffre learns your \
                  own register first.",
    domain: Domain::Choice(REGISTERS),
    is_automatable: true,
};
static FORMANT_SPEC: Spec = Spec {
    id: "formant",
    name: "Formant",
    short_name: "Formant",
    explanation: "Makes the voice sound smaller and brighter (up) or larger and darker (down). The melody stays.",
    domain: Domain::Number(FORMANT),
    is_automatable: true,
};
static LIKENESS_SPEC: Spec = Spec {
    id: "likeness",
    name: "Likeness",
    short_name: "Likeness",
    explanation: "How far you go towards the other voice. Low keeps your own colour, the middle is the most natural, high \
                  comes closest to the target.",
    domain: Domain::Number(LIKENESS),
    is_automatable: true,
};
static VOICE_B_SPEC: Spec = Spec {
    id: "voice-b",
    name: "Voice B",
    short_name: "Voice B",
    explanation: "Which slot the morph leads to.",
    domain: Domain::Slot { default: 1 },
    is_automatable: true,
};
static MORPH_SPEC: Spec = Spec {
    id: "morph",
    name: "Morph",
    short_name: "Morph",
    explanation: "How far from voice A to voice B: colour, and register as chosen under “Register”. It can be automated; an \
                  empty B changes nothing.",
    domain: Domain::Number(MORPH),
    is_automatable: true,
};
static MIX_SPEC: Spec = Spec {
    id: "mix",
    name: "Mix",
    short_name: "Mix",
    explanation: "Balance between your own voice (0 %) and the converted voice (100 %).",
    domain: Domain::Number(MIX),
    is_automatable: true,
};
static INPUT_GAIN_SPEC: Spec = Spec {
    id: "input-gain",
    name: "Input gain",
    short_name: "Gain",
    explanation: "Level going into Coffre. Aim for peaks around −12 dB.",
    domain: Domain::Number(GAIN),
    is_automatable: true,
};
static OUTPUT_GAIN_SPEC: Spec = Spec {
    id: "output-gain",
    name: "Output gain",
    short_name: "Gain",
    explanation: "Level leaving Coffre.",
    domain: Domain::Number(GAIN),
    is_automatable: true,
};
static GATE_SPEC: Spec = Spec {
    id: "gate",
    name: "Gate",
    short_name: "Gate",
    explanation: "Everything quieter than this counts as silence, so that room noise is not turned into a voice.",
    domain: Domain::Number(GATE),
    is_automatable: true,
};
// A host that automates the latency would have to restart the plugin at every point.
static LATENCY_MODE_SPEC: Spec = Spec {
    id: "latency-mode",
    name: "Latency mode",
    short_name: "Latency",
    explanation: "Live: least delay, for singing while you hear yourself. Mix: looks further ahead and sounds better; the \
                  host lines it up.",
    domain: Domain::Choice(LATENCY_MODES),
    is_automatable: false,
};
static WHEN_LATE_SPEC: Spec = Spec {
    id: "when-late",
    name: "When late",
    short_name: "When late",
    explanation: "What you hear in the rare moment when the computer is too slow: your own voice, or nothing.",
    domain: Domain::Choice(WHEN_LATE),
    is_automatable: false,
};
// A mark that comes and goes within a song would say nothing about the song.
static WATERMARK_SPEC: Spec = Spec {
    id: "watermark",
    name: "Watermark",
    short_name: "Watermark",
    explanation: "An inaudible mark in the converted sound that says it was converted, and with which voice. Whoever hears \
                  your song can check it; switch it off only where you may.",
    domain: Domain::Switch { default: true },
    is_automatable: false,
};
static BYPASS_SPEC: Spec = Spec {
    id: "bypass",
    name: "Bypass",
    short_name: "Bypass",
    explanation: "Lets your own voice through, with the same delay.",
    domain: Domain::Switch { default: false },
    is_automatable: true,
};

impl Parameter {
    /// Every parameter, in the order of the keyboard focus.
    pub const ALL: [Self; 15] = [
        Self::LatencyMode,
        Self::Bypass,
        Self::Voice,
        Self::VoiceB,
        Self::Morph,
        Self::InputGain,
        Self::Gate,
        Self::Transpose,
        Self::Formant,
        Self::Register,
        Self::Likeness,
        Self::Mix,
        Self::OutputGain,
        Self::Watermark,
        Self::WhenLate,
    ];

    /// Its row of the table.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::Voice => &VOICE_SPEC,
            Self::Transpose => &TRANSPOSE_SPEC,
            Self::Register => &REGISTER_SPEC,
            Self::Formant => &FORMANT_SPEC,
            Self::Likeness => &LIKENESS_SPEC,
            Self::VoiceB => &VOICE_B_SPEC,
            Self::Morph => &MORPH_SPEC,
            Self::Mix => &MIX_SPEC,
            Self::InputGain => &INPUT_GAIN_SPEC,
            Self::OutputGain => &OUTPUT_GAIN_SPEC,
            Self::Gate => &GATE_SPEC,
            Self::LatencyMode => &LATENCY_MODE_SPEC,
            Self::WhenLate => &WHEN_LATE_SPEC,
            Self::Watermark => &WATERMARK_SPEC,
            Self::Bypass => &BYPASS_SPEC,
        }
    }

    /// The words of a choice, in its order; empty for anything else.
    pub fn words(self) -> impl ExactSizeIterator<Item = &'static str> {
        let words = match self.spec().domain {
            Domain::Choice(words) => words,
            _ => &[],
        };
        words.iter().map(|(_, name)| *name)
    }

    /// Change of the normalised value for one step of wheel or arrow key. `fine` = with shift.
    pub fn nudge(self, fine: bool) -> f32 {
        match self.spec().domain {
            // A stepped one moves by whole steps whichever way.
            Domain::Slot { .. } => 1.0 / (crate::engine::VOICE_SLOTS - 1) as f32,
            Domain::Choice(words) => 1.0 / (words.len() - 1) as f32,
            Domain::Switch { .. } => 1.0,
            Domain::Number(number) => number.nudges[usize::from(fine)] / (number.high - number.low),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_stands_in_the_table_once() {
        let mut ids: Vec<_> = Parameter::ALL.iter().map(|parameter| parameter.spec().id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Parameter::ALL.len());
        for parameter in Parameter::ALL {
            let spec = parameter.spec();
            assert!(!spec.name.is_empty() && spec.explanation.ends_with('.'), "{}", spec.id);
            if let Domain::Number(number) = spec.domain {
                assert!(number.contains(number.default) && number.low < number.high, "{}", spec.id);
                assert!(number.step > 0.0 && number.nudges[1] < number.nudges[0], "{}", spec.id);
            }
        }
    }

    #[test]
    fn a_nudge_is_a_semitone_a_percent_or_a_whole_choice() {
        assert!((Parameter::Transpose.nudge(false) * 48.0 - 1.0).abs() < 1e-6);
        assert!((Parameter::Mix.nudge(false) * 100.0 - 1.0).abs() < 1e-6);
        assert!((Parameter::Voice.nudge(true) * 15.0 - 1.0).abs() < 1e-6);
        assert_eq!(Parameter::Register.nudge(false), 0.5);
    }
}
