//! `eval`: the listening figures of models/eval, for the current build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{bundle, paths};

#[derive(clap::Args)]
pub struct Options {
    /// Python interpreter with the packages of models/eval/requirements.txt
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Passed on to the evaluation
    #[arg(last = true)]
    rest: Vec<String>,
}

/// Builds the command line, then lets the evaluation drive it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let dir = paths::root().join("models/eval");
    ensure!(dir.is_dir(), "there is no evaluation at {}", dir.display());
    let mut stages = Stages::new(setup::STAGES + 2);
    let runtime = setup::ensure(&mut stages, Extent::Build, false)?;
    let bundle = stages.run("Release bundles", || bundle::build(&runtime))?;
    stages.run("Evaluation", || {
        let mut python = Command::new(&options.python);
        python.current_dir(paths::root().join("models")).args(["-m", "eval", "--coffre"]).arg(bundle.command());
        stage::run(python.arg("--out").arg(paths::target().join("eval")).args(&options.rest))
    })
}
