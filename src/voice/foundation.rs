//! Foundation graphs: ContentVec and RMVPE, which RVC voices need and Coffre does not ship.
//!
//! They are in the user's models folder, put there by `coffre models add` under names that say what they are. A graph is
//! recognised by its inputs and outputs, never by its name.

use std::path::{Path, PathBuf};

use super::import::onnx::{OnnxOutline, OnnxPort};
use super::import::{ImportError, read_file};
use super::{VoiceError, library};
use crate::new_file::{self, Existing, WriteError};

/// Environment variable that names the models folder.
pub const FOLDER_VARIABLE: &str = "COFFRE_MODELS";

/// A kind of graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foundation {
    /// ContentVec with the features of both versions.
    ContentVec,
    /// ContentVec with 768 features, for v2.
    ContentVec768,
    /// ContentVec with 256 features, for v1.
    ContentVec256,
    /// RMVPE from a mel spectrogram.
    Rmvpe,
}

impl Foundation {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::ContentVec768, Self::ContentVec256, Self::ContentVec, Self::Rmvpe];

    /// Name of the file in the models folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::ContentVec => "contentvec.onnx",
            Self::ContentVec768 => "contentvec-768.onnx",
            Self::ContentVec256 => "contentvec-256.onnx",
            Self::Rmvpe => "rmvpe.onnx",
        }
    }

    /// Its purpose, for people.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::ContentVec => "content features for all RVC voices",
            Self::ContentVec768 => "content features for RVC v2 voices",
            Self::ContentVec256 => "content features for RVC v1 voices",
            Self::Rmvpe => "F0 for RVC voices up to 1040 Hz; without it Coffre's own serves",
        }
    }

    /// Recognises a graph by its inputs and outputs.
    ///
    /// # Errors
    /// [`ImportError::Unsupported`] naming what the file has instead.
    pub fn recognise(bytes: &[u8]) -> Result<Self, ImportError> {
        let outline = OnnxOutline::read(bytes)?;
        let has = |port: &OnnxPort, size: usize| port.shape.contains(&Some(size));
        let names = |ports: &[OnnxPort]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>().join(", ");
        if let [input] = outline.inputs.as_slice() {
            let is_sound = matches!(input.shape.len(), 2 | 3) && matches!(input.element, 1 | 10);
            let named = |name: &str| outline.outputs.iter().any(|port| port.name == name);
            let is_mel = input.shape.len() == 3 && has(input, 128);
            let any = |size: usize| outline.outputs.iter().any(|port| has(port, size));
            if is_mel && any(360) {
                return Ok(Self::Rmvpe);
            }
            if is_sound && !is_mel {
                match (any(256) || named("unit9"), any(768) || named("unit12")) {
                    (true, true) => return Ok(Self::ContentVec),
                    (false, true) => return Ok(Self::ContentVec768),
                    (true, false) => return Ok(Self::ContentVec256),
                    (false, false) => {}
                }
                // Exports that leave the sizes open are known by their names.
                if named("last_hidden_state") {
                    return Ok(Self::ContentVec768);
                }
            }
        }
        Err(ImportError::unsupported(format!(
            "the graph is neither ContentVec nor RMVPE: it has the inputs {} and the outputs {}. ContentVec takes sound \
             and gives 256 or 768 features, RMVPE takes 128 mel bands and gives 360 pitches",
            names(&outline.inputs),
            names(&outline.outputs)
        )))
    }
}

/// The models folder: what [`FOLDER_VARIABLE`] says, or `models` beside the user's voices.
pub fn folder() -> Option<PathBuf> {
    let chosen = std::env::var_os(FOLDER_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    chosen.or_else(|| Some(library::user_folder()?.parent()?.join("models")))
}

/// The path of a kind of graph in a folder, if it is there.
pub fn find(folder: &Path, kind: Foundation) -> Option<PathBuf> {
    Some(folder.join(kind.file_name())).filter(|path| path.is_file())
}

/// The path of the content graph for a number of features.
pub fn find_contentvec(folder: &Path, features: usize) -> Option<PathBuf> {
    let own = if features == 256 { Foundation::ContentVec256 } else { Foundation::ContentVec768 };
    find(folder, own).or_else(|| find(folder, Foundation::ContentVec))
}

/// The message when the content graph for a number of features is missing: what is needed, and how to get it.
pub fn missing_contentvec(folder: &Path, features: usize) -> String {
    let (version, layer) = if features == 256 { ("v1", 9) } else { ("v2", 12) };
    format!(
        "an RVC {version} voice needs ContentVec (layer {layer}, {features} features) as ONNX, which is not part of \
         Coffre and is not in {}. Coffre's own content encoder cannot stand in for it. Run `coffre models get`, or get \
         an export, such as vec-{features}-layer-{layer}.onnx, and run `coffre models add FILE`",
        folder.display()
    )
}

/// Copies a graph into a folder after recognising it; gives its kind and place.
///
/// # Errors
/// [`VoiceError`] when it cannot be read, is something else or cannot be written.
pub fn add(folder: &Path, file: &Path) -> Result<(Foundation, PathBuf), VoiceError> {
    let bytes = read_file(file)?;
    let kind = Foundation::recognise(&bytes)?;
    std::fs::create_dir_all(folder).map_err(|error| WriteError::new(folder, &error))?;
    let place = folder.join(kind.file_name());
    new_file::write(&place, &bytes, Existing::Replace)?;
    Ok((kind, place))
}
