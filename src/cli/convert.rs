//! `convert`: a file through the engine, aligned to the input.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use coffre::audio_file::{AudioReader, AudioWriter};
use coffre::engine::latency::{MAX_HOST_RATE, MIN_HOST_RATE};
use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::resample::Resampler;
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::stream::{HostStream, UnsupportedRate};
use coffre::engine::{ENGINE_RATE, Engine, HOP_LEN, HopParams, Mode, RegisterMode};
use coffre::parameter::{self, Number};
use coffre::voice::Voice;
use coffre::voice::package::write_atomically;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::rvc::RvcArgs;
use super::same_file::is_same_file;
use super::session::{self, ModeOption};
use super::stream::{AlignedStream, Gains};
use super::{CliError, output, rvc};

/// Options of `convert`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The vocal: WAV, AIFF or FLAC, any rate from 1 to 1536 kHz, any channels
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Output file; its name ends in .wav or .flac
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
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
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
    /// Show neither progress nor report
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

/// An engine, and the singer's profile if the engine uses one.
type EngineOfSinger = (Box<dyn Engine>, Option<Arc<SourceProfile>>);

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

/// Converts one file.
pub fn run(options: &Options) -> Result<(), CliError> {
    let start = Instant::now();
    if is_same_file(&options.input, &options.output) {
        return Err(CliError::Usage("the output would replace the input; choose another name for it".into()));
    }
    let mut reader = AudioReader::open(&options.input).map_err(CliError::Input)?;
    let spec = reader.spec();
    if !(MIN_HOST_RATE..=MAX_HOST_RATE).contains(&spec.rate) {
        return Err(CliError::rate(&options.input, UnsupportedRate { rate: spec.rate }));
    }
    let voice = session::voice(&options.voice, options.rvc.index.as_deref())?;
    let voice_b = match &options.voice_b {
        Some(word) => session::voice(word, None)?,
        None => None,
    };
    if voice_b.is_some() && [&voice, &voice_b].into_iter().flatten().any(|voice| voice.rvc().is_some()) {
        return Err(CliError::Usage("only voices of Coffre's own kind can be morphed, not RVC voices".into()));
    }
    let progress = Progress::new(options, reader.len_hint());
    let (engine, profile) = match voice.as_ref().filter(|voice| voice.rvc().is_some()) {
        Some(voice) => rvc_engine(options, voice, spec.rate, reader.len_hint(), &progress)?,
        None => {
            let voices = [voice.as_ref(), voice_b.as_ref()];
            native_engine(options, voices, &progress).map(|(engine, profile)| (engine, Some(profile)))?
        }
    };
    let stream = HostStream::new(engine, spec.rate).map_err(|source| CliError::rate(&options.input, source))?;

    let mut aligned = AlignedStream::new(stream, spec.channels, params(options), gains(options));
    let mut writer = AudioWriter::create(&options.output, spec).map_err(CliError::Output)?;

    progress.begin("converting");
    let loaded = start.elapsed();
    let (mut block, mut converted) = (Vec::new(), Vec::new());
    while reader.read(&mut block).map_err(CliError::Input)? {
        for part in block.chunks(options.block as usize * spec.channels) {
            aligned.push(part, &mut converted)?;
        }
        writer.write(&converted).map_err(CliError::Output)?;
        converted.clear();
        progress.reach(reader.position());
    }
    aligned.finish(&mut converted)?;
    writer.write(&converted).map_err(CliError::Output)?;
    let (format, clipped) = (writer.format(), writer.clipped());
    writer.finish().map_err(CliError::Output)?;
    progress.end();

    if reader.bad_samples() > 0 {
        output::complain(format_args!(
            "coffre: {} samples of the input were no numbers and became silence",
            reader.bad_samples()
        ));
    }
    if clipped > 0 {
        output::complain(format_args!("coffre: {clipped} samples were beyond full scale; lower --output-gain"));
    }
    let seconds = reader.position() as f64 / f64::from(spec.rate);
    let report = Report {
        voice: voice.as_deref(),
        voice_b: voice_b.as_deref(),
        profile: profile.as_deref(),
        seconds,
        rtf: start.elapsed().as_secs_f64() / seconds,
        converting_seconds: (start.elapsed() - loaded).as_secs_f64(),
        latency_len: aligned.latency_len(),
        rate: spec.rate,
        format: format.to_string(),
        clipped,
    };
    report.print(options);
    Ok(())
}

