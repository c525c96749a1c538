//! `setup`: system packages, ONNX Runtime, the Python hosts.

use std::path::Path;

use crate::runtime::Runtime;
use crate::stage::Stages;
use crate::target::{self, Target};
use crate::{cross, packages, paths, python, runtime, wine};

#[derive(clap::Args)]
pub struct Options {
    /// Use only what is cached or installed
    #[arg(long)]
    offline: bool,
    #[command(flatten)]
    target: target::Choice,
}

/// How much of the set-up a command needs; each holds the ones before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Build and bundle.
    Build,
    /// Also run the plugin in a Python host.
    Host,
    /// Also run the DAW.
    Test,
}

/// Stages that [`ensure`] counts.
pub const STAGES: usize = 3;

/// Makes sure that everything up to `extent` is there, for this machine.
///
/// # Errors
/// As [`ensure_for`].
pub fn ensure(stages: &mut Stages, extent: Extent, offline: bool) -> anyhow::Result<Runtime> {
    ensure_for(&Target::host(), stages, extent, offline)
}

/// Makes sure that everything up to `extent` is there. For another system, [`Extent::Test`] is what runs its programs here.
///
/// # Errors
/// A package is missing and cannot be installed; the message says what to run.
pub fn ensure_for(target: &Target, stages: &mut Stages, extent: Extent, offline: bool) -> anyhow::Result<Runtime> {
    let is_host = target.triple.is_none();
    stages.run("System packages", || {
        if !is_host {
            packages::ensure(packages::PYTHON)?;
            return cross::ensure(target, offline);
        }
        let mut wanted = packages::BUILD.to_vec();
        wanted.extend(packages::PYTHON);
        if extent < Extent::Test {
            return packages::ensure(&wanted);
        }
        wanted.extend(packages::DISPLAY);
        // The DAW is wanted, not needed: without it its test is skipped, and says so.
        packages::ensure(&wanted)?;
        if let Err(error) = packages::ensure(packages::DAW) {
            println!("      WITHOUT THE DAW: {error:#}");
        }
        Ok(())
    })?;
    let runtime = stages.run("ONNX Runtime", || {
        let runtime = runtime::ensure(target, offline)?;
        // Tests run outside a bundle and look for the runtime in the user's folder.
        if extent == Extent::Test && is_host {
            install_runtime(&runtime)?;
        }
        Ok(runtime)
    })?;
    match (extent, is_host) {
        (Extent::Test, false) => stages.run("Wine", wine::ensure)?,
        (Extent::Host | Extent::Test, true) => stages.run("Python hosts", python::ensure)?,
        _ => stages.run("Hosts", || Ok(()))?,
    }
    Ok(runtime)
}

/// Does the whole set-up.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut stages = Stages::new(STAGES);
    let target = options.target.target()?;
    ensure_for(&target, &mut stages, Extent::Test, options.offline)?;
    let next = target.triple.map_or("demo".into(), |triple| format!("test --target {triple}"));
    println!("Ready in {:.0} s. Next: cargo xtask {next}", stages.seconds());
    Ok(())
}

/// Copies the runtime into the user's folder, from which every build of Coffre loads it.
fn install_runtime(runtime: &Runtime) -> anyhow::Result<()> {
    match paths::home() {
        Some(home) => install_runtime_below(runtime, &home),
        None => {
            println!("      no home folder: ONNX Runtime stays in {}", runtime.library.display());
            Ok(())
        }
    }
}

/// Copies the runtime into the folder of the user whose home folder this is.
pub fn install_runtime_below(runtime: &Runtime, home: &Path) -> anyhow::Result<()> {
    let dir = paths::user_runtime(&runtime.target.os, home, &runtime.version);
    for file in std::iter::once(&runtime.library).chain(&runtime.licences) {
        if let Some(name) = file.file_name() {
            paths::replace_file(file, &dir.join(name))?;
        }
    }
    println!("      runtime   {}", dir.display());
    Ok(())
}
