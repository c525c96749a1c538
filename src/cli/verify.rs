//! `verify`: whether an audio file carries Coffre's watermark, whose voice it names, and where.

use std::path::{Path, PathBuf};

use coffre::audio_file::{AudioFileError, AudioReader};
use coffre::engine::resample::Resampler;
use coffre::provenance::detect::{Folded, MIN_SECONDS, WINDOW_SECONDS, windows};
use coffre::provenance::evidence::{Analyser, DETECT_RATE, FRAMES_PER_SECOND, Levels};
use coffre::provenance::payload::{consent_hash, voice_hash};
use coffre::provenance::{Finding, Pattern, detect};
use coffre::voice::{Library, VoiceEntry};
use serde_json::{Value, json};

use super::{CliError, output};

/// Longest file that is searched, in seconds: its band levels take 130 MB per hour.
const MAX_SECONDS: u64 = 4 * 3_600;

/// What a result does and does not show.
const LIMITS: &str = "A mark shows that Coffre converted the sound. A missing mark proves nothing: it can be switched off, and \
                      strong processing can remove it.";

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The audio file, of any common kind
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Also search with this many wrong keys, to measure how often chance looks like a mark
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    wrong_keys: u32,
}

/// Searches one file. Finding nothing is not an error.
pub fn run(options: &Options) -> Result<(), CliError> {
    let levels = levels(&options.file).map_err(CliError::Input)?;
    let findings = detect(&levels, Pattern::public());
    let library = Library::scan(&[]);
    let seconds = levels.len() as f64 / FRAMES_PER_SECOND as f64;
    if options.json {
        output::json(&json!({
            "file": output::path(&options.file),
            "seconds": output::rounded(seconds),
            "is_marked": !findings.is_empty(),
            "findings": findings.iter().map(|finding| as_json(finding, &library)).collect::<Vec<_>>(),
            "chance": chance(&levels, options.wrong_keys),
            "limits": LIMITS,
        }));
        return Ok(());
    }
    for finding in &findings {
        print(finding, &library);
    }
    if findings.is_empty() {
        output::line(format_args!("{}: no mark found", options.file.display()));
        if levels.len() < MIN_SECONDS * FRAMES_PER_SECOND {
            output::line(format_args!("  it is shorter than the {MIN_SECONDS} s that a search needs"));
        }
    }
    output::line(LIMITS);
    Ok(())
}

/// The band levels of a file, read piece by piece.
fn levels(path: &Path) -> Result<Levels, AudioFileError> {
    let mut reader = AudioReader::open(path)?;
    let spec = reader.spec();
    let mut resampler = Resampler::new(spec.rate, DETECT_RATE, 0);
    let mut analyser = Analyser::new();
    let (mut block, mut mono, mut resampled) = (Vec::new(), Vec::new(), Vec::new());
    while reader.read(&mut block)? {
        if reader.position() / u64::from(spec.rate) > MAX_SECONDS {
            let reason = format!("it is longer than {} hours; verify it in parts", MAX_SECONDS / 3_600);
            return Err(AudioFileError::Unsupported { path: path.into(), reason });
        }
        mono.clear();
        mono.extend(block.chunks_exact(spec.channels).map(|frame| frame.iter().sum::<f32>() / spec.channels as f32));
        resampler.push(&mono);
        resampled.resize(resampler.available(), 0.0);
        resampler.pull(&mut resampled);
        analyser.push(&resampled);
    }
    if let Some(remark) = reader.remark() {
        output::complain(format_args!("coffre: {}: {remark}", path.display()));
    }
    Ok(analyser.finish())
}

fn as_json(finding: &Finding, library: &Library) -> Value {
    let voices: Vec<Value> = known(finding, library)
        .map(|(entry, is_same_consent)| {
            json!({
                "name": entry.name,
                "id": entry.id.map(|id| id.to_string()),
                "has_same_consent_record": is_same_consent,
            })
        })
        .collect();
    json!({
        "start_s": output::rounded(finding.start_s),
        "end_s": output::rounded(finding.end_s),
        "engine": finding.mark.engine.to_string(),
        "voice_hash": finding.mark.voice,
        "consent_hash": finding.mark.consent,
        "voices": voices,
        "score": output::rounded(f64::from(finding.score)),
        "corrected_bits": finding.corrected,
    })
}

fn print(finding: &Finding, library: &Library) {
    let mark = finding.mark;
    let (start, end) = (finding.start_s, finding.end_s);
    output::line(format_args!("{start:7.1} s to {end:.1} s: converted by Coffre's {} engine", mark.engine));
    let mut is_known = false;
    for (entry, is_same_consent) in known(finding, library) {
        let consent = match (mark.consent, is_same_consent) {
            (0, true) => "which has no consent record",
            (_, true) => "with the same consent record",
            (_, false) => "with another consent record",
        };
        output::line(format_args!("  voice    {} (hash {:05x}), {consent}", entry.name, mark.voice));
        is_known = true;
    }
    match (mark.voice, is_known) {
        (0, _) => output::line("  voice    none: only register and colour were changed"),
        (_, false) => output::line(format_args!(
            "  voice    not on this machine: hash {:05x}, consent record {:03x}",
            mark.voice, mark.consent
        )),
        _ => {}
    }
    output::line(format_args!(
        "  sureness {} (score {:.1}, {} bits corrected)",
        sureness(finding.score),
        finding.score,
        finding.corrected
    ));
}

/// The score in words. Measured on speech without a mark: `models/PROVENANCE.md`.
fn sureness(score: f32) -> &'static str {
    match score {
        ..10.0 => "likely",
        10.0..13.0 => "sure",
        _ => "very sure",
    }
}

/// Voices of this machine with the mark's voice hash, and whether their consent record is the mark's.
fn known<'a>(finding: &'a Finding, library: &'a Library) -> impl Iterator<Item = (&'a VoiceEntry, bool)> {
    let is_meant = |entry: &&VoiceEntry| entry.id.is_some_and(|id| voice_hash(&id) == finding.mark.voice);
    library.voices().filter(is_meant).map(|entry| {
        let consent = entry.manifest.as_ref().ok().and_then(|manifest| manifest.consent.as_ref());
        (entry, consent_hash(consent) == finding.mark.consent)
    })
}

/// What wrong keys find in the windows of the first length: how many windows, how many alarms, and the best score.
fn chance(levels: &Levels, keys: u32) -> Value {
    let windows = windows(levels.len(), WINDOW_SECONDS[0] * FRAMES_PER_SECOND);
    let folded: Vec<Folded> = windows.into_iter().map(|window| Folded::new(levels, window)).collect();
    let (mut alarms, mut best) = (0_u32, 0.0_f32);
    for key in 0..keys {
        let pattern = Pattern::new(format!("wrong key {key}").as_bytes());
        for look in folded.iter().map(|folded| folded.look(&pattern)) {
            best = best.max(look.best_score);
            alarms += u32::from(look.hit.is_some());
        }
    }
    let looked = folded.len() * keys as usize;
    json!({ "windows": looked, "alarms": alarms, "best_score": output::rounded(f64::from(best)) })
}
