//! `models`: the foundation graphs that RVC voices need.

#[cfg(feature = "fetch")]
mod get;
#[cfg(feature = "fetch")]
mod homes;
#[cfg(feature = "fetch")]
mod transfer;

use std::path::PathBuf;

use coffre::voice::foundation::{self, Foundation};
use serde_json::json;

use super::{CliError, output};

#[derive(Debug, clap::Args)]
pub struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the graphs that are there and those that are missing
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a graph into the models folder; its kind is recognised by its inputs and outputs
    Add {
        /// ContentVec or RMVPE as .onnx
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Download a graph from its public home into the models folder; a broken download is resumed
    #[cfg(feature = "fetch")]
    Get(get::Options),
}

/// Lists, adds or fetches.
pub fn run(options: &Options) -> Result<(), CliError> {
    let folder = foundation::folder()
        .ok_or_else(|| CliError::Usage("there is no home folder; set COFFRE_MODELS to a folder for models".into()))?;
    match &options.action {
        Action::Add { file } => {
            let (kind, place) = foundation::add(&folder, file).map_err(CliError::voice(file.display()))?;
            output::line(format_args!("{}: {}", place.display(), kind.purpose()));
        }
        #[cfg(feature = "fetch")]
        Action::Get(options) => get::run(&folder, options)?,
        Action::List { json: true } => {
            let one = |kind: Foundation| json!({ "file": kind.file_name(), "purpose": kind.purpose(), "path": foundation::find(&folder, kind).map(output::path) });
            output::json(&json!({ "folder": output::path(&folder), "models": Foundation::ALL.map(one) }));
        }
        Action::List { json: false } => {
            output::line(format_args!("{}", folder.display()));
            for kind in Foundation::ALL {
                let state = foundation::find(&folder, kind).map_or("missing", |_| "there");
                output::line(format_args!("  {:<20} {state:<8} {}", kind.file_name(), kind.purpose()));
            }
        }
    }
    Ok(())
}
