//! RVC voices for a plugin instance: their engine, and the foundation graphs that they need.
//!
//! Runs on the loader's thread, except for [`delays`]. Graphs are shared by all instances of the process. Their key is the
//! file's path, length and time, so that no instance reads hundreds of megabytes only to find them loaded already.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Delays, Prepared, VoiceProblem};
use crate::engine::content::ContentEncoder;
use crate::engine::native::NativeEngine;
use crate::engine::profile::SourceProfile;
use crate::engine::rvc::contentvec::{self, ContentVec};
use crate::engine::rvc::geometry::Geometry;
use crate::engine::rvc::loaded::{self, Loaded};
use crate::engine::rvc::rmvpe::{self, Rmvpe};
use crate::engine::rvc::{RvcEngine, RvcOptions};
use crate::engine::{Engine, HOP_LEN, Mode};
use crate::onnx::{Graph, GraphError, Runtime, Settings, device};
use crate::voice::import::read_file;
use crate::voice::rvc::RvcVoice;
use crate::voice::{Voice, foundation};

/// Times of the engine. All hops of a block but the last only collect; that one may take as long as the block lasts,
/// since a computer that needs longer cannot keep up anyway.
pub(super) fn delays(mode: Mode) -> Delays {
    let geometry = Geometry::of(mode);
    let latency_len = geometry.latency_len();
    Delays { latency_len, tail_len: geometry.tail_len(), compute_len: geometry.block * HOP_LEN }
}

/// An engine with empty slots, for voices from [`Foundations::prepare`].
pub(super) fn engine(mode: Mode) -> Result<Box<dyn Engine>, String> {
    let runtime = Runtime::get().map_err(|error| error.to_string())?;
    let none = |_: &'static Runtime, _: usize| {
        Err(GraphError::Load { graph: contentvec::NAME, reason: "voices come prepared".to_owned() })
    };
    let mut engine = RvcEngine::new(runtime, Geometry::of(mode), RvcOptions::default(), Box::new(none));
    // Without its content encoder it learns what needs none.
    let mut listener = NativeEngine::new(mode, ContentEncoder::new(runtime, mode).ok(), SourceProfile::population());
    listener.stop_learning();
    engine.set_listener(Box::new(listener));
    Ok(Box::new(engine))
}

/// The device that runs the graphs, and why it is not the chosen one.
pub(super) fn device() -> String {
    let usable = || Runtime::get().map_or(device::Device::Cpu, device::usable).title().to_owned();
    let running = device::running().unwrap_or_else(usable);
    match device::trouble() {
        Some(reason) => format!("{running}: {reason}"),
        None => running,
    }
}

/// The foundation graphs in use.
#[derive(Debug, Default)]
pub(super) struct Foundations {
    /// By number of features and key.
    content: Vec<(usize, [u8; 32], ContentVec)>,
    /// By key.
    pitch: Option<([u8; 32], Rmvpe)>,
    /// What the models folder held at the last look.
    seen: Option<Vec<Option<[u8; 32]>>>,
}

impl Foundations {
    /// Lets go of the graphs; those that voices use stay loaded.
    pub(super) fn forget(&mut self) {
        self.content.clear();
        self.pitch = None;
    }

    /// Remembers what is there.
    pub(super) fn look(&mut self) {
        self.seen = Some(present());
    }

    /// Whether graphs came, went or were replaced since [`Foundations::look`].
    pub(super) fn have_changed(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| *seen != present())
    }

    /// Loads what a voice needs.
    pub(super) fn prepare(&mut self, voice: Arc<Voice>, mode: Mode) -> Result<Prepared, VoiceProblem> {
        let refused = |error: GraphError| VoiceProblem::Refused(error.to_string());
        let runtime = Runtime::get().map_err(|error| VoiceProblem::Refused(error.to_string()))?;
        let features = voice.rvc().map_or(768, RvcVoice::features);
        let foundations =
            loaded::Foundations { content: self.content(runtime, features)?, pitch: self.pitch(runtime)? };
        let geometry = Geometry::of(mode);
        let loaded = Loaded::new(runtime, foundations, voice, RvcOptions::default().speaker).map_err(refused)?;
        loaded.warm_up(geometry).map_err(refused)?;
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

/// Identifies a file's content as long as the file is not replaced.
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
