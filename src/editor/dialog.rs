//! The system's own window for choosing files, on a thread of its own: neither the host nor the editor waits for it, and
//! no audio thread knows of it.
//!
//! On Linux it is the desktop portal's window (`rfd` loads libdbus when it is first used; no GTK), else `zenity`'s. A
//! machine that has neither gives nothing, as if the person had cancelled; the text field for a path serves there.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use crate::audio_file::folder::AUDIO;
use crate::clone::background::background;
use crate::voice::import::RVC_EXTENSIONS;
use crate::voice::library::{self, EXTENSION, ForeignPlace, ForeignStep, ForeignWishes, Imported, Library};
use crate::voice::{Voice, VoiceError};

/// What files are chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Recordings to clone.
    Recordings,
    /// Voice files to put into the library.
    Voices,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Recordings.
    Recordings(Vec<PathBuf>),
    /// What was imported, one sentence per file, and whether all of it went well.
    Imported {
        /// The sentences.
        text: String,
        /// Whether every file is in the library now.
        is_good: bool,
    },
}

/// A window that is open, or an import under way.
#[derive(Debug)]
pub struct Dialog {
    news: Receiver<News>,
    step: Option<String>,
}

/// What the dialog's thread tells.
#[derive(Debug)]
enum News {
    /// What it is doing.
    Step(String),
    /// What came of it.
    Done(Chosen),
}

impl Dialog {
    /// Opens the window.
    pub fn open(purpose: Purpose) -> Self {
        Self::open_with(purpose, pick, library::user_folder())
    }

    /// As [`Dialog::open`], with another way to choose and another library folder. No file = cancelled.
    pub fn open_with(
        purpose: Purpose,
        pick: impl FnOnce(Purpose) -> Vec<PathBuf> + Send + 'static,
        folder: Option<PathBuf>,
    ) -> Self {
        let (sender, news) = channel();
        let run = move || {
            let files = pick(purpose);
            let chosen = match (purpose, files.is_empty()) {
                (_, true) => return,
                (Purpose::Recordings, _) => Chosen::Recordings(files),
                (Purpose::Voices, _) => import(&files, folder.as_deref(), &mut |step| {
                    let _ = sender.send(News::Step(step));
                }),
            };
            // The editor may be gone by now.
            let _ = sender.send(News::Done(chosen));
        };
        // Without a thread the sender goes at once: as if cancelled.
        let _ = background("coffre-dialog", run);
        Self { news, step: None }
    }

    /// What was chosen; `Err` while the window is open, `Ok(None)` when it was cancelled.
    pub fn answer(&mut self) -> Result<Option<Chosen>, StillOpen> {
        loop {
            match self.news.try_recv() {
                Ok(News::Step(step)) => self.step = Some(step),
                Ok(News::Done(chosen)) => return Ok(Some(chosen)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => return Err(StillOpen),
            }
        }
    }

    /// What an import is doing, in words; `None` while the window is open.
    pub fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }
}

/// The window is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillOpen;

/// Shows the window and waits for the person.
fn pick(purpose: Purpose) -> Vec<PathBuf> {
    let dialog = rfd::FileDialog::new();
    let dialog = match purpose {
        Purpose::Recordings => dialog.set_title("Recordings of one person").add_filter("Recordings", &AUDIO),
        Purpose::Voices => {
            let endings = [&[EXTENSION], &RVC_EXTENSIONS[..]].concat();
            dialog.set_title("Voice files").add_filter("Voices", &endings)
        }
    };
    dialog.pick_files().unwrap_or_default()
}

/// Puts voice files into the library: Coffre's own as they are, those of RVC in Coffre's form.
fn import(files: &[PathBuf], folder: Option<&Path>, tell: &mut dyn FnMut(String)) -> Chosen {
    let mut is_good = true;
    let sentences: Vec<String> = files
        .iter()
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            import_one(file, &name, folder, tell).unwrap_or_else(|reason| {
                is_good = false;
                format!("{name}: {reason}")
            })
        })
        .collect();
    Chosen::Imported { text: sentences.join("\n"), is_good }
}

