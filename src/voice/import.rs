//! Voices of other programs, read as data only: RVC checkpoints (`.pth`), retrieval indexes (`.index`), ONNX exports.
//!
//! Every byte is treated as hostile: no code in a file is ever run, and no number from the file decides an allocation before
//! it was compared with the file's own length. Knows no engine, no runtime and no thread.

pub mod checkpoint;
pub mod eight_bit;
mod error;
pub mod faiss;
pub mod onnx;
pub mod pickle;
mod protobuf;
pub mod torch;

pub use checkpoint::{Checkpoint, RvcConfig};
pub use error::ImportError;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::manifest::{Delivery, ENGINE_RVC, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion, Kind, UNKNOWN_RANGE_HZ};
use super::rvc::{ForeignGraph, Generator, RvcVoice};
use super::{Manifest, Voice, VoiceId};

/// Largest accepted file of another program, in bytes. A voice has 55 to 120 MB, an index of 200 000 frames 600 MB.
pub const MAX_FOREIGN_BYTES: u64 = 1 << 30;

/// Reads a file of another program into memory.
///
/// # Errors
/// [`ImportError::Unreadable`] or [`ImportError::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, ImportError> {
    let unreadable =
        |error: std::io::Error| ImportError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(std::io::Error::other("not a regular file")));
    }
    let too_large = |bytes| ImportError::TooLarge { bytes, limit: MAX_FOREIGN_BYTES };
    if metadata.len() > MAX_FOREIGN_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // The file may grow while it is read.
    file.take(MAX_FOREIGN_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FOREIGN_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

/// Endings of files that [`import_rvc`] reads.
pub const RVC_EXTENSIONS: [&str; 2] = ["pth", "onnx"];

/// Reads an RVC voice: a checkpoint or an exported graph, and a retrieval index.
///
/// The voice is called as the file. Its id is the hash of the file, so the same file is the same voice.
///
/// # Errors
/// Any [`ImportError`].
pub fn import_rvc(path: &Path, index: Option<&Path>) -> Result<Voice, ImportError> {
    let bytes = read_file(path)?;
    let is_graph = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
    let index = index.map(read_file).transpose()?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    rvc_from_bytes(&stem, is_graph, bytes, index.as_deref())
}

/// [`import_rvc`] with the contents of the files. `stem` is the name of the file, `is_graph` whether it is an exported
/// graph.
///
/// # Errors
/// Any [`ImportError`].
pub fn rvc_from_bytes(stem: &str, is_graph: bool, bytes: Vec<u8>, index: Option<&[u8]>) -> Result<Voice, ImportError> {
    let id = VoiceId::of(&bytes);
    let generator = match is_graph {
        true => Generator::Graph(ForeignGraph::read(bytes)?),
        false => Generator::Weights(Checkpoint::read(bytes)?),
    };
    let index = index.map(faiss::RetrievalIndex::read).transpose()?;
    let voice = RvcVoice { generator, index };
    voice.validate()?;
    let name: String = stem.chars().filter(|c| !c.is_control()).take(100).collect();
    let name = if name.trim().is_empty() { "RVC voice".to_owned() } else { name };
    Ok(Voice::from_rvc(id, manifest(name, &voice), voice))
}

/// The index beside a voice that is named after it, as RVC names them; `None` if it is not clear which.
pub fn index_beside(voice: &Path) -> Option<PathBuf> {
    let stem = voice.file_stem()?.to_str()?.to_lowercase();
    let folder = voice.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let is_match = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
        name.ends_with(".index") && name.contains(&stem) && !name.starts_with("trained_")
    };
    let mut found = std::fs::read_dir(folder).ok()?.take(4_096).flatten().map(|entry| entry.path()).filter(is_match);
    found.next().filter(|_| found.next().is_none())
}

/// The manifest of an imported voice. Its register is unknown, which the file says by [`UNKNOWN_RANGE_HZ`] and 0 voiced
/// seconds.
fn manifest(name: String, voice: &RvcVoice) -> Manifest {
    let (rate, author) = match &voice.generator {
        Generator::Weights(checkpoint) => {
            let author = checkpoint.notes.iter().find(|(key, _)| key == "author").map(|(_, text)| text.clone());
            (checkpoint.config.sample_rate, author.unwrap_or_default())
        }
        Generator::Graph(graph) => (graph.sample_rate.unwrap_or(40_000), String::new()),
    };
    Manifest {
        format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
        kind: Kind::Voice,
        engine: ENGINE_RVC.to_owned(),
        content_space: String::new(),
        name,
        description: voice.describe(),
        languages: Vec::new(),
        author,
        licence: String::new(),
        attribution: String::new(),
        consent: None,
        median_f0_hz: 220.0,
        range_hz: UNKNOWN_RANGE_HZ,
        delivery: Delivery::Sung,
        bandwidth_hz: (rate as f32 / 2.0).clamp(1_000.0, 48_000.0),
        voiced_seconds: 0.0,
        previous_ids: Vec::new(),
        improved_from: None,
        members: Vec::new(),
    }
}
