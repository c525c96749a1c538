//! `import`: turns an RVC voice into a voice of Coffre's library.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Instant;

use coffre::voice::library::{self, ForeignPlace, ForeignStep, ForeignWishes, Imported, Library};
use indicatif::ProgressBar;
use serde_json::json;

use super::force::Force;
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
    #[command(flatten)]
    force: Force,
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
    if let Some(path) = &options.output {
        options.force.check(path)?;
    }
    let wishes = ForeignWishes { index: options.index.clone(), name: options.name.clone(), range_hz: options.range };
    let bar = progress();
    let mut tell = |step| bar.set_message(in_words(step));
    let done = match &options.output {
        Some(path) => library::import_foreign(
            &options.voice,
            &wishes,
            ForeignPlace::File(path, options.force.existing()),
            &mut tell,
        ),
        None => {
            let place = ForeignPlace::Library(&folder()?, &Library::look(&[]));
            library::import_foreign(&options.voice, &wishes, place, &mut tell)
        }
    };
    bar.finish_and_clear();
    let done = done.map_err(CliError::voice(options.voice.display()))?;
    let (Imported::New(path) | Imported::Known(path)) = &done.place;
    if options.json {
        output::json(&json!({
            "name": done.name,
            "id": done.id.to_string(),
            "path": output::path(path),
            "index": done.index.as_ref().map(output::path),
            "bytes": done.len,
            "description": done.description,
            "seconds": output::rounded(start.elapsed().as_secs_f64()),
        }));
    } else {
        output::line(format_args!("{}: {}, {}", path.display(), done.name, done.description));
        if let Some(index) = &done.index {
            output::line(format_args!("  index: {}", index.display()));
        }
    }
    Ok(())
}

/// The folder of the user's voices, made if need be.
fn folder() -> Result<PathBuf, CliError> {
    let folder = library::user_folder()
        .ok_or_else(|| CliError::Usage("name the result with -o: there is no home folder".into()))?;
    std::fs::create_dir_all(&folder).map_err(|error| {
        CliError::Usage(format!("{} cannot be made ({error}); name the result with -o", folder.display()))
    })?;
    Ok(folder)
}

/// What is being done, on a terminal.
fn progress() -> ProgressBar {
    if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() }
}

fn in_words(step: ForeignStep) -> &'static str {
    match step {
        ForeignStep::Reading => "reading",
        ForeignStep::Packing => "packing",
        ForeignStep::Writing => "writing",
    }
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
