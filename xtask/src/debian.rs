//! The source of Rust's standard library from Debian's backports, unpacked and not installed.
//!
//! apt is given settings of its own: nothing of the machine's is changed. The mirror is the one that the machine uses.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::stage::run_quietly;

/// The suite that has packages of current compilers.
const SUITE: &str = "trixie-backports";

/// Keys of all Debian releases.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches the source of this compiler's standard library and unpacks it below `dir`.
pub fn fetch_source(release: &str, dir: &Path, offline: bool) -> anyhow::Result<()> {
    ensure!(!offline, "the source of the standard library is not cached and --offline forbids to fetch it");
    let mirror = mirror().context("apt knows no mirror of Debian")?;
    let apt = dir.join("apt");
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(folder)).with_context(|| format!("cannot create {}", apt.display()))?;
    }
    std::fs::write(apt.join("sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"))?;
    let config = apt.join("apt.conf");
    std::fs::write(&config, configuration(&apt))?;
    let with_own = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", &config).current_dir(dir);
        run_quietly(&mut command)
    };
    with_own("apt-get", &["update", "-qq"])?;
    let versions = with_own("apt-cache", &["madison", "rust-src"])?;
    let version = version_of(&versions, release);
    let version = version.with_context(|| format!("{SUITE} has no rust-src of version {release}"))?;
    println!("      rust-src {version} of {SUITE}");
    with_own("apt-get", &["download", "-qq", &format!("rust-src={version}")])?;
    let package = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let package = package.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.context("apt left no package")?;
    unpack(&package, release, dir)?;
    std::fs::remove_file(&package)?;
    std::fs::remove_dir_all(apt).context("cannot remove apt's folder")
}

/// Takes the library alone out of the package: the compiler's source is ten times as large.
fn unpack(package: &Path, release: &str, dir: &Path) -> anyhow::Result<()> {
    let mut archive = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn()?;
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(dir).args(["-xf", "-", "--wildcards"]);
    tar.arg(format!("./usr/src/rustc-{release}/library")).arg(format!("./usr/src/rustc-{release}/Cargo.lock"));
    tar.stdin(archive.stdout.take().context("dpkg-deb has no output")?);
    let is_unpacked = tar.status()?.success();
    // It is ended early by tar, which stops reading at the archive's end.
    archive.wait()?;
    ensure!(is_unpacked, "{} does not hold the library's source", package.display());
    Ok(())
}

fn configuration(apt: &Path) -> String {
    let apt = apt.display();
    format!(
        "Dir::Etc::sourcelist \"{apt}/sources.list\";\nDir::Etc::sourceparts \"-\";\nDir::State \"{apt}/state\";\n\
         Dir::Cache \"{apt}/cache\";\nAPT::Sandbox::User \"root\";\n"
    )
}

/// Where this machine has Debian itself from.
fn mirror() -> Option<String> {
    let mut apt = Command::new("apt-get");
    apt.args(["indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(LABEL)", "Created-By: Packages"]);
    mirror_in(&run_quietly(&mut apt).ok()?)
}

fn mirror_in(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| line.strip_suffix("|Debian|Debian")).map(str::to_owned)
}

/// The package's version whose upstream part is that of the compiler, from `apt-cache madison`.
fn version_of(madison: &str, release: &str) -> Option<String> {
    let versions = madison.lines().filter_map(|line| line.split('|').nth(1)).map(str::trim);
    versions.into_iter().find(|version| version.split(['+', '-']).next() == Some(release)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_compiler() {
        let madison = "  rust-src | 1.97.1+dfsg1-1~bpo13+1 | x\n  rust-src | 1.95.0+dfsg1-2~bpo13+1 | x\n";
        assert_eq!(version_of(madison, "1.95.0").as_deref(), Some("1.95.0+dfsg1-2~bpo13+1"));
        assert_eq!(version_of(madison, "1.95"), None);
        assert_eq!(version_of("", "1.95.0"), None);
    }

    #[test]
    fn the_mirror_is_that_of_debian_itself() {
        let targets = "cd:/x/|Debian|Debian-Security\ncd:/y/|Other|Other\ncd:/z/|Debian|Debian\n";
        assert_eq!(mirror_in(targets).as_deref(), Some("cd:/z/"));
        assert_eq!(mirror_in(""), None);
    }
}
