//! `clone`: recordings in, voice file out, with a check that says how to improve them.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use coffre::clone::check::spoken;
use coffre::clone::recording::{self, Recording};
use coffre::clone::{Analysed, CloneError, CloneOptions, Cloner, Grade};
use coffre::engine::Mode;
use coffre::engine::content::ContentEncoder;
use coffre::new_file;
use coffre::onnx::Runtime;
use coffre::voice::extras::Extras;
use coffre::voice::library::{self, EXTENSION};
use coffre::voice::package::Package;
use coffre::voice::{Consent, Manifest, Portrait, Signer, Voice, VoiceError};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::consent::ConsentOptions;
use super::force::Force;
use super::spool::Spool;
use super::{CliError, improve, output};

/// Options of `clone`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Recordings of one person: any common audio file, speech or singing; or folders of them. Or one voice file that
    /// keeps its recordings, to make it again
    #[arg(value_name = "FILE|FOLDER", required = true)]
    recordings: Vec<PathBuf>,
    /// Take the folders in folders too
    #[arg(short, long)]
    recursive: bool,
    /// Name of the voice
    #[arg(long, value_name = "NAME", required_unless_present = "check_only")]
    name: Option<String>,
    /// The voice file; default: into your library
    #[arg(short, long, value_name = "OUT.coffre", conflicts_with = "check_only")]
    output: Option<PathBuf>,
    #[command(flatten)]
    force: Force,
    /// Only check the recordings
    #[arg(long = "check")]
    check_only: bool,
    /// One or two sentences on range and timbre
    #[arg(long, value_name = "TEXT", default_value = "")]
    description: String,
    /// Language of the recordings, such as en or pt-BR; may be given several times
    #[arg(long = "language", value_name = "TAG")]
    languages: Vec<String>,
    /// Who made the file
    #[arg(long, value_name = "NAME", default_value = "")]
    author: String,
    /// Licence of the file, such as CC0-1.0
    #[arg(long, value_name = "NAME", default_value = "")]
    licence: String,
    /// Attribution to show
    #[arg(long, value_name = "TEXT", default_value = "")]
    attribution: String,
    #[command(flatten)]
    consent: ConsentOptions,
    /// A recording of you reading "This is my own voice, and today I allow a copy of it to be made by Coffre.": checks
    /// whether it sounds like the recordings. A hint, not a proof
    #[arg(long, value_name = "FILE")]
    spoken_check: Option<PathBuf>,
    /// Also make an improved version beside it: see `coffre improve`
    #[arg(long, conflicts_with_all = ["check_only", "no_content"])]
    improve: bool,
    /// Keep the recordings in the file, so that a later Coffre can make the voice again: about 3 MB per minute
    #[arg(long)]
    keep_recordings: bool,
    /// Leave out the preview, four seconds to listen to
    #[arg(long)]
    no_preview: bool,
    /// A picture of the voice: PNG or JPEG, 2 MiB at most
    #[arg(long, value_name = "FILE")]
    portrait: Option<PathBuf>,
    /// Sign the file with the key in this file; a new key is made if there is none
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
    /// Do without ONNX Runtime: register and colour of the voice only
    #[arg(long)]
    no_content: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Show neither progress nor report
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
}

