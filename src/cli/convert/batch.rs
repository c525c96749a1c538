//! Many files into a folder: one process, several at once, and a list of what failed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use coffre::audio_file::AudioReader;
use coffre::audio_file::folder;
use coffre::new_file::WriteError;
use serde_json::{Value, json};

use super::super::same_file::is_same_file;
use super::input::Input;
use super::machine::{Machine, Voices, target};
use super::report::{Done, Progress, bar};
use super::{Options, STANDARD};
use crate::cli::{CliError, output};

/// One file's way.
struct Way {
    input: PathBuf,
    output: PathBuf,
}

/// Converts all that is meant; fails at the end if any did.
pub fn run(options: &Options) -> Result<(), CliError> {
    refuse(options)?;
    let mut meant = folder::look(&options.inputs, options.recursive, Some(&options.output));
    // A file that is named twice, or by itself and by its folder, is one file.
    let mut seen = BTreeSet::new();
    meant.files.retain(|file| seen.insert(file.path.clone()));
    let ways = ways(&options.output, meant.files.iter().map(|file| (file.path.as_path(), file.below.as_path())));
    if ways.is_empty() {
        return Err(CliError::Usage("there is no audio file in what was named".into()));
    }
    if let Some(way) = ways.iter().find(|way| is_same_file(&way.input, &way.output)) {
        let text = format!("the output would replace {}; choose another folder", way.input.display());
        return Err(CliError::Usage(text));
    }
    let (there, ways): (Vec<Way>, Vec<Way>) =
        ways.into_iter().partition(|way| options.force.check(&way.output).is_err());
    let voices = Voices::open(options, None)?;
    let results = all(options, &voices, &ways);
    report(options, &meant.left_out(), &there, &ways, results)
}

/// What makes no sense for several files.
fn refuse(options: &Options) -> Result<(), CliError> {
    let extension = options.output.extension().map(|extension| extension.to_ascii_lowercase());
    let is_file_name = extension.is_some_and(|extension| extension == "wav" || extension == "flac");
    let reason = match () {
        () if options.inputs.iter().any(|path| path == Path::new(STANDARD)) => {
            "standard input is one file: name its output"
        }
        () if options.output == Path::new(STANDARD) => {
            "standard output is one file: name one input, or a folder to write to"
        }
        () if options.save_profile.is_some() => "--save-profile is for one file",
        () if is_file_name && !options.output.is_dir() => "several files go into a folder; name one with -o",
        () => return Ok(()),
    };
    Err(CliError::Usage(reason.into()))
}

/// Where each file goes. Files whose names would meet get numbers, in the order of the list, so that the next run finds
/// them again.
fn ways<'a>(folder: &Path, files: impl Iterator<Item = (&'a Path, &'a Path)>) -> Vec<Way> {
    let mut taken = BTreeSet::new();
    let key = |path: &Path| path.to_string_lossy().to_lowercase();
    files
        .map(|(input, below)| {
            let first = target(folder, below);
            let stem = first.file_stem().unwrap_or_default().to_os_string();
            let extension = first.extension().unwrap_or_default().to_owned();
            let numbered = (2_u32..).map(|number| {
                let mut name = stem.clone();
                name.push(format!("-{number}."));
                name.push(&extension);
                first.with_file_name(name)
            });
            let output = std::iter::once(first.clone()).chain(numbered).find(|path| taken.insert(key(path)));
            Way { input: input.into(), output: output.unwrap_or(first) }
        })
        .collect()
}

