//! Where engines, voices and profiles come from. Tests bring their own [`Backend`].

mod device_use;
mod rvc;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use super::Delays;
use crate::bridge::{DeviceChoice, VoiceChoice, VoiceRef};
use crate::engine::latency::NATIVE_COMPUTE_LEN;
use crate::engine::native::NativeEngine;
use crate::engine::profile::SourceProfile;
use crate::engine::rvc::RvcOptions;
use crate::engine::rvc::geometry::Geometry;
use crate::engine::{Engine, EngineId, Mode, Prepared, Setup};
use crate::loading::{Graphs, VoiceProblem};
use crate::onnx::Runtime;
use crate::onnx::device::{self, Device};
use crate::voice::library::{self, Library, Origin, Search, VoiceEntry, default_folders};
use crate::voice::{Consent, ConsentGround, Extras, VoiceError, VoiceId};
use device_use::DeviceUse;

/// What the loader needs from the rest of the program. All calls but [`Backend::delays`] come from the loader thread.
pub trait Backend: Send {
    /// Times of an engine, without building it. Called once for each, before the threads start.
    fn delays(&self, setup: Setup) -> Delays;

    /// Builds an engine.
    ///
    /// # Errors
    /// Why there is none, with the remedy.
    fn build(&mut self, setup: Setup) -> Result<Box<dyn Engine>, String>;

    /// What runs the graphs, in plain words, or why nothing does. Asked after [`Backend::build`].
    ///
    /// # Errors
    /// The reason, with the remedy.
    fn device(&self) -> Result<String, String>;

    /// What was chosen to run RVC voices, and what became of it. Asked every few seconds.
    fn device_choice(&mut self) -> DeviceChoice {
        DeviceChoice::default()
    }

    /// Chooses by a [`DeviceKind::word`](crate::bridge::DeviceKind) what runs RVC voices that are loaded from now on.
    fn choose_device(&mut self, _word: &str) {}

    /// Changes when any instance of this process has chosen: what is loaded has to be loaded again.
    fn device_version(&self) -> u32 {
        0
    }

    /// Looks through the library. Gives what is known soon; [`Backend::has_changed`] tells when there is more.
    fn scan(&mut self) -> Vec<VoiceChoice>;

    /// What is known of the library by now, without another look at its folders.
    fn known_voices(&mut self) -> Vec<VoiceChoice> {
        self.scan()
    }

    /// Whether more or something else is known of the library than at the last answer. Asked often.
    fn has_changed(&mut self) -> bool {
        false
    }

    /// Waits at most so long until [`Backend::has_changed`] may have another answer.
    fn wait_for_change(&mut self, _limit: Duration) {}

    /// Whether the graphs that voices need besides themselves have come, gone or changed since they were looked for last.
    /// Asked every few seconds.
    fn have_graphs_changed(&mut self) -> bool {
        false
    }

    /// The engine that a voice of the last scan needs, by its file; `None` when there is no such file.
    fn engine_of(&self, _voice: &VoiceRef) -> Option<EngineId> {
        None
    }

    /// Opens a voice of the last scan for an engine.
    ///
    /// # Errors
    /// [`VoiceProblem`].
    fn load_voice(&mut self, voice: &VoiceRef, setup: Setup) -> Result<Prepared, VoiceProblem>;

    /// Writes into the file of a voice whose voice it is. Returns the voice's new name and hash; the library has to be
    /// looked through again.
    ///
    /// # Errors
    /// Why it could not be written.
    fn state_origin(&mut self, voice: &VoiceRef, ground: ConsentGround, statement: &str) -> Result<VoiceRef, String> {
        let _ = (ground, statement);
        Err(format!("the file of {} cannot be changed", voice.name))
    }
}

/// The backend of the real plugin: both engines and the voices of this machine.
#[derive(Debug, Default)]
pub struct NativeBackend {
    library: Library,
    folders: Option<Vec<(Origin, PathBuf)>>,
    search: Option<Search>,
    /// Why the last engine has no content encoder, with the remedy; `None` = it has one.
    content_trouble: Option<String>,
    graphs: Graphs,
    /// Which engine was built last.
    engine: EngineId,
    device: DeviceUse,
}

impl NativeBackend {
    /// Voices from exactly these folders and the embedded ones, for tests; [`Default`] uses this machine's.
    pub fn with_folders(folders: Vec<(Origin, PathBuf)>) -> Self {
        Self { folders: Some(folders), ..Self::default() }
    }

    fn entry(&self, voice: &VoiceRef) -> Option<&VoiceEntry> {
        self.library.find(voice.id.parse().ok(), &voice.name)
    }
}

impl Backend for NativeBackend {
    fn delays(&self, setup: Setup) -> Delays {
        if setup.engine == EngineId::Rvc {
            return rvc::delays(setup.mode);
        }
        // The delays do not depend on content encoder, profile or voice, so an engine without them tells. Once per
        // process: hosts make many instances on their main thread.
        static DELAYS: [OnceLock<Delays>; 2] = [OnceLock::new(), OnceLock::new()];
        let place = match setup.mode {
            Mode::Live => &DELAYS[0],
            Mode::Mix => &DELAYS[1],
        };
        *place.get_or_init(|| {
            let engine = NativeEngine::new(setup.mode, None, SourceProfile::population());
            let (latency_len, tail_len) = (engine.latency_len(), engine.tail_len());
            Delays { latency_len, tail_len, compute_len: NATIVE_COMPUTE_LEN }
        })
    }

