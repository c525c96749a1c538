//! Adapts the refiner to one voice: the voice's recordings are converted to other voices and back, and the result is
//! compared with the recordings.
//!
//! ```text
//! half A ─▶ another voice ─▶ the voice made of half B ─┐
//! half A ──────────────────────────────────────────────┴─▶ least squares on what the refiner's last layer saw
//! ```
//!
//! Each half of the recordings comes back through a voice made of the other half, which does not contain it. The fit is
//! linear, so it needs no training and gives the same result everywhere; a ridge keeps it close to "no change". The work
//! is divided into steps of some milliseconds, except for making a half's voice, which takes a second. A new voice gets a
//! first fit at once, from a few of its recordings ([`quick`]). Off the audio thread only.

mod compare;
mod passage;
pub(in crate::clone) mod quick;
mod sums;

use std::sync::Arc;

use crate::audio_file::AudioReader;
use crate::clone::features::FeatureFrame;
use crate::clone::{CloneOptions, voice_from_features};
use crate::engine::content::{ContentEncoder, PHONES};
use crate::engine::native::network::{VOICE_LEN, describe};
use crate::engine::native::refine::{ADAPTATION_SHAPE, RefineGraph};
use crate::engine::native::target::Target;
use crate::engine::profile::SourceProfile;
use crate::engine::{ENGINE_RATE, HOP_LEN, HopParams, Mode, RegisterMode};
use crate::onnx::Runtime;
use crate::voice::{Adaptation, Library, MeanShapes, Voice};

use compare::{Comparison, Sounds};
use passage::{Hearing, Passage, STEP_HOPS};
pub(super) use sums::Sums;

/// Least recordings, in samples: each half has to make a voice of its own.
const LEAST_LEN: usize = 20 * ENGINE_RATE as usize;

/// Most recordings that are used, in samples; more would take time and add little.
const MOST_LEN: usize = 120 * ENGINE_RATE as usize;

/// Length of the pieces that belong to the halves in turn, in samples, and how far their ends may move to a pause.
const PIECE_LEN: usize = 8 * ENGINE_RATE as usize;
const PIECE_SLACK: usize = 2 * ENGINE_RATE as usize;

/// Silence between the pieces of a half.
const GAP_LEN: usize = 3 * ENGINE_RATE as usize / 10;

/// Root mean square of the recordings when they are compared.
const LEVEL: f32 = 0.05;

/// Likeness of the way back, by the number of the voice that was between: as people use it.
const BACK_LIKENESS: [f32; 3] = [0.6, 0.8, 1.0];

/// Ways there and back: each half through so many other voices.
pub(super) const TURNS: usize = 2 * BACK_LIKENESS.len();

/// Largest transposition to another voice, in semitones.
const MAX_SHIFT_ST: f32 = 12.0;

/// What the work on a voice's adaptation goes by.
#[derive(Debug)]
struct Plan {
    runtime: &'static Runtime,
    /// The voice's median F0 in Hz.
    median_f0_hz: f32,
    described: [f32; VOICE_LEN],
    space: String,
    others: Vec<Arc<Voice>>,
    samples: [Arc<[f32]>; 2],
}

/// Work on a voice's adaptation.
#[derive(Debug)]
pub(super) struct Adapting {
    plan: Plan,
    halves: Vec<Half>,
    /// Turns that are done.
    turn: usize,
    stage: Stage,
    sums: Sums,
}

/// One half of the recordings, heard.
#[derive(Debug)]
struct Half {
    voice: Arc<Voice>,
    profile: Arc<SourceProfile>,
}

#[derive(Debug)]
enum Stage {
    /// Starts with the next half.
    Half(Hearing),
    /// Converts a half to another voice.
    Away(Passage),
    /// Processes what came back.
    Learn(Hearing),
    /// Converts it back.
    Back(Passage),
    /// Compares what came back.
    Compare(Box<Comparison>),
    Done,
}

