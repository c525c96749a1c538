//! `inspect`: what a file says about itself.

use std::path::{Path, PathBuf};

use coffre::audio_file::folder::AUDIO;
use coffre::audio_file::{AudioReader, AudioSpec};
use coffre::engine::profile::SourceProfile;
use coffre::voice::package::Package;
use coffre::voice::{Kind, Library, Voice, VoiceError};
use serde_json::json;

use super::{CliError, output, session};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// A voice file, a profile, an audio file, or the name of a voice
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Describes one file or voice.
pub fn run(options: &Options) -> Result<(), CliError> {
    let path = &options.file;
    if is_audio(path) {
        return audio(path, options.json);
    }
    let what = path.display();
    if session::is_foreign(path)
        && let Some(voice) = session::voice(&what.to_string(), None)?
    {
        voice_report(&voice, options.json);
        return Ok(());
    }
    if !session::is_path(path) {
        let library = Library::look(&[]);
        let entry = library.find_by_word(&what.to_string()).map_err(CliError::voice(&what))?;
        let voice = entry.load().map_err(CliError::voice(&what))?;
        voice_report(&voice, options.json);
        return Ok(());
    }
    package(path, options.json).map_err(CliError::voice(what))
}

fn package(path: &Path, wants_json: bool) -> Result<(), VoiceError> {
    let bytes = Package::read_file(path)?;
    let (id, manifest) = Package::peek(&bytes)?;
    match manifest.kind {
        Kind::Voice => voice_report(&Voice::from_bytes(&bytes)?, wants_json),
        Kind::Singer => {
            let profile = SourceProfile::from_bytes(&bytes)?;
            if wants_json {
                output::json(&json!({
                    "kind": "singer",
                    "id": id.to_string(),
                    "name": manifest.name,
                    "median_f0_hz": profile.median_f0_hz,
                    "range_hz": profile.range_hz,
                    "voiced_seconds": profile.voiced_seconds,
                    "bank_frames": profile.bank.len(),
                    "content_space": profile.content_space,
                    "attribution": manifest.attribution,
                }));
            } else {
                output::line(format_args!("{} (singer)\n  id           {id}", manifest.name));
                output::line(format_args!(
                    "  pitch        median {:.0} Hz, {:.0} to {:.0} Hz\n  bank         {} frames, {:.0} s of voiced audio",
                    profile.median_f0_hz,
                    profile.range_hz[0],
                    profile.range_hz[1],
                    profile.bank.len(),
                    profile.voiced_seconds
                ));
            }
        }
    }
    Ok(())
}

fn voice_report(voice: &Voice, wants_json: bool) {
    if !wants_json {
        output::line(voice.describe());
        return;
    }
    let manifest = serde_json::to_value(voice.manifest()).unwrap_or_default();
    output::json(&json!({
        "kind": "voice",
        "id": voice.id().to_string(),
        "name": voice.name(),
        "median_f0_hz": voice.manifest().register_hz(),
        "bank_frames": voice.native().map_or(0, |body| body.bank.len()),
        "origin_unknown": voice.manifest().consent.is_none(),
        "signature": voice.signature().key(),
        "manifest": manifest,
    }));
}

fn audio(path: &Path, wants_json: bool) -> Result<(), CliError> {
    let mut reader = AudioReader::open(path).map_err(CliError::Input)?;
    let (mut block, mut peak) = (Vec::new(), 0.0_f32);
    while reader.read(&mut block).map_err(CliError::Input)? {
        peak = block.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
    }
    let AudioSpec { rate, channels, format } = reader.spec();
    let (len, seconds) = (reader.position(), reader.position() as f64 / f64::from(rate));
    let peak_db = 20.0 * f64::from(peak.max(1e-10)).log10();
    if wants_json {
        output::json(&json!({
            "kind": "audio",
            "rate": rate,
            "channels": channels,
            "format": format.to_string(),
            "samples": len,
            "seconds": output::rounded(seconds),
            "peak_db": output::rounded(peak_db),
            "bad_samples": reader.bad_samples(),
        }));
    } else {
        output::line(format_args!(
            "{}: {rate} Hz, {channels} channels, {format}, {len} samples ({seconds:.2} s), peak {peak_db:.1} dBFS",
            path.display()
        ));
    }
    if let Some(remark) = reader.remark() {
        output::complain(format_args!("coffre: {}: {remark}", path.display()));
    }
    Ok(())
}

fn is_audio(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    let extension = extension.as_ref().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| AUDIO.contains(&extension))
}
