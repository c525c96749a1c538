//! `voices`: what can be named as `--voice`.

use coffre::voice::Library;
use coffre::voice::library::{Origin, VoiceEntry};
use serde_json::{Value, json};

use super::{CliError, output};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists all voices, bad files included.
pub fn run(options: &Options) -> Result<(), CliError> {
    let library = Library::scan(&[]);
    if options.json {
        output::json(&Value::Array(library.entries().iter().map(as_json).collect()));
        return Ok(());
    }
    for entry in library.entries() {
        match &entry.manifest {
            Ok(manifest) => {
                let [low, high] = manifest.range_hz;
                output::line(format_args!(
                    "{:<16} {:>4.0} Hz ({low:.0} to {high:.0})  {:<8}  {}",
                    entry.name,
                    manifest.median_f0_hz,
                    word(entry.origin),
                    manifest.description
                ));
            }
            Err(error) => eprintln!("coffre: {}: {error}", entry.path.display()),
        }
    }
    if library.voices().next().is_none() {
        eprintln!("coffre: there are no voices; `coffre doctor` lists the folders that are searched");
    }
    Ok(())
}

/// A voice or a bad file as an object; `error` is null for a good one.
pub fn as_json(entry: &VoiceEntry) -> Value {
    let manifest = entry.manifest.as_ref().ok();
    json!({
        "name": entry.name,
        "id": entry.id.map(|id| id.to_string()),
        "origin": word(entry.origin),
        "path": entry.path,
        "description": manifest.map(|manifest| &manifest.description),
        "languages": manifest.map(|manifest| &manifest.languages),
        "median_f0_hz": manifest.map(|manifest| manifest.median_f0_hz),
        "range_hz": manifest.map(|manifest| manifest.range_hz),
        "author": manifest.map(|manifest| &manifest.author),
        "licence": manifest.map(|manifest| &manifest.licence),
        "attribution": manifest.map(|manifest| &manifest.attribution),
        "error": entry.manifest.as_ref().err().map(ToString::to_string),
    })
}

fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::Embedded => "embedded",
        Origin::Project => "project",
        Origin::User => "user",
        Origin::System => "system",
    }
}
