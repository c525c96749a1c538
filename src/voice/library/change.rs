//! What a person does to the library: import, export, rename, state an origin, delete to the trash, restore.
//!
//! Every change is one rename of a whole file, so that a process killed at any moment leaves either the old library or
//! the new one. Not for the audio thread.

use std::path::{Path, PathBuf};

use super::catalogue::Wants;
use super::store::{make_folder, move_into, save_in, unreadable};
use super::{EMBEDDED, Library, Origin, VoiceEntry};
use crate::new_file::{self, Existing};
use crate::voice::extras::rewrite;
use crate::voice::package::Package;
use crate::voice::{Consent, Manifest, Voice, VoiceError};

/// Folder for deleted voices, inside the folder they were in. Scans do not look into it.
const TRASH: &str = ".trash";

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    /// The voice is in the library now, here.
    New(PathBuf),
    /// A file with the same content was there already, here.
    Known(PathBuf),
}

/// Copies a voice file into a library folder, after opening it whole.
///
/// # Errors
/// Whatever is wrong with the file, or writing it.
pub fn import(file: &Path, folder: &Path, library: &Library) -> Result<Imported, VoiceError> {
    let bytes = Package::read_file(file)?;
    let voice = Voice::from_bytes(&bytes)?;
    if let Some(known) = library.holding(voice.id(), bytes.len() as u64) {
        return Ok(Imported::Known(known.path.clone()));
    }
    save_in(folder, voice.name(), &bytes).map(Imported::New)
}

/// Copies a voice to a file outside the library.
///
/// # Errors
/// [`VoiceError::Unreadable`], [`VoiceError::TooLarge`] or [`VoiceError::Unwritable`].
pub fn export(entry: &VoiceEntry, file: &Path, existing: Existing) -> Result<(), VoiceError> {
    Ok(new_file::write(file, &content(entry)?, existing)?)
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
    move_into(path, &trash, &path.file_stem().unwrap_or_default().to_string_lossy())
}

/// Moves a voice from the trash back into its folder: a file there whose display name fits.
///
/// # Errors
/// [`VoiceError::NotFound`] with the names in the trash, or [`VoiceError::Unreadable`].
pub fn restore(folder: &Path, name: &str) -> Result<PathBuf, VoiceError> {
    let trash =
        Library::search(&[(Origin::User, folder.join(TRASH))], Wants { hashes: false, hurries: false, keeps: false });
    let in_trash: Vec<_> = trash.entries().iter().filter(|entry| entry.origin != Origin::Embedded).collect();
    let wanted = name.trim().to_lowercase();
    let found = in_trash.iter().rfind(|entry| entry.name.to_lowercase() == wanted);
    let entry = found.ok_or_else(|| VoiceError::NotFound {
        wanted: name.to_owned(),
        known: in_trash.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
    })?;
    move_into(&entry.path, folder, &entry.name)
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
    new_file::write(path, &bytes, Existing::Replace)?;
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

/// Today's date in UTC, ISO 8601.
pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
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
}
