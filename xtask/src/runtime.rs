//! ONNX Runtime by package name, version and hash: fetched once, kept, checked on every use.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::pe::Image;
use crate::target::Target;
use crate::{paths, python, stage};

const LOCK: &str = include_str!("../runtime.lock.toml");

/// Members of the wheel that travel with the library: its licence and the notices of what it contains.
const LICENCES: &[(&str, &str)] =
    &[("LICENSE", "onnxruntime-LICENSE.txt"), ("ThirdPartyNotices.txt", "onnxruntime-ThirdPartyNotices.txt")];

#[derive(Deserialize)]
struct Lock {
    runtime: Vec<Entry>,
}

/// One line of the lock file.
#[derive(Clone, Deserialize)]
struct Entry {
    target: String,
    package: String,
    version: String,
    tag: String,
    sha256: String,
}

/// The unpacked runtime.
pub struct Runtime {
    /// What it is for.
    pub target: Target,
    /// Version of ONNX Runtime.
    pub version: String,
    /// The library, under the name by which Coffre looks for it.
    pub library: PathBuf,
    /// Licence texts beside it.
    pub licences: Vec<PathBuf>,
}

/// File name of the library in our bundles.
fn library_name(os: &str, version: &str) -> String {
    match os {
        "windows" => "onnxruntime.dll".into(),
        "macos" => format!("libonnxruntime.{version}.dylib"),
        _ => format!("libonnxruntime.so.{version}"),
    }
}

/// Unpacks the runtime of a target into the build folder, fetching it if it is not cached.
///
/// # Errors
/// Not cached and not to be had from the network (or `offline`), a wrong hash, or a wheel without the library.
pub fn ensure(target: &Target, offline: bool) -> anyhow::Result<Runtime> {
    let lock: Lock = toml::from_str(LOCK).context("runtime.lock.toml")?;
    let name = target.name();
    let entry = lock.runtime.into_iter().find(|entry| entry.target == name);
    let entry = entry.with_context(|| format!("runtime.lock.toml knows no runtime for {name}"))?;
    let wheel = cached_wheel(&entry, offline)?;
    let dir = paths::target().join("runtime").join(&entry.target).join(&entry.version);
    unpack(target, &entry, &wheel, &dir)
}

/// The wheel from the cache, after a check of its hash; fetched if it is not there or damaged.
fn cached_wheel(entry: &Entry, offline: bool) -> anyhow::Result<PathBuf> {
    let file = paths::cache().join(format!("{}-{}-{}.whl", entry.package, entry.version, entry.tag));
    let named = format!("{} {} for {}", entry.package, entry.version, entry.tag);
    if file.is_file() {
        if sha256(&file)? == entry.sha256 {
            println!("      {named}: from the cache, hash verified");
            return Ok(file);
        }
        println!("      {named}: the cached file is damaged and is fetched again");
        std::fs::remove_file(&file)?;
    }
    if offline {
        bail!("{named} is not in the cache ({}) and --offline forbids to fetch it", paths::cache().display());
    }
    fetch(entry, &file).with_context(|| format!("{named} could not be fetched"))?;
    println!("      {named}: fetched, hash verified");
    Ok(file)
}

/// Downloads the wheel with pip, which checks the hash itself; it is checked here once more before it is kept.
fn fetch(entry: &Entry, file: &Path) -> anyhow::Result<()> {
    python::ensure_pip()?;
    let dir = paths::target().join("runtime").join("download");
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    let pinned = dir.join("requirements.txt");
    std::fs::write(&pinned, format!("{}=={} --hash=sha256:{}\n", entry.package, entry.version, entry.sha256))?;
    let mut pip = python::pip();
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "-r"]).arg(&pinned);
    pip.args(["--platform", &entry.tag, "--python-version", "3.12", "--implementation", "cp", "-d"]).arg(&dir);
    stage::run_quietly(&mut pip)?;
    let wheel = std::fs::read_dir(&dir)?.flatten().map(|entry| entry.path());
    let wheel = wheel.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl"));
    let wheel = wheel.context("pip left no wheel")?;
    ensure!(sha256(&wheel)? == entry.sha256, "the hash of {} is wrong", wheel.display());
    paths::replace_file(&wheel, file)?;
    std::fs::remove_dir_all(&dir).context("cannot remove the download folder")
}

