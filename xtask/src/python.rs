//! The Python environment with the VST3 hosts, in the build folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;

use crate::{paths, stage};

/// Pinned packages of the hosts and of the tests that drive them.
const REQUIREMENTS: &str = "tests/hosts/requirements.txt";

/// The environment's folder.
fn folder() -> PathBuf {
    paths::target().join("python")
}

/// The environment's interpreter.
fn interpreter() -> PathBuf {
    folder().join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// The interpreter, to run a script of ours: it leaves no compiled files in the checkout.
pub fn command() -> Command {
    let mut command = Command::new(interpreter());
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Creates the environment, or leaves it alone if it already holds what the requirements name.
///
/// # Errors
/// No Python 3 with `venv`, or a package can be had neither from the network nor from pip's cache.
pub fn ensure() -> anyhow::Result<()> {
    let requirements = std::fs::read_to_string(paths::root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let stamp = folder().join("requirements.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        println!("      the Python hosts are installed");
        return Ok(());
    }
    create()?;
    println!("      pip install -r {REQUIREMENTS}");
    let mut pip = pip();
    pip.args(["install", "--quiet", "--only-binary=:all:", "-r"]).arg(paths::root().join(REQUIREMENTS));
    stage::run_quietly(&mut pip).context("the Python hosts cannot be installed (is the network reachable?)")?;
    std::fs::write(&stamp, requirements).context("cannot note what was installed")
}

/// Creates the empty environment if there is none that runs.
fn create() -> anyhow::Result<()> {
    if interpreter().is_file() && stage::exists(&interpreter().to_string_lossy(), "--version") {
        return Ok(());
    }
    let python = if cfg!(windows) { "python" } else { "python3" };
    let mut venv = Command::new(python);
    venv.args(["-m", "venv", "--clear"]).arg(folder());
    stage::run_quietly(&mut venv).context("Python 3 with its venv module is needed (Debian: python3-venv)").map(drop)
}

/// pip of the environment; its base exists even where the hosts are not installed yet.
pub fn pip() -> Command {
    let mut command = Command::new(interpreter());
    command.args(["-m", "pip", "--disable-pip-version-check", "--no-input"]);
    command
}

/// The environment with pip alone, enough to fetch packages.
pub fn ensure_pip() -> anyhow::Result<()> {
    create()
}
