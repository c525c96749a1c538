//! `test` for Windows: what was built for it, under Wine, beside what was built for this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::bundle::{self, Bundle, cargo};
use crate::runtime;
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::target::Target;
use crate::{cross, demo, wave, wine};

/// Largest difference of a sample: the two systems' mathematical functions are not the same to the last bit.
const TOLERANCE: f32 = 2e-6;

/// The same where each system learned the singer itself: what it learned differs in its last bits, and the networks of mix
/// mode answer to that.
const LEARNED: f32 = 1e-5;

/// Programs of tests that mean something under Wine. Each links everything once more, so it is the core of them.
const TESTS: &[&str] = &["audio_file", "cli", "host", "latency", "state", "voices"];

/// Stages beside those of the set-up.
const STAGES: usize = 5;

/// What `load-plugin` reports.
#[derive(Deserialize)]
struct Render {
    latency: u32,
}

/// Builds for both systems and compares; runs the unit tests and the core of the others.
pub fn test(target: &Target, offline: bool) -> anyhow::Result<()> {
    let mut stages = Stages::new(setup::STAGES + STAGES);
    let theirs = setup::ensure_for(target, &mut stages, Extent::Test, offline)?;
    wine::install_runtime(&theirs)?;
    let theirs = stages.run("Bundles for Windows", || bundle::build(&theirs))?;
    let ours = stages.run("Bundles for this machine", || bundle::build(&runtime::ensure(&Target::host(), offline)?))?;
    let mut failed = Vec::new();
    let mut keep = |title: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            println!("FAILED: {error:#}");
            failed.push(title.to_owned());
        }
    };
    let dir = target.folder().join("compared");
    // The command replaces nothing that is there.
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    keep("command", stages.run("The command on both systems", || command(&ours, &theirs, &dir)));
    keep("plugins", stages.run("The plugins' files on both systems", || plugins(target, &ours, &theirs, &dir)));
    keep("tests", stages.run("Rust tests under Wine", || tests(target)));
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    println!("Everything passed in {:.0} s.", stages.seconds());
    Ok(())
}

/// Voices, health and a conversion.
fn command(ours: &Bundle, theirs: &Bundle, dir: &Path) -> anyhow::Result<()> {
    let voices = |said: String| -> anyhow::Result<Vec<Value>> {
        let voices: Vec<Value> = serde_json::from_str(&said).context("`coffre voices --json`")?;
        Ok(voices.iter().map(|voice| serde_json::json!([voice["name"], voice["id"]])).collect())
    };
    let here = voices(stage::run_quietly(Command::new(ours.command()).args(["voices", "--json"]))?)?;
    let there = voices(stage::run_quietly(wine::command(&theirs.command()).args(["voices", "--json"]))?)?;
    ensure!(!here.is_empty() && here == there, "other voices: {here:?} and {there:?}");
    println!("      {} voices, with the same ids", there.len());

    let said = stage::run_quietly(wine::command(&theirs.command()).args(["doctor", "--json"]))?;
    let health: Value = serde_json::from_str(&said).context("`coffre doctor --json`")?;
    let found = health["runtime"]["path"].as_str().unwrap_or_default();
    let beside = wine::path(&theirs.programs.join("onnxruntime.dll"))?;
    ensure!(health["ok"] == true, "doctor says {said}");
    ensure!(found.eq_ignore_ascii_case(&beside), "the runtime is {found:?} and not {beside:?}");
    println!("      doctor: ONNX Runtime {} beside the program", health["runtime"]["version"]);

    let input = dir.join("input.wav");
    let mut copy = loader(&Target::host())?;
    stage::run_quietly(copy.arg("none").arg(demo::clip()).arg(&input))?;
    let profile = dir.join("singer.profile");
    for mode in ["live", "mix"] {
        let [here, there, learned] = ["linux", "windows", "learned"].map(|name| dir.join(format!("{mode}-{name}.wav")));
        let voice = ["--voice", "Celadon", "--mode", mode, "--quiet"];
        let mut convert = Command::new(ours.command());
        convert.arg("convert").arg(&input).arg("-o").arg(&here).args(voice).arg("--save-profile").arg(&profile);
        stage::run_quietly(&mut convert)?;
        let there_to = |output: &Path| -> anyhow::Result<Command> {
            let mut convert = wine::command(&theirs.command());
            convert.args(["convert", &wine::path(&input)?, "-o", &wine::path(output)?]).args(voice);
            Ok(convert)
        };
        stage::run_quietly(there_to(&there)?.args(["--profile", &wine::path(&profile)?]))?;
        compare(&format!("coffre convert --mode {mode}"), &here, &there, TOLERANCE)?;
        stage::run_quietly(&mut there_to(&learned)?)?;
        compare(&format!("coffre convert --mode {mode}, singer learned there"), &here, &learned, LEARNED)?;
    }
    Ok(())
}

