//! What Windows says of modules. See the parent.

use std::ffi::{CStr, OsString, c_void};
use std::os::windows::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::ptr::{NonNull, null_mut};

use windows_sys::Win32::Foundation::HMODULE;
use windows_sys::Win32::System::LibraryLoader::{
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN,
    GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT, GetModuleFileNameW, GetModuleHandleExW, GetModuleHandleW,
    GetProcAddress,
};

/// Longest path of Windows, in UTF-16 units.
const LONGEST: usize = 32_768;

/// The module that this function lies in.
fn own_module(flags: u32) -> Option<HMODULE> {
    let mut module = null_mut();
    // SAFETY: with FROM_ADDRESS the "name" is an address, that of a function of this module; `module` is valid for writes.
    let found = unsafe {
        GetModuleHandleExW(
            GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | flags,
            own_module as *const () as *const u16,
            &raw mut module,
        )
    };
    (found != 0 && !module.is_null()).then_some(module)
}

pub(super) fn own_module_path() -> Option<PathBuf> {
    module_file(own_module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT)?)
}

/// The file of a module of this process.
pub(in super::super) fn module_file(module: HMODULE) -> Option<PathBuf> {
    let mut name = vec![0_u16; 300];
    loop {
        let room = u32::try_from(name.len()).ok()?;
        // SAFETY: a handle that names no module is refused, and `name` has room for as many units as are told.
        let len = unsafe { GetModuleFileNameW(module, name.as_mut_ptr(), room) } as usize;
        if len == 0 {
            return None;
        }
        // A name that does not fit is cut and fills the room.
        if len < name.len() {
            return Some(OsString::from_wide(&name[..len]).into());
        }
        if name.len() >= LONGEST {
            return None;
        }
        name.resize((2 * name.len()).min(LONGEST), 0);
    }
}

pub(super) fn pin_own_module() {
    // An executable is never unmapped, and a library that cannot be pinned is no worse off than before.
    let _ = own_module(GET_MODULE_HANDLE_EX_FLAG_PIN);
}

/// A symbol of the library at `path`, if that is loaded.
pub(super) fn loaded_symbol(path: &Path, name: &CStr) -> Option<NonNull<c_void>> {
    let path: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    // SAFETY: `path` is NUL-terminated. The count is not raised: the runtime stays loaded for the life of the process.
    let library = unsafe { GetModuleHandleW(path.as_ptr()) };
    if library.is_null() {
        return None;
    }
    // SAFETY: `library` is mapped and the name is NUL-terminated.
    let symbol = unsafe { GetProcAddress(library, name.as_ptr().cast()) }?;
    NonNull::new(symbol as *mut c_void)
}
