//! New files: whole or not at all, and never over another file by accident.
//!
//! What is being written lies beside its target as `.coffre-….part`, locked, and gets its name in one step once it is whole.
//! A killed process leaves such a file behind; the next one that writes into the folder removes it. Not for the audio
//! thread. Does not know what the files hold.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Result as IoResult, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tempfile::NamedTempFile;

/// Names of files that are being written.
const PREFIX: &str = ".coffre-";
const SUFFIX: &str = ".part";

/// Files and folders that this process has begun and not finished, for [`remove_begun`].
static BEGUN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// What becomes of a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The new one takes its place.
    Replace,
    /// It stays, and writing fails.
    Keep,
}

/// Why a file was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be written: {reason}", .path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why, and what to do where that is known.
    pub reason: String,
}

impl WriteError {
    /// What the system said about a file, in plain words.
    pub fn new(path: &Path, error: &std::io::Error) -> Self {
        Self { path: path.into(), reason: said(error) }
    }
}

/// A system error in plain words.
pub fn said(error: &std::io::Error) -> String {
    let plain = match error.kind() {
        ErrorKind::StorageFull => "the disk is full",
        ErrorKind::QuotaExceeded => "your share of this disk is used up",
        ErrorKind::ReadOnlyFilesystem => "this disk can only be read",
        ErrorKind::PermissionDenied => "you may not write there",
        ErrorKind::NotFound => "its folder does not exist",
        ErrorKind::AlreadyExists => "there is such a file already",
        _ => return error.to_string(),
    };
    plain.to_owned()
}

/// A file on its way. Dropping it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    part: NamedTempFile,
    target: PathBuf,
    _begun: Begun,
}

impl NewFile {
    /// Begins the file `path`; a symbolic link is followed.
    ///
    /// # Errors
    /// [`WriteError`] when it cannot be begun, or when what has the name already is no file or may not be written.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        let failed = |error: std::io::Error| WriteError::new(path, &error);
        let target = followed(path)?;
        let part = part_in(folder_of(&target)).map_err(failed)?;
        let begun = Begun::note(part.path());
        Ok(Self { part, target, _begun: begun })
    }

    /// The file to write into.
    pub fn file(&self) -> &File {
        self.part.as_file()
    }

    /// With another name, in the same folder.
    #[must_use]
    pub fn renamed(self, target: PathBuf) -> Self {
        Self { target, ..self }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is left behind then.
    pub fn finish(self, existing: Existing) -> Result<PathBuf, WriteError> {
        let Self { part, target, .. } = self;
        let failed = |error: &std::io::Error| WriteError::new(&target, error);
        part.as_file().sync_all().map_err(|error| failed(&error))?;
        let _ = part.as_file().unlock();
        match existing {
            Existing::Replace => part.persist(&target).map(drop).map_err(|error| failed(&error.error))?,
            Existing::Keep => give_name(part.path(), &target).map_err(|error| failed(&error))?,
        }
        sync_folder(folder_of(&target));
        Ok(target)
    }
}

/// Writes a whole file, so that a crash leaves either the old content or the new one.
///
/// # Errors
/// [`WriteError`].
pub fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), WriteError> {
    let new = NewFile::create(path)?;
    new.file().write_all(bytes).map_err(|error| WriteError::new(path, &error))?;
    new.finish(existing).map(drop)
}

/// A nameless place for a file that gets its name by `take` (see [`give_name`]).
pub(crate) fn part_in(folder: &Path) -> IoResult<NamedTempFile> {
    remove_stale(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // What any new file gets; the user's mask applies.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let part = builder.tempfile_in(folder)?;
    // Where locks do not exist (some shares), only the day tells what is left over.
    let _ = part.as_file().try_lock();
    Ok(part)
}

/// Gives a file another name; fails with [`ErrorKind::AlreadyExists`] when the name is taken.
pub(crate) fn give_name(file: &Path, path: &Path) -> IoResult<()> {
    let linked = std::fs::hard_link(file, path);
    match linked {
        Err(error) if !matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
            // File systems without links (FAT, some shares): the name is reserved by an empty file, which the real one
            // replaces.
            std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
            std::fs::rename(file, path).inspect_err(|_| {
                let _ = std::fs::remove_file(path);
            })
        }
        other => other,
    }
}

/// Lets new names in a folder reach the disk; systems that cannot open a folder do that on their own.
pub(crate) fn sync_folder(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// Removes what this process has begun and not finished: for a program that is told to stop.
pub fn remove_begun() {
    for path in BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).iter() {
        let _ = std::fs::remove_file(path).or_else(|_| std::fs::remove_dir_all(path));
    }
}

/// A note that something was begun; ends with the thing itself.
#[derive(Debug)]
pub struct Begun(PathBuf);