fn import_one(
    file: &Path,
    file_name: &str,
    folder: Option<&Path>,
    tell: &mut dyn FnMut(String),
) -> Result<String, String> {
    let folder = folder.ok_or("The system names no home folder for voices.")?;
    let said = |error: VoiceError| error.to_string();
    let library = Library::look(&[]);
    let (place, name, origin) = match library::is_foreign(file) {
        true => {
            let place = ForeignPlace::Library(folder, &library);
            let mut tell = |step| tell(in_words(step, file_name));
            let done = library::import_foreign(file, &ForeignWishes::default(), place, &mut tell).map_err(said)?;
            (done.place, done.name, "; its file does not say whose voice it is")
        }
        false => {
            tell(in_words(ForeignStep::Reading, file_name));
            let place = library::import(file, folder, &library).map_err(said)?;
            let (Imported::New(path) | Imported::Known(path)) = &place;
            let name = name_of(path);
            (place, name, "")
        }
    };
    Ok(match place {
        Imported::New(_) => format!("{name} is in your voices{origin}."),
        Imported::Known(_) => format!("{name} was in your voices already{origin}."),
    })
}

fn in_words(step: ForeignStep, file_name: &str) -> String {
    match step {
        ForeignStep::Reading => format!("Reading {file_name}…"),
        ForeignStep::Packing => format!("Packing {file_name}…"),
        ForeignStep::Writing => format!("Writing {file_name}…"),
    }
}

/// The display name in a file, or what the file is called.
fn name_of(path: &Path) -> String {
    let file_name = || path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Voice::open(path).map_or_else(|_| file_name(), |voice| voice.name().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn wait(dialog: &mut Dialog) -> Option<Chosen> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Ok(chosen) = dialog.answer() {
                return chosen;
            }
            assert!(Instant::now() < deadline, "no answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn recordings_come_as_they_were_chosen_and_cancelling_is_no_answer() {
        let files = vec![PathBuf::from("a.wav"), PathBuf::from("b.flac")];
        let chosen = files.clone();
        let mut dialog = Dialog::open_with(Purpose::Recordings, move |_| chosen, None);
        assert_eq!(wait(&mut dialog), Some(Chosen::Recordings(files)));
        assert_eq!(wait(&mut Dialog::open_with(Purpose::Voices, |_| Vec::new(), None)), None);
    }

    #[test]
    fn nobody_waits_for_an_open_window() {
        let (close, closed) = channel::<()>();
        let start = Instant::now();
        let pick = move |_| {
            let _ = closed.recv();
            Vec::new()
        };
        let mut dialog = Dialog::open_with(Purpose::Recordings, pick, None);
        assert_eq!(dialog.answer(), Err(StillOpen));
        assert!(start.elapsed() < Duration::from_secs(1));
        drop(close);
        assert_eq!(wait(&mut dialog), None);
    }

    #[test]
    fn voices_are_imported_and_what_is_none_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let voices = folder.path().join("voices");
        let [good, bad, foreign] = ["good.coffre", "bad.coffre", "bad.pth"].map(|name| folder.path().join(name));
        let mut bytes = include_bytes!("../../models/voices/quartz.coffre").to_vec();
        bytes = crate::voice::extras::rewrite(&bytes, |manifest| manifest.name = "Own".into()).expect("renamed");
        std::fs::write(&good, &bytes).expect("written");
        std::fs::write(&bad, b"no voice").expect("written");
        std::fs::write(&foreign, b"no checkpoint").expect("written");
        let take =
            |files: Vec<PathBuf>| wait(&mut Dialog::open_with(Purpose::Voices, move |_| files, Some(voices.clone())));
        let Some(Chosen::Imported { text, is_good: true }) = take(vec![good.clone()]) else { panic!("not imported") };
        assert_eq!(text, "Own is in your voices.");
        assert_eq!(std::fs::read(voices.join("own.coffre")).expect("there"), bytes);
        let mut steps = Vec::new();
        let other = folder.path().join("other");
        let known = import(std::slice::from_ref(&good), Some(&other), &mut |step| steps.push(step));
        assert_eq!(steps, ["Reading good.coffre…"]);
        assert!(matches!(known, Chosen::Imported { is_good: true, .. }));
        let Some(Chosen::Imported { text, is_good: false }) = take(vec![bad, foreign]) else { panic!("imported") };
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() == 2 && lines[0].starts_with("bad.coffre: ") && lines[1].starts_with("bad.pth: "),
            "{text}"
        );
        assert_eq!(std::fs::read_dir(&voices).expect("a folder").count(), 1);
    }
}
