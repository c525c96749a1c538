//! One converter: voices and graphs are loaded once, then file after file goes through.
//!
//! A file sounds the same whether it comes first or last. Does not know how many files there are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use coffre::audio_file::{AudioReader, AudioWriter, Extras};
use coffre::dsp::downmix::DownMix;
use coffre::engine::latency::{MAX_HOST_RATE, MIN_HOST_RATE};
use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::resample::Resampler;
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::stream::{HostStream, UnsupportedRate};
use coffre::engine::{ENGINE_RATE, Engine, EngineError, HOP_LEN, HopParams, Mode, RegisterMode};
use coffre::loading::Graphs;
use coffre::new_file::{self, Existing};
use coffre::voice::Voice;

use super::input::Input;
use super::report::{Done, Progress};
use super::{Options, gains, params};
use crate::cli::stream::AlignedStream;
use crate::cli::{CliError, rvc, session};

/// An engine, and the singer's profile if the engine uses one.
type EngineOfSinger = (Box<dyn Engine>, Option<Arc<SourceProfile>>);

/// Sound that is worth keeping when a conversion breaks off, in seconds.
const WORTH_KEEPING_S: f64 = 1.0;

/// Voices by their slots.
#[derive(Clone)]
pub struct Voices([Option<Arc<Voice>>; 2]);

impl Voices {
    /// Opens what the options name. `input` is looked at first: a wrong one is told before voices are opened.
    pub fn open(options: &Options, input: Option<&Input>) -> Result<Self, CliError> {
        if let Some(input) = input {
            checked(input)?;
        }
        let voice = session::voice(&options.voice, options.rvc.index.as_deref())?;
        let voice_b = match &options.voice_b {
            Some(word) => session::voice(word, None)?,
            None => None,
        };
        let voices = [voice, voice_b];
        if voices[1].is_some() && voices.iter().flatten().any(|voice| voice.rvc().is_some()) {
            return Err(CliError::Usage("only voices of Coffre's own kind can be morphed, not RVC voices".into()));
        }
        Ok(Self(voices))
    }

    /// Whether the voice is one of RVC.
    pub fn is_rvc(&self) -> bool {
        self.rvc().is_some()
    }

    fn rvc(&self) -> Option<&Arc<Voice>> {
        self.0[0].as_ref().filter(|voice| voice.rvc().is_some())
    }
}

/// A reader of a rate that is converted.
fn checked(input: &Input) -> Result<AudioReader, CliError> {
    let reader = input.reader()?;
    let rate = reader.spec().rate;
    match (MIN_HOST_RATE..=MAX_HOST_RATE).contains(&rate) {
        true => Ok(reader),
        false => Err(CliError::rate(input.shown(), UnsupportedRate { rate })),
    }
}

/// Engines and voices for one file at a time.
pub struct Machine<'a> {
    options: &'a Options,
    voices: Voices,
    /// Kept from file to file; `None` before the first, and for RVC voices, whose blocks fit each file.
    engine: Option<Box<dyn Engine>>,
    learner: Option<NativeEngine>,
    /// Of RVC voices.
    graphs: Graphs,
}

impl<'a> Machine<'a> {
    /// Loads nothing yet.
    pub fn new(options: &'a Options, voices: &Voices) -> Self {
        Self { options, voices: voices.clone(), engine: None, learner: None, graphs: Graphs::default() }
    }

