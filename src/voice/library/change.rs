//! What a person does to the library: import, export, rename, state an origin, delete to the trash, restore.
//!
//! Every change is one rename of a whole file, so that a process killed at any moment leaves either the old library or
//! the new one. Not for the audio thread.

use std::path::{Path, PathBuf};

use super::{EMBEDDED, EXTENSION, Library, Origin, VoiceEntry, user_folder};
use crate::voice::extras::rewrite;
use crate::voice::package::{Package, write_atomically};
use crate::voice::{Consent, Manifest, Voice, VoiceError, VoiceId};

/// Folder for deleted voices, inside the folder they were in. Scans do not look into it.
const TRASH: &str = ".trash";

/// Longest file name made from a display name, in characters.
const MAX_STEM: usize = 60;

/// Files of one name that are told apart by numbers.
const MAX_NUMBER: u32 = 10_000;

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The voice is in the library now, here.
    New(PathBuf),
    /// A file with the same content was there already, here.
    Known(PathBuf),
}

/// A file name in the user's folder for a new voice; makes the folder.
///
/// # Errors
/// [`VoiceError::Unreadable`] when there is no such folder and none can be made.
pub fn new_path(name: &str) -> Result<PathBuf, VoiceError> {
    let folder = user_folder().ok_or_else(|| unreadable(Path::new("the home folder"), "it is not known"))?;
    new_path_in(&folder, name)
}

/// As [`new_path`], in another folder.
///
/// # Errors
/// [`VoiceError::Unreadable`] when the folder cannot be made.
pub fn new_path_in(folder: &Path, name: &str) -> Result<PathBuf, VoiceError> {
    make_folder(folder)?;
    Ok(free_path(folder, name))
}

/// Copies a voice file into a library folder, after opening it whole.
///
/// # Errors
/// Whatever is wrong with the file, or writing it.
pub fn import(file: &Path, folder: &Path, library: &Library) -> Result<Imported, VoiceError> {
    let bytes = Package::read_file(file)?;
    let voice = Voice::from_bytes(&bytes)?;
    if let Some(known) = library.voices().find(|entry| entry.id == Some(voice.id())) {
        return Ok(Imported::Known(known.path.clone()));
    }
    make_folder(folder)?;
    let path = free_path(folder, voice.name());
    write_atomically(&path, &bytes)?;
    Ok(Imported::New(path))
}

/// Copies a voice to a file outside the library.
///
/// # Errors
/// [`VoiceError::Unreadable`] or [`VoiceError::TooLarge`].
pub fn export(entry: &VoiceEntry, file: &Path) -> Result<(), VoiceError> {
    write_atomically(file, &content(entry)?)
}

/// Gives a voice another display name. Sessions still find it.
///
/// # Errors
/// [`VoiceError::Fixed`] for a voice that is not the user's to change; whatever is wrong with the name.
pub fn rename(entry: &VoiceEntry, name: &str) -> Result<PathBuf, VoiceError> {
    let path = changeable(entry)?;
    replace(entry, path, |manifest| name.trim().clone_into(&mut manifest.name))
}

/// States whose voice it is.
///
/// # Errors
/// As [`rename`].
pub fn state(entry: &VoiceEntry, consent: Consent) -> Result<PathBuf, VoiceError> {
    let path = changeable(entry)?;
    replace(entry, path, |manifest| {
        // What the recordings were is not a matter of opinion.
        let recordings_sha256 = manifest.consent.as_ref().and_then(|old| old.recordings_sha256.clone());
        manifest.consent = Some(Consent { recordings_sha256, ..consent });
    })
}

/// Moves a voice to the trash of its folder and says where it lies there.
///
/// # Errors
/// [`VoiceError::Fixed`] or [`VoiceError::Unreadable`].
pub fn delete(entry: &VoiceEntry) -> Result<PathBuf, VoiceError> {
    let path = match entry.origin {
        Origin::Embedded => return Err(fixed(entry, "it is part of Coffre")),
        _ => &entry.path,
    };
    let trash = path.parent().unwrap_or(Path::new(".")).join(TRASH);
    make_folder(&trash)?;
    let target = free_path(&trash, &path.file_stem().unwrap_or_default().to_string_lossy());
    std::fs::rename(path, &target).map_err(|error| unreadable(path, &error.to_string()))?;
    Ok(target)
}

