//! Cloning in the background, for the editor: reads and checks recordings while a person answers whose voice it is, then
//! makes the voice and puts it into the library.
//!
//! Runs on a thread of its own at low priority, so that it never takes time from the audio. The editor looks at
//! [`CloneJob::state`] for each picture and never waits.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::recording::{Recording, audio_files, recordings_sha256};
use super::{Analysed, Check, CloneOptions, Cloner};
use crate::engine::content::ContentEncoder;
use crate::onnx::Runtime;
use crate::voice::package::write_atomically;
use crate::voice::{Consent, ConsentGround, VoiceId, library};

/// Seconds of recordings between two checks while they are read.
const CHECK_EVERY_S: f32 = 5.0;

/// Where a job stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// Reads and checks the recordings.
    #[default]
    Listening,
    /// Everything is read: waits for [`CloneJob::make`].
    Ready,
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
    answers: Sender<Answers>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<JobState>,
    is_cancelled: AtomicBool,
}

impl CloneJob {
    /// Starts to read recordings: files, or folders of them.
    pub fn start(recordings: Vec<PathBuf>) -> Self {
        Self::start_with(recordings, || {
            let runtime = Runtime::get().map_err(|error| error.to_string())?;
            ContentEncoder::new(runtime).map(Some).map_err(|error| error.to_string())
        })
    }

    /// As [`CloneJob::start`], with another source of content encoders; `None` = without.
    pub fn start_with(
        recordings: Vec<PathBuf>,
        encoder: impl FnOnce() -> Result<Option<ContentEncoder>, String> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        let (answers, inbox) = channel();
        let run = {
            let shared = shared.clone();
            move || {
                lower_priority();
                if let Err(reason) = work(&shared, &recordings, encoder, &inbox) {
                    shared.state().stage = Stage::Failed(reason);
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("coffre-clone".to_owned()).spawn(run) {
            shared.state().stage = Stage::Failed(format!("The system gives no thread: {error}."));
        }
        Self { shared, answers }
    }

    /// What to show.
    pub fn state(&self) -> JobState {
        self.shared.state().clone()
    }

    /// Makes the voice as soon as everything is read. Only the first call counts.
    pub fn make(&self, answers: Answers) {
        // A job that has ended says so in its state.
        let _ = self.answers.send(answers);
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

/// What the thread does. Ends early and silently when the job was dropped.
fn work(
    shared: &Shared,
    recordings: &[PathBuf],
    encoder: impl FnOnce() -> Result<Option<ContentEncoder>, String>,
    inbox: &Receiver<Answers>,
) -> Result<(), String> {
    let files = audio_files(recordings).map_err(|error| error.to_string())?;
    let cloner = Cloner::new(encoder()?).map_err(|error| error.to_string())?;
    let Some((analysed, hashes)) = listen(shared, &files, cloner)? else { return Ok(()) };
    {
        let mut state = shared.state();
        state.check = analysed.check.clone();
        (state.stage, state.progress) = (Stage::Ready, 1.0);
    }
    // The sender goes with the job.
    let Ok(answers) = inbox.recv() else { return Ok(()) };
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
    let path = library::new_path(&options.name).map_err(|error| error.to_string())?;
    write_atomically(&path, &bytes).map_err(|error| error.to_string())?;
    shared.state().stage = Stage::Done { name: options.name, id: VoiceId::of(&bytes) };
    Ok(())
}

/// Reads all files; `None` when the job was dropped.
fn listen(shared: &Shared, files: &[PathBuf], mut cloner: Cloner) -> Result<Option<(Analysed, Vec<String>)>, String> {
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

/// Lets everything else go first; threads started from here inherit it.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: plain system call on the calling thread: Linux gives each thread its own priority. Failing is
        // harmless.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    }
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

    #[test]
    fn what_is_wrong_is_said() {
        for (path, part) in [("missing.wav", "missing.wav"), (env!("CARGO_MANIFEST_DIR"), "no WAV")] {
            let job = CloneJob::start_with(vec![path.into()], || Ok(None));
            let state = wait(&job, |stage| matches!(stage, Stage::Failed(_)));
            assert!(matches!(&state.stage, Stage::Failed(reason) if reason.contains(part)), "{state:?}");
        }
        let job = CloneJob::start_with(vec![vocal()], || Err("no runtime".to_owned()));
        wait(&job, |stage| *stage == Stage::Failed("no runtime".to_owned()));
    }
}
