//! `voices`: lists the voices that `--voice` accepts, and changes them.

use std::path::PathBuf;

use coffre::voice::library::{self, FolderState, Imported, Origin, VoiceEntry};
use coffre::voice::{Library, Manifest, VoiceError};
use serde_json::{Value, json};

use super::consent::ConsentOptions;
use super::force::Force;
use super::{CliError, output};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    change: Option<Change>,
}

/// What can be done with voices.
#[derive(Debug, clap::Subcommand)]
enum Change {
    /// Copy voice files into your library
    Import {
        /// Voice files
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
        /// Another library folder
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// Copy a voice to a file
    Export {
        /// Name or id
        voice: String,
        /// The new file
        #[arg(short, long, value_name = "OUT.coffre")]
        output: PathBuf,
        #[command(flatten)]
        force: Force,
    },
    /// Rename a voice; sessions still find it
    Rename {
        /// Name or id
        voice: String,
        /// The new name
        name: String,
    },
    /// State whose voice it is and on what ground
    State {
        /// Name or id
        voice: String,
        #[command(flatten)]
        consent: ConsentOptions,
    },
    /// Move a voice to the trash of its folder
    Delete {
        /// Name or id
        voice: String,
    },
    /// Move a voice back from the trash of your library
    Restore {
        /// Name
        voice: String,
    },
}

/// Lists all voices, bad files included, or changes one.
pub fn run(options: &Options) -> Result<(), CliError> {
    // Only JSON shows ids.
    let library = if options.json { Library::scan(&[]) } else { Library::look(&[]) };
    if let Some(change) = &options.change {
        return change.run(&library);
    }
    if options.json {
        output::json(&Value::Array(library.entries().iter().map(as_json).collect()));
        return Ok(());
    }
    for entry in library.entries() {
        match &entry.manifest {
            Ok(manifest) => {
                let register = match (manifest.register_hz(), manifest.known_range_hz()) {
                    (Some(median), Some([low, high])) => format!("{median:>4.0} Hz ({low:.0} to {high:.0})"),
                    _ => "register unknown".to_owned(),
                };
                let mark = if manifest.consent.is_none() { "[origin unknown] " } else { "" };
                output::line(format_args!(
                    "{:<16} {register}  {:<8}  {mark}{}",
                    entry.name,
                    word(entry.origin),
                    manifest.description
                ));
            }
            Err(error) => output::complain(format_args!("coffre: {}: {error}", entry.path.display())),
        }
    }
    for (_, folder, state) in library.folders() {
        if *state == FolderState::Silent {
            output::complain(format_args!(
                "coffre: the voice folder {} does not answer; its voices are left out",
                folder.display()
            ));
        }
    }
    if library.voices().next().is_none() {
        output::complain(format_args!(
            "coffre: there are no voices; `coffre doctor` lists the folders that are searched"
        ));
    }
    Ok(())
}

impl Change {
    fn run(&self, voices: &Library) -> Result<(), CliError> {
        let find = |word: &String| voices.find_by_word(word).map_err(CliError::voice(word));
        match self {
            Self::Import { files, folder } => {
                let folder = folder.clone().or_else(library::user_folder).ok_or_else(no_home)?;
                for file in files {
                    let done = library::import(file, &folder, voices).map_err(CliError::voice(file.display()))?;
                    match done {
                        Imported::New(path) => output::line(format_args!("imported: {}", path.display())),
                        Imported::Known(path) => output::line(format_args!("already there: {}", path.display())),
                    }
                }
            }
            Self::Export { voice, output, force } => {
                force.check(output)?;
                library::export(find(voice)?, output, force.existing()).map_err(CliError::voice(output.display()))?;
            }
            Self::Rename { voice, name } => {
                library::rename(find(voice)?, name).map_err(CliError::voice(voice))?;
            }
            Self::State { voice, consent } => {
                let consent = consent.record(None)?.ok_or_else(|| CliError::Usage("--consent is needed".into()))?;
                library::state(find(voice)?, consent).map_err(CliError::voice(voice))?;
            }
            Self::Delete { voice } => {
                let path = library::delete(find(voice)?).map_err(CliError::voice(voice))?;
                output::line(format_args!("in the trash: {}", path.display()));
            }
            Self::Restore { voice } => {
                let folder = library::user_folder().ok_or_else(no_home)?;
                let path = library::restore(&folder, voice).map_err(CliError::voice(voice))?;
                output::line(format_args!("back: {}", path.display()));
            }
        }
        Ok(())
    }
}

fn no_home() -> CliError {
    let source = VoiceError::Unreadable { path: "the home folder".into(), reason: "it is not known".into() };
    CliError::Voice { what: "the library".into(), source }
}

/// A voice or a bad file as an object; `error` is null for a good one.
pub fn as_json(entry: &VoiceEntry) -> Value {
    let manifest = entry.manifest.as_ref().ok();
    json!({
        "name": entry.name,
        "id": entry.id.map(|id| id.to_string()),
        "origin": word(entry.origin),
        "path": output::path(&entry.path),
        "description": manifest.map(|manifest| &manifest.description),
        "languages": manifest.map(|manifest| &manifest.languages),
        "median_f0_hz": manifest.and_then(Manifest::register_hz),
        "range_hz": manifest.and_then(Manifest::known_range_hz),
        "author": manifest.map(|manifest| &manifest.author),
        "licence": manifest.map(|manifest| &manifest.licence),
        "attribution": manifest.map(|manifest| &manifest.attribution),
        "consent": manifest.map(|manifest| &manifest.consent),
        "origin_unknown": manifest.map(|manifest| manifest.consent.is_none()),
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
