//! Cloning in the background, for the editor: reads and checks recordings while the user states whose voice it is, then
//! makes the voice and puts it into the library.
//!
//! Runs on a thread of its own at low priority, so that audio comes first. The editor reads [`CloneJob::state`] for each
//! frame that it draws and never waits.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::background::background;
use super::captured::{Capture, Captured, Heard};
use super::check::spoken;
use super::recording::{Recording, audio_files, recordings_sha256};
use super::{Analysed, Check, CloneOptions, Cloner, Finding, Grade};
use crate::engine::Mode;
use crate::engine::content::ContentEncoder;
use crate::onnx::Runtime;
use crate::voice::{Consent, ConsentGround, VoiceId, library};

/// Seconds of recordings between two checks while they are read.
const CHECK_EVERY_S: f32 = 5.0;

/// Time between two looks at a capture: the ear of the check may be this late.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Seconds of a capture between two checks while it runs.
const CHECK_CAPTURE_EVERY_S: f32 = 1.5;

/// Where a job stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// Reads and checks the recordings.
    #[default]
    Listening,
    /// Records from the track and checks the recording.
    Recording,
    /// Everything is read: waits for [`CloneJob::make`], or for a sentence by [`CloneJob::hear_sentence`].
    Ready,
    /// Records the sentence that is read aloud.
    Speaking,
    /// Makes the voice.
    Making,
    /// The voice is in the library.
    Done {
        /// Its display name.
        name: String,
        /// SHA-256 of its file.
        id: VoiceId,
    },
    /// No voice comes out; the reason, with what to do.
    Failed(String),
}

/// What the editor shows of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobState {
    /// Where it stands.
    pub stage: Stage,
    /// Share of the recordings that is read, in `0.0..=1.0`.
    pub progress: f32,
    /// The check so far.
    pub check: Check,
    /// Whether the sentence read aloud sounds like the recordings; `None` before one was read.
    pub spoken: Option<Finding>,
}

/// What a person says before the voice is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Display name.
    pub name: String,
    /// On what ground the voice may be imitated; `None` = not stated.
    pub ground: Option<ConsentGround>,
    /// In words.
    pub statement: String,
    /// Keep the recordings in the file.
    pub keeps_recordings: bool,
}

/// A running job. Dropping it ends it soon; nothing is left behind.
#[derive(Debug)]
pub struct CloneJob {
    shared: Arc<Shared>,
    orders: Sender<Order>,
}

/// What a job that is ready may be told.
enum Order {
    Make(Answers),
    Hear(Box<dyn Capture>),
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<JobState>,
    is_cancelled: AtomicBool,
    /// What was captured so far is enough.
    is_enough: AtomicBool,
}

impl CloneJob {
    /// Starts to read recordings: files, or folders of them.
    pub fn start(recordings: Vec<PathBuf>) -> Self {
        Self::start_with(recordings, encoder)
    }

    /// Records from a track until the capture is complete or [`CloneJob::end_capture`] is called.
    pub fn capture(source: Box<dyn Capture>) -> Self {
        Self::capture_with(source, encoder)
    }

    /// As [`CloneJob::start`], with another source of content encoders; `None` = without.
    pub fn start_with(
        recordings: Vec<PathBuf>,
        encoder: impl Fn() -> Result<Option<ContentEncoder>, String> + Send + 'static,
    ) -> Self {
        Self::run(Stage::Listening, move |shared, inbox| {
            let look = audio_files(&recordings, false).map_err(|error| error.to_string())?;
            let files: Vec<PathBuf> = look.files.into_iter().map(|file| file.path).collect();
            let cloner = Cloner::new(encoder()?).map_err(|error| error.to_string())?;
            finish(shared, listen(shared, &files, cloner)?, inbox, &encoder)
        })
    }

    /// As [`CloneJob::capture`], with another source of content encoders; `None` = without.
    pub fn capture_with(
        source: Box<dyn Capture>,
        encoder: impl Fn() -> Result<Option<ContentEncoder>, String> + Send + 'static,
    ) -> Self {
        Self::run(Stage::Recording, move |shared, inbox| {
            let cloner = Cloner::new(encoder()?).map_err(|error| error.to_string())?;
            finish(shared, record(shared, source, cloner, true)?, inbox, &encoder)
        })
    }