/// Makes one voice.
pub fn run(options: &Options) -> Result<(), CliError> {
    let start = Instant::now();
    // An incomplete consent record is refused before the work, not after it.
    options.consent.record(None)?;
    if let Some(path) = &options.output {
        options.force.check(path)?;
        if options.improve {
            options.force.check(&improve::beside(path))?;
        }
    }
    let source = Source::open(options)?;
    let portrait = options.portrait.as_deref().map(read_portrait).transpose()?;
    let signer = options.sign.as_deref().map(signer).transpose()?;
    let encoder = || match options.no_content {
        true => Ok(None),
        false => Ok::<_, CliError>(Some(ContentEncoder::new(Runtime::get()?, Mode::Mix)?)),
    };
    let (analysed, hashes) = analyse(options, &source.files, encoder()?)?;
    let check = analysed.check.clone();
    let spoken = match &options.spoken_check {
        Some(file) => {
            let (sentence, _) = analyse(options, std::slice::from_ref(file), encoder()?)?;
            Some(analysed.spoken_distance(&sentence))
        }
        None => None,
    };
    let (mut made, mut improved) = (None, None);
    if !options.check_only {
        let consent = match options.consent.record(recording::recordings_sha256(&hashes))? {
            None => source.consent(),
            stated => stated,
        };
        let clone_options = CloneOptions {
            name: options.name.clone().unwrap_or_default(),
            consent,
            keeps_recordings: options.keep_recordings || source.manifest.is_some(),
            portrait: portrait.or_else(|| source.portrait.clone()),
            signer,
            ..source.texts(options)
        };
        // The file keeps them if it is asked to; improving takes them from here.
        let recordings = match options.improve {
            true => Some(analysed.recordings().map_err(|error| failed(error, options))?),
            false => None,
        };
        let bytes = analysed.make(&clone_options).map_err(|error| failed(error, options))?;
        let path = match &options.output {
            Some(path) => {
                new_file::write(path, &bytes, options.force.existing())?;
                path.clone()
            }
            None => library::save(&clone_options.name, &bytes).map_err(CliError::voice("the library"))?,
        };
        let voice = Voice::from_bytes(&bytes).map_err(CliError::voice(path.display()))?;
        improved = match options.improve {
            // Beside a file of a given name; in the library the name tells.
            true => {
                let beside = options.output.as_deref().map(improve::beside);
                let is_quiet = options.quiet || options.json;
                Some(improve::improve(&bytes, recordings, &clone_options.name, beside, options.force, is_quiet)?)
            }
            false => None,
        };
        made = Some((path, voice, bytes.len()));
    }

    let mut findings = check.findings();
    findings.extend(spoken.map(spoken::finding));
    if options.json {
        output::json(&json!({
            "recordings": source.files.iter().map(output::path).collect::<Vec<_>>(),
            "seconds_taken": output::rounded(start.elapsed().as_secs_f64()),
            "check": check,
            "findings": findings,
            "spoken_distance": spoken.flatten().map(|distance| output::rounded(f64::from(distance))),
            "output": made.as_ref().map(|(path, ..)| output::path(path)),
            "id": made.as_ref().map(|(_, voice, _)| voice.id().to_string()),
            "bytes": made.as_ref().map(|(.., bytes)| bytes),
            "bank_frames": made.as_ref().map(|(_, voice, _)| voice.native().map_or(0, |body| body.bank.len())),
            "improved": improved.as_ref().map(|improved| output::path(&improved.path)),
            "consent": made.as_ref().map(|(_, voice, _)| voice.manifest().consent.clone()),
        }));
    } else if !options.quiet {
        for finding in findings {
            let mark = match finding.grade {
                Grade::Good => "ok",
                Grade::Fair => "..",
                Grade::Poor => "!!",
            };
            output::line(format_args!("  {mark}  {:<11} {}", finding.topic, finding.text));
        }
        if let Some((path, voice, bytes)) = &made {
            output::line(format_args!(
                "{}: {}, {:.1} MB, made in {:.1} s",
                path.display(),
                voice.name(),
                *bytes as f64 / 1e6,
                start.elapsed().as_secs_f64()
            ));
            if let Some(improved) = &improved {
                output::line(format_args!("{}: {}", improved.path.display(), improved.voice.name()));
                improved.warn();
            }
            if voice.manifest().consent.is_none() {
                output::complain(format_args!(
                    "coffre: the file does not say whose voice it is (origin unknown). State it with --consent, or \
                     later with `coffre voices state`"
                ));
            }
        }
    }
    Ok(())
}

/// What the voice is made of: audio files, or a voice file with its recordings unpacked.
struct Source {
    files: Vec<PathBuf>,
    manifest: Option<Manifest>,
    portrait: Option<Portrait>,
    /// Holds the unpacked recordings while they are read.
    _spool: Option<Spool>,
}

impl Source {
    fn open(options: &Options) -> Result<Self, CliError> {
        let is_voice = |path: &Path| path.extension().is_some_and(|extension| extension == EXTENSION);
        if let [path] = options.recordings.as_slice()
            && is_voice(path)
        {
            return Self::unpack(path).map_err(CliError::voice(path.display()));
        }
        if let Some(path) = options.recordings.iter().find(|path| is_voice(path)) {
            let text = format!("{} is a voice file; it can only be made anew alone", path.display());
            return Err(CliError::Usage(text));
        }
        let look = recording::audio_files(&options.recordings, options.recursive).map_err(CliError::Recording)?;
        for line in look.left_out().iter().filter(|_| !options.quiet) {
            output::complain(format_args!("coffre: {line}"));
        }
        let files = look.files.into_iter().map(|file| file.path).collect();
        Ok(Self { files, manifest: None, portrait: None, _spool: None })
    }

    fn unpack(path: &Path) -> Result<Self, VoiceError> {
        let package = Package::open(&Package::read_file(path)?)?;
        let extras = Extras::read(&package)?;
        let recordings = extras
            .recordings
            .ok_or_else(|| VoiceError::MissingMember { member: coffre::voice::extras::RECORDINGS_PATH.to_owned() })?;
        let spool = Spool::holding("recordings.flac", &recordings)?;
        let (manifest, portrait) = (Some(package.manifest), extras.portrait);
        Ok(Self { files: vec![spool.path().to_owned()], manifest, portrait, _spool: Some(spool) })
    }

