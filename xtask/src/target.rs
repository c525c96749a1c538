//! What is built for: this machine, or Windows from Linux.

use std::path::PathBuf;

use anyhow::ensure;

use crate::{cross, paths};

/// What can be built for on another machine.
pub const ELSEWHERE: &[&str] = &["x86_64-pc-windows-gnu"];

#[derive(clap::Args, Default)]
pub struct Choice {
    /// Build for another system, as Rust names it: x86_64-pc-windows-gnu. Without it, for this one
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
}

impl Choice {
    /// # Errors
    /// Nothing can be built for it here.
    pub fn target(&self) -> anyhow::Result<Target> {
        let host = || cross::host_triple().unwrap_or_default();
        self.target.as_deref().map_or_else(|| Ok(Target::host()), |triple| Target::parse(triple, &host()))
    }
}

/// A kind of computer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// As Rust names it: `x86_64`.
    pub arch: String,
    /// As Rust names it: `linux`, `windows`.
    pub os: String,
    /// How Cargo names it when it is not this machine's kind.
    pub triple: Option<String>,
}

impl Target {
    /// This machine's kind.
    pub fn host() -> Self {
        Self { arch: std::env::consts::ARCH.into(), os: std::env::consts::OS.into(), triple: None }
    }

    fn parse(triple: &str, host: &str) -> anyhow::Result<Self> {
        if triple == host {
            return Ok(Self::host());
        }
        ensure!(
            ELSEWHERE.contains(&triple),
            "nothing can be built for {triple:?} here. Known are: {}",
            ELSEWHERE.join(", ")
        );
        let arch = triple.split('-').next().unwrap_or_default().into();
        Ok(Self { arch, os: "windows".into(), triple: Some(triple.into()) })
    }

    /// How the lock file names it.
    pub fn name(&self) -> String {
        format!("{}-{}", self.arch, self.os)
    }

    pub fn is_windows(&self) -> bool {
        self.os == "windows"
    }

    /// What is built and made for it.
    pub fn folder(&self) -> PathBuf {
        self.triple.as_ref().map_or_else(paths::target, |triple| paths::target().join(triple))
    }

    /// What Cargo calls the library.
    pub fn library(&self) -> &'static str {
        match self.os.as_str() {
            "windows" => "coffre.dll",
            "macos" => "libcoffre.dylib",
            _ => "libcoffre.so",
        }
    }

    /// A program's file name.
    pub fn program(&self, name: &str) -> String {
        format!("{name}{}", if self.is_windows() { ".exe" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_own_name_means_the_host() {
        assert_eq!(Target::parse("riscv-none", "riscv-none").expect("known"), Target::host());
        assert_eq!(Target::host().folder(), paths::target());
        assert_eq!(
            Target::host().library(),
            format!("{}coffre{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX)
        );
        assert_eq!(Target::host().program("coffre"), format!("coffre{}", std::env::consts::EXE_SUFFIX));
    }

    #[test]
    fn windows_has_names_and_a_folder_of_its_own() {
        let target = Target::parse("x86_64-pc-windows-gnu", "x86_64-unknown-linux-gnu").expect("known");
        assert_eq!(target.name(), "x86_64-windows");
        assert_eq!((target.library(), target.program("coffre").as_str()), ("coffre.dll", "coffre.exe"));
        assert!(target.folder().ends_with("x86_64-pc-windows-gnu"));
    }

    #[test]
    fn what_cannot_be_built_for_is_refused_with_what_can() {
        let refusal = Target::parse("sparc-sun-solaris", "x").expect_err("refused").to_string();
        assert!(refusal.contains("sparc-sun-solaris") && refusal.contains("x86_64-pc-windows-gnu"), "{refusal}");
    }
}