/// Converts all, several at once; results in the order of the list.
fn all(options: &Options, voices: &Voices, ways: &[Way]) -> Vec<Result<Done, CliError>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A graph of RVC takes all cores by itself.
    let wanted = options.jobs.map_or(if voices.is_rvc() { 1 } else { cores }, usize::from);
    let total = ways.iter().filter_map(|way| milliseconds(&way.input)).sum();
    let bar = bar(options, total, "{msg:16} {wide_bar} {percent:>3} % {eta:>5} left");
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Vec<Mutex<Option<Result<Done, CliError>>>> = ways.iter().map(|_| Mutex::new(None)).collect();
    bar.set_message(format!("0 of {} files", ways.len()));
    let work = || {
        let mut machine = Machine::new(options, voices);
        while let Some((way, result)) = {
            let n = next.fetch_add(1, Ordering::Relaxed);
            ways.get(n).zip(results.get(n))
        } {
            let done = one(options, &mut machine, way, &Progress::share(&bar));
            *result.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(done);
            let count = finished.fetch_add(1, Ordering::Relaxed) + 1;
            bar.set_message(format!("{count} of {} files", ways.len()));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..wanted.min(ways.len()) {
            scope.spawn(work);
        }
        work();
    });
    bar.finish_and_clear();
    let gone = || Err(CliError::Usage("it was not reached".into()));
    let results =
        results.into_iter().map(|result| result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner));
    results.map(|result| result.unwrap_or_else(gone)).collect()
}

fn one(options: &Options, machine: &mut Machine<'_>, way: &Way, progress: &Progress) -> Result<Done, CliError> {
    if let Some(folder) = way.output.parent() {
        std::fs::create_dir_all(folder).map_err(|error| WriteError::new(folder, &error))?;
    }
    machine.convert(&Input::open(&way.input)?, &way.output, options.force.existing(), progress)
}

fn milliseconds(path: &Path) -> Option<u64> {
    let reader = AudioReader::open(path).ok()?;
    Some(reader.len_hint()? * 1000 / u64::from(reader.spec().rate))
}

/// Tells what became of each; the first failure is the command's.
fn report(
    options: &Options,
    left_out: &[String],
    there: &[Way],
    ways: &[Way],
    results: Vec<Result<Done, CliError>>,
) -> Result<(), CliError> {
    let count = results.len();
    let (mut items, mut failures) = (Vec::new(), Vec::new());
    let mut seconds = 0.0;
    for (way, result) in ways.iter().zip(results) {
        match result {
            Ok(done) => {
                seconds += done.seconds;
                for remark in &done.remarks {
                    output::complain(format_args!("coffre: {}: {remark}", way.input.display()));
                }
                if !options.quiet && !options.json {
                    output::line(done.as_line(options));
                }
                items.push(done.as_json(options));
            }
            Err(error) => {
                items.push(json!({ "input": output::path(&way.input), "error": error.to_string() }));
                failures.push((way, error));
            }
        }
    }
    items.extend(
        there.iter().map(
            |way| json!({ "input": output::path(&way.input), "output": output::path(&way.output), "skipped": true }),
        ),
    );
    if options.json {
        output::json(&Value::Array(items));
    } else if !options.quiet {
        let skipped = match there.len() {
            0 => String::new(),
            there => format!(", {there} were there already (--force does them again)"),
        };
        output::line(format_args!(
            "{} of {count} files converted, {seconds:.0} s of sound{skipped}",
            count - failures.len()
        ));
        for line in left_out {
            output::complain(format_args!("coffre: {line}"));
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    output::complain(format_args!("coffre: {} of {count} files failed:", failures.len()));
    for (way, error) in &failures {
        output::complain(format_args!("  {}: {error}", way.input.display()));
    }
    let failed = failures.len();
    let Some((_, first)) = failures.into_iter().next() else { return Ok(()) };
    Err(CliError::Several { failed, count, first: Box::new(first) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_and_those_that_meet_get_numbers() {
        let files = ["a.wav", "a.mp3", "A.aiff", "b/a.flac", "b/a.ogg"];
        let ways = ways(Path::new("out"), files.iter().map(|file| (Path::new(file), Path::new(file))));
        let outputs: Vec<_> = ways.iter().map(|way| way.output.clone()).collect();
        let wanted = ["out/a.wav", "out/a-2.wav", "out/A-3.wav", "out/b/a.flac", "out/b/a.wav"];
        assert_eq!(outputs, wanted.map(PathBuf::from));
    }
}
