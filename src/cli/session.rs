//! Engine, voice and profile from the options.

use std::path::Path;
use std::sync::Arc;

use coffre::engine::Mode;
use coffre::engine::content::ContentEncoder;
use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::onnx::Runtime;
use coffre::voice::import::{RVC_EXTENSIONS, import_rvc, index_beside};
use coffre::voice::library::{EXTENSION, Library, load_file};
use coffre::voice::{Voice, VoiceError};

use super::CliError;

/// Latency mode as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ModeOption {
    /// Least delay: what a singer hears when monitoring through Coffre.
    Live,
    /// More look-ahead, better sound.
    Mix,
}

impl From<ModeOption> for Mode {
    fn from(mode: ModeOption) -> Self {
        match mode {
            ModeOption::Live => Self::Live,
            ModeOption::Mix => Self::Mix,
        }
    }
}

/// An engine in its initial state, with all that belongs to its mode. `wants_content` = with its graphs, which need ONNX
/// Runtime.
pub fn engine(mode: Mode, wants_content: bool, profile: Arc<SourceProfile>) -> Result<NativeEngine, CliError> {
    match wants_content {
        true => Ok(NativeEngine::open(Runtime::get()?, mode, profile)?),
        false => Ok(NativeEngine::new(mode, None, profile)),
    }
}

/// An engine without refiner and corrector: to learn a singer with, and to make what both are trained on.
pub fn plain_engine(mode: Mode, wants_content: bool, profile: Arc<SourceProfile>) -> Result<NativeEngine, CliError> {
    let content = match wants_content {
        true => Some(ContentEncoder::new(Runtime::get()?, mode)?),
        false => None,
    };
    Ok(NativeEngine::new(mode, content, profile))
}

/// A voice by path, name or id; `None` for the word `none`. `index` goes with a voice of RVC.
pub fn voice(word: &str, index: Option<&Path>) -> Result<Option<Arc<Voice>>, CliError> {
    if word.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let path = Path::new(word);
    if is_foreign(path) {
        let index = index.map(Path::to_path_buf).or_else(|| index_beside(path));
        let voice = import_rvc(path, index.as_deref()).map_err(VoiceError::from);
        return voice.map(|voice| Some(Arc::new(voice))).map_err(CliError::voice(word));
    }
    if is_path(path) {
        return load_file(path).map(Some).map_err(CliError::voice(word));
    }
    let library = Library::look(&[]);
    let entry = library.find_by_word(word).map_err(CliError::voice(word))?;
    entry.load().map(Some).map_err(CliError::voice(word))
}

/// Whether a path is a voice of another program.
pub fn is_foreign(path: &Path) -> bool {
    path.extension().is_some_and(|extension| RVC_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Whether a word means a file rather than a name: it has a folder or a voice's extension, or such a file exists.
pub fn is_path(path: &Path) -> bool {
    path.components().count() > 1 || path.extension().is_some_and(|extension| extension == EXTENSION) || path.is_file()
}

/// A profile from a file.
pub fn profile(path: &Path) -> Result<Arc<SourceProfile>, CliError> {
    let read = || {
        let bytes = coffre::voice::package::Package::read_file(path)?;
        SourceProfile::from_bytes(&bytes).map(Arc::new)
    };
    read().map_err(CliError::voice(path.display()))
}
