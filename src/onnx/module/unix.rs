//! What Linux and macOS say of modules. See the parent.

use std::ffi::{CStr, CString, OsStr, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

pub(super) fn own_module_path() -> Option<PathBuf> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the address is that of a function of this module and `info` is valid for writes; `dladdr` keeps neither.
    let found = unsafe { libc::dladdr(own_module_path as *const () as *const c_void, info.as_mut_ptr()) };
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
    // A program's name is as it was called: it means something only once it is resolved.
    std::fs::canonicalize(OsStr::from_bytes(name.to_bytes())).ok()
}

pub(super) fn pin_own_module() {
    let Some(path) = own_module_path() else { return };
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return };
    // SAFETY: `path` is NUL-terminated. RTLD_NOLOAD only raises the count of a module that is mapped already, so no
    // initialiser runs; RTLD_NODELETE makes a later `dlclose` keep the mapping. The handle is given up on purpose. For
    // an executable the call fails, and an executable is never unmapped.
    unsafe {
        libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NODELETE | libc::RTLD_NOW);
    }
}

/// A symbol of the library at `path`, if that is loaded.
pub(super) fn loaded_symbol(path: &Path, name: &CStr) -> Option<NonNull<c_void>> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: `path` is NUL-terminated; RTLD_NOLOAD runs no initialiser. The count raised here is given up: the runtime
    // stays loaded for the life of the process anyway.
    let library = NonNull::new(unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOLOAD | libc::RTLD_NOW) })?;
    // SAFETY: `library` is a live handle and the name is NUL-terminated.
    NonNull::new(unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) })
}
