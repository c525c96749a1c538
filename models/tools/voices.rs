//! The recipe that builds `models/voices/*.coffre` and `models/population.profile` from the speech set.
//!
//! ```text
//! COFFRE_ONNXRUNTIME=/path/to/libonnxruntime.so cargo run --release --no-default-features --features recipe \
//!     --example build-voices -- --speech ../shared/speech [--minutes 10] [--only NAME] [--graph ONNX] [--cache DIR]
//! ... --extras PROGRAM --portraits DIR       # afterwards: previews, converted by the program `coffre`, and pictures
//! ```
//!
//! Decodes with `ffmpeg`. The last tenth of each target's utterances stays out as a reference for judging; speakers
//! listed in `models/train/split.json` never enter the population. The same input gives the same files.

mod extras;
mod invented;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use coffre::clone::{
    AnalysedFrame, CloneOptions, FeatureExtractor, FeatureFrame, NoiseFloor, encode, voice_from_features,
};
use coffre::engine::Mode;
use coffre::engine::bands::ENV_BANDS;
use coffre::engine::content::{ContentEncoder, MEL_BANDS};
use coffre::engine::profile::{SourceProfile, SpeakerStatistics};
use coffre::new_file::{self, Existing};
use coffre::onnx::Runtime;
use coffre::voice::manifest::{Consent, ConsentGround};
use coffre::voice::{Bank, BankFrame, MeanShapes, NativeVoice, Voice};

use invented::INVENTED;

/// Rate of all audio here, in Hz.
const RATE: f64 = 48_000.0;

/// Share of the absolute map in the voices of people at the default likeness: settled between 0, 35 and 70 % on validation
/// speakers (`models/NOTEBOOK.md`).
const ABSOLUTE_SHARE: f32 = 0.35;

/// Frames in the population's bank.
const POPULATION_FRAMES: usize = 6_000;

/// Speakers of each sex in the population.
const POPULATION_SPEAKERS: usize = 40;

/// Seconds of each speaker of the population.
const POPULATION_SECONDS: f64 = 12.0;

/// Real bandwidth of the population's recordings in Hz: 16 kHz audio, 7 to 8 kHz lowered by its coding.
const POPULATION_BAND_HZ: f32 = 7_200.0;

/// One embedded voice.
struct Target {
    speaker: &'static str,
    file: &'static str,
    name: &'static str,
    language: &'static str,
    bandwidth_hz: f32,
    description: &'static str,
}

const TARGETS: [Target; 4] = [
    Target {
        speaker: "kathleen",
        file: "quartz",
        name: "Quartz",
        language: "en-US",
        bandwidth_hz: 20_000.0,
        description: "Bright, clear female voice of medium height; full band.",
    },
    Target {
        speaker: "nathalie",
        file: "celadon",
        name: "Celadon",
        language: "nl",
        bandwidth_hz: 20_000.0,
        description: "Calm, open female voice; full band.",
    },
    Target {
        speaker: "flemishguy",
        file: "basalt",
        name: "Basalt",
        language: "nl-BE",
        bandwidth_hz: 11_500.0,
        description: "Dry male voice; real signal up to 12 kHz, above it the singer's own air stays.",
    },
    Target {
        speaker: "kerstin",
        file: "ochre",
        name: "Ochre",
        language: "de",
        bandwidth_hz: 6_800.0,
        description: "Warm female voice; real signal up to 7 kHz, above it the singer's own air stays.",
    },
];

/// A row of the speech set's manifest.
#[derive(Clone, Debug, serde::Deserialize)]
struct Row {
    file: String,
    start_s: f64,
    end_s: f64,
    corpus: String,
    speaker: String,
    sex: Option<String>,
    /// Years, or a range in words.
    age: serde_json::Value,
    repo: String,
}

/// Speakers that nothing may be built from.
#[derive(serde::Deserialize)]
struct Split {
    validation: BTreeSet<String>,
    judge: BTreeSet<String>,
}

/// What was asked on the command line.
struct Options {
    speech: PathBuf,
    models: PathBuf,
    minutes: f64,
    only: Option<String>,
    graph: Option<PathBuf>,
    cache: Option<PathBuf>,
    extras: Option<PathBuf>,
    portraits: PathBuf,
}

