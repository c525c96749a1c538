//! Improving in the background, for the editor. Runs on a thread of its own at low priority, in steps of some
//! milliseconds. Progress is saved after each round, so that little is lost when the host is closed. The editor reads
//! [`ImproveJob::state`] for each frame that it draws and never waits.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Improvement, checkpoint, improved_name};
use crate::clone::background::background;
use crate::voice::{Library, VoiceId, library};

/// Where a job stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Stage {
    /// Works.
    #[default]
    Working,
    /// The better voice is in the library.
    Done {
        /// Its display name.
        name: String,
        /// SHA-256 of its file.
        id: VoiceId,
        /// The voice it was made from.
        from: VoiceId,
        /// Why mix mode was not adapted to the voice any further.
        not_adapted: Option<String>,
    },
    /// None comes out; the reason, with what to do.
    Failed(String),
}

/// What the editor shows of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImproveState {
    /// Display name of the voice that is improved.
    pub name: String,
    /// Where it stands.
    pub stage: Stage,
    /// Share of the work that is done, in `0.0..=1.0`.
    pub progress: f32,
}

/// A running job. Dropping it ends it soon; its progress is saved.
#[derive(Debug)]
pub struct ImproveJob {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<ImproveState>,
    is_stopped: AtomicBool,
}

impl ImproveJob {
    /// Starts with a voice of the library; the result goes into the user's folder. `name` is what to call it until it is
    /// read.
    pub fn start(id: VoiceId, name: &str) -> Self {
        let called = name.to_owned();
        let find = move || {
            let library = Library::look(&[]);
            let entry = library.find_content(id, &called).ok_or("Its file is gone. Look again.")?;
            library::content(entry).map_err(|error| error.to_string())
        };
        Self::start_with(find, library::user_folder(), name)
    }

    /// As [`ImproveJob::start`], with another source of the file and another folder for the result.
    pub fn start_with(
        find: impl FnOnce() -> Result<Vec<u8>, String> + Send + 'static,
        folder: Option<PathBuf>,
        name: &str,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        name.clone_into(&mut shared.state().name);
        let run = {
            let shared = shared.clone();
            move || {
                let folder = folder.ok_or_else(|| "The system names no home folder for voices.".to_owned());
                match folder.and_then(|folder| work(&shared, &find()?, &folder)) {
                    Ok(Some(stage)) => shared.state().stage = stage,
                    Ok(None) => {}
                    Err(reason) => shared.state().stage = Stage::Failed(reason),
                }
            }
        };
        if let Err(error) = background("coffre-improve", run) {
            shared.state().stage = Stage::Failed(format!("No thread could be started: {error}."));
        }
        Self { shared }
    }

    /// What to show.
    pub fn state(&self) -> ImproveState {
        self.shared.state().clone()
    }
}

impl Drop for ImproveJob {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, ImproveState> {
        // Every critical section leaves whole values behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Works to the end; `None` when the job was dropped meanwhile.
fn work(shared: &Shared, bytes: &[u8], folder: &Path) -> Result<Option<Stage>, String> {
    let mut improvement = Improvement::new(bytes).map_err(|error| error.to_string())?;
    let from = improvement.id();
    let kept = checkpoint::path_in(folder, from);
    improvement.take_up(&kept);
    let mut rounds = improvement.rounds();
    while improvement.step() {
        shared.state().progress = improvement.progress();
        if improvement.rounds() > rounds {
            rounds = improvement.rounds();
            // If it cannot be kept, the work goes on all the same.
            let _ = improvement.keep(&kept);
        }
        if shared.is_stopped.load(Ordering::Relaxed) {
            return Ok(None);
        }
    }
    let name = improved_name(improvement.name());
    let not_adapted = improvement.not_adapted().map(str::to_owned);
    let bytes = improvement.finish().map_err(|error| error.to_string())?;
    if shared.is_stopped.load(Ordering::Relaxed) {
        return Ok(None);
    }
    library::save_in(folder, &name, &bytes).map_err(|error| error.to_string())?;
    // The work is done; a file that stays behind costs nothing but its place.
    let _ = std::fs::remove_file(&kept);
    Ok(Some(Stage::Done { name, id: VoiceId::of(&bytes), from, not_adapted }))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::clone::tests::{bare_voice, spoken_voice};

    fn wait(job: &ImproveJob) -> Stage {
        let deadline = Instant::now() + Duration::from_secs(120);
        while job.state().stage == Stage::Working {
            assert!(Instant::now() < deadline, "{:?}", job.state());
            std::thread::sleep(Duration::from_millis(5));
        }
        job.state().stage
    }

    #[test]
    fn a_job_that_is_dropped_is_taken_up_by_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = spoken_voice(600);
        let start = || {
            let bytes = bytes.clone();
            ImproveJob::start_with(move || Ok(bytes), Some(folder.path().into()), "Spoken")
        };
        let job = start();
        while job.state().progress < 0.3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        drop(job);
        let id = VoiceId::of(&bytes);
        let kept = checkpoint::path_in(folder.path(), id);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !kept.exists() {
            assert!(Instant::now() < deadline, "nothing was kept");
            std::thread::sleep(Duration::from_millis(5));
        }
        let Stage::Done { name, id: new, from, not_adapted } = wait(&start()) else { panic!("not done") };
        assert_eq!((name.as_str(), from), ("Spoken (improved)", id));
        assert!(not_adapted.is_some_and(|reason| reason.contains("recordings")));
        let file = std::fs::read(folder.path().join("spoken--improved.coffre")).expect("in the folder");
        assert_eq!(VoiceId::of(&file), new);
        let whole = Improvement::new(&bytes).expect("a voice").finish().expect("a file");
        assert!(file == whole, "the interruption is not to be seen");
        assert!(!kept.exists());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        for (result, part) in [(Ok(bare_voice()), "no bank"), (Err("It is gone.".to_owned()), "gone")] {
            let job = ImproveJob::start_with(move || result, Some(folder.path().into()), "X");
            assert!(matches!(wait(&job), Stage::Failed(reason) if reason.contains(part)));
        }
        let job = ImproveJob::start_with(|| Ok(spoken_voice(100)), None, "X");
        assert!(matches!(wait(&job), Stage::Failed(reason) if reason.contains("home")));
    }
}