    /// Converts one file.
    pub fn convert(
        &mut self,
        input: &Input,
        output: &Path,
        existing: Existing,
        progress: &Progress,
    ) -> Result<Done, CliError> {
        let start = Instant::now();
        let options = self.options;
        let mut reader = checked(input)?;
        let spec = reader.spec();
        let mut remarks = Vec::new();
        let (engine, profile) = match self.voices.rvc().cloned() {
            Some(voice) => self.rvc_engine(&voice, input, &reader, progress, &mut remarks)?,
            None => {
                let profile = self.profile(input, progress, &mut remarks)?;
                (self.native_engine(&profile)?, Some(profile))
            }
        };
        let stream = HostStream::new(engine, spec.rate).map_err(|source| CliError::rate(input.shown(), source))?;
        let mut aligned =
            AlignedStream::new(stream, spec.channels, options.channels.choice(), params(options), gains(options));
        let extras = Extras { chunks: reader.chunks().to_vec(), len: reader.len_hint() };
        let mut writer = AudioWriter::create_with(output, spec, &extras).map_err(CliError::Output)?;

        progress.begin("converting");
        let loaded = start.elapsed();
        let (mut block, mut converted) = (Vec::new(), Vec::new());
        let mut written = 0;
        loop {
            let is_more = reader.read(&mut block).map_err(CliError::Input)?;
            let step = match is_more {
                true => block
                    .chunks(options.block as usize * spec.channels)
                    .try_for_each(|part| aligned.push(part, &mut converted)),
                false => aligned.finish(&mut converted),
            };
            writer.write(&converted).map_err(CliError::Output)?;
            written += converted.len() / spec.channels;
            converted.clear();
            if let Err(source) = step {
                return Err(kept(writer, output, written as f64 / f64::from(spec.rate), source));
            }
            if !is_more {
                break;
            }
            progress.reach(reader.position(), spec.rate);
        }
        let (format, clipped) = (writer.format(), writer.clipped());
        writer.finish_as(existing).map_err(CliError::Output)?;
        progress.end();

        let latency_len = aligned.latency_len();
        if aligned.has_cancelled() {
            remarks.push(
                "the channels cancel each other (one is turned over?); the louder one was converted. --channels chooses"
                    .to_owned(),
            );
        }
        if self.voices.rvc().is_none() {
            self.engine = Some(aligned.into_engine());
        }
        remarks.extend(reader.remark());
        if reader.bad_samples() > 0 {
            remarks.push(format!("{} samples of the input were no numbers and became silence", reader.bad_samples()));
        }
        if clipped > 0 {
            remarks.push(format!("{clipped} samples were beyond full scale; lower --output-gain"));
        }
        let seconds = reader.position() as f64 / f64::from(spec.rate);
        let [voice, voice_b] = self.voices.0.clone();
        Ok(Done {
            input: input.shown().into(),
            output: output.into(),
            voice,
            voice_b,
            profile,
            seconds,
            rtf: start.elapsed().as_secs_f64() / seconds,
            converting_seconds: (start.elapsed() - loaded).as_secs_f64(),
            latency_len,
            rate: spec.rate,
            format: format.to_string(),
            clipped,
            remarks,
        })
    }

    /// The native engine's mode: with the whole file at hand, the better one is the default.
    fn native_mode(&self) -> Mode {
        self.options.mode.map_or(Mode::Mix, Mode::from)
    }

    /// The embedded engine with voices and profile, as new.
    fn native_engine(&mut self, profile: &Arc<SourceProfile>) -> Result<Box<dyn Engine>, CliError> {
        if let Some(mut engine) = self.engine.take() {
            engine.set_profile(Some(Arc::clone(profile)));
            engine.reset();
            return Ok(engine);
        }
        let wants_content = self.wants_content();
        let make = if self.options.unrefined { session::plain_engine } else { session::engine };
        let mut engine = make(self.native_mode(), wants_content, Arc::clone(profile))?;
        engine.stop_learning();
        for (slot, voice) in self.voices.0.iter().enumerate() {
            engine.set_voice(slot, voice.clone());
        }
        Ok(Box::new(engine))
    }

    fn wants_content(&self) -> bool {
        self.voices.0.iter().any(Option::is_some) && !self.options.no_content
    }

    /// The singer's profile for the embedded engine.
    fn profile(
        &mut self,
        input: &Input,
        progress: &Progress,
        remarks: &mut Vec<String>,
    ) -> Result<Arc<SourceProfile>, CliError> {
        let options = self.options;
        match &options.profile {
            Some(path) => session::profile(path),
            None if options.no_profile => Ok(SourceProfile::population()),
            None => {
                // A profile that is kept serves every voice, also where this run needs no content features.
                let learns_content = self.wants_content() || options.save_profile.is_some() && !options.no_content;
                let learned = self.learn(input, learns_content, progress, remarks)?;
                if let Some(path) = &options.save_profile {
                    save(path, learned.as_ref())?;
                }
                Ok(learned.map_or_else(SourceProfile::population, Arc::new))
            }
        }
    }

