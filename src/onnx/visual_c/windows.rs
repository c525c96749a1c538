//! Looks for the libraries and asks for a version. See the parent.

use std::ffi::c_void;
use std::os::windows::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::FreeLibrary;
use windows_sys::Win32::Storage::FileSystem::{
    GetFileVersionInfoSizeW, GetFileVersionInfoW, VS_FIXEDFILEINFO, VerQueryValueW,
};
use windows_sys::Win32::System::LibraryLoader::{GetModuleHandleW, LoadLibraryExW};

use super::super::module::module_file;
use super::{LIBRARIES, Version, VisualC};

/// Largest version resource that is read, in bytes; real ones have some thousand.
const MAX_RESOURCE: u32 = 1 << 20;

pub(super) fn look() -> VisualC {
    let mut found = VisualC::default();
    for (index, name) in LIBRARIES.into_iter().enumerate() {
        let wide = wide(Path::new(name));
        // Looked for as for a library that needs it, and given back: what the process has stays as it is.
        // SAFETY: the name is NUL-terminated. These libraries do nothing when they start but set themselves up.
        let loaded = unsafe { LoadLibraryExW(wide.as_ptr(), null_mut(), 0) };
        if loaded.is_null() {
            found.missing.push(name);
            continue;
        }
        if index == 0 {
            // SAFETY: the name is NUL-terminated.
            let path = module_file(unsafe { GetModuleHandleW(wide.as_ptr()) });
            found.main = path.map(|path| (path.clone(), version(&path)));
        }
        // SAFETY: loaded above, and not used below.
        unsafe { FreeLibrary(loaded) };
    }
    found
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

/// The version in a file's resources.
fn version(path: &Path) -> Option<Version> {
    let path = wide(path);
    // SAFETY: the path is NUL-terminated.
    let size = unsafe { GetFileVersionInfoSizeW(path.as_ptr(), null_mut()) };
    if size == 0 || size > MAX_RESOURCE {
        return None;
    }
    // Of words, so that the numbers in it are aligned.
    let mut resource = vec![0_u64; size.div_ceil(8) as usize];
    // SAFETY: the path is NUL-terminated, and the room has at least `size` bytes.
    if unsafe { GetFileVersionInfoW(path.as_ptr(), 0, size, resource.as_mut_ptr().cast()) } == 0 {
        return None;
    }
    let (mut value, mut len) = (null_mut::<c_void>(), 0_u32);
    let root = wide(Path::new("\\"));
    // SAFETY: the resource was filled above, the name is NUL-terminated, and both results are valid for writes.
    let is_there =
        unsafe { VerQueryValueW(resource.as_ptr().cast(), root.as_ptr(), &raw mut value, &raw mut len) } != 0;
    if !is_there || value.is_null() || (len as usize) < size_of::<VS_FIXEDFILEINFO>() {
        return None;
    }
    // SAFETY: the value lies in `resource`, which lives, and is as long as the structure; it may lie unaligned.
    let about = unsafe { value.cast::<VS_FIXEDFILEINFO>().read_unaligned() };
    let parts =
        [about.dwFileVersionMS >> 16, about.dwFileVersionMS, about.dwFileVersionLS >> 16, about.dwFileVersionLS];
    Some(parts.map(|part| (part & 0xffff) as u16))
}
