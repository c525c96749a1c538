//! Where things lie: the checkout, its build folder, the user's folders.

use std::path::{Path, PathBuf};

/// The checkout.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// Cargo's build folder.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// The user's home folder, if there is one that can be written to.
pub fn home() -> Option<PathBuf> {
    let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir())
}

/// An absolute path from the environment.
fn from_environment(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Downloads are kept here between checkouts; without a home folder, in the build folder.
pub fn cache() -> PathBuf {
    from_environment("XDG_CACHE_HOME")
        .or_else(|| home().map(|home| home.join(".cache")))
        .unwrap_or_else(|| target().join("cache"))
        .join("coffre")
}

/// The per-user folder in which plugin and command line look for ONNX Runtime after their own folder, on a system as Rust
/// names it.
pub fn user_runtime(os: &str, home: &Path, version: &str) -> PathBuf {
    let data = match os {
        "macos" => home.join("Library/Application Support/Coffre"),
        "windows" => home.join("AppData/Local/Coffre"),
        _ => from_environment("XDG_DATA_HOME").unwrap_or_else(|| home.join(".local/share")).join("coffre"),
    };
    data.join("runtime").join(version)
}

/// Copies a file over whatever is there, by a rename, so that a host that has the old one mapped keeps it.
pub fn replace_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    let dir = to.parent().context("a file has no folder")?;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let new = to.with_extension("new");
    std::fs::copy(from, &new).with_context(|| format!("cannot copy {} to {}", from.display(), new.display()))?;
    std::fs::rename(&new, to).with_context(|| format!("cannot write {}", to.display()))
}

/// Copies a folder with everything below it, file by file, over whatever is there.
pub fn replace_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            replace_folder(&entry.path(), &target)?;
        } else {
            replace_file(&entry.path(), &target)?;
        }
    }
    Ok(())
}
