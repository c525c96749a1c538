//! Wine, which runs programs for Windows, with a folder tree of its own in the build folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

use crate::runtime::Runtime;
use crate::stage::run_quietly;
use crate::{packages, paths};

const PACKAGES: &[&str] = &["wine", "wine64"];

/// What Rust's standard library needs of Windows and old Wine lacks; a stub of it, for these tests alone.
const RANDOM: &str = "bcryptprimitives.dll";

/// What Wine calls drive C: and all else of its own.
fn prefix() -> PathBuf {
    paths::target().join("wine")
}

/// The program. Debian's `wine` is a script that complains where the 32-bit half is not installed, which is not needed.
pub fn program() -> PathBuf {
    let known = PathBuf::from("/usr/lib/wine/wine64");
    if known.is_file() { known } else { "wine".into() }
}

/// Lets a command and what it starts use Wine's folder tree, without windows and without talk.
pub fn configure(command: &mut Command) {
    command.env("WINEPREFIX", prefix()).env("WINEARCH", "win64").env("WINEDEBUG", "-all");
    // Neither a browser nor .NET nor entries in this desktop's menus.
    command.env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d").env_remove("DISPLAY");
}

/// A program for Windows, with what follows as its arguments.
pub fn command(exe: &Path) -> Command {
    let mut command = Command::new(program());
    configure(&mut command);
    command.arg(exe);
    command
}

/// Installs Wine and makes its folder tree.
///
/// # Errors
/// Wine cannot be installed or does not start.
pub fn ensure() -> anyhow::Result<()> {
    packages::ensure(PACKAGES)?;
    let system = prefix().join("drive_c/windows/system32");
    if !system.join("kernel32.dll").is_file() {
        println!("      Wine's folders in {}", prefix().display());
        std::fs::create_dir_all(prefix())?;
        let mut boot = Command::new(program());
        configure(&mut boot);
        run_quietly(boot.args(["wineboot", "--init"])).context("Wine does not start")?;
        // It goes on in the background.
        wait()?;
    }
    if !system.join(RANDOM).is_file() {
        println!("      a stub of {RANDOM}, for Wine before version 10");
        let mut compiler = Command::new("x86_64-w64-mingw32-gcc");
        compiler.args(["-shared", "-O2", "-o"]).arg(system.join(RANDOM));
        run_quietly(compiler.arg(paths::root().join("tests/wine/bcryptprimitives.c")).arg("-ladvapi32"))?;
    }
    Ok(())
}

/// Waits for what still runs in the folder tree.
fn wait() -> anyhow::Result<()> {
    let mut server = Command::new("/usr/lib/wine/wineserver");
    if !Path::new(server.get_program()).is_file() {
        server = Command::new("wineserver");
    }
    configure(&mut server);
    run_quietly(server.arg("-w")).map(drop)
}

/// Puts the runtime where tests of Coffre find it: they run outside a bundle.
pub fn install_runtime(runtime: &Runtime) -> anyhow::Result<()> {
    let users = prefix().join("drive_c/users");
    let home = std::fs::read_dir(&users).with_context(|| users.display().to_string())?.flatten();
    let home = home.map(|entry| entry.path()).find(|path| path.is_dir() && !path.ends_with("Public"));
    let home = home.context("Wine knows no user")?;
    crate::setup::install_runtime_below(runtime, &home)
}

/// How a program under Wine names a file of this machine.
pub fn path(path: &Path) -> anyhow::Result<String> {
    ensure!(path.is_absolute(), "{} is not absolute", path.display());
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("Z:{}", text.replace('/', "\\")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_as_on_windows() {
        assert_eq!(path(Path::new("/a b/é.wav")).expect("a path"), r"Z:\a b\é.wav");
        assert!(path(Path::new("relative")).is_err());
    }
}
