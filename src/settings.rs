//! What belongs to this computer and not to a session: which device runs RVC voices.
//!
//! A small file in the user's configuration folder, written atomically. Its content is treated as hostile: if it cannot be
//! read, nothing counts as chosen, and the user is told. An environment variable overrides it: see [`device`]. Not for the
//! audio thread.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::new_file::{self, Existing};
use crate::onnx::device::{self, Device};

/// Name of the file.
const FILE: &str = "settings.json";

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 10;

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// A [`Device::word`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// What a newer version wrote; kept.
    #[serde(flatten)]
    other: Map<String, Value>,
}

/// The choices made on this computer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What large graphs are meant for; `None` = nothing was chosen.
    pub device: Option<Device>,
    /// What is wrong with the file, and what to do; empty if nothing is.
    pub note: String,
}

/// The settings file; `None` when the system names no home.
pub fn path() -> Option<PathBuf> {
    folder().map(|folder| folder.join(FILE))
}

#[cfg(not(any(target_os = "macos", windows)))]
fn folder() -> Option<PathBuf> {
    let home = || absolute_variable("HOME").map(|home| home.join(".config"));
    absolute_variable("XDG_CONFIG_HOME").or_else(home).map(|folder| folder.join("coffre"))
}

#[cfg(target_os = "macos")]
fn folder() -> Option<PathBuf> {
    absolute_variable("HOME").map(|home| home.join("Library/Application Support/Coffre"))
}

#[cfg(windows)]
fn folder() -> Option<PathBuf> {
    absolute_variable("APPDATA").map(|folder| folder.join("Coffre"))
}

/// An absolute path from an environment variable; the XDG specification says to ignore relative ones.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Reads this computer's settings and lets them act on graphs that are opened from now on.
pub fn apply() -> Settings {
    let settings = path().map(|path| load(&path)).unwrap_or_default();
    device::remember(settings.device);
    settings
}

/// As [`apply`], once per process: what was chosen since is not undone.
pub fn applied() -> Settings {
    static APPLIED: OnceLock<Settings> = OnceLock::new();
    APPLIED.get_or_init(apply).clone()
}

/// Reads a settings file. One that is not there chooses nothing.
pub fn load(path: &Path) -> Settings {
    let content = match read(path) {
        Ok(content) => content,
        Err(reason) => return Settings { device: None, note: unusable(path, &reason) },
    };
    let Some(word) = content.device else { return Settings::default() };
    match Device::from_word(&word) {
        Some(device) => Settings { device: Some(device), note: String::new() },
        None => {
            let shown: String = word.chars().take(40).collect();
            Settings {
                device: None,
                note: unusable(path, &format!("it names the device “{shown}”, which is not known")),
            }
        }
    }
}

/// Keeps a choice, and lets it act on graphs that are opened from now on. What the file holds besides stays, unless the
/// file cannot be read: then it is replaced.
///
/// # Errors
/// Why it could not be written, in words. The choice still applies to this process.
pub fn choose_device(device: Device) -> Result<(), String> {
    // Read first, so that what the file said does not come after.
    applied();
    device::remember(Some(device));
    let path = path().ok_or("The system names no home folder, so the choice is not kept.")?;
    store_device(&path, device)
}

/// Writes a choice into a settings file; makes its folder.
///
/// # Errors
/// In words.
pub fn store_device(path: &Path, device: Device) -> Result<(), String> {
    let mut content = read(path).unwrap_or_default();
    content.device = Some(device.word().to_owned());
    let said = |reason: String| format!("The choice could not be kept in {}: {reason}", path.display());
    let bytes = serde_json::to_vec_pretty(&content).map_err(|error| said(error.to_string()))?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| said(error.to_string()))?;
    }
    new_file::write(path, &bytes, Existing::Replace).map_err(|error| said(error.to_string()))
}

fn unusable(path: &Path, reason: &str) -> String {
    // It may quote the file.
    let reason: String = reason.chars().filter(|c| !c.is_control()).take(160).collect();
    format!("{} is ignored: {reason}. Choose a device again to replace it", path.display())
}

fn read(path: &Path) -> Result<Content, String> {
    // Asked before it is opened: a pipe of that name would never end.
    let about = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Content::default()),
        Err(error) => return Err(error.to_string()),
        Ok(about) => about,
    };
    if !about.is_file() {
        return Err("it is not a file".to_owned());
    }
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("it is longer than {MAX_BYTES} bytes"));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("it is not a settings file ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_choice_is_kept_and_what_a_newer_version_wrote_stays() {
        let folder = folder();
        let path = folder.path().join("deep/er/settings.json");
        assert_eq!(load(&path), Settings::default());
        for device in Device::all().chain([Device::WebGpu]) {
            store_device(&path, device).expect("written");
            assert_eq!(load(&path), Settings { device: Some(device), note: String::new() });
        }
        std::fs::write(&path, br#"{"device": "WEBGPU ", "colour": [1, {"a": null}]}"#).expect("written");
        assert_eq!(load(&path).device, Some(Device::WebGpu));
        store_device(&path, Device::Cpu).expect("written");
        let text = std::fs::read_to_string(&path).expect("there");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&value["device"], &value["colour"][1]["a"]), (&"cpu".into(), &Value::Null));
        assert_eq!(value["colour"][0], 1);
        assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("listed").count(), 1, "nothing is left");
    }

    #[test]
    fn a_hostile_file_is_no_choice_and_is_said() {
        let folder = folder();
        let path = folder.path().join("settings.json");
        let deep = [vec![b'['; 60_000], vec![b']'; 4_000]].concat();
        let long = format!("\"{}\"", "a".repeat(50_000)).into_bytes();
        let bad: [&[u8]; 10] = [
            &long,
            b"",
            b"null",
            b"[]",
            b"{\"device\": 7}",
            b"{\"device\": \"abacus\\u0007\"}",
            b"{\"device\": \"cpu\"",
            &[0xff; 100],
            &deep,
            &vec![b' '; 1 << 20],
        ];
        for (n, bytes) in bad.into_iter().enumerate() {
            std::fs::write(&path, bytes).expect("written");
            let settings = load(&path);
            assert_eq!(settings.device, None, "{n}");
            assert!(settings.note.contains("is ignored") && !settings.note.contains('\u{7}'), "{n}: {}", settings.note);
            assert!(settings.note.len() < 500, "{n}");
            store_device(&path, Device::WebGpu).expect("replaced");
            assert_eq!(load(&path), Settings { device: Some(Device::WebGpu), note: String::new() }, "{n}");
        }
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_replaced() {
        let folder = folder();
        assert!(load(folder.path()).note.contains("not a file"));
        assert!(store_device(folder.path(), Device::Cpu).is_err_and(|said| said.contains("could not be kept")));
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            let name = std::ffi::CString::new(pipe.to_str().expect("UTF-8")).expect("a name");
            // SAFETY: a system call with a name that lives as long as the call.
            assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
            assert!(load(&pipe).note.contains("not a file"));
        }
    }
}
