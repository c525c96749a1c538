//! Where our own code lies on disk, and keeping it in memory.
//!
//! A plugin is a library inside somebody else's process: neither the executable's folder nor the current directory says
//! where it was installed.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::path::{Path, PathBuf};

#[cfg(windows)]
pub(super) use windows::module_file;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// Absolute path of the library or executable that this code was linked into, links resolved; `None` where the system
/// does not tell.
pub fn own_module_path() -> Option<PathBuf> {
    let path = system::own_module_path()?;
    // A path that cannot be resolved, as on some virtual disks of Windows, still says where the neighbours lie.
    Some(resolved(&path).unwrap_or(path)).filter(|path| path.is_absolute())
}

/// Keeps this module mapped until the process ends.
///
/// A host may unload a plugin while ONNX Runtime stays in the process. The runtime's environment, the statics that
/// hold it and the watchdog's thread live in our module, so from the first start of the runtime on it must not go away.
pub(crate) fn pin_own_module() {
    system::pin_own_module();
}

/// The path without links, in the form that people and other programs know.
pub(super) fn resolved(path: &Path) -> Option<PathBuf> {
    std::fs::canonicalize(path).ok().map(without_prefix)
}

/// Windows resolves to `\\?\C:\…`, which the loader of DLLs and people handle badly. The prefix stays where the path
/// needs it: beyond the length that programs without it may use, and where it is no plain drive or share.
fn without_prefix(path: PathBuf) -> PathBuf {
    /// `MAX_PATH` of Windows, with the zero at the end.
    const LONGEST: usize = 260;
    let Some(rest) = path.to_str().and_then(|text| text.strip_prefix(r"\\?\")) else { return path };
    let plain = match rest.strip_prefix(r"UNC\") {
        Some(share) => format!(r"\\{share}"),
        None if rest.get(1..3) == Some(r":\") => rest.to_owned(),
        None => return path,
    };
    if plain.encode_utf16().count() < LONGEST { plain.into() } else { path }
}

/// The version that the loaded library at `path` reports; `None` when it is not loaded.
pub(super) fn runtime_version(path: &Path) -> Option<String> {
    type GetBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;

    let symbol = system::loaded_symbol(path, c"OrtGetApiBase")?;
    // SAFETY: `ort` has accepted this library, so the symbol has the signature of `onnxruntime_c_api.h`.
    let base = unsafe { std::mem::transmute::<std::ptr::NonNull<std::ffi::c_void>, GetBase>(symbol)() };
    if base.is_null() {
        return None;
    }
    // SAFETY: `base` is a static of the library; its version function takes nothing and returns a static string.
    let text = unsafe { std::ffi::CStr::from_ptr(((*base).GetVersionString)()) };
    Some(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_module_is_the_test_program() {
        let own = own_module_path().expect("the system tells");
        let program = std::env::current_exe().expect("a test has an executable");
        assert_eq!(std::fs::canonicalize(&own).expect("it exists"), std::fs::canonicalize(program).expect("it exists"));
        assert!(!own.to_string_lossy().contains(r"\\?\"), "{}", own.display());
    }

    #[test]
    fn pinning_twice_does_no_harm() {
        pin_own_module();
        pin_own_module();
        assert!(own_module_path().is_some());
    }

    #[test]
    fn what_is_not_loaded_has_no_version() {
        let own = own_module_path().expect("the system tells");
        assert_eq!(runtime_version(&own), None, "loaded, and not ONNX Runtime");
        assert_eq!(runtime_version(&own.with_file_name("nowhere.dll")), None);
    }

    #[test]
    fn the_prefix_of_windows_goes_where_it_is_not_needed() {
        let long = format!(r"\\?\C:\{}\x.dll", "é".repeat(260));
        for (path, plain) in [
            (r"\\?\C:\Program Files\Coffre\x.dll", r"C:\Program Files\Coffre\x.dll"),
            (r"\\?\UNC\server\share\x.dll", r"\\server\share\x.dll"),
            (r"\\?\Volume{1b3b}\x.dll", r"\\?\Volume{1b3b}\x.dll"),
            (r"\\?\C:", r"\\?\C:"),
            (r"\\?\", r"\\?\"),
            (r"C:\x.dll", r"C:\x.dll"),
            ("/usr/lib/x.so", "/usr/lib/x.so"),
            (&long, &long),
        ] {
            assert_eq!(without_prefix(path.into()), PathBuf::from(plain));
        }
    }
}
