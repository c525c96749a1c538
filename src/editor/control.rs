//! The controls of the editor and how a view reaches their values. Knows no framework: the plugin and the tests
//! each bring their own [`ControlAccess`].

/// A parameter as the editor knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// Voice slot that sounds.
    Voice,
    /// Transpose in semitones.
    Transpose,
    /// Auto-register on or off.
    AutoRegister,
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
    Fallback,
    /// Watermark on or off.
    Watermark,
    /// Bypass on or off.
    Bypass,
}

impl Control {
    /// Every control, in the order of the keyboard focus.
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
        Self::AutoRegister,
        Self::Likeness,
        Self::Mix,
        Self::OutputGain,
        Self::Watermark,
        Self::Fallback,
    ];

    /// The word beside the control.
    pub fn label(self) -> &'static str {
        match self {
            Self::Voice => "Voice",
            Self::Transpose => "Transpose",
            Self::AutoRegister => "Auto-register",
            Self::Formant => "Formant",
            Self::Likeness => "Likeness",
            Self::VoiceB => "Voice B",
            Self::Morph => "Morph",
            Self::Mix => "Mix",
            Self::InputGain => "Input gain",
            Self::OutputGain => "Output gain",
            Self::Gate => "Gate",
            Self::LatencyMode => "Delay",
            Self::Fallback => "If late",
            Self::Watermark => "Watermark",
            Self::Bypass => "Bypass",
        }
    }

    /// The word where the place already says the rest.
    pub fn short_label(self) -> &'static str {
        match self {
            Self::InputGain | Self::OutputGain => "Gain",
            Self::AutoRegister => "Auto",
            _ => self.label(),
        }
    }

    /// What it does, in a singer's words.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Voice => "Which slot sounds. Automate it to change voices during the song.",
            Self::Transpose => "Moves the melody up or down, in semitones. +12 is one octave higher.",
            Self::AutoRegister => {
                "Moves you to where the target voice is at home, by whole semitones. Coffre learns your own register first."
            }
            Self::Formant => {
                "Makes the voice sound smaller and brighter (up) or larger and darker (down). The melody stays."
            }
            Self::Likeness => {
                "How far you go towards the other voice. Low keeps your own colour, the middle is the most natural, high comes closest to the target."
            }
            Self::VoiceB => "Which slot the morph leads to.",
            Self::Morph => {
                "How far from voice A to voice B: colour, and register in whole semitones. It can be automated; an empty B changes nothing."
            }
            Self::Mix => "Balance between your own voice (0 %) and the converted voice (100 %).",
            Self::InputGain => "Level going into Coffre. Aim for peaks around −12 dB.",
            Self::OutputGain => "Level leaving Coffre.",
            Self::Gate => {
                "Everything quieter than this counts as silence, so that room noise is not turned into a voice."
            }
            Self::LatencyMode => {
                "Live: least delay, for singing while you hear yourself. Mix: looks further ahead and sounds better; the host lines it up."
            }
            Self::Fallback => {
                "What you hear in the rare moment when the computer is too slow: your own voice, or nothing."
            }
            Self::Watermark => {
                "An inaudible mark in the converted sound that says it was converted, and with which voice. Whoever hears your song can check it; switch it off only where you may."
            }
            Self::Bypass => "Lets your own voice through, with the same delay.",
        }
    }

    /// Whether the arc of the knob starts at the default rather than at the lowest value.
    pub fn is_bipolar(self) -> bool {
        matches!(self, Self::Transpose | Self::Formant | Self::InputGain | Self::OutputGain)
    }

    /// Change of the plain value for one step of wheel or arrow key, as a share of the range. `fine` = with shift.
    pub fn step(self, steps: Option<usize>, fine: bool) -> f32 {
        match (steps, self) {
            // A stepped control moves by whole steps whichever way.
            (Some(count), _) if count > 0 => 1.0 / count as f32,
            // One semitone of 48; a cent of a semitone's tenth when fine.
            (_, Self::Transpose) => (if fine { 0.1 } else { 1.0 }) / 48.0,
            (_, Self::Formant) => (if fine { 0.1 } else { 0.5 }) / 12.0,
            _ => {
                if fine {
                    0.002
                } else {
                    0.01
                }
            }
        }
    }
}

/// A value's text as the editor shows it: no digits that say nothing, a true minus.
pub fn tidy(text: &str) -> String {
    let (number, unit) = match text.split_once(' ') {
        Some((number, unit)) => (number, Some(unit)),
        None => (text, None),
    };
    let Some(unit) = unit.filter(|_| number.parse::<f32>().is_ok()) else {
        // A word such as "off" needs no unit.
        return number.to_owned();
    };
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{} {unit}", number.replace('-', "−"))
}

/// How a view reads and writes the parameters. Values are normalised to `0.0..=1.0`. [main-thread]
pub trait ControlAccess {
    /// The present value.
    fn normalized(&self, control: Control) -> f32;
    /// The value after a reset.
    fn default_normalized(&self, control: Control) -> f32;
    /// Number of steps between lowest and highest; `None` = continuous.
    fn step_count(&self, control: Control) -> Option<usize>;
    /// A value as text with its unit.
    fn text(&self, control: Control, normalized: f32) -> String;
    /// The value of a typed text, if it makes sense.
    fn parse(&self, control: Control, text: &str) -> Option<f32>;
    /// Announces a gesture to the host; each is followed by one [`ControlAccess::end`].
    fn begin(&self, control: Control);
    /// Sets the value within a gesture.
    fn set(&self, control: Control, normalized: f32);
    /// Ends a gesture.
    fn end(&self, control: Control);

    /// A gesture of one value.
    fn set_once(&self, control: Control, normalized: f32) {
        self.begin(control);
        self.set(control, normalized.clamp(0.0, 1.0));
        self.end(control);
    }

    /// The present value as text with its unit.
    fn present_text(&self, control: Control) -> String {
        self.text(control, self.normalized(control))
    }

    /// The step a stepped control stands on, from 0.
    fn step_index(&self, control: Control) -> usize {
        let steps = self.step_count(control).unwrap_or(1) as f32;
        // Normalised values lie in 0..=1, so that the product is a small count.
        (self.normalized(control).clamp(0.0, 1.0) * steps).round() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_without_idle_digits() {
        for (raw, shown) in [
            ("+1.50 st", "+1.5 st"),
            ("-12.00 st", "−12 st"),
            ("0.00 dB", "0 dB"),
            ("100.0 %", "100 %"),
            ("off dB", "off"),
            ("on", "on"),
        ] {
            assert_eq!(tidy(raw), shown);
        }
    }

    #[test]
    fn a_step_is_a_semitone_a_percent_or_a_whole_choice() {
        assert!((Control::Transpose.step(None, false) * 48.0 - 1.0).abs() < 1e-6);
        assert!((Control::Mix.step(None, false) * 100.0 - 1.0).abs() < 1e-6);
        assert!((Control::Voice.step(Some(15), true) * 15.0 - 1.0).abs() < 1e-6);
    }
}
