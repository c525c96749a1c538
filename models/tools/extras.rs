//! Extras of the embedded voices: a preview, which is the first seconds of one vocal converted to each, and a picture.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use coffre::audio_file::{flac_from_samples, read_mono};
use coffre::engine::resample::Resampler;
use coffre::new_file::{self, Existing};
use coffre::voice::package::Package;
use coffre::voice::{Extras, Portrait, Voice};

/// Longest vocal that is read, in seconds.
const LONGEST_S: f64 = 30.0;

/// Length and rate of a preview, as in cloned voices: 4 s at 24 kHz.
const RATE: u32 = 24_000;
const LEN: usize = 4 * RATE as usize;

/// Fades in samples: 20 ms in, and 0.3 s out, because the vocal goes on.
const FADE_IN: f32 = 480.0;
const FADE_OUT: f32 = 7_200.0;

/// Where everything is.
pub struct Sources<'a> {
    /// Folder of the voice files.
    pub voices: &'a Path,
    /// The vocal that is converted.
    pub vocal: &'a Path,
    /// The program `coffre`.
    pub program: &'a Path,
    /// Folder of pictures, named after the voice files.
    pub portraits: &'a Path,
}

/// Puts preview and picture into each voice file. The previews are without the watermark, which would name a file that
/// the preview is not yet in.
pub fn add(sources: &Sources<'_>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("preview.wav");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(sources.voices)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "coffre"));
    files.sort();
    for path in files {
        let done = Command::new(sources.program)
            .arg("convert")
            .args([sources.vocal, Path::new("-o"), &output, Path::new("--voice"), &path])
            .args(["--mode", "mix", "--transpose", "auto", "--no-watermark", "--quiet"])
            .output()
            .with_context(|| format!("{} does not run", sources.program.display()))?;
        if !done.status.success() {
            bail!("{}: {}", path.display(), String::from_utf8_lossy(&done.stderr));
        }
        let bytes = Package::read_file(&path)?;
        let voice = Voice::from_bytes(&bytes)?;
        let picture = sources.portraits.join(path.file_stem().unwrap_or_default()).with_extension("png");
        let portrait = std::fs::read(&picture).with_context(|| format!("{} is needed", picture.display()))?;
        let extras = Extras {
            preview: Some(preview(&output)?),
            portrait: Some(Portrait::new(portrait)?),
            ..Extras::read(&Package::open(&bytes)?)?
        };
        let bytes = Voice::write_with(
            voice.manifest().clone(),
            voice.native().context("a voice of the native engine")?,
            extras,
            None,
        )?;
        new_file::write(&path, &bytes, Existing::Replace)?;
        println!("{}: {} bytes with preview and picture", voice.name(), bytes.len());
    }
    Ok(())
}

fn preview(path: &Path) -> Result<Vec<u8>> {
    let (samples, rate) = read_mono(path, LONGEST_S)?;
    let mut resampler = Resampler::new(rate, RATE, 0);
    resampler.push(&samples);
    let mut preview = vec![0.0_f32; resampler.available().min(LEN)];
    resampler.pull(&mut preview);
    let len = preview.len();
    let fade = |n: usize| (n as f32 / FADE_IN).min((len - 1 - n) as f32 / FADE_OUT).min(1.0);
    let faded = preview.iter().enumerate().map(|(n, sample)| sample * fade(n));
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the range first; NaN becomes 0")]
    let words: Vec<i16> = faded.map(|x| (x * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16).collect();
    flac_from_samples(&words, RATE).map_err(anyhow::Error::msg)
}
