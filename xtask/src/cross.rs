//! What building for Windows on Linux needs: MinGW's linker, and Rust's standard library for Windows.
//!
//! rustup has that library ready. Where rustup is missing or has no network, it is compiled from its source: rustup's
//! component `rust-src`, or Debian's package of the same version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::stage::{exists, run_quietly};
use crate::target::Target;
use crate::{debian, packages, paths};

/// Linker and libraries. Its flavour "win32" needs no library of MinGW's own at run time.
const MINGW: &[&str] = &["binutils-mingw-w64-x86-64", "gcc-mingw-w64-x86-64-win32", "mingw-w64-x86-64-dev"];

const LINKER: &str = "x86_64-w64-mingw32-gcc";

/// What the compiler says of itself, such as its `host` or `release`.
fn rustc_says(what: &str) -> Option<String> {
    let said = run_quietly(Command::new("rustc").current_dir(paths::root()).arg("-vV")).ok()?;
    said.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(": ").map(str::to_owned))
}

/// How Rust names this machine's kind.
pub fn host_triple() -> Option<String> {
    rustc_says("host")
}

/// Makes sure that Cargo can build for the target.
///
/// # Errors
/// A tool is missing and cannot be had; the message says what to install.
pub fn ensure(target: &Target, offline: bool) -> anyhow::Result<()> {
    let Some(triple) = &target.triple else { return Ok(()) };
    packages::ensure(MINGW)?;
    if !exists(LINKER, "--version") {
        bail!("{LINKER} is missing: install MinGW-w64 (Debian: {})", MINGW.join(" "));
    }
    if has_library(triple) {
        println!("      standard library for {triple}: installed");
        return Ok(());
    }
    if !offline && exists("rustup", "--version") {
        println!("      rustup target add {triple}");
        let mut rustup = Command::new("rustup");
        rustup.current_dir(paths::root()).args(["target", "add", triple]);
        match run_quietly(&mut rustup) {
            Ok(_) if has_library(triple) => return Ok(()),
            Ok(_) => println!("      rustup added it to another compiler than the one that is used"),
            Err(error) => println!("      {error:#}"),
        }
    }
    if let Some(source) = source() {
        println!("      standard library for {triple}: from its source in {}", source.display());
        return Ok(());
    }
    let release = rustc_says("release").context("rustc does not say its version")?;
    debian::fetch_source(&release, &debian_source(), offline).with_context(|| {
        format!(
            "there is no standard library for {triple}. With rustup: `rustup target add {triple}`, or `rustup component \
             add rust-src`; on Debian, a package rust-src of version {release}"
        )
    })
}

/// Whether the compiler has a standard library for the target.
fn has_library(triple: &str) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(paths::root()).args(["--print", "target-libdir", "--target", triple]);
    let Ok(folder) = run_quietly(&mut rustc) else { return false };
    let files = std::fs::read_dir(folder.trim()).into_iter().flatten().flatten();
    files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
}

/// The standard library's source for this compiler, if it is there: rustup's, or what was taken from Debian.
fn source() -> Option<PathBuf> {
    let sysroot = run_quietly(Command::new("rustc").current_dir(paths::root()).args(["--print", "sysroot"])).ok()?;
    let component = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    let release = rustc_says("release")?;
    let debian = debian_source().join(format!("usr/src/rustc-{release}/library"));
    [component, debian].into_iter().find(|folder| folder.join("std/Cargo.toml").is_file())
}

fn debian_source() -> PathBuf {
    paths::target().join("rust-src")
}

/// Lets Cargo build for the target.
pub fn configure(cargo: &mut Command, target: &Target) {
    let Some(triple) = &target.triple else { return };
    cargo.args(["--target", triple]);
    cargo.env(format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_")), LINKER);
    if !has_library(triple)
        && let Some(source) = source()
    {
        cargo.arg("-Zbuild-std=std,panic_unwind").env("RUSTC_BOOTSTRAP", "1");
        // Cargo has no other setting for a source that is not beside the compiler.
        cargo.env("__CARGO_TESTS_ONLY_SRC_ROOT", source);
    }
}

/// The licences of the parts of MinGW that are linked into what is built for the target, as Debian states them.
pub fn licence(target: &Target) -> Option<PathBuf> {
    target.triple.as_ref()?;
    Some(PathBuf::from("/usr/share/doc/mingw-w64-x86-64-dev/copyright")).filter(|file| file.is_file())
}