/// Moves a voice from the trash back into its folder: a file there whose display name fits.
///
/// # Errors
/// [`VoiceError::NotFound`] with the names in the trash, or [`VoiceError::Unreadable`].
pub fn restore(folder: &Path, name: &str) -> Result<PathBuf, VoiceError> {
    let trash = Library::of_folder(Origin::User, &folder.join(TRASH));
    let wanted = name.trim().to_lowercase();
    let found = trash.entries().iter().rfind(|entry| entry.name.to_lowercase() == wanted);
    let entry = found.ok_or_else(|| VoiceError::NotFound {
        wanted: name.to_owned(),
        known: trash.entries().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    let target = free_path(folder, &entry.name);
    std::fs::rename(&entry.path, &target).map_err(|error| unreadable(&entry.path, &error.to_string()))?;
    Ok(target)
}

/// Writes the changed file beside the old one's place, then lets go of the old name.
fn replace(entry: &VoiceEntry, path: &Path, edit: impl FnOnce(&mut Manifest)) -> Result<PathBuf, VoiceError> {
    let package = Package::open(&content(entry)?)?;
    if let Some(key) = package.signature.key() {
        let reason = format!("it is signed by the key {key}, and a change would break the signature");
        return Err(fixed(entry, &reason));
    }
    let bytes = rewrite(&content(entry)?, edit)?;
    // The file keeps its name: one rename, and never two files of one voice.
    write_atomically(path, &bytes)?;
    Ok(path.to_owned())
}

/// The bytes of an entry's file.
///
/// # Errors
/// [`VoiceError::Unreadable`] or [`VoiceError::TooLarge`].
pub fn content(entry: &VoiceEntry) -> Result<Vec<u8>, VoiceError> {
    content_at(&entry.path, entry.origin == Origin::Embedded)
}

/// The bytes of the file that an entry was made of, by its path.
///
/// # Errors
/// As [`content`].
pub fn content_at(path: &Path, is_embedded: bool) -> Result<Vec<u8>, VoiceError> {
    match is_embedded {
        true => EMBEDDED
            .get_file(path)
            .map(|file| file.contents().to_vec())
            .ok_or_else(|| unreadable(path, "it is not embedded")),
        false => Package::read_file(path),
    }
}

fn changeable(entry: &VoiceEntry) -> Result<&Path, VoiceError> {
    entry.manifest.as_ref().map_err(Clone::clone)?;
    match entry.origin {
        Origin::Embedded => Err(fixed(entry, "it is part of Coffre. Export it and change the copy")),
        _ => Ok(&entry.path),
    }
}

fn fixed(entry: &VoiceEntry, reason: &str) -> VoiceError {
    VoiceError::Fixed { name: entry.name.clone(), reason: reason.to_owned() }
}

fn unreadable(path: &Path, reason: &str) -> VoiceError {
    VoiceError::Unreadable { path: path.display().to_string(), reason: reason.to_owned() }
}

fn make_folder(folder: &Path) -> Result<(), VoiceError> {
    std::fs::create_dir_all(folder).map_err(|error| unreadable(folder, &error.to_string()))
}

/// A path that does not exist yet, named after a voice.
fn free_path(folder: &Path, name: &str) -> PathBuf {
    let stem = stem(name);
    let numbered = (2..MAX_NUMBER).map(|n| format!("{stem}-{n}"));
    let mut names = std::iter::once(stem.clone()).chain(numbered);
    let free = names.find_map(|name| {
        let path = folder.join(format!("{name}.{EXTENSION}"));
        (!path.exists()).then_some(path)
    });
    free.unwrap_or_else(|| folder.join(format!("{stem}-{}.{EXTENSION}", std::process::id())))
}

/// A display name as every file system takes it.
fn stem(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let stem: String = name.trim().chars().take(MAX_STEM).map(plain).collect();
    let stem = stem.trim_matches('-').to_lowercase();
    if stem.is_empty() { "voice".to_owned() } else { stem }
}

/// Today's date in UTC, ISO 8601.
pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

impl Library {
    /// Voices of one folder alone, without the embedded ones.
    fn of_folder(origin: Origin, folder: &Path) -> Self {
        let mut library = Self::default();
        library.add_folder(origin, folder);
        library
    }
}

/// A number that changes when a voice file appears, goes or changes in the folders: what a watcher compares.
///
/// Reads names, sizes and times only.
pub fn fingerprint(folders: &[(Origin, PathBuf)]) -> VoiceId {
    let mut text = String::new();
    for path in folders.iter().flat_map(|(_, folder)| super::voice_files(folder)) {
        let data = std::fs::metadata(&path).ok();
        let time = data.as_ref().and_then(|data| data.modified().ok());
        text += &format!("{} {:?} {time:?}\n", path.display(), data.as_ref().map(std::fs::Metadata::len));
    }
    VoiceId::of(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_iso_8601_has_it() {
        let today = today();
        let parts: Vec<usize> = today.split('-').map(|part| part.parse().expect("a number")).collect();
        assert!(today.len() == 10 && parts[0] >= 2026 && (1..=12).contains(&parts[1]) && (1..=31).contains(&parts[2]));
    }

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
}
