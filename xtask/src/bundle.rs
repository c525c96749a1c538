//! `bundle`: release builds in the layout that hosts expect, ONNX Runtime and all licences beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::runtime::Runtime;
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};
use crate::target::{self, Target};
use crate::{cross, notices, paths, pe};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Fetch nothing: use the cached runtime
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    pub target: target::Choice,
}

/// Where the parts of a bundle lie.
pub struct Bundle {
    /// `Coffre.vst3`, a folder.
    pub vst3: PathBuf,
    /// The folder of `Coffre.clap`.
    pub clap: PathBuf,
    /// The folder of the programs: `coffre` and `coffre-standalone`.
    pub programs: PathBuf,
    target: Target,
}

impl Bundle {
    /// Where that of a target is made.
    pub fn of(target: &Target) -> Self {
        let dir = target.folder().join("bundled");
        let target = target.clone();
        Self { vst3: dir.join("Coffre.vst3"), clap: dir.join("Coffre"), programs: dir.join("bin"), target }
    }

    /// The CLAP file.
    pub fn clap_file(&self) -> PathBuf {
        self.clap.join("Coffre.clap")
    }

    /// The command line.
    pub fn command(&self) -> PathBuf {
        self.programs.join(self.target.program("coffre"))
    }

    /// The binary inside the VST3 bundle.
    ///
    /// # Errors
    /// No layout is known for the target.
    pub fn vst3_binary(&self) -> anyhow::Result<PathBuf> {
        let (folder, name) = vst3_binary(&self.target.os, &self.target.arch)?;
        Ok(self.vst3.join(folder).join(name))
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

/// Cargo, as it called us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    // What it told us of ourselves would be news to build scripts, and they would run again.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    command
}

/// Does the set-up for building, then builds and bundles.
pub fn run(options: &Options) -> anyhow::Result<Bundle> {
    let mut stages = Stages::new(setup::STAGES + 1);
    let runtime = setup::ensure_for(&options.target.target()?, &mut stages, Extent::Build, options.offline)?;
    let bundle = stages.run("Release bundles", || build(&runtime))?;
    println!("\n{}\n{}\n{}", bundle.vst3.display(), bundle.clap_file().display(), bundle.command().display());
    Ok(bundle)
}

/// Builds and bundles; the set-up is done.
///
/// # Errors
/// The build fails, or what it built is not a plugin.
pub fn build(runtime: &Runtime) -> anyhow::Result<Bundle> {
    let target = &runtime.target;
    let mut build = cargo();
    build.args(["build", "--release", "--lib", "--bins", "--features", "standalone"]);
    cross::configure(&mut build, target);
    stage::run(&mut build)?;
    let release = target.folder().join("release");
    let plugin = release.join(target.library());
    check_entry_points(&plugin)?;

    let bundle = Bundle::of(target);
    for dir in [&bundle.vst3, &bundle.clap, &bundle.programs].into_iter().filter(|dir| dir.exists()) {
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let binary = bundle.vst3_binary()?;
    let vst3 = binary.parent().context("the bundle has no folder")?.to_path_buf();
    paths::replace_file(&plugin, &binary)?;
    paths::replace_file(&plugin, &bundle.clap_file())?;
    for name in ["coffre", "coffre-standalone"] {
        let name = target.program(name);
        paths::replace_file(&release.join(&name), &bundle.programs.join(&name))?;
    }
    if target.is_windows() {
        check_images(&bundle, &binary)?;
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

/// Refuses what would not start on a Windows without MinGW, and programs that open a console where none is wanted.
fn check_images(bundle: &Bundle, vst3: &Path) -> anyhow::Result<()> {
    let standalone = bundle.programs.join(bundle.target.program("coffre-standalone"));
    for (file, subsystem) in [(vst3, None), (&standalone, Some(pe::WINDOWS)), (&bundle.command(), Some(pe::CONSOLE))] {
        let bytes = std::fs::read(file)?;
        check_image(&bytes, subsystem).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn check_image(bytes: &[u8], subsystem: Option<u16>) -> anyhow::Result<()> {
    let image = pe::Image::new(bytes)?;
    // Windows' own libraries have no such names; MinGW's do.
    let foreign: Vec<String> = image.imports().into_iter().filter(|name| name.starts_with("lib")).collect();
    ensure!(foreign.is_empty(), "needs libraries that Windows does not have: {}", foreign.join(", "));
    ensure!(!image.imports().is_empty(), "names no library that it needs");
    let found = image.subsystem();
    ensure!(
        subsystem.is_none() || found == subsystem,
        "is of the kind {found:?}, not {subsystem:?}: see `windows_subsystem`"
    );
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
    std::fs::write(dir.join("crates.txt"), notices::licence_texts(&runtime.target)?)
        .context("cannot write the crates' licences")?;
    match cross::licence(&runtime.target) {
        Some(text) => paths::replace_file(&text, &dir.join("mingw-w64-copyright.txt")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_of_a_vst3_bundle_is_named_after_the_bundle() {
        assert_eq!(vst3_binary("linux", "x86_64").expect("known"), ("Contents/x86_64-linux".into(), "Coffre.so"));
        assert_eq!(vst3_binary("windows", "x86_64").expect("known"), ("Contents/x86_64-win".into(), "Coffre.vst3"));
        assert_eq!(vst3_binary("windows", "aarch64").expect("known"), ("Contents/arm64-win".into(), "Coffre.vst3"));
    }

    #[test]
    fn programs_for_windows_need_windows_alone() {
        let check = |subsystem, libraries: &[&str], wanted| {
            check_image(&pe::tests::sample(subsystem, libraries), wanted).map_err(|error| error.to_string())
        };
        assert_eq!(check(pe::WINDOWS, &["KERNEL32.dll", "OPENGL32.dll"], Some(pe::WINDOWS)), Ok(()));
        assert_eq!(check(pe::CONSOLE, &["KERNEL32.dll"], None), Ok(()));
        let refusal = check(pe::CONSOLE, &["KERNEL32.dll", "libgcc_s_seh-1.dll"], None).expect_err("refused");
        assert!(refusal.contains("libgcc_s_seh-1.dll"), "{refusal}");
        assert!(check(pe::CONSOLE, &["KERNEL32.dll"], Some(pe::WINDOWS)).is_err());
        assert!(check(pe::CONSOLE, &[], None).is_err());
    }

    #[test]
    fn a_library_without_entry_points_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "GetPluginFactory but nothing else").expect("written");
        let refusal = check_entry_points(file.path()).expect_err("refused");
        assert!(refusal.to_string().contains("clap_entry"), "{refusal}");
    }
}