impl Adapting {
    /// Work on the recordings of a voice, a FLAC file.
    ///
    /// # Errors
    /// In words, why the voice cannot be adapted.
    pub(super) fn new(target: &Target, recordings: Vec<u8>) -> Result<Self, String> {
        let samples = beginning(recordings)?;
        if samples.len() < LEAST_LEN {
            let seconds = samples.len() as f32 / ENGINE_RATE as f32;
            let least = LEAST_LEN as u32 / ENGINE_RATE;
            return Err(format!("its recordings last {seconds:.0} s, and {least} s are needed"));
        }
        let mut plan = Plan::new(&target.body().shapes, target.voice().median_f0_hz(), &samples)?;
        plan.others.retain(|other| other.id() != target.id());
        let stage = Stage::Half(plan.hearing(plan.samples[0].clone())?);
        Ok(Self { plan, halves: Vec::new(), turn: 0, stage, sums: Sums::new() })
    }

    /// Share of the work that is done, in `0.0..=1.0`.
    pub(super) fn progress(&self) -> f32 {
        // A passage takes about three times as long as hearing.
        let (done, weight, of_stage) = match &self.stage {
            Stage::Half(hearing) => (self.halves.len() as f32, 1.0, hearing.progress()),
            Stage::Away(passage) => (2.0, 3.0, passage.progress()),
            Stage::Learn(hearing) => (5.0, 1.0, hearing.progress()),
            Stage::Back(passage) => (6.0, 3.0, passage.progress()),
            Stage::Compare(comparison) => (9.0, 2.0, comparison.progress()),
            Stage::Done => return 1.0,
        };
        let turns = 9.0 * self.turn as f32;
        ((done + turns + weight * of_stage) / (2.0 + 9.0 * TURNS as f32)).min(1.0)
    }

    /// Turns that are done, and what they gave: enough to go on later.
    pub(super) fn kept(&self) -> (usize, &Sums) {
        (self.turn, &self.sums)
    }

    /// Resumes after so many turns. The halves are processed again.
    pub(super) fn resume(&mut self, turn: usize, sums: Sums) {
        (self.turn, self.sums) = (turn.min(TURNS), sums);
    }

    /// Does a little. `false` when nothing is left to do.
    ///
    /// # Errors
    /// In words, why the voice cannot be adapted.
    pub(super) fn step(&mut self) -> Result<bool, String> {
        match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Half(mut hearing) => {
                self.stage = if hearing.step()? {
                    Stage::Half(hearing)
                } else {
                    let (frames, profile) = hearing.finish();
                    self.halves.push(half(frames, profile, self.plan.content()?.space())?);
                    match self.plan.samples.get(self.halves.len()) {
                        Some(samples) => Stage::Half(self.plan.hearing(samples.clone())?),
                        None => self.next_turn()?,
                    }
                };
            }
            Stage::Away(mut passage) => {
                self.stage = match passage.step()? {
                    true => Stage::Away(passage),
                    false => Stage::Learn(self.plan.hearing(passage.output().0)?),
                };
            }
            Stage::Learn(mut hearing) => {
                self.stage = if hearing.step()? {
                    Stage::Learn(hearing)
                } else {
                    let away = hearing.samples.clone();
                    let (_, profile) = hearing.finish();
                    Stage::Back(self.plan.back(self.turn, away, profile, &self.halves)?)
                };
            }
            Stage::Back(mut passage) => {
                self.stage = if passage.step()? {
                    Stage::Back(passage)
                } else {
                    let (back, phones) = passage.output();
                    Stage::Compare(Box::new(self.plan.comparison(self.turn, back, phones)?))
                };
            }
            Stage::Compare(mut comparison) => {
                self.stage = if comparison.step(STEP_HOPS, &mut self.sums).map_err(|error| error.to_string())? {
                    Stage::Compare(comparison)
                } else {
                    self.turn += 1;
                    self.next_turn()?
                };
            }
            Stage::Done => {}
        }
        Ok(!matches!(self.stage, Stage::Done))
    }

    /// The adaptation; `None` if the data do not determine it.
    pub(super) fn finish(&self) -> Option<Adaptation> {
        Adaptation::new(&self.plan.space, ADAPTATION_SHAPE, self.sums.solve()?)
    }

    fn next_turn(&self) -> Result<Stage, String> {
        match self.turn < TURNS {
            true => Ok(Stage::Away(self.plan.away(self.turn, &self.halves)?)),
            false => Ok(Stage::Done),
        }
    }
}

