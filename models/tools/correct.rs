//! Writes the corrector's training data (`correct.py`): its features of each frame of a conversion in live mode, and the
//! refiner's gains for the converted sound.
//!
//! ```text
//! COFFRE_ONNXRUNTIME=/path/to/libonnxruntime.so cargo run --release --no-default-features --features recipe \
//!     --example correct-frames -- LIST
//! ```
//!
//! Each line of LIST is one recording: the file, and for each conversion of it five more words: voice file, semitones, likeness
//! in percent, `known` or `unknown` (whether the singer is learned from the recording first), file to write. That
//! gets little-endian 32-bit floats, for each frame: features, probabilities of the phones, gains per band. What is
//! there is not made again.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context as _, Result, ensure};
use coffre::audio_file::read_mono;
use coffre::engine::analysis::ANALYSIS_DELAY_LEN;
use coffre::engine::bands::centre_hz;
use coffre::engine::content::{ContentEncoder, PHONES};
use coffre::engine::native::NativeEngine;
use coffre::engine::native::correct::{Corrector, FEATURES, KNOWN_BANDS};
use coffre::engine::native::difference::Difference;
use coffre::engine::native::network::describe;
use coffre::engine::native::refine::{DELAY_HOPS, HEARD_HOPS, KNOWN_BINS, Probe, RefineGraph};
use coffre::engine::native::stage::{Moment, Stage};
use coffre::engine::native::stages::Stages;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{ENGINE_RATE, Engine as _, HOP_LEN, HopParams, Mode, RegisterMode};
use coffre::new_file::{self, Existing};
use coffre::onnx::Runtime;
use coffre::voice::Voice;

/// Hz between two bins of the refiner.
const BIN_HZ: f32 = 8_000.0 / (KNOWN_BINS - 1) as f32;

/// Least half width of what counts for a band, in Hz: finer than this is harmonics, not timbre.
const LEAST_HZ: f32 = 150.0;

/// Longest recording, in seconds.
const MOST_S: f64 = 60.0;

fn main() -> Result<()> {
    let list = std::env::args().nth(1).context("name a list of conversions")?;
    let widths = band_weights();
    for line in std::fs::read_to_string(&list).context(list)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        ensure!(words.len() % 5 == 1, "a line of {} words", words.len());
        let wanted: Vec<&[&str]> = words[1..].chunks(5).filter(|words| !Path::new(words[4]).exists()).collect();
        if wanted.is_empty() {
            continue;
        }
        let recording = Recording::open(Path::new(words[0]))?;
        for words in wanted {
            let params = HopParams {
                voice_slot: 0,
                transpose_st: words[1].parse()?,
                register: RegisterMode::Off,
                likeness: words[2].parse::<f32>()? / 100.0,
                gate_db: -100.0,
                is_marked: false,
                ..HopParams::default()
            };
            let frames = recording.convert(Path::new(words[0]), &params, words[3] == "known", &widths)?;
            let bytes: Vec<u8> = frames.iter().flat_map(|value| value.to_le_bytes()).collect();
            new_file::write(Path::new(words[4]), &bytes, Existing::Replace)?;
            println!("{}", words[4]);
        }
    }
    Ok(())
}

/// A recording and what mix mode heard in it.
struct Recording {
    samples: Vec<f32>,
    profile: Arc<SourceProfile>,
    /// What is said while the refiner gets each hop of a sound in time with the recording.
    phones: Vec<[f32; PHONES]>,
}

impl Recording {
    /// Reads a file of 48 kHz and lets mix mode hear it.
    fn open(path: &Path) -> Result<Self> {
        let (mut samples, rate) = read_mono(path, MOST_S)?;
        ensure!(rate == ENGINE_RATE, "{} is not of {ENGINE_RATE} Hz", path.display());
        samples.resize(samples.len().next_multiple_of(HOP_LEN), 0.0);
        let runtime = Runtime::get()?;
        let content = ContentEncoder::new(runtime, Mode::Mix)?;
        let mut engine = NativeEngine::new(Mode::Mix, Some(content), SourceProfile::population());
        let (mut profile, mut phones) = (None, Vec::new());
        let params = HopParams::default();
        run(&mut engine, &params, &samples, |engine, _| {
            phones.push(*engine.phones_heard(DELAY_HOPS + HEARD_HOPS));
            profile = profile.take().or_else(|| engine.take_learned());
        })?;
        let profile = profile.or_else(|| engine.take_learned_early());
        phones.drain(..(engine.latency_len() + HOP_LEN / 2) / HOP_LEN);
        Ok(Self { samples, profile: profile.map_or_else(SourceProfile::population, Arc::new), phones })
    }