fn main() -> Result<()> {
    let options = parse(std::env::args().skip(1))?;
    if let Some(program) = &options.extras {
        let vocal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac");
        let (voices, portraits) = (options.models.join("voices"), &options.portraits);
        return extras::add(&extras::Sources { voices: &voices, vocal: &vocal, program, portraits });
    }
    let rows = read_rows(&options.speech)?;
    let runtime = Runtime::get()?;
    let mut encoder = match &options.graph {
        Some(path) => ContentEncoder::from_graph(runtime, &std::fs::read(path)?)?,
        None => ContentEncoder::new(runtime, Mode::Mix)?,
    };
    let is_wanted = |name: &str| options.only.as_deref().is_none_or(|only| only == name);
    std::fs::create_dir_all(options.models.join("voices"))?;
    for target in TARGETS.iter().filter(|target| is_wanted(target.file)) {
        build_voice(&options, &rows, target, &mut encoder).with_context(|| target.file.to_owned())?;
    }
    let split = std::fs::read(options.models.join("train/split.json")).context("models/train/split.json is needed")?;
    let split: Split = serde_json::from_slice(&split)?;
    for voice in INVENTED.iter().filter(|voice| is_wanted(voice.file)) {
        invented::build(&options, &rows, &split, voice, &mut encoder).with_context(|| voice.file.to_owned())?;
    }
    if is_wanted("population") {
        build_population(&options, &rows, &split, &mut encoder).context("population")?;
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut options = Options {
        speech: repository.join("../shared/speech"),
        models: repository.join("models"),
        minutes: 10.0,
        only: None,
        graph: None,
        cache: None,
        extras: None,
        portraits: repository.join("target/train/portraits"),
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--speech" => options.speech = value()?.into(),
            "--models" => options.models = value()?.into(),
            "--minutes" => options.minutes = value()?.parse()?,
            "--graph" => options.graph = Some(value()?.into()),
            "--cache" => options.cache = Some(value()?.into()),
            "--extras" => options.extras = Some(value()?.into()),
            "--portraits" => options.portraits = value()?.into(),
            "--only" => options.only = Some(value()?),
            _ => bail!("unknown option {name}"),
        }
    }
    Ok(options)
}

