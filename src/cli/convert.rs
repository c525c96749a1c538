//! `convert`: files through the engine, aligned to the input.

mod batch;
mod input;
mod machine;
mod report;

use std::path::{Path, PathBuf};

use coffre::dsp::downmix::Choice;
use coffre::engine::{HopParams, RegisterMode};
use coffre::parameter::{self, Number};

use super::force::Force;
use super::rvc::RvcArgs;
use super::same_file::is_same_file;
use super::session::ModeOption;
use super::spool::Spool;
use super::stream::Gains;
use super::{CliError, output};

use input::Input;
use machine::{Machine, Voices};
use report::Progress;

/// Options of `convert`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The vocal: any common audio file, any rate from 1 to 1536 kHz, any channels; `-` is standard input. Several of
    /// them, and folders, go into a folder
    #[arg(value_name = "IN", required = true)]
    inputs: Vec<PathBuf>,
    /// Output file, its name ends in .wav or .flac; `-` is standard output (WAV). Or a folder, for several files: names
    /// and folders stay, and what is there already is left out
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    force: Force,
    /// Take the folders in folders too
    #[arg(short, long)]
    recursive: bool,
    /// Files at once, for several files; default: as many as there are cores, one with RVC voices
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: Option<u16>,
    /// Name of a voice, a voice file, or `none` to change register and colour only
    #[arg(long, value_name = "NAME|FILE|none")]
    voice: String,
    /// A second voice, for --morph; neither may be an RVC voice
    #[arg(long, value_name = "NAME|FILE", requires = "morph")]
    voice_b: Option<String>,
    /// How far from --voice to --voice-b, in percent; 50 is half way in colour and register
    #[arg(long, value_name = "PCT", requires = "voice_b", value_parser = within(parameter::MORPH))]
    morph: Option<f32>,
    /// `octave`: the singer moves to where the voice sings by whole octaves, in the key of the song; `auto`: by whole
    /// semitones, for speech; or semitones, -24 to 24; or both: `octave+2`, `auto-1`
    #[arg(long, value_name = "octave|auto|ST", default_value = "octave", allow_hyphen_values = true)]
    transpose: Transpose,
    /// Formant shift in semitones, -6 to 6; positive sounds smaller and brighter
    #[arg(long, value_name = "ST", default_value_t = parameter::FORMANT.default, allow_hyphen_values = true, value_parser = within(parameter::FORMANT))]
    formant: f32,
    /// How much it sounds like the voice, in percent
    #[arg(long, value_name = "PCT", default_value_t = parameter::LIKENESS.default, value_parser = within(parameter::LIKENESS))]
    likeness: f32,
    /// Share of the converted sound, in percent; the rest is the original
    #[arg(long, value_name = "PCT", default_value_t = parameter::MIX.default, value_parser = within(parameter::MIX))]
    mix: f32,
    /// Threshold of the gate in dBFS; anything quieter is silenced; -100 switches it off
    #[arg(long, value_name = "DB", default_value_t = parameter::GATE.default, allow_hyphen_values = true, value_parser = within(parameter::GATE))]
    gate: f32,
    /// Gain before the conversion, in dB
    #[arg(long, value_name = "DB", default_value_t = parameter::GAIN.default, allow_hyphen_values = true, value_parser = within(parameter::GAIN))]
    input_gain: f32,
    /// Gain of the result, in dB
    #[arg(long, value_name = "DB", default_value_t = parameter::GAIN.default, allow_hyphen_values = true, value_parser = within(parameter::GAIN))]
    output_gain: f32,
    /// Sound of the plugin's live or mix mode; default: mix, with RVC voices in longer blocks, which is faster
    #[arg(long, value_enum)]
    mode: Option<ModeOption>,
    /// Block size in samples, as in a host; the result does not depend on it
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    block: u32,
    /// Which channels of a file with several are converted
    #[arg(long, value_enum, default_value = "sum")]
    channels: Channels,
    /// Read the singer's profile from a file instead of learning it from the input
    #[arg(long, value_name = "FILE", conflicts_with = "no_profile")]
    profile: Option<PathBuf>,
    /// Do not learn the singer first: sounds like a new plugin instance
    #[arg(long)]
    no_profile: bool,
    /// Save the learned profile to a file, for --profile
    #[arg(long, value_name = "FILE", conflicts_with_all = ["profile", "no_profile"])]
    save_profile: Option<PathBuf>,
    /// Do without ONNX Runtime: change register and colour only
    #[arg(long)]
    no_content: bool,
    /// Leave out the inaudible watermark that `coffre verify` finds
    #[arg(long)]
    no_watermark: bool,
    /// Leave out the refiner of mix mode and the corrector of live mode: for making their training data
    #[arg(long, hide = true)]
    unrefined: bool,
    #[command(flatten)]
    rvc: RvcArgs,
    /// Print a report as JSON; of several files, a list
    #[arg(long)]
    json: bool,
    /// Show neither progress nor report
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

/// [`Choice`] as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Channels {
    /// The mean of those that carry something; the loudest where they cancel each other
    Sum,
    /// The first alone
    Left,
    /// The second alone
    Right,
}