    fn run(stage: Stage, work: impl FnOnce(&Shared, &Receiver<Order>) -> Result<(), String> + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        shared.state().stage = stage;
        let (orders, inbox) = channel();
        let run = {
            let shared = shared.clone();
            move || {
                if let Err(reason) = work(&shared, &inbox) {
                    shared.state().stage = Stage::Failed(reason);
                }
            }
        };
        if let Err(error) = background("coffre-clone", run) {
            shared.state().stage = Stage::Failed(format!("No thread could be started: {error}."));
        }
        Self { shared, orders }
    }

    /// What to show.
    pub fn state(&self) -> JobState {
        self.shared.state().clone()
    }

    /// Continues with what was captured so far.
    pub fn end_capture(&self) {
        self.shared.is_enough.store(true, Ordering::Relaxed);
    }

    /// Makes the voice as soon as everything is read. Only the first call counts.
    pub fn make(&self, answers: Answers) {
        // A job that has ended says so in its state.
        let _ = self.orders.send(Order::Make(answers));
    }

    /// Hears a sentence read aloud, [`spoken::SENTENCE`], and compares it with the recordings. The result is a hint in the
    /// state; nothing depends on it. [`CloneJob::end_capture`] ends it early. Only a job that is ready listens.
    pub fn hear_sentence(&self, source: Box<dyn Capture>) {
        let mut state = self.shared.state();
        if state.stage == Stage::Ready {
            (state.stage, state.progress, state.spoken) = (Stage::Speaking, 0.0, None);
            self.shared.is_enough.store(false, Ordering::Relaxed);
            let _ = self.orders.send(Order::Hear(source));
        }
    }
}