    /// Features, phones and gains of each frame of a conversion.
    fn convert(&self, voice: &Path, params: &HopParams, is_known: bool, widths: &[Vec<f32>]) -> Result<Vec<f32>> {
        let runtime = Runtime::get()?;
        let voice = Arc::new(Voice::open(voice)?);
        let profile = if is_known { Arc::clone(&self.profile) } else { SourceProfile::population() };
        let (told, tells) = channel();
        let stages = Stages::default().shaped_by(Recorder { corrector: Corrector::new(None), told });
        let content = ContentEncoder::new(runtime, Mode::Live)?;
        let mut engine = NativeEngine::with_stages(Mode::Live, Some(content), profile, stages);
        engine.stop_learning();
        engine.set_voice(params.voice_slot, Some(Arc::clone(&voice)));
        let mut sound = Vec::new();
        run(&mut engine, params, &self.samples, |_, output| sound.extend_from_slice(output))?;
        sound.drain(..engine.latency_len());
        let gains = self.gains(&voice, &sound, widths)?;
        let mut rows = Vec::new();
        for (hop, (features, phones)) in tells.try_iter().enumerate() {
            // The middle of the frame in the recording, in frames of the refiner.
            let middle = ((hop + 1) * HOP_LEN) as f32 - ANALYSIS_DELAY_LEN as f32;
            let place = middle / HOP_LEN as f32 - 0.5;
            let (low, share) = (place.floor(), place - place.floor());
            let frame = |at: f32| (at >= 0.0).then(|| gains.get(at as usize)).flatten();
            let (Some(a), Some(b)) = (frame(low), frame(low + 1.0)) else { continue };
            rows.extend_from_slice(&features);
            rows.extend_from_slice(&phones);
            rows.extend(a.iter().zip(b).map(|(a, b)| a + share * (b - a)));
        }
        Ok(rows)
    }

    /// What the refiner makes of a sound in time with the recording: per band of the frame whose middle is that of hop `n`.
    fn gains(&self, voice: &Voice, sound: &[f32], widths: &[Vec<f32>]) -> Result<Vec<[f32; KNOWN_BANDS]>> {
        let [known, any] = RefineGraph::shipped(Runtime::get()?)?;
        let graph = if known.knows(&[Some(voice.id()), None]) { known } else { any };
        let mut probe = Probe::new(graph, &describe(&voice.native().context("a voice of the native engine")?.shapes));
        // The first answer is about a frame that ends with the first hop.
        let mut gains = Vec::new();
        let (hops, _) = sound.as_chunks::<HOP_LEN>();
        for (hop, phones) in hops.iter().zip(&self.phones) {
            probe.push(hop, hop, phones, |frame| {
                gains.push(std::array::from_fn(|band| {
                    let powers = widths[band].iter().zip(frame.heard).map(|(weight, power)| weight * power);
                    let (before, after) =
                        powers.zip(frame.gains).fold((1e-12, 1e-12), |(before, after), (power, gain)| {
                            (before + power, after + power * (2.0 * gain).exp())
                        });
                    0.5 * (after / before).ln()
                }));
            })?;
        }
        gains.drain(..1);
        Ok(gains)
    }
}

/// Stands where the corrector does and tells its features and the phones of each frame.
#[derive(Debug)]
struct Recorder {
    corrector: Corrector,
    told: Sender<([f32; FEATURES], [f32; PHONES])>,
}

impl Stage<Difference> for Recorder {
    fn process(&mut self, moment: &Moment<'_>, difference: &mut Difference) {
        // Without a graph it changes nothing.
        self.corrector.process(moment, difference);
        // Somebody listens as long as the engine runs.
        let _ = self.told.send((*self.corrector.features(), *moment.phones(0)));
    }

    fn reset(&mut self) {
        self.corrector.reset();
    }
}

/// Puts a sound and the rest of what follows it through an engine.
fn run(
    engine: &mut NativeEngine,
    params: &HopParams,
    samples: &[f32],
    mut take: impl FnMut(&mut NativeEngine, &[f32]),
) -> Result<()> {
    let silence = vec![0.0; engine.latency_len().next_multiple_of(HOP_LEN) + 8 * HOP_LEN];
    let mut output = [0.0; HOP_LEN];
    for hop in samples.chunks_exact(HOP_LEN).chain(silence.chunks_exact(HOP_LEN)) {
        engine.process_hop(params, hop, &mut output)?;
        take(engine, &output);
    }
    Ok(())
}

/// Weights of the refiner's bins for each band: triangles around its centre.
fn band_weights() -> Vec<Vec<f32>> {
    let weight = |band: usize, bin: usize| {
        let (middle, hz) = (centre_hz(band), bin as f32 * BIN_HZ);
        let width = (centre_hz(band + 1) - middle).max(LEAST_HZ);
        (1.0 - (hz - middle).abs() / width).max(0.0)
    };
    (0..KNOWN_BANDS).map(|band| (0..KNOWN_BINS).map(|bin| weight(band, bin)).collect()).collect()
}