impl Channels {
    fn choice(self) -> Choice {
        match self {
            Self::Sum => Choice::Sum,
            Self::Left => Choice::One(0),
            Self::Right => Choice::One(1),
        }
    }
}

/// What stands for standard input and output.
const STANDARD: &str = "-";

/// Transposition as it is typed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Transpose {
    register: RegisterMode,
    semitones: f32,
}

impl std::str::FromStr for Transpose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = [
            ("octaves", RegisterMode::Octaves),
            ("octave", RegisterMode::Octaves),
            ("semitones", RegisterMode::Semitones),
            ("auto", RegisterMode::Semitones),
        ];
        let named = words.into_iter().find_map(|(word, mode)| Some((word, mode, text.strip_prefix(word)?)));
        let (register, rest) = match named {
            Some((_, mode, "")) => return Ok(Self { register: mode, semitones: 0.0 }),
            Some((_, mode, rest)) if rest.starts_with(['+', '-']) => (mode, rest),
            Some((word, ..)) => return Err(format!("`{word}` may be followed by + or - and semitones")),
            None => (RegisterMode::Off, text),
        };
        within(parameter::TRANSPOSE)(rest).map(|semitones| Self { register, semitones })
    }
}

/// Reads a number of the table of parameters.
pub fn within(number: Number) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| {
        let value: f32 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
        match number.contains(value) {
            true => Ok(value),
            false => Err(format!("{text} is not in {} to {}", number.low, number.high)),
        }
    }
}

/// Converts one file, or several into a folder.
pub fn run(options: &Options) -> Result<(), CliError> {
    let is_folder = options.output.is_dir() || options.output.to_string_lossy().ends_with(std::path::is_separator);
    let is_several = options.inputs.len() > 1 || options.inputs.iter().any(|path| path.is_dir());
    if is_folder || is_several {
        return batch::run(options);
    }
    let to_standard = options.output == Path::new(STANDARD);
    if to_standard && options.json {
        return Err(CliError::Usage("standard output is taken by the sound; leave --json out".into()));
    }
    if !to_standard {
        if is_same_file(&options.inputs[0], &options.output) {
            return Err(CliError::Usage("the output would replace the input; choose another name for it".into()));
        }
        options.force.check(&options.output)?;
    }
    let input = Input::open(&options.inputs[0])?;
    // A first look: a wrong input is told before voices are opened.
    let mut machine = Machine::new(options, &Voices::open(options, Some(&input))?);
    let progress = Progress::alone(options, &input);
    let done = if to_standard {
        let result = Spool::new()?;
        let done = machine.convert(&input, result.path(), coffre::new_file::Existing::Replace, &progress)?;
        result.into_standard_output()?;
        done
    } else {
        machine.convert(&input, &options.output, options.force.existing(), &progress)?
    };
    for remark in &done.remarks {
        output::complain(format_args!("coffre: {remark}"));
    }
    if options.json {
        output::json(&done.as_json(options));
    } else if !options.quiet && !to_standard {
        output::line(done.as_line(options));
    }
    Ok(())
}

fn params(options: &Options) -> HopParams {
    HopParams {
        voice_slot: 0,
        voice_b_slot: 1,
        morph: options.morph.unwrap_or(0.0) / 100.0,
        transpose_st: options.transpose.semitones,
        register: options.transpose.register,
        formant_st: options.formant,
        likeness: options.likeness / 100.0,
        gate_db: options.gate,
        is_marked: !options.no_watermark,
    }
}

fn gains(options: &Options) -> Gains {
    let factor = |db: f32| 10.0_f32.powf(db / 20.0);
    Gains { input: factor(options.input_gain), output: factor(options.output_gain), mix: options.mix / 100.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposition_by_table() {
        let octave = |semitones| Ok(Transpose { register: RegisterMode::Octaves, semitones });
        let auto = |semitones| Ok(Transpose { register: RegisterMode::Semitones, semitones });
        let fixed = |semitones| Ok(Transpose { register: RegisterMode::Off, semitones });
        for (text, wanted) in [
            ("octave", octave(0.0)),
            ("octaves-12", octave(-12.0)),
            ("semitones", auto(0.0)),
            ("auto", auto(0.0)),
            ("auto+2", auto(2.0)),
            ("auto-12.5", auto(-12.5)),
            ("0", fixed(0.0)),
            ("-24", fixed(-24.0)),
        ] {
            assert_eq!(text.parse::<Transpose>(), wanted, "{text}");
        }
        for text in ["", "auto2", "auto+", "octave2", "octavess", "semitone", "25", "-24.1", "NaN", "inf", "three"] {
            assert!(text.parse::<Transpose>().is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_are_those_of_a_new_plugin_instance() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let line = <Line as clap::Parser>::parse_from(["", "in.wav", "-o", "out.wav", "--voice", "none"]);
        assert_eq!(params(&line.options), HopParams::default());
        assert_eq!(gains(&line.options), Gains { input: 1.0, output: 1.0, mix: 1.0 });
    }
}
