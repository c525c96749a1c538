//! `import`: a voice of RVC becomes a voice of Coffre's library.

use std::path::PathBuf;
use std::time::Instant;

use coffre::voice::import::{import_rvc, index_beside};
use coffre::voice::library::{EXTENSION, user_folder};
use coffre::voice::package::write_atomically;
use coffre::voice::{Manifest, Voice, VoiceError, VoiceId};
use serde_json::json;

use super::{CliError, output};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The voice: RVC's .pth, or an .onnx exported from it by RVC or by w-okada's voice changer
    #[arg(value_name = "VOICE")]
    voice: PathBuf,
    /// Its retrieval index (added_*.index); one beside the voice and named after it is found by itself
    #[arg(long, value_name = "INDEX")]
    index: Option<PathBuf>,
    /// Where the result goes; else into the folder of your voices
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What the voice is called; else as its file
    #[arg(long)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Imports one voice.
pub fn run(options: &Options) -> Result<(), CliError> {
    let start = Instant::now();
    let what = options.voice.display();
    let refused = |error: VoiceError| CliError::Voice { what: what.to_string(), source: error };
    let index = options.index.clone().or_else(|| index_beside(&options.voice));
    let voice = import_rvc(&options.voice, index.as_deref()).map_err(|error| refused(error.into()))?;
    let name = options.name.clone().unwrap_or_else(|| voice.name().to_owned());
    let manifest = Manifest { name: name.clone(), ..voice.manifest().clone() };
    let bytes = written(manifest, &voice).map_err(refused)?;
    let path = match &options.output {
        Some(path) => path.clone(),
        None => default_path(&name)?,
    };
    write_atomically(&path, &bytes).map_err(CliError::voice(path.display()))?;
    let about = voice.rvc().map(coffre::voice::rvc::RvcVoice::describe).unwrap_or_default();
    if options.json {
        output::json(&json!({
            "name": name,
            "id": VoiceId::of(&bytes).to_string(),
            "path": path,
            "index": index,
            "bytes": bytes.len(),
            "description": about,
            "seconds": output::rounded(start.elapsed().as_secs_f64()),
        }));
    } else {
        output::line(format_args!("{}: {name}, {about}", path.display()));
        if let Some(index) = &index {
            output::line(format_args!("  index: {}", index.display()));
        }
    }
    Ok(())
}

fn written(manifest: Manifest, voice: &Voice) -> Result<Vec<u8>, VoiceError> {
    let parts = voice.rvc().ok_or_else(|| VoiceError::UnknownEngine { engine: voice.manifest().engine.clone() })?;
    Voice::write_rvc(manifest, parts)
}

/// A file of this name in the user's folder.
fn default_path(name: &str) -> Result<PathBuf, CliError> {
    let folder =
        user_folder().ok_or_else(|| CliError::Usage("name the result with -o: there is no home folder".into()))?;
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::Usage(format!("{} cannot be made ({error}); name the result with -o", folder.display()))
    })?;
    let plain = |c: char| if c.is_alphanumeric() || " -_.()".contains(c) { c } else { '_' };
    let file: String = name.trim().trim_start_matches('.').chars().map(plain).collect();
    Ok(folder.join(format!("{file}.{EXTENSION}")))
}