/// The embedded engine with voices and profile.
fn native_engine(
    options: &Options,
    voices: [Option<&Arc<Voice>>; 2],
    progress: &Progress,
) -> Result<(Box<dyn Engine>, Arc<SourceProfile>), CliError> {
    let wants_content = voices.iter().any(Option::is_some) && !options.no_content;
    let mode = native_mode(options);
    let profile = match &options.profile {
        Some(path) => session::profile(path)?,
        None if options.no_profile => SourceProfile::population(),
        None => {
            // A profile that is kept serves every voice, also where this run needs no content features.
            let learns_content = wants_content || options.save_profile.is_some() && !options.no_content;
            let learner = session::plain_engine(mode, learns_content, SourceProfile::population())?;
            let learned = learn(options, learner, progress)?;
            if let Some(path) = &options.save_profile {
                save(path, learned.as_ref())?;
            }
            learned.map_or_else(SourceProfile::population, Arc::new)
        }
    };
    let make = if options.unrefined { session::plain_engine } else { session::engine };
    let mut engine = make(mode, wants_content, Arc::clone(&profile))?;
    engine.stop_learning();
    for (slot, voice) in voices.into_iter().enumerate() {
        engine.set_voice(slot, voice.cloned());
    }
    Ok((Box::new(engine), profile))
}

/// The native engine's mode: with the whole file at hand, the better one is the default.
fn native_mode(options: &Options) -> Mode {
    options.mode.map_or(Mode::Mix, Mode::from)
}

/// The engine of RVC voices: as in the plugin's modes, or with long blocks, since the whole file is at hand.
///
/// It needs only the singer's register, and only if the voice's is known.
fn rvc_engine(
    options: &Options,
    voice: &Arc<Voice>,
    rate: u32,
    len: Option<u64>,
    progress: &Progress,
) -> Result<EngineOfSinger, CliError> {
    let hops = len.map_or(1_000, |len| len * 100 / u64::from(rate) + 1);
    let geometry = match options.mode {
        Some(mode) => Geometry::of(mode.into()),
        None => Geometry::file(usize::try_from(hops).unwrap_or(usize::MAX / 2)),
    };
    let mut engine = rvc::engine(&options.rvc, geometry, Arc::clone(voice))?;
    if options.transpose.register == RegisterMode::Off {
        return Ok((engine, None));
    }
    if voice.manifest().register_hz().is_none() {
        if !options.quiet {
            output::complain(format_args!(
                "coffre: the register of {} is not known, so its pitch is the singer's; set --transpose, or import it with \
                 --range",
                voice.name()
            ));
        }
        return Ok((engine, None));
    }
    let profile = match &options.profile {
        Some(path) => Some(session::profile(path)?),
        None if options.no_profile => None,
        None => {
            let learner = session::plain_engine(native_mode(options), false, SourceProfile::population())?;
            learn(options, learner, progress)?.map(Arc::new)
        }
    };
    engine.set_profile(profile.clone());
    Ok((engine, profile))
}

/// First pass: the singer's profile, with a word where it is doubtful. `None` when too little is sung.
fn learn(options: &Options, engine: NativeEngine, progress: &Progress) -> Result<Option<SourceProfile>, CliError> {
    let learned = listen(options, engine, progress)?;
    if let Some(doubt) = learned.as_ref().and_then(SourceProfile::doubt)
        && !options.quiet
    {
        output::complain(format_args!("coffre: {doubt} If not, take out hum or bleed, or name a --profile"));
    }
    Ok(learned)
}