    /// The consent record of the voice that is made anew.
    fn consent(&self) -> Option<Consent> {
        self.manifest.as_ref().and_then(|manifest| manifest.consent.clone())
    }

    /// What the options say about the voice, and where they say nothing, what the old file says.
    fn texts(&self, options: &Options) -> CloneOptions {
        let old = self.manifest.as_ref();
        let text = |given: &String, kept: Option<&String>| match given.is_empty() {
            true => kept.cloned().unwrap_or_default(),
            false => given.clone(),
        };
        CloneOptions {
            description: text(&options.description, old.map(|old| &old.description)),
            author: text(&options.author, old.map(|old| &old.author)),
            licence: text(&options.licence, old.map(|old| &old.licence)),
            attribution: text(&options.attribution, old.map(|old| &old.attribution)),
            languages: match options.languages.is_empty() {
                true => old.map(|old| old.languages.clone()).unwrap_or_default(),
                false => options.languages.clone(),
            },
            has_preview: !options.no_preview,
            ..CloneOptions::default()
        }
    }
}

/// Reads all files through the analysis; also gives the hash of each.
fn analyse(
    options: &Options,
    files: &[PathBuf],
    encoder: Option<ContentEncoder>,
) -> Result<(Analysed, Vec<String>), CliError> {
    let mut cloner = Cloner::new(encoder).map_err(|error| failed(error, options))?;
    let bar = progress(options, files);
    let (mut samples, mut hashes) = (Vec::new(), Vec::new());
    for path in files {
        let mut recording = Recording::open(path).map_err(CliError::Recording)?;
        hashes.push(recording.sha256().map_err(CliError::Recording)?);
        while !cloner.is_full() && recording.read(&mut samples).map_err(CliError::Recording)? {
            cloner.push(&samples);
            bar.set_position((cloner.seconds() * 1000.0) as u64);
        }
        cloner.end_take(recording.clipped());
        if let Some(remark) = recording.remark().filter(|_| !options.quiet) {
            output::complain(format_args!("coffre: {}: {remark}", path.display()));
        }
    }
    bar.finish_and_clear();
    if cloner.is_full() {
        output::complain(format_args!(
            "coffre: only the first {} minutes were used",
            coffre::clone::cloner::MAX_SECONDS / 60
        ));
    }
    Ok((cloner.analyse().map_err(|error| failed(error, options))?, hashes))
}

/// A bar over the seconds of audio, on a terminal and when all lengths are known.
fn progress(options: &Options, files: &[PathBuf]) -> ProgressBar {
    if options.quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let seconds = files.iter().map(|path| Recording::open(path).ok()?.seconds_hint()).sum::<Option<f64>>();
    let Some(seconds) = seconds else { return ProgressBar::hidden() };
    let bar = ProgressBar::new((seconds * 1000.0) as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} {wide_bar} {percent:>3} % {eta:>4}") {
        bar.set_style(style);
    }
    bar.set_message("listening");
    bar
}

fn read_portrait(path: &Path) -> Result<Portrait, CliError> {
    let unreadable =
        |error: std::io::Error| VoiceError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
    // One byte more than the largest picture is enough to refuse a larger one.
    let read = || {
        let file = std::fs::File::open(path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, (2 << 20) + 1), &mut bytes).map_err(unreadable)?;
        Portrait::new(bytes)
    };
    read().map_err(CliError::voice(path.display()))
}

/// The key in a file; a new one is made and written when there is no such file.
fn signer(path: &Path) -> Result<Signer, CliError> {
    let unusable = |reason: String| CliError::Usage(format!("{}: {reason}", path.display()));
    if path.exists() {
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        return Signer::from_text(&text).ok_or_else(|| unusable("not a key: 64 hexadecimal digits".into()));
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| unusable(error.to_string()))?;
    let signer = Signer::new(&secret);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        std::io::Write::write_all(&mut file, signer.to_secret_text().as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| unusable(error.to_string()))?;
    output::complain(format_args!(
        "coffre: a new key was made; keep {} to yourself. Its public half: {}",
        path.display(),
        signer.key()
    ));
    Ok(signer)
}

/// Says an error of the cloning with the exit code that belongs to it.
fn failed(error: CloneError, options: &Options) -> CliError {
    match error {
        CloneError::Graph(error) => CliError::Graph(error),
        CloneError::Voice(source) => {
            CliError::Voice { what: options.name.clone().unwrap_or_else(|| "the voice".into()), source }
        }
        other => CliError::Clone(other),
    }
}
