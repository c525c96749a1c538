//! RVC voices on the command line: their options and their engine.

use std::path::PathBuf;
use std::sync::Arc;

use coffre::engine::Engine;
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::track::Unvoiced;
use coffre::engine::rvc::{RvcEngine, RvcOptions};
use coffre::loading::{Graphs, VoiceProblem};
use coffre::onnx::device::{self, Device};
use coffre::parameter;
use coffre::voice::Voice;

use super::convert::within;
use super::{CliError, output};

/// Options that only RVC voices have.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "RVC voices")]
pub struct RvcArgs {
    /// Retrieval index for a voice given as .pth or .onnx
    #[arg(long, value_name = "INDEX")]
    pub index: Option<PathBuf>,
    /// How much of the retrieval (--likeness) applies to unvoiced sounds, in percent; 50 = all of it
    #[arg(long, value_name = "PCT", default_value_t = parameter::PROTECT.default, value_parser = within(parameter::PROTECT))]
    pub protect: f32,
    /// Share of the voice's own loudness contour, in percent; 0 follows the input
    #[arg(long, value_name = "PCT", default_value_t = parameter::OWN_LEVEL.default, value_parser = within(parameter::OWN_LEVEL))]
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

/// An engine that holds the voice in slot 0. `graphs` keeps what the next one needs too.
pub fn engine(
    args: &RvcArgs,
    graphs: &mut Graphs,
    geometry: Geometry,
    voice: Arc<Voice>,
) -> Result<Box<dyn Engine>, CliError> {
    let options = RvcOptions {
        protect: args.protect / 100.0,
        own_level: args.own_level / 100.0,
        unvoiced: match args.unvoiced {
            UnvoicedOption::Classic => Unvoiced::Classic,
            UnvoicedOption::Interpolated => Unvoiced::Interpolated,
        },
        speaker: args.speaker,
    };
    let prepared = graphs.prepare(voice, geometry, options.speaker, false).map_err(problem)?;
    let mut engine = RvcEngine::new(geometry, options);
    engine.put(0, Some(prepared));
    if let Some(reason) = device::trouble() {
        let running = device::running().unwrap_or_else(|| Device::Cpu.title().to_owned());
        output::complain(format_args!("coffre: {reason}. The voice runs on: {running}"));
    }
    Ok(Box::new(engine))
}

fn problem(problem: VoiceProblem) -> CliError {
    match problem {
        VoiceProblem::FoundationMissing(reason) => CliError::Missing(reason),
        VoiceProblem::Refused(reason) => CliError::Unusable(reason),
        VoiceProblem::Missing | VoiceProblem::Pending => CliError::Unusable("the voice is gone".to_owned()),
    }
}
