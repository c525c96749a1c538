//! `eval`: the listening figures of models/eval, for the current build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{bundle, paths};

#[derive(clap::Args)]
pub struct Options {
    /// Python interpreter with the packages of models/eval/requirements.txt
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Only this table; may be repeated
    #[arg(long, value_name = "TABLE", value_parser = TABLES)]
    only: Vec<String>,
    /// Afterwards, say which differences from this older release are beyond chance: its results, or its `coffre` program
    #[arg(long, value_name = "FOLDER|PROGRAM")]
    against: Option<PathBuf>,
    /// Passed on to the main table
    #[arg(last = true)]
    rest: Vec<String>,
}

/// The first is the main table, of models/eval/__main__.py; the others are of models/eval/tables.py.
const TABLES: [&str; 5] = ["main", "song", "knob", "clones", "false-pitch"];

/// Builds the command line, then lets the evaluation drive it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let dir = paths::root().join("models/eval");
    ensure!(dir.is_dir(), "there is no evaluation at {}", dir.display());
    let wanted = |table: &&&str| options.only.is_empty() || options.only.iter().any(|only| only == **table);
    let others: Vec<&str> = TABLES[1..].iter().filter(wanted).copied().collect();
    let mut stages = Stages::new(setup::STAGES + 4);
    let runtime = setup::ensure(&mut stages, Extent::Build, false)?;
    let bundle = stages.run("Release bundles", || bundle::build(&runtime))?;
    let python = |module: &str| {
        let mut python = Command::new(&options.python);
        python.current_dir(paths::root().join("models")).args(["-m", module, "--coffre"]).arg(bundle.command());
        python.arg("--out").arg(paths::target().join("eval"));
        python
    };
    stages.run("Main table", || match wanted(&&TABLES[0]) {
        true => stage::run(python("eval").args(&options.rest)),
        false => Ok(()),
    })?;
    // The command prints no F0; what the engine calls voiced comes through this example.
    stages.run("Pitch frames", || {
        stage::run(bundle::cargo().args(["build", "--release", "--features", "recipe", "--example", "f0-frames"]))
    })?;
    stages.run("Tables of song, knob, clones and hiss", || {
        let frames =
            paths::target().join("release/examples").join(format!("f0-frames{}", std::env::consts::EXE_SUFFIX));
        let mut tables = python("eval.tables");
        tables.arg("--frames").arg(frames);
        tables.args(others.iter().flat_map(|table| ["--table", table]));
        if others.is_empty() {
            tables.arg("--report");
        }
        if let Some(older) = &options.against {
            let older = std::path::absolute(older).with_context(|| format!("no such release: {}", older.display()))?;
            tables.arg("--against").arg(older);
        }
        stage::run(&mut tables)
    })
}
