//! New files in voice folders: never over another one, however many processes write at once.
//!
//! A name counts as taken only when the file has got it, in one step that fails if somebody else was faster; then the
//! next name is tried. Not for the audio thread.

use std::io::{ErrorKind, Result as IoResult, Write as _};
use std::path::{Path, PathBuf};

use super::{EXTENSION, user_folder};
use crate::new_file::{Begun, WriteError, give_name, part_in, sync_folder};
use crate::voice::VoiceError;

/// Longest file name made from a display name, in characters.
const MAX_STEM: usize = 60;

/// Files of one name that are told apart by numbers.
const MAX_NUMBER: u32 = 10_000;

/// Writes a new voice into the user's folder, under a name that is free; makes the folder.
///
/// # Errors
/// [`VoiceError::Unreadable`] when there is no such folder, [`VoiceError::Unwritable`] when none can be made or writing
/// fails.
pub fn save(name: &str, bytes: &[u8]) -> Result<PathBuf, VoiceError> {
    let folder = user_folder().ok_or_else(|| unreadable(Path::new("the home folder"), "it is not known"))?;
    save_in(&folder, name, bytes)
}

/// As [`save`], into another folder.
///
/// # Errors
/// As [`save`].
pub fn save_in(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, VoiceError> {
    make_folder(folder)?;
    let stem = &stem(name);
    let failed = |error: std::io::Error| WriteError::new(&folder.join(stem), &error);
    let mut file = part_in(folder).map_err(failed)?;
    let _begun = Begun::note(file.path());
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    // The file itself goes when `file` is dropped; what stays is its new name.
    let path = with_free_name(folder, stem, |path| give_name(file.path(), path)).map_err(failed)?;
    sync_folder(folder);
    Ok(path)
}

/// Moves a file into a folder, under a name that is free there.
pub(super) fn move_into(file: &Path, folder: &Path, name: &str) -> Result<PathBuf, VoiceError> {
    let moved = with_free_name(folder, &stem(name), |path| give_name(file, path));
    // Until here the file has two names, which are one voice; without the old one it has moved.
    moved
        .and_then(|path| match std::fs::remove_file(file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let _ = std::fs::remove_file(&path);
                Err(error)
            }
            _ => Ok(path),
        })
        .map_err(|error| WriteError::new(file, &error).into())
}

/// Tries a name, and numbered ones after it, until `take` gets one.
fn with_free_name(folder: &Path, stem: &str, take: impl Fn(&Path) -> IoResult<()>) -> IoResult<PathBuf> {
    let numbered = (2..MAX_NUMBER).map(|n| format!("{stem}-{n}"));
    for name in std::iter::once(stem.to_owned()).chain(numbered) {
        let path = folder.join(format!("{name}.{EXTENSION}"));
        match take(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            taken => return taken.map(|()| path),
        }
    }
    Err(std::io::Error::other(format!("there are {MAX_NUMBER} files of this name")))
}

pub(super) fn make_folder(folder: &Path) -> Result<(), VoiceError> {
    std::fs::create_dir_all(folder).map_err(|error| WriteError::new(folder, &error).into())
}

pub(super) fn unreadable(path: &Path, reason: &str) -> VoiceError {
    VoiceError::Unreadable { path: path.display().to_string(), reason: reason.to_owned() }
}

/// A display name as every file system takes it.
fn stem(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let stem: String = name.trim().chars().take(MAX_STEM).map(plain).collect();
    let stem = stem.trim_matches('-').to_lowercase();
    if stem.is_empty() { "voice".to_owned() } else { stem }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_become_file_names_everywhere() {
        for (name, wanted) in [
            ("Élodie, soft", "élodie--soft"),
            ("../../etc/passwd", "etc-passwd"),
            ("a:b*c?\"<>|\\d", "a-b-c------d"),
            (" ", "voice"),
            ("...", "voice"),
        ] {
            assert_eq!(stem(name), wanted);
        }
        assert_eq!(stem(&"x".repeat(500)).len(), MAX_STEM);
    }

    #[test]
    fn many_at_once_overwrite_nothing() {
        const THREADS: u8 = 8;
        const EACH: u8 = 20;
        let folder = tempfile::tempdir().expect("a folder");
        let start = std::sync::Barrier::new(usize::from(THREADS));
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (start, folder) = (&start, folder.path());
                scope.spawn(move || {
                    start.wait();
                    for n in 0..EACH {
                        let path = save_in(folder, "Kate", &[thread, n]).expect("saved");
                        assert_eq!(std::fs::read(&path).expect("there"), [thread, n]);
                    }
                });
            }
        });
        let read =
            |item: std::io::Result<std::fs::DirEntry>| std::fs::read(item.expect("an item").path()).expect("read");
        let found: BTreeSet<Vec<u8>> = std::fs::read_dir(folder.path()).expect("listed").map(read).collect();
        assert_eq!(found.len(), usize::from(THREADS) * usize::from(EACH), "nothing is lost, and nothing else is left");
        // The same into a trash: all of one name, from folders of their own.
        let trash = folder.path().join("trash");
        make_folder(&trash).expect("made");
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (start, trash) = (&start, &trash);
                let own = folder.path().join(thread.to_string());
                scope.spawn(move || {
                    let file = save_in(&own, "Kate", &[thread]).expect("saved");
                    start.wait();
                    move_into(&file, trash, "kate").expect("moved");
                    assert!(!file.exists());
                });
            }
        });
        assert_eq!(std::fs::read_dir(&trash).expect("listed").count(), usize::from(THREADS));
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("written");
        assert!(save_in(&file, "Kate", b"x").is_err());
        assert!(move_into(&folder.path().join("absent"), folder.path(), "kate").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