/// The profile from the whole file, or from its beginning when that is enough.
fn listen(options: &Options, mut engine: NativeEngine, progress: &Progress) -> Result<Option<SourceProfile>, CliError> {
    let mut reader = AudioReader::open(&options.input).map_err(CliError::Input)?;
    let spec = reader.spec();
    let mut resampler = Resampler::new(spec.rate, ENGINE_RATE, 0);
    let params = HopParams { voice_slot: 0, ..params(options) };
    let (share, gain) = (1.0 / spec.channels as f32, gains(options).input);
    let (mut block, mut mono) = (Vec::new(), Vec::new());
    let (mut hop, mut ignored) = ([0.0; HOP_LEN], [0.0; HOP_LEN]);
    engine.start_learning();
    progress.begin("learning the singer");
    while reader.read(&mut block).map_err(CliError::Input)? {
        mono.clear();
        mono.extend(block.chunks_exact(spec.channels).map(|frame| frame.iter().sum::<f32>() * share * gain));
        resampler.push(&mono);
        while resampler.available() >= HOP_LEN {
            resampler.pull(&mut hop);
            engine.process_hop(&params, &hop, &mut ignored)?;
        }
        if let Some(profile) = engine.take_learned() {
            return Ok(Some(profile));
        }
        progress.reach(reader.position());
    }
    Ok(engine.take_learned_early())
}

/// Writes the learned profile to a file, named after it.
fn save(path: &Path, profile: Option<&SourceProfile>) -> Result<(), CliError> {
    let too_little = "too little is sung in the input to learn a profile: a second at least";
    let profile = profile.ok_or_else(|| CliError::Usage(too_little.into()))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let written = profile.to_bytes(&name, "").and_then(|bytes| write_atomically(path, &bytes));
    written.map_err(CliError::voice(path.display()))
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

/// What was done.
struct Report<'a> {
    voice: Option<&'a Voice>,
    voice_b: Option<&'a Voice>,
    /// The singer's, if the engine uses one.
    profile: Option<&'a SourceProfile>,
    seconds: f64,
    rtf: f64,
    /// Time that it took, without loading.
    converting_seconds: f64,
    latency_len: usize,
    rate: u32,
    format: String,
    clipped: u64,
}

impl Report<'_> {
    fn print(&self, options: &Options) {
        let latency_ms = self.latency_len as f64 * 1000.0 / f64::from(self.rate);
        if options.json {
            output::json(&json!({
                "input": output::path(&options.input),
                "output": output::path(&options.output),
                "voice": self.voice.map(Voice::name),
                "voice_b": self.voice_b.map(Voice::name),
                "morph": options.morph.map(|share| output::rounded(f64::from(share))),
                "seconds": output::rounded(self.seconds),
                "rate": self.rate,
                "format": self.format,
                "rtf": output::rounded(self.rtf),
                "converting_seconds": output::rounded(self.converting_seconds),
                "latency_samples": self.latency_len,
                "latency_ms": output::rounded(latency_ms),
                "source_median_f0_hz": self.profile.map(|profile| output::rounded(f64::from(profile.median_f0_hz))),
                "profile_seconds": self.profile.map(|profile| output::rounded(f64::from(profile.voiced_seconds))),
                "watermark": !options.no_watermark,
                "clipped_samples": self.clipped,
            }));
        } else if !options.quiet {
            let mut voice = self.voice.map_or("no voice", Voice::name).to_owned();
            if let (Some(b), Some(share)) = (self.voice_b, options.morph) {
                voice = format!("{voice}, {share} % on the way to {}", b.name());
            }
            output::line(format_args!(
                "{}: {:.2} s, {voice}, {:.2} x real time, {latency_ms:.1} ms of latency compensated",
                options.output.display(),
                self.seconds,
                self.rtf
            ));
        }
    }
}

/// A bar on the terminal, if there is one and the length is known.
struct Progress(ProgressBar);

impl Progress {
    fn new(options: &Options, len: Option<u64>) -> Self {
        let is_shown = !options.quiet && std::io::stderr().is_terminal();
        match len.filter(|_| is_shown) {
            Some(len) => {
                let bar = ProgressBar::new(len);
                if let Ok(style) = ProgressStyle::with_template("{msg:20} {wide_bar} {percent:>3} % {eta:>4}") {
                    bar.set_style(style);
                }
                Self(bar)
            }
            None => Self(ProgressBar::hidden()),
        }
    }

    fn begin(&self, what: &'static str) {
        self.0.set_message(what);
        self.0.reset();
    }

    fn reach(&self, position: u64) {
        self.0.set_position(position);
    }

    fn end(&self) {
        self.0.finish_and_clear();
    }
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