impl Plan {
    /// For a voice with these mean shapes and this median F0 in Hz.
    fn new(shapes: &MeanShapes, median_f0_hz: f32, samples: &[f32]) -> Result<Self, String> {
        let runtime = Runtime::get().map_err(|error| error.to_string())?;
        let library = Library::scan_folders(&[]);
        let others: Vec<_> = library.voices().filter_map(|entry| entry.load().ok()).collect();
        if others.len() <= TURNS {
            return Err("the voices that come with Coffre are not there".to_owned());
        }
        let graph = RefineGraph::for_any(runtime).map_err(|error| error.to_string())?;
        Ok(Self {
            runtime,
            median_f0_hz,
            described: describe(shapes),
            space: graph.hidden_space().to_owned(),
            others,
            samples: halves(samples),
        })
    }

    /// The way of a half to the voice between.
    fn away(&self, turn: usize, halves: &[Half]) -> Result<Passage, String> {
        let half = turn % 2;
        let (samples, profile) = (self.samples[half].clone(), halves[half].profile.clone());
        self.passage(samples, profile, self.other(turn), params(self.shift_st(turn), 1.0))
    }

    /// The way back of what came of it, to the voice of the other half.
    fn back(
        &self,
        turn: usize,
        away: Arc<[f32]>,
        profile: Arc<SourceProfile>,
        halves: &[Half],
    ) -> Result<Passage, String> {
        let params = params(-self.shift_st(turn), BACK_LIKENESS[turn / 2]);
        self.passage(away, profile, &halves[1 - turn % 2].voice, params)
    }

    fn comparison(&self, turn: usize, back: Arc<[f32]>, phones: Arc<[[f32; PHONES]]>) -> Result<Comparison, String> {
        let graph = RefineGraph::for_any(self.runtime).map_err(|error| error.to_string())?;
        let sounds = Sounds { heard: back, wanted: self.samples[turn % 2].clone(), phones };
        Ok(Comparison::new(graph, &self.described, sounds, LEVEL))
    }

    /// The voice between, in this turn.
    fn other(&self, turn: usize) -> &Arc<Voice> {
        // They lie in the order of their names: low and high, women and men, invented ones among them.
        &self.others[turn * self.others.len() / TURNS]
    }

    /// Semitones to the voice between: whole ones, as to any voice.
    fn shift_st(&self, turn: usize) -> f32 {
        let shift = 12.0 * (self.other(turn).median_f0_hz() / self.median_f0_hz).log2();
        if shift.is_finite() { shift.round().clamp(-MAX_SHIFT_ST, MAX_SHIFT_ST) } else { 0.0 }
    }

    fn content(&self) -> Result<ContentEncoder, String> {
        ContentEncoder::new(self.runtime, Mode::Mix).map_err(|error| error.to_string())
    }

    fn hearing(&self, samples: Arc<[f32]>) -> Result<Hearing, String> {
        Ok(Hearing::new(samples, self.content()?))
    }

    fn passage(
        &self,
        input: Arc<[f32]>,
        profile: Arc<SourceProfile>,
        voice: &Arc<Voice>,
        params: HopParams,
    ) -> Result<Passage, String> {
        Ok(Passage::new(self.content()?, input, profile, voice, params))
    }
}

fn params(transpose_st: f32, likeness: f32) -> HopParams {
    HopParams {
        transpose_st,
        likeness,
        register: RegisterMode::Off,
        gate_db: -100.0,
        is_marked: false,
        ..HopParams::default()
    }
}