    /// The engine of RVC voices: as in the plugin's modes, or with long blocks, since the whole file is at hand.
    ///
    /// It needs only the singer's register, and only if the voice's is known.
    fn rvc_engine(
        &mut self,
        voice: &Arc<Voice>,
        input: &Input,
        reader: &AudioReader,
        progress: &Progress,
        remarks: &mut Vec<String>,
    ) -> Result<EngineOfSinger, CliError> {
        let options = self.options;
        let hops = reader.len_hint().map_or(1_000, |len| len * 100 / u64::from(reader.spec().rate) + 1);
        let geometry = match options.mode {
            Some(mode) => Geometry::of(mode.into()),
            None => Geometry::file(usize::try_from(hops).unwrap_or(usize::MAX / 2)),
        };
        let mut engine = rvc::engine(&options.rvc, &mut self.graphs, geometry, Arc::clone(voice))?;
        if options.transpose.register == RegisterMode::Off {
            return Ok((engine, None));
        }
        if voice.manifest().register_hz().is_none() {
            remarks.push(format!(
                "the register of {} is not known, so its pitch is the singer's; set --transpose, or import it with --range",
                voice.name()
            ));
            return Ok((engine, None));
        }
        let profile = match &options.profile {
            Some(path) => Some(session::profile(path)?),
            None if options.no_profile => None,
            None => self.learn(input, false, progress, remarks)?.map(Arc::new),
        };
        engine.set_profile(profile.clone());
        Ok((engine, profile))
    }

    /// First pass: the singer's profile, with a word where it is doubtful. `None` when too little is sung.
    fn learn(
        &mut self,
        input: &Input,
        learns_content: bool,
        progress: &Progress,
        remarks: &mut Vec<String>,
    ) -> Result<Option<SourceProfile>, CliError> {
        let mut engine = match self.learner.take() {
            Some(mut engine) => {
                engine.reset();
                engine
            }
            None => session::plain_engine(self.native_mode(), learns_content, SourceProfile::population())?,
        };
        let learned = listen(self.options, &mut engine, input, progress)?;
        self.learner = Some(engine);
        if let Some(doubt) = learned.as_ref().and_then(SourceProfile::doubt) {
            remarks.push(format!("{doubt} If not, take out hum or bleed, or name a --profile"));
        }
        Ok(learned)
    }
}

/// What was converted before an engine failed, under a name of its own.
fn kept(writer: AudioWriter, output: &Path, seconds: f64, source: EngineError) -> CliError {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let extension = output.extension().unwrap_or_default().to_string_lossy();
    let path = output.with_file_name(format!("{stem}-until-{seconds:.0}s.{extension}"));
    let is_worth = seconds >= WORTH_KEEPING_S;
    match is_worth && writer.finish_under(&path, Existing::Keep).is_ok() {
        true => CliError::Stopped { source, path, seconds },
        false => CliError::Engine(source),
    }
}

/// The profile from the whole file, or from its beginning when that is enough.
fn listen(
    options: &Options,
    engine: &mut NativeEngine,
    input: &Input,
    progress: &Progress,
) -> Result<Option<SourceProfile>, CliError> {
    let mut reader = input.reader()?;
    let spec = reader.spec();
    let mut resampler = Resampler::new(spec.rate, ENGINE_RATE, 0);
    let params = HopParams { voice_slot: 0, ..params(options) };
    let (mut down, gain) = (DownMix::new(spec.channels, options.channels.choice()), gains(options).input);
    let (mut block, mut mono) = (Vec::new(), Vec::new());
    let (mut hop, mut ignored) = ([0.0; HOP_LEN], [0.0; HOP_LEN]);
    engine.start_learning();
    progress.begin("learning the singer");
    while reader.read(&mut block).map_err(CliError::Input)? {
        mono.clear();
        mono.extend(block.chunks_exact(spec.channels).map(|frame| down.step(frame) * gain));
        resampler.push(&mono);
        while resampler.available() >= HOP_LEN {
            resampler.pull(&mut hop);
            engine.process_hop(&params, &hop, &mut ignored)?;
        }
        if let Some(profile) = engine.take_learned() {
            return Ok(Some(profile));
        }
        progress.reach(reader.position(), spec.rate);
    }
    Ok(engine.take_learned_early())
}

/// Writes the learned profile to a file, named after it.
fn save(path: &Path, profile: Option<&SourceProfile>) -> Result<(), CliError> {
    let too_little = "too little is sung in the input to learn a profile: a second at least";
    let profile = profile.ok_or_else(|| CliError::Usage(too_little.into()))?;
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = profile.to_bytes(&name, "").map_err(CliError::voice(path.display()))?;
    Ok(new_file::write(path, &bytes, Existing::Replace)?)
}

/// Where a file goes that came from `below` a folder.
pub fn target(folder: &Path, below: &Path) -> PathBuf {
    let is_flac = below.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("flac"));
    folder.join(below).with_extension(if is_flac { "flac" } else { "wav" })
}
