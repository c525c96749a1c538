//! `test`: the set-up, then every test there is.

use anyhow::bail;

use crate::bundle::{self, Bundle, cargo};
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{demo, notices, packages, paths, python, target, windows};

#[derive(clap::Args)]
pub struct Options {
    /// Fetch nothing: use what is cached
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    target: target::Choice,
}

/// Files of tests in Python; each entry gets a process of its own, two of the hosts carry the same framework.
const HOSTS: &[(&str, &[&str])] = &[
    ("libsndfile beside the command", &["test_audio_files.py"]),
    ("pedalboard with the VST3 bundle", &["test_pedalboard.py", "test_robustness.py"]),
    ("DawDreamer with the VST3 bundle", &["test_dawdreamer.py"]),
    (ARDOUR, &["test_ardour.py"]),
];
const ARDOUR: &str = "Ardour with the VST3 bundle";

/// Runs everything, to the end, and fails if any of it failed.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let target = options.target.target()?;
    if target.triple.is_some() {
        return windows::test(&target, options.offline);
    }
    let mut stages = Stages::new(setup::STAGES + 4 + HOSTS.len() + demo::STAGES);
    let runtime = setup::ensure(&mut stages, Extent::Test, options.offline)?;
    let mut failed = Vec::new();
    let mut keep = |title: &str, result: anyhow::Result<()>| {
        if let Err(error) = result {
            println!("FAILED: {error:#}");
            failed.push(title.to_owned());
        }
    };

    keep("crates", stages.run("Licences of the crates", notices::check));
    // The feature aborts on any allocation of the audio thread; with it in the one debug build, every test is held to it.
    keep(
        "cargo test",
        stages.run("Rust tests, allocation-checked", || {
            stage::run(cargo().args(["test", "--workspace", "--no-fail-fast", "--features", "coffre/alloccheck"]))
        }),
    );
    // With the allocation check the framework's allocator is in place, and memory cannot be counted.
    keep(
        "memory",
        stages.run("Memory that hostile files take", || {
            stage::run(cargo().args(["test", "--no-default-features", "--test", "voice_fuzz"]))
        }),
    );
    let bundle = stages.run("Release bundles", || bundle::build(&runtime))?;
    for (host, files) in HOSTS {
        if *host == ARDOUR && !packages::missing(packages::DAW).is_empty() {
            stages.run(host, || {
                println!("      NOT TESTED: Ardour could not be installed here.");
                Ok(())
            })?;
            continue;
        }
        keep(host, stages.run(host, || in_host(&bundle, files)));
    }
    let output = paths::target().join("demo/test.wav");
    keep("demo", demo::convert_and_compare(&mut stages, &bundle, &demo::clip(), None, &output));
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("Everything passed in {:.0} s.", stages.seconds());
    Ok(())
}

/// Runs the tests of one host.
fn in_host(bundle: &Bundle, files: &[&str]) -> anyhow::Result<()> {
    let mut pytest = python::command();
    pytest
        .current_dir(paths::root())
        .args(["-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"])
        .args(files.iter().map(|file| demo::script(file)));
    pytest.env("COFFRE_VST3", &bundle.vst3).env("COFFRE_COMMAND", bundle.command());
    stage::run(&mut pytest)
}
