//! `improve`: a better version of a voice, beside the old one, in seconds to minutes. Stopped in the middle, it goes on
//! where it was.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coffre::clone::improve::{Improvement, checkpoint, improved_name};
use coffre::voice::library::{self, EXTENSION, Library};
use coffre::voice::package::{Package, write_atomically};
use coffre::voice::{Voice, VoiceError};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{CliError, output, session};

/// Options of `improve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Name, id or file of a voice of Coffre's own kind; it stays as it is
    #[arg(value_name = "NAME|FILE")]
    voice: String,
    /// The better voice; without it, it goes into your library
    #[arg(short, long, value_name = "OUT.coffre")]
    output: Option<PathBuf>,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
    /// Neither progress nor report
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

/// Improves one voice.
pub fn run(options: &Options) -> Result<(), CliError> {
    let start = Instant::now();
    let bytes = content(&options.voice).map_err(CliError::voice(&options.voice))?;
    let improved = improve(&bytes, None, &options.voice, options.output.clone(), options.quiet)?;
    if options.json {
        output::json(&json!({
            "seconds_taken": output::rounded(start.elapsed().as_secs_f64()),
            "resumed_at": output::rounded(f64::from(improved.resumed_at)),
            "from": improved.voice.manifest().improved_from,
            "output": improved.path,
            "id": improved.voice.id().to_string(),
            "name": improved.voice.name(),
            "not_adapted": improved.not_adapted,
        }));
    } else if !options.quiet {
        let taken = start.elapsed().as_secs_f64();
        output::line(format_args!("{}: {}, made in {taken:.1} s", improved.path.display(), improved.voice.name()));
        improved.warn();
    }
    Ok(())
}

/// A voice that was written.
pub struct Improved {
    /// Where it lies.
    pub path: PathBuf,
    /// What is there.
    pub voice: Voice,
    /// Share of the work that an earlier run had done.
    pub resumed_at: f32,
    /// Why mix mode learned no more of the voice.
    pub not_adapted: Option<String>,
}

impl Improved {
    /// Says what could not be done.
    pub fn warn(&self) {
        if let Some(reason) = &self.not_adapted {
            eprintln!(
                "coffre: mix mode learned no more of this voice: {reason}. With `coffre clone --improve`, or from a voice \
                 made with --keep-recordings, it comes nearer"
            );
        }
    }
}

/// Improves the voice in `bytes`, called `what` in complaints, and writes the result. `recordings` are those that the file
/// does not keep.
pub fn improve(
    bytes: &[u8],
    recordings: Option<Vec<u8>>,
    what: &str,
    path: Option<PathBuf>,
    is_quiet: bool,
) -> Result<Improved, CliError> {
    let failed = |source| CliError::Improve { what: what.to_owned(), source };
    let mut improvement = Improvement::new_with(bytes, recordings).map_err(failed)?;
    let kept = checkpoint::path(improvement.id());
    if let Some(path) = &kept {
        improvement.take_up(path);
    }
    let resumed_at = improvement.progress();
    let bar = progress(is_quiet);
    let mut rounds = improvement.rounds();
    while improvement.step() {
        bar.set_position((1000.0 * improvement.progress()) as u64);
        if let Some(path) = kept.as_ref().filter(|_| improvement.rounds() > rounds) {
            rounds = improvement.rounds();
            // Without a place to keep it the work goes on all the same.
            let _ = improvement.keep(path);
        }
    }
    bar.finish_and_clear();
    let name = improved_name(improvement.name());
    let not_adapted = improvement.not_adapted().map(str::to_owned);
    let bytes = improvement.finish().map_err(CliError::voice(what))?;
    let path = match path {
        Some(path) => {
            write_atomically(&path, &bytes).map_err(CliError::voice(path.display()))?;
            path
        }
        None => library::save(&name, &bytes).map_err(CliError::voice("the library"))?,
    };
    if let Some(path) = kept {
        // The work is done; what stays behind costs nothing but its place.
        let _ = std::fs::remove_file(path);
    }
    let voice = Voice::from_bytes(&bytes).map_err(CliError::voice(path.display()))?;
    Ok(Improved { path, voice, resumed_at, not_adapted })
}

/// The file of a voice by path, name or id.
fn content(word: &str) -> Result<Vec<u8>, VoiceError> {
    let path = Path::new(word);
    if session::is_path(path) {
        return Package::read_file(path);
    }
    let library = Library::look(&[]);
    library::content(library.find_by_word(word)?)
}

/// Where the better voice goes beside a file that was just made: `kate.coffre` gets `kate-improved.coffre`.
pub fn beside(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}-improved.{EXTENSION}"))
}

fn progress(is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1000);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {wide_bar} {percent:>3} % {eta:>4}") {
        bar.set_style(style);
    }
    bar.set_message("improving");
    bar
}
