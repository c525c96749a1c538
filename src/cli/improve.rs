//! `improve`: a better version of a voice beside the old one, in seconds to minutes. If it is interrupted, the next run
//! resumes.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coffre::clone::improve::{Improvement, checkpoint, improved_name};
use coffre::new_file;
use coffre::voice::library::{self, EXTENSION, Library};
use coffre::voice::package::Package;
use coffre::voice::{Voice, VoiceError};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::force::Force;
use super::{CliError, output, session};

/// Options of `improve`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Name, id or file of a voice (not an RVC voice); it stays as it is
    #[arg(value_name = "NAME|FILE")]
    voice: String,
    /// File for the improved voice; default: into your library
    #[arg(short, long, value_name = "OUT.coffre")]
    output: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    /// Print a report as JSON
    #[arg(long)]
    json: bool,
    /// Show neither progress nor report
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

/// Improves one voice.
pub fn run(options: &Options) -> Result<(), CliError> {
    let start = Instant::now();
    if let Some(path) = &options.output {
        options.force.check(path)?;
    }
    let bytes = content(&options.voice).map_err(CliError::voice(&options.voice))?;
    let improved = improve(&bytes, None, &options.voice, options.output.clone(), options.force, options.quiet)?;
    if options.json {
        output::json(&json!({
            "seconds_taken": output::rounded(start.elapsed().as_secs_f64()),
            "resumed_at": output::rounded(f64::from(improved.resumed_at)),
            "from": improved.voice.manifest().improved_from,
            "output": output::path(&improved.path),
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
    /// Why mix mode was not adapted to the voice any further.
    pub not_adapted: Option<String>,
}

impl Improved {
    /// Tells the user what could not be done.
    pub fn warn(&self) {
        if let Some(reason) = &self.not_adapted {
            output::complain(format_args!(
                "coffre: mix mode was not adapted to this voice any further: {reason}. Use `coffre clone --improve`, or a \
                 voice made with --keep-recordings, to make it sound more like the speaker"
            ));
        }
    }
}

/// Improves the voice in `bytes`, called `what` in error messages, and writes the result. `recordings` are used if the file
/// does not keep its own.
pub fn improve(
    bytes: &[u8],
    recordings: Option<Vec<u8>>,
    what: &str,
    path: Option<PathBuf>,
    force: Force,
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
            // If it cannot be kept, the work goes on all the same.
            let _ = improvement.keep(path);
        }
    }
    bar.finish_and_clear();
    let name = improved_name(improvement.name());
    let not_adapted = improvement.not_adapted().map(str::to_owned);
    let bytes = improvement.finish().map_err(CliError::voice(what))?;
    let path = match path {
        Some(path) => {
            new_file::write(&path, &bytes, force.existing())?;
            path
        }
        None => library::save(&name, &bytes).map_err(CliError::voice("the library"))?,
    };
    if let Some(path) = kept {
        // The work is done; a leftover file only takes some disk space.
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
