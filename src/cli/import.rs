//! `import`: turns an RVC voice into a voice of Coffre's library.

use std::path::PathBuf;
use std::time::Instant;

use coffre::voice::import::{import_rvc, index_beside};
use coffre::voice::library::{EXTENSION, save_as, user_folder};
use coffre::voice::package::{Package, write_atomically};
use coffre::voice::{Delivery, Manifest, Voice, VoiceError, VoiceId};
use serde_json::json;

use super::{CliError, output};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The voice: RVC's .pth, or an .onnx exported from it by RVC or by w-okada's voice changer
    #[arg(value_name = "VOICE")]
    voice: PathBuf,
    /// Its retrieval index (added_*.index); one beside the voice and named after it is found automatically
    #[arg(long, value_name = "INDEX")]
    index: Option<PathBuf>,
    /// Output file; default: into the folder of your voices
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name of the voice; default: that of the file
    #[arg(long)]
    name: Option<String>,
    /// Lowest and highest usual note of the voice in Hz, such as 130-520; Register needs it
    #[arg(long, value_name = "LOW-HIGH", value_parser = range)]
    range: Option<[f32; 2]>,
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
    let mut manifest = Manifest { name: name.clone(), ..voice.manifest().clone() };
    if let Some(range) = options.range {
        // The middle of a range is its geometric mean: pitch is heard in ratios.
        (manifest.range_hz, manifest.median_f0_hz) = (range, (range[0] * range[1]).sqrt());
        manifest.delivery = Delivery::Sung;
    }
    let bytes = written(manifest, &voice).map_err(refused)?;
    let path = match &options.output {
        Some(path) => {
            write_atomically(path, &bytes).map_err(CliError::voice(path.display()))?;
            path.clone()
        }
        None => keep(&name, &bytes)?,
    };
    let about = voice.rvc().map(|body| body.describe()).unwrap_or_default();
    if options.json {
        output::json(&json!({
            "name": name,
            "id": VoiceId::of(&bytes).to_string(),
            "path": output::path(&path),
            "index": index.as_ref().map(output::path),
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

/// Two frequencies with a dash between them.
fn range(text: &str) -> Result<[f32; 2], String> {
    let wrong = || format!("`{text}` is not two frequencies in Hz, the lower one first, such as 130-520");
    let (low, high) = text.split_once('-').ok_or_else(wrong)?;
    let range = [low, high].map(|text| text.trim().parse::<f32>().unwrap_or(f32::NAN));
    match range {
        [low, high] if low >= 20.0 && low < high && high <= 4_000.0 => Ok(range),
        _ => Err(wrong()),
    }
}

fn written(manifest: Manifest, voice: &Voice) -> Result<Vec<u8>, VoiceError> {
    let parts = voice.rvc().ok_or_else(|| VoiceError::UnknownEngine { engine: voice.manifest().engine.clone() })?;
    Voice::write_rvc(manifest, parts)
}

/// Writes a file of this name into the user's folder; another voice of that name stays, and the same one is not written
/// twice.
fn keep(name: &str, bytes: &[u8]) -> Result<PathBuf, CliError> {
    let folder =
        user_folder().ok_or_else(|| CliError::Usage("name the result with -o: there is no home folder".into()))?;
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::Usage(format!("{} cannot be made ({error}); name the result with -o", folder.display()))
    })?;
    let plain = |c: char| if c.is_alphanumeric() || " -_.()".contains(c) { c } else { '_' };
    let file: String = name.trim().trim_start_matches('.').chars().map(plain).collect();
    let path = folder.join(format!("{file}.{EXTENSION}"));
    if std::fs::metadata(&path).is_ok_and(|about| about.len() == bytes.len() as u64)
        && Package::read_file(&path).is_ok_and(|there| there == bytes)
    {
        return Ok(path);
    }
    save_as(&folder, &file, bytes).map_err(CliError::voice(folder.display()))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_by_table() {
        assert_eq!(range("130-520"), Ok([130.0, 520.0]));
        assert_eq!(range("82.4 - 330"), Ok([82.4, 330.0]));
        for text in ["", "130", "520-130", "-5-100", "a-b", "NaN-200", "100-inf", "1-2-3", "100-100"] {
            assert!(range(text).is_err(), "{text}");
        }
    }
}
