//! Whether two names lead to one file: what is written must not replace what is read.

use std::io::Result;
use std::path::Path;

/// Whether both names lead to one file, by whatever links; not when one of them leads nowhere.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    identity(one).and_then(|one| Ok(one == identity(other)?)).unwrap_or(false)
}

/// What a file is known by on this computer: its file system and its number there.
#[cfg(unix)]
fn identity(path: &Path) -> Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino()))
}

/// What a file is known by on this computer: its volume and its index there.
#[cfg(windows)]
fn identity(path: &Path) -> Result<(u32, u32, u32)> {
    use std::os::windows::fs::OpenOptionsExt as _;
    use std::os::windows::io::AsRawHandle as _;
    use windows_sys::Win32::Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, GetFileInformationByHandle,
    };
    // Asks for nothing but attributes, so that a file that somebody writes can be told too; the flag lets folders be asked.
    let file = std::fs::OpenOptions::new().access_mode(0).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path)?;
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open as long as `file`, and `about` is valid for writes.
    match unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut about) } {
        0 => Err(std::io::Error::last_os_error()),
        _ => Ok((about.dwVolumeSerialNumber, about.nFileIndexHigh, about.nFileIndexLow)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_by_any_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, other) = (dir.path().join("a.wav"), dir.path().join("b.wav"));
        std::fs::write(&one, b"x").expect("written");
        assert!(!is_same_file(&one, &other));
        std::fs::hard_link(&one, &other).expect("linked");
        assert!(is_same_file(&one, &other));
        assert!(is_same_file(
            &one,
            &dir.path().join("../").join(dir.path().file_name().expect("a name")).join("a.wav")
        ));
    }

    #[test]
    fn what_is_not_there_is_the_same_as_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let nowhere = dir.path().join("nowhere.wav");
        assert!(!is_same_file(&nowhere, &nowhere));
        assert!(is_same_file(dir.path(), &dir.path().join(".")));
    }
}