fn read_rows(speech: &Path) -> Result<Vec<Row>> {
    let path = speech.join("manifest.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Decodes a file to mono at 48 kHz, from which rows are cut.
fn decode(path: &Path) -> Result<Vec<f32>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-f", "f32le", "-ac", "1", "-ar", "48000", "-"])
        .output()
        .context("ffmpeg is needed to decode the speech set")?;
    if !output.status.success() {
        bail!("ffmpeg: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// Analyses rows, decoding each file once, and encodes them. Rows come back in the order given.
///
/// With a cache folder the analysis is done once, so that a new content encoder costs only the encoding.
fn features(
    options: &Options,
    name: &str,
    rows: &[Row],
    encoder: &mut ContentEncoder,
) -> Result<Vec<Vec<FeatureFrame>>> {
    let cached = options.cache.as_ref().map(|folder| folder.join(format!("{name}.frames")));
    let takes = match cached.as_ref().filter(|path| path.exists()) {
        Some(path) => read_takes(path, rows.len())?,
        None => {
            let takes = analyse(&options.speech, rows)?;
            if let Some(path) = &cached {
                write_takes(path, &takes)?;
            }
            takes
        }
    };
    encoder.reset();
    takes.iter().map(|take| Ok(encode(take, Some(encoder))?)).collect()
}

fn analyse(speech: &Path, rows: &[Row]) -> Result<Vec<Vec<AnalysedFrame>>> {
    let mut extractor = FeatureExtractor::new();
    let mut decoded: Option<(String, Vec<f32>)> = None;
    let mut takes = Vec::with_capacity(rows.len());
    for row in rows {
        if decoded.as_ref().is_none_or(|(file, _)| *file != row.file) {
            decoded = Some((row.file.clone(), decode(&speech.join(&row.file))?));
        }
        let samples = decoded.as_ref().map_or(&[][..], |(_, samples)| samples);
        let at = |seconds: f64| ((seconds * RATE).round() as usize).min(samples.len());
        takes.push(extractor.analyse(&samples[at(row.start_s)..at(row.end_s)]));
    }
    Ok(takes)
}

/// Floats of one cached frame: F0, loudness, whether it is inside, envelope, mel.
const CACHED: usize = 3 + ENV_BANDS + MEL_BANDS;

/// Writes the number of frames of each take, then all frames, as little-endian 32-bit values.
fn write_takes(path: &Path, takes: &[Vec<AnalysedFrame>]) -> Result<()> {
    let mut bytes = Vec::new();
    for take in takes {
        bytes.extend((take.len() as u32).to_le_bytes());
    }
    for frame in takes.iter().flatten() {
        let head = [frame.f0_hz, frame.loudness, f32::from(u8::from(frame.is_inside))];
        let values = head.iter().chain(&frame.envelope).chain(&frame.mel);
        values.for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    Ok(new_file::write(path, &bytes, Existing::Replace)?)
}

fn read_takes(path: &Path, count: usize) -> Result<Vec<Vec<AnalysedFrame>>> {
    let bytes = std::fs::read(path)?;
    let (words, _) = bytes.as_chunks::<4>();
    let (lengths, frames) = words.split_at_checked(count).context("the cache is of other rows")?;
    let lengths: Vec<usize> = lengths.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    if lengths.iter().sum::<usize>() * CACHED != frames.len() {
        bail!("{} is of other rows or of another version: delete it", path.display());
    }
    let mut frames = frames.chunks_exact(CACHED).map(|words| {
        let value = |n: usize| f32::from_le_bytes(words[n]);
        AnalysedFrame {
            f0_hz: value(0),
            loudness: value(1),
            is_inside: value(2) > 0.0,
            envelope: std::array::from_fn(|band| value(3 + band)),
            mel: std::array::from_fn(|band| value(3 + ENV_BANDS + band)),
        }
    });
    Ok(lengths.iter().map(|&len| frames.by_ref().take(len).collect()).collect())
}

/// Rows at even distances whose length sums to about `seconds`.
fn spread(rows: &[Row], seconds: f64) -> Vec<Row> {
    let total: f64 = rows.iter().map(|row| row.end_s - row.start_s).sum();
    let wanted = ((rows.len() as f64 * (seconds / total).min(1.0)).ceil() as usize).clamp(1, rows.len().max(1));
    (0..wanted).filter_map(|n| rows.get(n * rows.len() / wanted).cloned()).collect()
}

fn build_voice(options: &Options, rows: &[Row], target: &Target, encoder: &mut ContentEncoder) -> Result<()> {
    let all: Vec<Row> = rows.iter().filter(|row| row.speaker == target.speaker).cloned().collect();
    let training = &all[..all.len() - all.len() / 10];
    let repo = &training.first().context("the speaker is not in the manifest")?.repo;
    let mut takes = features(options, target.file, &spread(training, 60.0 * options.minutes), encoder)?;
    let voice_options = CloneOptions {
        name: target.name.to_owned(),
        description: target.description.to_owned(),
        languages: vec![target.language.to_owned()],
        author: "Coffre".to_owned(),
        licence: "CC0-1.0".to_owned(),
        attribution: format!("Built from recordings of the {repo} project, CC0 1.0"),
        consent: Some(Consent {
            ground: ConsentGround::LicensedData,
            statement: format!("Recordings published for speech technology by {repo} under CC0 1.0"),
            date: None,
            recordings_sha256: None,
        }),
        bandwidth_hz: Some(target.bandwidth_hz),
        ..CloneOptions::default()
    };
    let voice = Voice::from_bytes(&voice_from_features(&mut takes, encoder.space(), &voice_options)?)?;
    let body = voice.native().context("a voice of the native engine")?;
    let parts = NativeVoice { absolute_share: ABSOLUTE_SHARE, ..NativeVoice::clone(body) };
    let bytes = Voice::write(voice.manifest().clone(), &parts)?;
    let path = options.models.join("voices").join(format!("{}.coffre", target.file));
    new_file::write(&path, &bytes, Existing::Replace)?;
    println!("{}\n  file         {} bytes\n", Voice::from_bytes(&bytes)?.describe(), bytes.len());
    Ok(())
}

/// Rows of each speaker of one sex in these corpora, corpus by corpus. Judged speakers and children are left out.
fn speakers_of_sex(rows: &[Row], split: &Split, sex: &str, corpora: &[&str]) -> Vec<Vec<Row>> {
    let mut speakers: BTreeMap<(usize, &str), Vec<Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.sex.as_deref() == Some(sex)) {
        let Some(rank) = corpora.iter().position(|corpus| *corpus == row.corpus) else { continue };
        if row.corpus == "speechocean762" && row.age.as_f64().is_none_or(|age| age < 18.0) {
            continue;
        }
        if split.validation.contains(&row.speaker) || split.judge.contains(&row.speaker) {
            continue;
        }
        speakers.entry((rank, &row.speaker)).or_default().push(row.clone());
    }
    speakers.into_values().collect()
}

fn build_population(options: &Options, rows: &[Row], split: &Split, encoder: &mut ContentEncoder) -> Result<()> {
    let mut frames = Vec::new();
    let mut mean_key = [0.0_f32; 64];
    let mut shapes = MeanShapes { voiced: [0.0; 86], unvoiced: [0.0; 86] };
    let (mut log_f0, mut low, mut high) = (0.0_f32, f32::INFINITY, 0.0_f32);
    let mut voiced_seconds = 0.0;
    let mut speakers = ["f", "m"].map(|sex| speakers_of_sex(rows, split, sex, &["librispeech", "speechocean762"]));
    speakers.iter_mut().for_each(|speakers| speakers.truncate(POPULATION_SPEAKERS));
    let count = speakers[0].len().min(speakers[1].len());
    let per_speaker = POPULATION_FRAMES / (2 * count.max(1));
    let chosen: Vec<Vec<Row>> =
        speakers.iter().flat_map(|sex| &sex[..count]).map(|rows| spread(rows, POPULATION_SECONDS)).collect();
    let mut takes = features(options, "population", &chosen.concat(), encoder)?.into_iter();
    for rows in &chosen {
        let mut takes = takes.by_ref().take(rows.len()).collect::<Vec<_>>();
        if let Some(floor) = NoiseFloor::estimate(&takes) {
            takes.iter_mut().flatten().for_each(|frame| floor.remove(frame));
        }
        let mut statistics = SpeakerStatistics::new();
        let mut active = Vec::new();
        for frame in takes.iter().flatten() {
            if statistics.is_active(frame.is_voiced(), frame.loudness) {
                statistics.push(frame.f0_hz, frame.loudness, &frame.shape(), frame.key.as_deref());
                active.push(frame);
            }
        }
        let weight = 1.0 / (2 * count) as f32;
        let speaker_key = statistics.mean_key();
        let speaker_shapes = statistics.shapes();
        mean_key.iter_mut().zip(speaker_key).for_each(|(sum, value)| *sum += weight * value);
        shapes.voiced.iter_mut().zip(speaker_shapes.voiced).for_each(|(sum, value)| *sum += weight * value);
        shapes.unvoiced.iter_mut().zip(speaker_shapes.unvoiced).for_each(|(sum, value)| *sum += weight * value);
        let (median, range) = statistics.f0();
        log_f0 += weight * median.ln();
        (low, high) = (low.min(range[0]), high.max(range[1]));
        voiced_seconds += statistics.voiced_frames() as f32 / 100.0;
        for n in 0..per_speaker.min(active.len()) {
            let frame = active[n * active.len() / per_speaker.min(active.len())];
            let key = frame.key.as_deref().context("the encoder gives keys")?;
            let key = std::array::from_fn(|d| key[d] - speaker_key[d]);
            frames.push(BankFrame { key, shape: frame.shape(), f0_hz: frame.f0_hz });
        }
    }
    let profile = SourceProfile {
        bank: Bank::quantise(&frames),
        content_space: encoder.space().to_owned(),
        mean_key,
        median_f0_hz: log_f0.exp(),
        range_hz: [low, high],
        shapes,
        bandwidth_hz: POPULATION_BAND_HZ,
        voiced_seconds,
    };
    let attribution =
        "LibriSpeech (c) 2014 by Vassil Panayotov, CC BY 4.0; speechocean762, CC BY 4.0; statistics of excerpts";
    let bytes = profile.to_bytes("Population", attribution)?;
    new_file::write(&options.models.join("population.profile"), &bytes, Existing::Replace)?;
    println!(
        "population: {} speakers, {} frames, {:.0} Hz, {} bytes",
        2 * count,
        frames.len(),
        profile.median_f0_hz,
        bytes.len()
    );
    Ok(())
}
