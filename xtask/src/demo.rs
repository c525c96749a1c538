//! `demo`: a vocal through the bundled VST3 in a real host and through the `coffre` command, and a comparison of the two.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::bundle::{self, Bundle};
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{paths, python};

#[derive(clap::Args)]
pub struct Options {
    /// Recording to convert, WAV or FLAC; without it a short sentence that ships with Coffre
    input: Option<PathBuf>,
    /// Name of the voice, as `coffre voices` lists it; without it the first one
    #[arg(long, value_name = "NAME")]
    voice: Option<String>,
    /// File to write
    #[arg(short, long, value_name = "OUT.wav")]
    output: Option<PathBuf>,
    /// Fetch nothing: use what is cached
    #[arg(long)]
    offline: bool,
}

/// What the host says about its rendering, in JSON on its standard output.
#[derive(Deserialize)]
struct Render {
    voice: String,
    host: String,
    latency_samples: u32,
    latency_ms: f32,
    seconds_of_audio: f32,
    seconds_to_render: f32,
}

/// A voice as `coffre voices --json` lists it.
#[derive(Deserialize)]
struct Listed {
    name: String,
}

/// What the comparison says.
#[derive(Deserialize)]
struct Comparison {
    identical: bool,
    samples: u64,
    different: u64,
    largest_difference: f64,
    first_difference: Option<u64>,
    rms_db: f64,
}

/// Does its own set-up, builds, converts twice, compares.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut stages = Stages::new(setup::STAGES + 1 + STAGES);
    let input = absolute(options.input.as_deref().unwrap_or(&clip()))?;
    ensure!(input.is_file(), "there is no file at {}", input.display());
    let runtime = setup::ensure(&mut stages, Extent::Host, options.offline)?;
    let bundle = stages.run("Release bundles", || bundle::build(&runtime))?;
    let output = options.output.clone().unwrap_or_else(|| paths::target().join("demo/coffre-demo.wav"));
    convert_and_compare(&mut stages, &bundle, &input, options.voice.as_deref(), &absolute(&output)?)
}

/// Stages of [`convert_and_compare`].
pub const STAGES: usize = 3;

/// The clip that ships with the sources; `tests/data/README.md` says where it is from.
pub fn clip() -> PathBuf {
    paths::root().join("tests/data/vocal.flac")
}

/// Converts twice, prints what came out, and refuses two results that are not the same.
pub fn convert_and_compare(
    stages: &mut Stages,
    bundle: &Bundle,
    input: &Path,
    voice: Option<&str>,
    output: &Path,
) -> anyhow::Result<()> {
    let hosted = output.with_extension("host.wav");
    let dir = output.parent().context("the output has no folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;

    let voice = match voice {
        Some(voice) => voice.to_owned(),
        None => first_voice(bundle)?,
    };
    let profile = stages.run("Through the `coffre` command", || through_command(bundle, input, output, &voice))?;
    let render = stages.run("Through the VST3 bundle in a host", || {
        through_host(bundle, input, &hosted, &voice, profile.as_deref())
    })?;
    let comparison: Comparison = stages.run("Comparing the two", || {
        let mut command = python::command();
        command.arg(script("compare.py")).arg(&hosted).arg(output);
        serde_json::from_str(&stage::run_quietly(&mut command)?).context("the comparison")
    })?;

    let milliseconds = render.latency_ms;
    println!();
    println!("voice             {}", render.voice);
    println!("latency           {milliseconds:.1} ms ({} samples, compensated by the host)", render.latency_samples);
    println!("real-time factor  {:.3} ({})", render.seconds_to_render / render.seconds_of_audio, render.host);
    println!("level             {:.1} dBFS (root mean square)", comparison.rms_db);
    println!("samples           {} compared, {} different", comparison.samples, comparison.different);
    println!("output            {}", output.display());
    ensure!(comparison.rms_db > -80.0, "the output is silent");
    ensure!(
        comparison.identical,
        "host and command line differ in {} of {} samples, by {:.3e} at most, first at sample {:?}; the host's is {}",
        comparison.different,
        comparison.samples,
        comparison.largest_difference,
        comparison.first_difference,
        hosted.display()
    );
    println!("Host and command line are sample-identical.");
    Ok(())
}

/// The first voice that the command lists.
fn first_voice(bundle: &Bundle) -> anyhow::Result<String> {
    let listed = stage::run_quietly(Command::new(bundle.command()).args(["voices", "--json"]))?;
    let voices: Vec<Listed> = serde_json::from_str(&listed).context("`coffre voices --json`")?;
    voices.into_iter().next().map(|voice| voice.name).context("`coffre` has no voice")
}

/// Converts with the command as a new plugin instance does, but for the singer's profile, which is learned from the
/// recording. Returns the profile's file, or nothing for a recording in which too little is sung.
fn through_command(bundle: &Bundle, input: &Path, output: &Path, voice: &str) -> anyhow::Result<Option<PathBuf>> {
    let profile = output.with_extension("profile");
    let convert = || {
        let mut command = Command::new(bundle.command());
        command
            .args(["convert", "--force"])
            .arg(input)
            .arg("-o")
            .arg(output)
            .args(["--voice", voice, "--mode", "live"]);
        command
    };
    if stage::run_quietly(convert().arg("--save-profile").arg(&profile)).is_ok() {
        return Ok(Some(profile));
    }
    stage::run_quietly(convert().arg("--no-profile"))?;
    println!("      the singer cannot be learned from so little; the average of many serves");
    Ok(None)
}

/// Converts in the host, with the same voice and profile.
fn through_host(
    bundle: &Bundle,
    input: &Path,
    output: &Path,
    voice: &str,
    profile: Option<&Path>,
) -> anyhow::Result<Render> {
    let mut command = python::command();
    command.arg(script("render.py")).arg(&bundle.vst3).arg(input).arg(output).args(["--voice", voice]);
    if let Some(profile) = profile {
        command.arg("--profile").arg(profile);
    }
    let said = stage::run_quietly(&mut command)?;
    // The last line is the report; the framework's log may come before it.
    serde_json::from_str(said.lines().last().unwrap_or_default()).context("the host's report")
}

/// A script of the host tests.
pub fn script(name: &str) -> PathBuf {
    paths::root().join("tests/hosts").join(name)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{} is no path", path.display()))
}
