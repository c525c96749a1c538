//! Where engines, voices and profiles come from. Tests bring their own [`Backend`].

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::Delays;
use crate::bridge::{VoiceChoice, VoiceRef};
use crate::engine::content::ContentEncoder;
use crate::engine::native::NativeEngine;
use crate::engine::profile::SourceProfile;
use crate::engine::{Engine, Mode};
use crate::onnx::Runtime;
use crate::voice::library::{Library, Origin, VoiceEntry, default_folders, fingerprint};
use crate::voice::{Voice, VoiceError, VoiceId};

/// Why a slot stays without its voice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceProblem {
    /// No library folder has it.
    Missing,
    /// The file is there but cannot be used; the reason.
    Refused(String),
}

/// What the loader needs from the rest of the program. All calls but [`Backend::delays`] come from the loader thread.
pub trait Backend: Send {
    /// Latency and tail of the engine of a mode, without building it. Called once, before the threads start.
    fn delays(&self, mode: Mode) -> Delays;

    /// Builds an engine.
    ///
    /// # Errors
    /// Why there is none, with the remedy.
    fn build(&mut self, mode: Mode) -> Result<Box<dyn Engine>, String>;

    /// What runs the graphs, in plain words, or why nothing does. Asked after [`Backend::build`].
    ///
    /// # Errors
    /// The reason, with the remedy.
    fn device(&self) -> Result<String, String>;

    /// Looks through the library.
    fn scan(&mut self) -> Vec<VoiceChoice>;

    /// Whether the library's folders have changed since the last scan. Asked every few seconds.
    fn has_changed(&mut self) -> bool {
        false
    }

    /// Opens a voice of the last scan.
    ///
    /// # Errors
    /// [`VoiceProblem`].
    fn load_voice(&mut self, voice: &VoiceRef) -> Result<Arc<Voice>, VoiceProblem>;
}

/// The backend of the real plugin: the native engine and the voices of this machine.
#[derive(Debug, Default)]
pub struct NativeBackend {
    library: Library,
    folders: Option<Vec<(Origin, PathBuf)>>,
    /// What the folders looked like at the last scan.
    fingerprint: Option<VoiceId>,
    /// Why the last engine has no content encoder, with the remedy; `None` = it has one.
    content_trouble: Option<String>,
}

impl NativeBackend {
    /// Voices from exactly these folders and the embedded ones, for tests; [`Default`] uses this machine's.
    pub fn with_folders(folders: Vec<(Origin, PathBuf)>) -> Self {
        Self { folders: Some(folders), ..Self::default() }
    }
}

impl Backend for NativeBackend {
    fn delays(&self, mode: Mode) -> Delays {
        // The delays do not depend on content encoder, profile or voice, so an engine without them tells. Once per
        // process: hosts make many instances on their main thread.
        static DELAYS: [OnceLock<Delays>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = match mode {
            Mode::Live => &DELAYS[0],
            Mode::Mix => &DELAYS[1],
        };
        *place.get_or_init(|| {
            let engine = NativeEngine::new(mode, None, SourceProfile::population());
            Delays { latency_len: engine.latency_len(), tail_len: engine.tail_len() }
        })
    }

    fn build(&mut self, mode: Mode) -> Result<Box<dyn Engine>, String> {
        let content = Runtime::get()
            .map_err(|error| error.to_string())
            .and_then(|runtime| ContentEncoder::new(runtime).map_err(|error| error.to_string()));
        self.content_trouble = content.as_ref().err().cloned();
        let mut engine = NativeEngine::new(mode, content.ok(), SourceProfile::population());
        // In a plugin the singer is learned when somebody asks for it: what a session renders must not depend on how
        // long it was played before.
        engine.stop_learning();
        Ok(Box::new(engine))
    }

    fn device(&self) -> Result<String, String> {
        self.content_trouble.clone().map_or_else(|| Ok("CPU".to_owned()), Err)
    }

    fn scan(&mut self) -> Vec<VoiceChoice> {
        let folders = self.folders.clone().unwrap_or_else(default_folders);
        // Before the scan: what changes meanwhile is found the next time.
        self.fingerprint = Some(fingerprint(&folders));
        self.library = Library::scan_folders(&folders);
        self.library.voices().filter_map(choice).collect()
    }

    fn has_changed(&mut self) -> bool {
        let folders = self.folders.clone().unwrap_or_else(default_folders);
        self.fingerprint.is_some_and(|known| known != fingerprint(&folders))
    }

    fn load_voice(&mut self, voice: &VoiceRef) -> Result<Arc<Voice>, VoiceProblem> {
        let entry = self.library.find(voice.id.parse().ok(), &voice.name).ok_or(VoiceProblem::Missing)?;
        let voice = entry.load().map_err(|error: VoiceError| VoiceProblem::Refused(error.to_string()))?;
        match voice.rvc() {
            // The two engines differ in delay, which a host is told before it plays.
            Some(_) => Err(VoiceProblem::Refused(
                "this is an RVC voice; they are converted by `coffre convert`, not in the plugin yet".to_owned(),
            )),
            None => Ok(voice),
        }
    }
}

/// The voices that come with Coffre, in the order of a new instance's slots. Read once per process.
pub fn embedded_voices() -> &'static [VoiceRef] {
    static VOICES: OnceLock<Vec<VoiceRef>> = OnceLock::new();
    VOICES.get_or_init(|| {
        let library = Library::scan_folders(&[]);
        library.voices().filter_map(choice).map(|choice| choice.voice).collect()
    })
}

fn choice(entry: &VoiceEntry) -> Option<VoiceChoice> {
    let manifest = entry.manifest.as_ref().ok()?;
    Some(VoiceChoice {
        voice: VoiceRef { name: entry.name.clone(), id: entry.id?.to_string() },
        description: manifest.description.clone(),
        range_hz: manifest.range_hz,
        licence: manifest.licence.clone(),
        attribution: manifest.attribution.clone(),
        consent: manifest.consent.as_ref().map(|consent| consent.statement.clone()).unwrap_or_default(),
        is_embedded: entry.origin == Origin::Embedded,
    })
}