impl Drop for CloneJob {
    fn drop(&mut self) {
        self.shared.is_cancelled.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, JobState> {
        // Every critical section leaves whole values behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encoder() -> Result<Option<ContentEncoder>, String> {
    let runtime = Runtime::get().map_err(|error| error.to_string())?;
    ContentEncoder::new(runtime, Mode::Mix).map(Some).map_err(|error| error.to_string())
}

/// The analysed recordings and their hashes; `None` if the job was dropped meanwhile.
type Listened = Option<(Analysed, Vec<String>)>;

/// Compares a sentence that comes from a capture. What goes wrong is a finding too: the voice can be made all the same.
fn hear(
    shared: &Shared,
    source: Box<dyn Capture>,
    analysed: &Analysed,
    encoder: &impl Fn() -> Result<Option<ContentEncoder>, String>,
) -> Finding {
    let hear = || -> Result<Option<f32>, String> {
        let cloner = Cloner::new(encoder()?).map_err(|error| error.to_string())?;
        let heard = record(shared, source, cloner, false)?;
        Ok(heard.and_then(|(sentence, _)| analysed.spoken_distance(&sentence)))
    };
    hear().map_or_else(|text| Finding { topic: spoken::TOPIC, grade: Grade::Poor, text }, spoken::finding)
}

/// Waits for the answers and makes the voice. Ends early and silently when the job was dropped.
fn finish(
    shared: &Shared,
    listened: Listened,
    inbox: &Receiver<Order>,
    encoder: &impl Fn() -> Result<Option<ContentEncoder>, String>,
) -> Result<(), String> {
    let Some((analysed, hashes)) = listened else { return Ok(()) };
    {
        let mut state = shared.state();
        state.check = analysed.check.clone();
        (state.stage, state.progress) = (Stage::Ready, 1.0);
    }
    let answers = loop {
        match inbox.recv() {
            Ok(Order::Make(answers)) => break answers,
            Ok(Order::Hear(source)) => {
                let finding = hear(shared, source, &analysed, encoder);
                let mut state = shared.state();
                (state.stage, state.progress, state.spoken) = (Stage::Ready, 1.0, Some(finding));
            }
            // The sender goes with the job.
            Err(_) => return Ok(()),
        }
    };
    shared.state().stage = Stage::Making;
    let consent = answers.ground.map(|ground| Consent {
        ground,
        statement: answers.statement.trim().to_owned(),
        date: Some(library::today()),
        recordings_sha256: recordings_sha256(&hashes),
    });
    let options = CloneOptions {
        name: answers.name.trim().to_owned(),
        consent,
        has_preview: true,
        keeps_recordings: answers.keeps_recordings,
        ..CloneOptions::default()
    };
    let bytes = analysed.make(&options).map_err(|error| error.to_string())?;
    if shared.is_cancelled.load(Ordering::Relaxed) {
        return Ok(());
    }
    library::save(&options.name, &bytes).map_err(|error| error.to_string())?;
    shared.state().stage = Stage::Done { name: options.name, id: VoiceId::of(&bytes) };
    Ok(())
}

/// Records until the capture ends. `shows_check` = these are the recordings, whose check is shown.
fn record(
    shared: &Shared,
    mut source: Box<dyn Capture>,
    mut cloner: Cloner,
    shows_check: bool,
) -> Result<Listened, String> {
    let mut captured = Captured::new(source.rate());
    let mut samples = Vec::new();
    let mut next_check = CHECK_CAPTURE_EVERY_S;
    loop {
        let heard = source.read(&mut samples);
        captured.push(&mut cloner, &samples);
        shared.state().progress = source.progress();
        if shows_check && cloner.seconds() >= next_check {
            next_check = cloner.seconds() + CHECK_CAPTURE_EVERY_S;
            let check = cloner.check();
            shared.state().check = check;
        }
        match heard {
            Heard::Broken(reason) => return Err(reason.to_owned()),
            Heard::All => break,
            Heard::Part if shared.is_enough.load(Ordering::Relaxed) => break,
            Heard::Part if shared.is_cancelled.load(Ordering::Relaxed) => return Ok(None),
            Heard::Part => std::thread::sleep(LOOK_EVERY),
        }
    }
    drop(source);
    let hash = captured.end(&mut cloner);
    let analysed = cloner.analyse().map_err(|error| error.to_string())?;
    Ok(Some((analysed, vec![hash])))
}

/// Reads all files.
fn listen(shared: &Shared, files: &[PathBuf], mut cloner: Cloner) -> Result<Listened, String> {
    let length = |path: &PathBuf| Recording::open(path).ok()?.seconds_hint();
    let whole = files.iter().map(length).sum::<Option<f64>>().unwrap_or(f64::INFINITY);
    let (mut samples, mut hashes) = (Vec::new(), Vec::new());
    let mut next_check = CHECK_EVERY_S;
    for path in files {
        let mut recording = Recording::open(path).map_err(|error| error.to_string())?;
        hashes.push(recording.sha256().map_err(|error| error.to_string())?);
        while !cloner.is_full() && recording.read(&mut samples).map_err(|error| error.to_string())? {
            if shared.is_cancelled.load(Ordering::Relaxed) {
                return Ok(None);
            }
            cloner.push(&samples);
            shared.state().progress = (f64::from(cloner.seconds()) / whole).min(1.0) as f32;
            if cloner.seconds() >= next_check {
                // Rarer as it gets longer, so that checking stays a small part of the work.
                next_check = cloner.seconds() + CHECK_EVERY_S.max(0.2 * cloner.seconds());
                let check = cloner.check();
                shared.state().check = check;
            }
        }
        cloner.end_take(recording.clipped());
    }
    let analysed = cloner.analyse().map_err(|error| error.to_string())?;
    Ok(Some((analysed, hashes)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn wait(job: &CloneJob, is_there: impl Fn(&Stage) -> bool) -> JobState {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let state = job.state();
            if is_there(&state.stage) {
                return state;
            }
            assert!(Instant::now() < deadline, "{state:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn vocal() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac")
    }

    #[test]
    fn recordings_are_checked_before_anything_is_made() {
        let job = CloneJob::start_with(vec![vocal(), vocal()], || Ok(None));
        let state = wait(&job, |stage| *stage == Stage::Ready);
        assert_eq!(state.progress, 1.0);
        assert!(state.check.voiced_seconds > 3.0, "{:?}", state.check);
    }

    /// A capture that gives what it has, a piece per look.
    struct Played {
        pieces: Vec<Vec<f32>>,
        len: usize,
        at: usize,
        last: Heard,
    }

    impl Played {
        fn boxed(signal: &[f32], last: Heard) -> Box<Self> {
            let pieces: Vec<_> = signal.chunks(24_000).map(<[f32]>::to_vec).collect();
            Box::new(Self { len: pieces.len(), pieces, at: 0, last })
        }
    }

    impl Capture for Played {
        fn rate(&self) -> u32 {
            48_000
        }

        fn progress(&self) -> f32 {
            self.at as f32 / self.len as f32
        }

        fn read(&mut self, samples: &mut Vec<f32>) -> Heard {
            samples.clear();
            let Some(piece) = self.pieces.get(self.at) else { return self.last };
            samples.extend_from_slice(piece);
            self.at += 1;
            Heard::Part
        }
    }

    #[test]
    fn a_capture_is_checked_while_it_runs_and_ends_when_it_is_enough() {
        let signal = super::super::tests::vowel(210.0, 6.0);
        let job = CloneJob::capture_with(Played::boxed(&signal, Heard::Part), || Ok(None));
        let deadline = Instant::now() + Duration::from_secs(120);
        while job.state().progress < 1.0 || job.state().check.voiced_seconds < 2.0 {
            assert!(Instant::now() < deadline, "{:?}", job.state());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(job.state().stage, Stage::Recording);
        job.end_capture();
        let state = wait(&job, |stage| *stage == Stage::Ready);
        assert!(state.check.voiced_seconds > 4.0, "{:?}", state.check);
        let all = CloneJob::capture_with(Played::boxed(&signal, Heard::All), || Ok(None));
        assert_eq!(wait(&all, |stage| *stage == Stage::Ready).check, state.check);
    }

    #[test]
    fn a_sentence_is_compared_before_the_voice_is_made() {
        let [same, other] = [210.0, 120.0].map(|hz| super::super::tests::vowel(hz, 6.0));
        let job = CloneJob::capture_with(Played::boxed(&same, Heard::All), || Ok(None));
        let check = wait(&job, |stage| *stage == Stage::Ready).check;
        let said = |signal: &[f32], last| {
            job.hear_sentence(Played::boxed(signal, last));
            let state = wait(&job, |stage| *stage == Stage::Ready);
            assert_eq!(state.check, check, "the check stays that of the recordings");
            state.spoken.expect("compared")
        };
        assert_eq!(said(&same, Heard::All).grade, Grade::Good);
        assert_eq!(said(&other, Heard::All).grade, Grade::Poor);
        let silent = said(&[0.0; 48_000], Heard::All);
        assert!(silent.text.contains("Too little"), "{silent:?}");
        assert_eq!(said(&same, Heard::Broken("It broke.")).text, "It broke.");
        assert_eq!(said(&same, Heard::All).grade, Grade::Good, "and read again after that");
    }

    #[test]
    fn a_broken_capture_is_said() {
        let job = CloneJob::capture_with(Played::boxed(&[0.1; 480], Heard::Broken("It broke.")), || Ok(None));
        wait(&job, |stage| *stage == Stage::Failed("It broke.".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (path, part) in [("missing.wav", "missing.wav"), (env!("CARGO_MANIFEST_DIR"), "no audio")] {
            let job = CloneJob::start_with(vec![path.into()], || Ok(None));
            let state = wait(&job, |stage| matches!(stage, Stage::Failed(_)));
            assert!(matches!(&state.stage, Stage::Failed(reason) if reason.contains(part)), "{state:?}");
        }
        let job = CloneJob::start_with(vec![vocal()], || Err("no runtime".to_owned()));
        wait(&job, |stage| *stage == Stage::Failed("no runtime".to_owned()));
    }
}