/// The first [`MOST_LEN`] samples of a FLAC file, or a little more.
fn beginning(recordings: Vec<u8>) -> Result<Vec<f32>, String> {
    let mut reader = AudioReader::from_bytes("the recordings", recordings).map_err(|error| error.to_string())?;
    let spec = reader.spec();
    if (spec.rate, spec.channels) != (ENGINE_RATE, 1) {
        return Err(format!(
            "its recordings have {} Hz and {} channels, not {ENGINE_RATE} and 1",
            spec.rate, spec.channels
        ));
    }
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while samples.len() < MOST_LEN && reader.read(&mut block).map_err(|error| error.to_string())? {
        samples.append(&mut block);
    }
    Ok(samples)
}

/// Makes a half's voice.
fn half(frames: Vec<FeatureFrame>, profile: Arc<SourceProfile>, space: &str) -> Result<Half, String> {
    let options = CloneOptions { name: "half".to_owned(), ..CloneOptions::default() };
    let bytes = voice_from_features(&mut [frames], space, &options).map_err(|error| error.to_string())?;
    let voice = Voice::from_bytes(&bytes).map_err(|error| error.to_string())?;
    Ok(Half { voice: Arc::new(voice), profile })
}

/// Two halves of recordings, in pieces that alternate and end where it is quiet.
fn halves(samples: &[f32]) -> [Arc<[f32]>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    let (mut start, mut number) = (0, 0);
    let piece_len = PIECE_LEN.min(samples.len() / 2);
    while start < samples.len() {
        let end = match samples.len() - start > piece_len + PIECE_SLACK {
            true => quietest(samples, start + piece_len - PIECE_SLACK, start + piece_len + PIECE_SLACK),
            false => samples.len(),
        };
        let half = &mut halves[number % 2];
        half.extend_from_slice(&samples[start..end]);
        half.resize(half.len() + GAP_LEN, 0.0);
        (start, number) = (end, number + 1);
    }
    halves.map(Into::into)
}

