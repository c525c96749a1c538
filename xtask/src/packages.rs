//! Debian's packages: installed when we are root, otherwise named in one command for the user to run.

use std::collections::HashSet;
use std::process::Command;

use anyhow::bail;

use crate::stage::{exists, run_quietly};

/// To build the plugin, its editor and the standalone program.
pub const BUILD: &[&str] = &[
    "build-essential",
    "libasound2-dev",
    "libgl1-mesa-dev",
    "libjack-jackd2-dev",
    "libx11-dev",
    "libx11-xcb-dev",
    "libxcb-dri2-0-dev",
    "libxcb-icccm4-dev",
    "libxcb1-dev",
    "libxcursor-dev",
    "libxkbcommon-dev",
    "libxkbcommon-x11-dev",
    "pkg-config",
];

/// To run the Python hosts; they are linked against an X server's client libraries even where no window opens.
pub const PYTHON: &[&str] =
    &["libfreetype6", "libgl1", "libx11-6", "libxext6", "libxinerama1", "libxrandr2", "python3-venv"];

/// The display in which the editor is opened and closed.
pub const DISPLAY: &[&str] = &["xvfb", "libgl1-mesa-dri"];

/// The DAW whose export is compared with a dry track, and what tells whose fault it is when it hangs.
pub const DAW: &[&str] = &["ardour", "gdb"];

/// Installs what is missing of `wanted`.
///
/// # Errors
/// Not root, or apt failed. On systems without dpkg nothing is checked: the names are printed and that is all.
pub fn ensure(wanted: &[&str]) -> anyhow::Result<()> {
    if !exists("dpkg-query", "--version") {
        println!("      not a Debian system; needed are the counterparts of: {}", wanted.join(" "));
        return Ok(());
    }
    let missing = missing(wanted);
    if missing.is_empty() {
        println!("      all {} system packages are installed", wanted.len());
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    if !is_root() {
        bail!("system packages are missing. Run this, then the same command again:\n\n    sudo {install}\n");
    }
    println!("      {install}");
    run_quietly(Command::new("apt-get").args(["update", "-qq"]))?;
    let mut apt = Command::new("apt-get");
    apt.args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run_quietly(&mut apt)?;
    Ok(())
}

/// Those of `wanted` that dpkg does not call installed.
pub fn missing<'a>(wanted: &[&'a str]) -> Vec<&'a str> {
    // The exit status is non-zero as soon as one of them is unknown: only the lines count.
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Package} ${db:Status-Status}\n"]).args(wanted).output();
    let lines = query.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let installed: HashSet<&str> = lines.lines().filter_map(|line| line.strip_suffix(" installed")).collect();
    wanted.iter().copied().filter(|name| !installed.contains(name)).collect()
}

/// Whether this process may install packages.
fn is_root() -> bool {
    run_quietly(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_cannot_exist_is_missing() {
        assert_eq!(missing(&["coffre-no-such-package"]), ["coffre-no-such-package"]);
    }
}