impl Begun {
    /// Notes a file or folder that is to go if the program is told to stop.
    pub fn note(path: &Path) -> Self {
        BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(path.into());
        Self(path.into())
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        BEGUN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&self.0);
    }
}

/// Where a file really goes.
fn followed(path: &Path) -> Result<PathBuf, WriteError> {
    let refused = |reason: &str| WriteError { path: path.into(), reason: reason.to_owned() };
    let Ok(here) = std::fs::symlink_metadata(path) else { return Ok(path.into()) };
    let target = match here.is_symlink() {
        true => std::fs::canonicalize(path).map_err(|_| refused("it is a link that leads nowhere"))?,
        false => path.into(),
    };
    let there = std::fs::metadata(&target).map_err(|error| WriteError::new(path, &error))?;
    match () {
        () if there.is_dir() => Err(refused("it is a folder; add a file name")),
        () if !there.is_file() => Err(refused("it is a pipe or a device")),
        () if there.permissions().readonly() => Err(refused("it is write-protected")),
        () => Ok(target),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what killed processes left in a folder: nobody has it locked, and where there are no locks it is a day old.
fn remove_stale(folder: &Path) {
    let is_part = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    for item in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if item.file_name().to_str().is_some_and(is_part) && is_stale(&item.path()) {
            let _ = std::fs::remove_file(item.path());
        }
    }
}

fn is_stale(part: &Path) -> bool {
    let is_a_file = std::fs::symlink_metadata(part).is_ok_and(|about| about.is_file());
    let Some(file) = is_a_file.then(|| File::options().write(true).open(part).ok()).flatten() else { return false };
    // Between its creation and its lock a file is a moment old.
    let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|then| then.elapsed().ok());
    let is_older = |seconds| age.is_some_and(|age| age > std::time::Duration::from_secs(seconds));
    match file.try_lock() {
        Ok(()) => is_older(2),
        Err(std::fs::TryLockError::WouldBlock) => false,
        Err(std::fs::TryLockError::Error(_)) => is_older(86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = names.map(|item| item.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn age(path: &Path, seconds: u64) {
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(seconds);
        File::options().write(true).open(path).and_then(|file| file.set_modified(then)).expect("its time");
    }

    #[test]
    fn a_file_is_whole_or_not_there_and_another_stays_if_it_is_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.txt");
        let half = NewFile::create(&path).expect("begun");
        half.file().write_all(b"half").expect("written");
        drop(half);
        assert!(names(folder.path()).is_empty());
        write(&path, b"one", Existing::Keep).expect("written");
        let error = write(&path, b"two", Existing::Keep).expect_err("taken");
        assert!(error.to_string().contains("already") && error.to_string().contains("a.txt"), "{error}");
        assert_eq!(std::fs::read(&path).expect("there"), b"one");
        write(&path, b"two", Existing::Replace).expect("replaced");
        assert_eq!(std::fs::read(&path).expect("there"), b"two");
        assert_eq!(names(folder.path()), ["a.txt"]);
        let error = write(&folder.path().join("absent/b.txt"), b"x", Existing::Replace).expect_err("no folder");
        assert!(error.to_string().contains("folder does not exist"), "{error}");
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_writes_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let left = folder.path().join(".coffre-left.part");
        std::fs::write(&left, b"x").expect("written");
        let busy = NewFile::create(&folder.path().join("busy.txt")).expect("begun");
        age(&left, 10);
        age(busy.part.path(), 10);
        write(&folder.path().join("a.txt"), b"a", Existing::Keep).expect("written");
        assert!(!left.exists());
        busy.finish(Existing::Keep).expect("it was left alone");
        assert_eq!(names(folder.path()), ["a.txt", "busy.txt"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_protected_files_devices_and_folders_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, b"old").expect("written");
        symlink(&file, &link).expect("linked");
        write(&link, b"new", Existing::Replace).expect("written");
        assert_eq!(std::fs::read(&file).expect("there"), b"new");
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
        symlink(folder.path().join("gone/x"), folder.path().join("lost")).expect("linked");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).expect("its owner's");
        for (path, word) in [
            (file.clone(), "write-protected"),
            (link, "write-protected"),
            (folder.path().join("lost"), "leads nowhere"),
            (folder.path().to_path_buf(), "folder"),
            ("/dev/full".into(), "device"),
        ] {
            let error = write(&path, b"x", Existing::Replace).expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(std::fs::read(&file).expect("there"), b"new");
    }

    #[test]
    fn what_was_begun_goes_when_the_program_is_told_to_stop() {
        let folder = tempfile::tempdir().expect("a folder");
        let new = NewFile::create(&folder.path().join("a.txt")).expect("begun");
        // Others run at once in this process: theirs must stay.
        let mine = new.part.path().to_path_buf();
        assert!(BEGUN.lock().expect("whole").contains(&mine));
        drop(new);
        assert!(!BEGUN.lock().expect("whole").contains(&mine));
    }
}