    fn build(&mut self, setup: Setup) -> Result<Box<dyn Engine>, String> {
        self.graphs.forget();
        if setup.engine == EngineId::Rvc {
            self.content_trouble = None;
            self.engine = setup.engine;
            return rvc::engine(setup.mode);
        }
        self.engine = setup.engine;
        let engine = Runtime::get().map_err(|error| error.to_string()).and_then(|runtime| {
            let engine = NativeEngine::open(runtime, setup.mode, SourceProfile::population());
            engine.map_err(|error| error.to_string())
        });
        self.content_trouble = engine.as_ref().err().cloned();
        let mut engine = engine.unwrap_or_else(|_| NativeEngine::new(setup.mode, None, SourceProfile::population()));
        // In a plugin the singer is learned when somebody asks for it: what a session renders must not depend on how
        // long it was played before.
        engine.stop_learning();
        Ok(Box::new(engine))
    }

    fn device(&self) -> Result<String, String> {
        if let Some(reason) = &self.content_trouble {
            return Err(reason.clone());
        }
        Ok(if self.engine == EngineId::Rvc { rvc::device() } else { Device::Cpu.title().to_owned() })
    }

    fn device_choice(&mut self) -> DeviceChoice {
        self.device.tell(self.engine == EngineId::Rvc)
    }

    fn choose_device(&mut self, word: &str) {
        self.device.choose(word);
    }

    fn device_version(&self) -> u32 {
        device::version()
    }

    fn scan(&mut self) -> Vec<VoiceChoice> {
        let keeps = self.folders.is_none();
        self.search = Some(Search::new(self.folders.clone().unwrap_or_else(default_folders), keeps));
        self.known_voices()
    }

    fn known_voices(&mut self) -> Vec<VoiceChoice> {
        self.graphs.look();
        self.library = self.search.as_mut().map(Search::library).unwrap_or_default();
        // A voice without an id could not be told from another one of its name: it comes when it is hashed.
        self.library.voices().filter_map(choice).collect()
    }

    fn has_changed(&mut self) -> bool {
        self.search.as_ref().is_some_and(Search::has_news)
    }

    fn wait_for_change(&mut self, limit: Duration) {
        if let Some(search) = &self.search {
            search.wait(limit);
        }
    }

    fn have_graphs_changed(&mut self) -> bool {
        self.graphs.have_changed()
    }

    fn engine_of(&self, voice: &VoiceRef) -> Option<EngineId> {
        self.entry(voice).map(engine_of)
    }

    fn load_voice(&mut self, voice: &VoiceRef, setup: Setup) -> Result<Prepared, VoiceProblem> {
        let found = self.library.open(voice.id.parse().ok(), &voice.name);
        let found = found.map_err(|error: VoiceError| VoiceProblem::Refused(error.to_string()))?;
        let is_pending = || self.search.as_ref().is_some_and(Search::is_pending);
        let voice = found.ok_or_else(|| if is_pending() { VoiceProblem::Pending } else { VoiceProblem::Missing })?;
        let prepared = self.graphs.prepare(voice, Geometry::of(setup.mode), RvcOptions::default().speaker, true)?;
        match prepared.engine() == setup.engine {
            true => Ok(prepared),
            // Only a file that was replaced since the scan gets here.
            false => Err(VoiceProblem::Refused("the file has changed; look again".to_owned())),
        }
    }

    fn state_origin(&mut self, voice: &VoiceRef, ground: ConsentGround, statement: &str) -> Result<VoiceRef, String> {
        let id = voice.id.parse().ok();
        let entry = self.library.find(id, &voice.name).ok_or_else(|| format!("{} is missing", voice.name))?;
        let statement = statement.trim().to_owned();
        let consent = Consent { ground, statement, date: Some(library::today()), recordings_sha256: None };
        let path = library::state(entry, consent).map_err(|error| error.to_string())?;
        // Its bytes are others now, so it has another hash.
        let new = VoiceId::of(&library::content_at(&path, false).map_err(|error| error.to_string())?);
        Ok(VoiceRef { id: new.to_string(), ..voice.clone() })
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

fn engine_of(entry: &VoiceEntry) -> EngineId {
    let word = entry.manifest.as_ref().map(|manifest| manifest.engine.as_str());
    word.ok().and_then(EngineId::from_word).unwrap_or_default()
}

fn choice(entry: &VoiceEntry) -> Option<VoiceChoice> {
    let manifest = entry.manifest.as_ref().ok()?;
    let (has_preview, has_portrait) = Extras::listed(manifest);
    Some(VoiceChoice {
        voice: VoiceRef { name: entry.name.clone(), id: entry.id?.to_string(), engine: engine_of(entry) },
        description: match manifest.register_hz() {
            Some(_) => manifest.description.clone(),
            None => format!("{}. Its register is not known: set Transpose by ear", manifest.description),
        },
        range_hz: manifest.register_hz().map_or([0.0; 2], |_| manifest.range_hz),
        licence: manifest.licence.clone(),
        attribution: manifest.attribution.clone(),
        consent: manifest.consent.as_ref().map(|consent| consent.statement.clone()).unwrap_or_default(),
        is_embedded: entry.origin == Origin::Embedded,
        path: entry.path.clone(),
        has_preview,
        has_portrait,
    })
}