/// The middle of the quietest 50 ms between two places.
fn quietest(samples: &[f32], from: usize, to: usize) -> usize {
    let len = 5 * HOP_LEN;
    let power = |at: usize| samples[at..at + len].iter().map(|sample| sample * sample).sum::<f32>();
    let places = (from..to.min(samples.len()) - len).step_by(HOP_LEN);
    places.min_by(|a, b| power(*a).total_cmp(&power(*b))).map_or(to, |at| at + len / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio_file::{flac_from_samples, read_mono};
    use crate::clone::Cloner;
    use crate::clone::improve::Improvement;

    /// A voice file and the 21 s of recordings that it was made of and does not keep.
    fn spoken() -> (Vec<u8>, Vec<u8>) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vocal.flac");
        let (vocal, _) = read_mono(path.as_ref(), 10.0).expect("readable");
        let samples: Vec<f32> = vocal.iter().copied().cycle().take(21 * ENGINE_RATE as usize).collect();
        let runtime = Runtime::get().expect("the runtime");
        let mut cloner = Cloner::new(ContentEncoder::new(runtime, Mode::Mix).ok()).expect("a thread");
        cloner.push(&samples);
        let analysed = cloner.analyse().expect("an encoder");
        let recordings = analysed.recordings().expect("FLAC");
        let options = CloneOptions { name: "Spoken".to_owned(), ..CloneOptions::default() };
        (analysed.make(&options).expect("enough voice"), recordings)
    }

    #[test]
    fn the_refiner_is_taught_and_an_interruption_is_not_to_be_seen() {
        let (bytes, recordings) = spoken();
        let start = || Improvement::new_with(&bytes, Some(recordings.clone())).expect("a voice with a bank");
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("half.work");
        let mut whole = start();
        let (mut last, mut is_kept) = (0.0, false);
        while whole.step() {
            assert!(whole.progress() >= last, "{} after {last}", whole.progress());
            last = whole.progress();
            if whole.adapting.as_ref().is_some_and(|adapting| adapting.kept().0 == TURNS / 2) && !is_kept {
                whole.keep(&kept).expect("written");
                is_kept = true;
            }
        }
        assert_eq!((whole.progress(), whole.not_adapted()), (1.0, None));
        let whole = whole.finish().expect("a file");
        let voice = Voice::from_bytes(&whole).expect("readable");
        let adaptation = voice.native().and_then(|body| body.adaptation.as_ref()).expect("it was taught");
        assert_eq!(
            adaptation.space(),
            RefineGraph::for_any(Runtime::get().expect("there")).expect("ships").hidden_space()
        );
        let mut gains = [0.0; crate::engine::native::refine::KNOWN_BINS];
        adaptation.add_to(&[0.0; crate::engine::native::refine::HIDDEN_LEN], 1.0, &mut gains);
        assert!(gains.iter().any(|gain| gain.abs() > 0.01) && gains.iter().all(|gain| gain.abs() < 3.0));

        let mut resumed = start();
        assert!(resumed.take_up(&kept) && resumed.progress() > 0.1);
        while resumed.step() {}
        assert!(resumed.finish().expect("a file") == whole);
        let mut other = Improvement::new(&bytes).expect("a voice");
        assert!(!other.take_up(&kept), "without recordings there are no sums to go on with");
        let first = Voice::from_bytes(&bytes).expect("readable");
        let first = first
            .native()
            .and_then(|body| body.adaptation.as_ref())
            .expect("a little was learned when the voice was made");
        assert_ne!(first, adaptation);
        let other = Voice::from_bytes(&other.finish().expect("a file")).expect("readable");
        assert_eq!(other.native().and_then(|body| body.adaptation.as_ref()), Some(first), "what is known stays");
    }

    #[test]
    fn recordings_that_are_of_no_use_are_said_and_the_rest_is_done() {
        let bytes = crate::clone::tests::spoken_voice(200);
        let short = flac_from_samples(&vec![100; 48_000], ENGINE_RATE).expect("FLAC");
        let slow = flac_from_samples(&vec![100; 480_000], 16_000).expect("FLAC");
        let cut = short[..short.len() / 2].to_vec();
        // Silence makes no half's voice, which is only found when it is tried.
        let silent = flac_from_samples(&vec![0; LEAST_LEN], ENGINE_RATE).expect("FLAC");
        for (recordings, part) in [
            (Some(short), "1 s"),
            (Some(slow), "16000 Hz"),
            (Some(cut), "recordings"),
            (Some(b"fLaC".to_vec()), "recordings"),
            (Some(silent), "voice"),
            (None, "does not keep"),
        ] {
            let mut improvement = Improvement::new_with(&bytes, recordings).expect("a voice with a bank");
            while improvement.step() {}
            let reason = improvement.not_adapted().expect("a reason").to_owned();
            assert!(reason.contains(part), "{reason}");
            let voice = Voice::from_bytes(&improvement.finish().expect("a file")).expect("readable");
            assert!(voice.native().is_some_and(|body| body.adaptation.is_none()));
        }
    }

    #[test]
    fn the_halves_hold_everything_once_and_change_where_it_is_quiet() {
        let second = ENGINE_RATE as usize;
        // A tone that pauses at second 7, 15, 23, ...
        let pause = |n: usize| (7 * second..7 * second + second / 4).contains(&(n % (8 * second)));
        let samples: Vec<f32> = (0..60 * second).map(|n| if pause(n) { 0.0 } else { 0.5 }).collect();
        let [a, b] = halves(&samples);
        let tone = |half: &[f32]| half.iter().filter(|sample| **sample != 0.0).count();
        assert_eq!(tone(&a) + tone(&b), tone(&samples));
        assert!(a.len().abs_diff(b.len()) < 12 * second, "{} and {}", a.len(), b.len());
        for half in [a, b] {
            // A cut in the tone would leave a silence of the gap's own length.
            let silences = half.chunk_by(|one, next| (*one == 0.0) == (*next == 0.0)).filter(|run| run[0] == 0.0);
            let silences: Vec<usize> = silences.map(<[f32]>::len).collect();
            let (_, inner) = silences.split_last().expect("gaps");
            assert!(inner.len() >= 2 && inner.iter().all(|len| *len != GAP_LEN), "{silences:?}");
        }
    }
}
