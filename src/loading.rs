//! Opens what the engine of a voice needs besides the voice's own file: one way for the plugin and the command.
//!
//! Runs on the loader's thread or in the command line. Graphs are shared by all instances of the process: their key is
//! the file's path, length and time, so that no instance reads hundreds of megabytes to learn that they are loaded
//! already. Knows no session and no host.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::engine::Prepared;
use crate::engine::native::target::Target;
use crate::engine::rvc::contentvec::{self, ContentVec};
use crate::engine::rvc::geometry::Geometry;
use crate::engine::rvc::loaded::{self, Loaded};
use crate::engine::rvc::rmvpe::{self, Rmvpe};
use crate::onnx::{Graph, GraphError, Runtime, Settings};
use crate::voice::import::read_file;
use crate::voice::{Voice, VoiceBody, foundation};

/// Why a voice cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoiceProblem {
    /// No library folder has it.
    Missing,
    /// No library folder has it so far; some have yet to answer.
    Pending,
    /// The file is there but cannot be used; the reason.
    Refused(String),
    /// A graph that the voice needs is not there; which one, and what to do.
    FoundationMissing(String),
}

/// The foundation graphs in use.
#[derive(Debug, Default)]
pub struct Graphs {
    /// By number of features and key.
    content: Vec<(usize, [u8; 32], ContentVec)>,
    /// By key.
    pitch: Option<([u8; 32], Rmvpe)>,
    /// What the models folder held at the last look.
    seen: Option<Vec<Option<[u8; 32]>>>,
}

impl Graphs {
    /// Lets go of the graphs; those that voices use stay loaded.
    pub fn forget(&mut self) {
        self.content.clear();
        self.pitch = None;
    }

    /// Remembers what is there.
    pub fn look(&mut self) {
        self.seen = Some(present());
    }

    /// Whether graphs came, went or were replaced since [`Graphs::look`].
    pub fn have_changed(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| *seen != present())
    }

    /// Loads what a voice needs for its engine. `geometry` and `speaker` count for RVC voices; a voice that is played at
    /// once is warmed up, so that its first block is not late.
    ///
    /// # Errors
    /// [`VoiceProblem`].
    pub fn prepare(
        &mut self,
        voice: Arc<Voice>,
        geometry: Geometry,
        speaker: usize,
        is_played_at_once: bool,
    ) -> Result<Prepared, VoiceProblem> {
        let features = match voice.body() {
            VoiceBody::Native(body) => return Ok(Prepared::Native(Target::new(&voice, body))),
            VoiceBody::Rvc(body) => body.features(),
        };
        let refused = |error: GraphError| VoiceProblem::Refused(error.to_string());
        let runtime = Runtime::get().map_err(|error| VoiceProblem::Refused(error.to_string()))?;
        let foundations =
            loaded::Foundations { content: self.content(runtime, features)?, pitch: self.pitch(runtime)? };
        let loaded = Loaded::new(runtime, foundations, voice, speaker).map_err(refused)?;
        if is_played_at_once {
            loaded.warm_up(geometry).map_err(refused)?;
        }
        Ok(Prepared::Rvc(Arc::new(loaded)))
    }

    fn content(&mut self, runtime: &Runtime, features: usize) -> Result<ContentVec, VoiceProblem> {
        let folder = foundation::folder().unwrap_or_default();
        let missing = || VoiceProblem::FoundationMissing(foundation::missing_contentvec(&folder, features));
        let path = foundation::find_contentvec(&folder, features).ok_or_else(missing)?;
        let key = key(&path).ok_or_else(missing)?;
        if let Some((.., content)) = self.content.iter().find(|(of, with, _)| (*of, *with) == (features, key)) {
            return Ok(content.clone());
        }
        let graph = contentvec::open(runtime, key, || read(contentvec::NAME, &path));
        let content = graph.and_then(|graph| ContentVec::new(graph, features));
        let content = content.map_err(|error| unusable("ContentVec", contentvec::NAME, &path, &error))?;
        self.content.retain(|(of, ..)| *of != features);
        self.content.push((features, key, content.clone()));
        Ok(content)
    }

    /// RMVPE, where it is; a damaged one is said and not passed over.
    fn pitch(&mut self, runtime: &Runtime) -> Result<Option<Rmvpe>, VoiceProblem> {
        let folder = foundation::folder().unwrap_or_default();
        let found = foundation::find(&folder, foundation::Foundation::Rmvpe);
        let Some((path, key)) = found.and_then(|path| key(&path).map(|key| (path, key))) else {
            self.pitch = None;
            return Ok(None);
        };
        if let Some((_, pitch)) = self.pitch.as_ref().filter(|(with, _)| *with == key) {
            return Ok(Some(pitch.clone()));
        }
        let open = Graph::open_built(runtime, rmvpe::NAME, key, Settings::large(), || read(rmvpe::NAME, &path));
        let pitch = open.and_then(Rmvpe::new);
        let pitch = pitch.map_err(|error| unusable("RMVPE", rmvpe::NAME, &path, &error))?;
        self.pitch = Some((key, pitch.clone()));
        Ok(Some(pitch))
    }
}

fn read(name: &'static str, path: &Path) -> Result<Cow<'static, [u8]>, GraphError> {
    let read = read_file(path).map(Cow::Owned);
    read.map_err(|error| GraphError::Load { graph: name, reason: error.to_string() })
}

fn unusable(title: &str, word: &str, path: &Path, error: &GraphError) -> VoiceProblem {
    VoiceProblem::FoundationMissing(format!(
        "{title} is there but cannot be used: {error}. Get it again with `coffre models get {word}`, or replace {} with \
         `coffre models add FILE`",
        path.display()
    ))
}

/// What stands for a file's content as long as nobody replaces it.
fn key(path: &PathBuf) -> Option<[u8; 32]> {
    let about = std::fs::metadata(path).ok()?;
    let modified = about.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let mut key = Sha256::new();
    key.update(path.as_os_str().as_encoded_bytes());
    key.update(about.len().to_le_bytes());
    key.update(modified.as_nanos().to_le_bytes());
    Some(key.finalize().into())
}

fn present() -> Vec<Option<[u8; 32]>> {
    let folder = foundation::folder().unwrap_or_default();
    foundation::Foundation::ALL.map(|kind| key(&folder.join(kind.file_name()))).into()
}
