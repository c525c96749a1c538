//! Where our own code lies on disk, and keeping it in memory.
//!
//! A plugin is a library inside somebody else's process: neither the executable's folder nor the current directory says
//! where it was installed.

use std::path::PathBuf;

/// Absolute path of the library or executable that this code was linked into, links resolved; `None` where the system
/// does not tell.
#[cfg(unix)]
pub fn own_module_path() -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr};
    use std::os::unix::ffi::OsStrExt as _;

    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is that of a function of this module and `info` is valid for writes; `dladdr` keeps neither.
    let found = unsafe { libc::dladdr(own_module_path as *const () as *const libc::c_void, info.as_mut_ptr()) };
    if found == 0 {
        return None;
    }
    // SAFETY: zeroed is a valid `Dl_info` (integers and nullable pointers), whatever `dladdr` filled in.
    let info = unsafe { info.assume_init() };
    if info.dli_fname.is_null() {
        return None;
    }
    // SAFETY: not null, and the loader keeps the NUL-terminated name while the module is mapped, as it is now.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    let path = PathBuf::from(OsStr::from_bytes(name.to_bytes()));
    std::fs::canonicalize(&path).ok()
}

/// Absolute path of the executable; of a plugin's host elsewhere than on Unix.
#[cfg(not(unix))]
pub fn own_module_path() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

/// Keeps this module mapped until the process ends.
///
/// A host may `dlclose` a plugin while ONNX Runtime stays in the process. The runtime's environment, the statics that
/// hold it and the watchdog's thread live in our module, so from the first start of the runtime on it must not go away.
#[cfg(unix)]
pub(crate) fn pin_own_module() {
    use std::os::unix::ffi::OsStrExt as _;

    let Some(path) = own_module_path() else { return };
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: `path` is NUL-terminated. RTLD_NOLOAD only raises the count of a module that is mapped already, so no
    // initialiser runs; RTLD_NODELETE makes a later `dlclose` keep the mapping. The handle is given up on purpose. For
    // an executable the call fails, and an executable is never unmapped.
    unsafe {
        libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NODELETE | libc::RTLD_NOW);
    }
}

/// Does nothing: plugins are built for Unix only so far, and an executable is never unmapped.
#[cfg(not(unix))]
pub(crate) fn pin_own_module() {}

/// The version that the loaded library at `path` reports; `None` when it is not loaded.
#[cfg(unix)]
pub(super) fn runtime_version(path: &std::path::Path) -> Option<String> {
    use std::os::unix::ffi::OsStrExt as _;

    type GetBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;

    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: `path` is NUL-terminated; RTLD_NOLOAD runs no initialiser. The count raised here is given up: the runtime
    // stays loaded for the life of the process anyway.
    let library = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW) };
    if library.is_null() {
        return None;
    }
    // SAFETY: `library` is a live handle and the name is NUL-terminated.
    let symbol = unsafe { libc::dlsym(library, c"OrtGetApiBase".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    // SAFETY: `ort` has accepted this library, so the symbol has the signature of `onnxruntime_c_api.h`.
    let base = unsafe { std::mem::transmute::<*mut libc::c_void, GetBase>(symbol)() };
    if base.is_null() {
        return None;
    }
    // SAFETY: `base` is a static of the library; its version function takes nothing and returns a static string.
    let text = unsafe { std::ffi::CStr::from_ptr(((*base).GetVersionString)()) };
    Some(text.to_string_lossy().into_owned())
}

/// The version is not asked for elsewhere than on Unix.
#[cfg(not(unix))]
pub(super) fn runtime_version(_path: &std::path::Path) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_module_is_the_test_program() {
        let expected = std::fs::canonicalize(std::env::current_exe().expect("a test has an executable"))
            .expect("the executable exists");
        assert_eq!(own_module_path(), Some(expected));
    }

    #[test]
    fn pinning_twice_does_no_harm() {
        pin_own_module();
        pin_own_module();
        assert!(own_module_path().is_some());
    }
}