/// Takes library and licences out of the wheel, unless they are there already.
fn unpack(target: &Target, entry: &Entry, wheel: &Path, dir: &Path) -> anyhow::Result<Runtime> {
    let os = target.os.as_str();
    let library = dir.join(library_name(os, &entry.version));
    let licences: Vec<PathBuf> = LICENCES.iter().map(|(_, name)| dir.join(name)).collect();
    let stamp = dir.join("wheel.sha256");
    let runtime =
        Runtime { target: target.clone(), version: entry.version.clone(), library: library.clone(), licences };
    let complete = runtime.library.is_file() && runtime.licences.iter().all(|file| file.is_file());
    if complete && std::fs::read_to_string(&stamp).is_ok_and(|hash| hash == entry.sha256) {
        return Ok(runtime);
    }
    std::fs::create_dir_all(dir)?;
    let mut archive = zip::ZipArchive::new(std::fs::File::open(wheel)?).context("the wheel is no zip archive")?;
    let names: Vec<String> = archive.file_names().flatten().map(|name| name.into_owned()).collect();
    // The wheel holds one real library; a second name of it, where there is one, is the longer, versioned one.
    let stem = if os == "windows" { "onnxruntime/capi/onnxruntime.dll" } else { "onnxruntime/capi/libonnxruntime." };
    let inside = names.iter().filter(|name| name.starts_with(stem)).max_by_key(|name| name.len());
    let inside = inside.context("the wheel holds no library")?;
    extract(&mut archive, inside, &library)?;
    for (inside, name) in LICENCES {
        extract(&mut archive, &format!("onnxruntime/{inside}"), &dir.join(name))?;
    }
    ensure!(!reports(&library)?, "{} reports to its maker: see src/onnx/reporting.rs", library.display());
    std::fs::write(&stamp, &entry.sha256)?;
    Ok(runtime)
}

/// Whether a library holds the client that `src/onnx/reporting.rs` keeps out, or for Windows, which has no such client,
/// whether it reaches the network at all.
fn reports(library: &Path) -> anyhow::Result<bool> {
    let bytes = std::fs::read(library)?;
    let marks = ["ORT_DISABLE_TELEMETRY", "events.data.microsoft.com"];
    let wide = marks.map(|mark| mark.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    let mut marks = marks.iter().map(|mark| mark.as_bytes()).chain(wide.iter().map(Vec::as_slice));
    let has_client = marks.any(|mark| bytes.windows(mark.len()).any(|part| part == mark));
    let network = ["winhttp.dll", "wininet.dll", "ws2_32.dll", "wsock32.dll", "urlmon.dll"];
    let reaches_out =
        Image::new(&bytes).is_ok_and(|image| image.imports().iter().any(|name| network.contains(&name.as_str())));
    Ok(has_client || reaches_out)
}

fn extract(archive: &mut zip::ZipArchive<std::fs::File>, inside: &str, file: &Path) -> anyhow::Result<()> {
    let mut member = archive.by_name(inside).with_context(|| format!("the wheel holds no {inside}"))?;
    let new = file.with_extension("new");
    std::io::copy(&mut member, &mut std::fs::File::create(&new)?)?;
    std::fs::rename(&new, file).with_context(|| format!("cannot write {}", file.display()))
}

/// The hash of a file in lower-case hexadecimal digits.
fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_lock_file_names_one_exact_file() {
        let lock: Lock = toml::from_str(LOCK).expect("a lock file");
        for entry in &lock.runtime {
            assert_eq!(entry.sha256.len(), 64, "{}", entry.target);
            assert!(entry.sha256.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
        }
        let targets: std::collections::HashSet<_> = lock.runtime.iter().map(|entry| &entry.target).collect();
        assert_eq!(targets.len(), lock.runtime.len());
        assert!(lock.runtime.iter().any(|entry| entry.target == Target::host().name()));
    }

    #[test]
    fn what_reports_is_found_in_every_form() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let wide: Vec<u8> = "x ORT_DISABLE_TELEMETRY".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, expected) in [
            (b"nothing".to_vec(), false),
            (b"https://eu.events.data.microsoft.com".to_vec(), true),
            (wide, true),
            (crate::pe::tests::sample(2, &["KERNEL32.dll", "ADVAPI32.dll"]), false),
            (crate::pe::tests::sample(2, &["KERNEL32.dll", "WINHTTP.dll"]), true),
        ] {
            std::fs::write(file.path(), bytes).expect("written");
            assert_eq!(reports(file.path()).expect("read"), expected);
        }
    }

    #[test]
    fn hash_of_a_known_text() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "abc").expect("written");
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).expect("read"), known);
    }
}