/// Both formats, loaded by a host of ours.
fn plugins(target: &Target, ours: &Bundle, theirs: &Bundle, dir: &Path) -> anyhow::Result<()> {
    let mut native = loader(&Target::host())?;
    let program = PathBuf::from(native.get_program());
    let foreign = loader(target)?;
    let input = demo::clip();
    for (format, here, there) in
        [("VST3", ours.vst3_binary()?, theirs.vst3_binary()?), ("CLAP", ours.clap_file(), theirs.clap_file())]
    {
        let [from_here, from_there] = ["linux", "windows"].map(|system| dir.join(format!("{format}-{system}.wav")));
        let first = render(native.arg(&here).arg(&input).arg(&from_here))?;
        native = Command::new(&program);
        let mut command = wine::command(Path::new(foreign.get_program()));
        command.args([wine::path(&there)?, wine::path(&input)?, wine::path(&from_there)?]);
        let second = render(&mut command)?;
        ensure!(first == second, "{format}: {first} samples of delay here, {second} on Windows");
        println!("      {format}: {first} samples of delay on both");
        compare(format, &from_here, &from_there, TOLERANCE)?;
    }
    Ok(())
}

/// Runs `load-plugin`; returns the latency.
fn render(command: &mut Command) -> anyhow::Result<u32> {
    let said = stage::run_quietly(command)?;
    let report: Render =
        serde_json::from_str(said.lines().last().unwrap_or_default()).context("load-plugin's report")?;
    Ok(report.latency)
}

/// The host of `tests/loader`, built for a target.
fn loader(target: &Target) -> anyhow::Result<Command> {
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--features", "standalone", "--example", "load-plugin"]);
    cross::configure(&mut build, target);
    stage::run(&mut build)?;
    Ok(Command::new(target.folder().join("release/examples").join(target.program("load-plugin"))))
}

/// Refuses two recordings that are not the same.
fn compare(what: &str, here: &Path, there: &Path, tolerance: f32) -> anyhow::Result<()> {
    let (here, there) = (wave::read(here)?, wave::read(there)?);
    let largest = wave::largest_difference(&here, &there).with_context(|| what.to_owned())?;
    println!("      {what}: {} samples, largest difference {largest:.1e}", here.len());
    ensure!(largest <= tolerance, "{what}: the systems differ by {largest:.1e}, more than {tolerance:.0e}");
    ensure!(wave::rms(&here) > 1e-3, "{what}: nothing is heard");
    Ok(())
}

/// Unit tests and the chosen others. In a release build, so that the bundles' dependencies serve.
fn tests(target: &Target) -> anyhow::Result<()> {
    let triple = target.triple.as_deref().unwrap_or_default();
    let mut test = cargo();
    test.args(["test", "--release", "--no-fail-fast", "--features", "standalone", "--lib", "--bin", "coffre"]);
    test.args(TESTS.iter().flat_map(|name| ["--test", name]));
    cross::configure(&mut test, target);
    wine::configure(&mut test);
    test.env(format!("CARGO_TARGET_{}_RUNNER", triple.to_uppercase().replace('-', "_")), wine::program());
    stage::run(&mut test)
}
