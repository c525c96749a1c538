//! `bundle`: release builds in the layout that hosts expect, ONNX Runtime and all licences beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::runtime::Runtime;
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::{notices, paths};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Fetch nothing: use the cached runtime
    #[arg(long)]
    pub offline: bool,
}

/// Where the parts of a bundle lie.
pub struct Bundle {
    /// `Coffre.vst3`, a folder.
    pub vst3: PathBuf,
    /// The folder of `Coffre.clap`.
    pub clap: PathBuf,
    /// The folder of the programs: `coffre` and `coffre-standalone`.
    pub programs: PathBuf,
}

impl Bundle {
    /// Below a folder.
    pub fn below(dir: &Path) -> Self {
        Self { vst3: dir.join("Coffre.vst3"), clap: dir.join("Coffre"), programs: dir.join("bin") }
    }

    /// The CLAP file.
    pub fn clap_file(&self) -> PathBuf {
        self.clap.join("Coffre.clap")
    }

    /// The command line.
    pub fn command(&self) -> PathBuf {
        self.programs.join(program("coffre"))
    }
}

/// The folder of the binary inside a VST3 bundle, and its name (VST 3 SDK, "Plug-in Format Structure").
fn vst3_binary(os: &str, arch: &str) -> anyhow::Result<(String, &'static str)> {
    Ok(match os {
        "linux" => (format!("Contents/{arch}-linux"), "Coffre.so"),
        "windows" if arch == "aarch64" => ("Contents/arm64-win".into(), "Coffre.vst3"),
        "windows" => (format!("Contents/{arch}-win"), "Coffre.vst3"),
        other => bail!("bundles for {other} are not made yet"),
    })
}

/// What Cargo calls the library.
fn library() -> String {
    format!("{}coffre{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
}

fn program(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

/// Cargo, as it called us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    command
}

/// Does the set-up for building, then builds and bundles.
pub fn run(options: &Options) -> anyhow::Result<Bundle> {
    let mut stages = Stages::new(setup::STAGES + 1);
    let runtime = setup::ensure(&mut stages, Extent::Build, options.offline)?;
    let bundle = stages.run("Release bundles", || build(&runtime))?;
    println!("\n{}\n{}\n{}", bundle.vst3.display(), bundle.clap_file().display(), bundle.command().display());
    Ok(bundle)
}

/// Builds and bundles; the set-up is done.
///
/// # Errors
/// The build fails, or what it built is not a plugin.
pub fn build(runtime: &Runtime) -> anyhow::Result<Bundle> {
    stage::run(cargo().args(["build", "--release", "--lib", "--bins", "--features", "standalone"]))?;
    let release = paths::target().join("release");
    let plugin = release.join(library());
    check_entry_points(&plugin)?;

    let dir = paths::bundled();
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let bundle = Bundle::below(&dir);
    let (folder, name) = vst3_binary(std::env::consts::OS, std::env::consts::ARCH)?;
    let vst3 = bundle.vst3.join(folder);
    paths::replace_file(&plugin, &vst3.join(name))?;
    paths::replace_file(&plugin, &bundle.clap_file())?;
    for name in ["coffre", "coffre-standalone"] {
        paths::replace_file(&release.join(program(name)), &bundle.programs.join(program(name)))?;
    }
    let licences = [
        bundle.vst3.join("Contents/Resources/LICENSES"),
        bundle.clap.join("LICENSES"),
        bundle.programs.join("LICENSES"),
    ];
    for (beside, licences) in [&vst3, &bundle.clap, &bundle.programs].into_iter().zip(&licences) {
        let name = runtime.library.file_name().context("the runtime has no name")?;
        paths::replace_file(&runtime.library, &beside.join(name))?;
        put_licences(runtime, licences)?;
    }
    Ok(bundle)
}

/// Refuses a library that no host could open.
fn check_entry_points(plugin: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(plugin).with_context(|| format!("the build left no {}", plugin.display()))?;
    for symbol in ["GetPluginFactory", "clap_entry"] {
        let found = bytes.windows(symbol.len()).any(|window| window == symbol.as_bytes());
        ensure!(found, "{} exports no {symbol}: it is not a plugin", plugin.display());
    }
    Ok(())
}

/// Our own licences, the runtime's, and those of every crate that is linked in.
fn put_licences(runtime: &Runtime, dir: &Path) -> anyhow::Result<()> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY-NOTICES.md"] {
        paths::replace_file(&paths::root().join(name), &dir.join(name))?;
    }
    for file in &runtime.licences {
        let name = file.file_name().context("a licence has no name")?;
        paths::replace_file(file, &dir.join(name))?;
    }
    paths::replace_file(&paths::root().join("src/editor/fonts/OFL.txt"), &dir.join("inter-OFL.txt"))?;
    std::fs::write(dir.join("crates.txt"), notices::licence_texts()?).context("cannot write the crates' licences")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_of_a_vst3_bundle_is_named_after_the_bundle() {
        assert_eq!(vst3_binary("linux", "x86_64").expect("known"), ("Contents/x86_64-linux".into(), "Coffre.so"));
        assert_eq!(vst3_binary("windows", "aarch64").expect("known"), ("Contents/arm64-win".into(), "Coffre.vst3"));
    }

    #[test]
    fn a_library_without_entry_points_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "GetPluginFactory but nothing else").expect("written");
        let refusal = check_entry_points(file.path()).expect_err("refused");
        assert!(refusal.to_string().contains("clap_entry"), "{refusal}");
    }
}
