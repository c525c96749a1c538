//! RVC voices on the command line: their options and their engine.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffre::engine::Engine;
use coffre::engine::rvc::contentvec::{self, ContentVec};
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::loaded::Foundations;
use coffre::engine::rvc::rmvpe::{self, Rmvpe};
use coffre::engine::rvc::track::Unvoiced;
use coffre::engine::rvc::{RvcEngine, RvcOptions};
use coffre::onnx::device::{self, Device};
use coffre::onnx::{Graph, GraphError, Runtime, Settings};
use coffre::voice::foundation::Foundation;
use coffre::voice::import::read_file;
use coffre::voice::{Voice, VoiceId, foundation};

use super::CliError;

/// Options that only RVC voices have.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "RVC voices")]
pub struct RvcArgs {
    /// Retrieval index for a voice given as .pth or .onnx
    #[arg(long, value_name = "INDEX")]
    pub index: Option<PathBuf>,
    /// How much of the retrieval (--likeness) applies to unvoiced sounds, in percent; 50 = all of it
    #[arg(long, value_name = "PCT", default_value_t = 33.0, value_parser = super::convert::within::<0, 50>)]
    pub protect: f32,
    /// Share of the voice's own loudness contour, in percent; 0 follows the input
    #[arg(long, value_name = "PCT", default_value_t = 25.0, value_parser = super::convert::within::<0, 100>)]
    pub own_level: f32,
    /// Excitation of unvoiced sounds: noise, as in RVC until 2024, or an interpolated pitch, as in RVC 2.3
    #[arg(long, value_enum, default_value = "classic")]
    pub unvoiced: UnvoicedOption,
    /// Speaker number, for a voice with several
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub speaker: usize,
}

/// [`Unvoiced`] as an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum UnvoicedOption {
    /// Noise.
    Classic,
    /// A pitch drawn across.
    Interpolated,
}

/// An engine that holds the voice in slot 0.
pub fn engine(args: &RvcArgs, geometry: Geometry, voice: Arc<Voice>) -> Result<Box<dyn Engine>, CliError> {
    let options = RvcOptions {
        protect: args.protect / 100.0,
        own_level: args.own_level / 100.0,
        unvoiced: match args.unvoiced {
            UnvoicedOption::Classic => Unvoiced::Classic,
            UnvoicedOption::Interpolated => Unvoiced::Interpolated,
        },
        speaker: args.speaker,
    };
    let features = voice.rvc().map_or(768, coffre::voice::rvc::RvcVoice::features);
    let folder = foundation::folder().unwrap_or_default();
    let path = foundation::find_contentvec(&folder, features).ok_or_else(|| missing(features))?;
    let content = read(&path)?;
    let pitch = foundation::find(&folder, Foundation::Rmvpe).as_deref().map(read).transpose()?;
    let source = move |runtime: &'static Runtime, features: usize| -> Result<Foundations, GraphError> {
        let key = |bytes: &[u8]| *VoiceId::of(bytes).as_bytes();
        let pitch = pitch.as_ref().map(|bytes| {
            let read = || Ok(Cow::Borrowed(&bytes[..]));
            Rmvpe::new(Graph::open_built(runtime, rmvpe::NAME, key(bytes), Settings::large(), read)?)
        });
        let content = contentvec::open(runtime, key(&content), || Ok(Cow::Borrowed(&content)))?;
        Ok(Foundations { content: ContentVec::new(content, features)?, pitch: pitch.transpose()? })
    };
    let mut engine = RvcEngine::new(Runtime::get()?, geometry, options, Box::new(source));
    engine.load(0, voice)?;
    if let Some(reason) = device::trouble() {
        let running = device::running().unwrap_or_else(|| Device::Cpu.title().to_owned());
        eprintln!("coffre: {reason}. The voice runs on: {running}");
    }
    Ok(Box::new(engine))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    read_file(path).map_err(|error| CliError::voice(path.display())(error.into()))
}

fn missing(features: usize) -> CliError {
    CliError::Missing(foundation::missing_contentvec(&foundation::folder().unwrap_or_default(), features))
}
