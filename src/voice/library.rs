//! Where voices are found: embedded ones and those in library folders.
//!
//! Scanning reads files, so it belongs to the worker, the editor's background work or the command line, never to the
//! audio thread. A bad file does not hide the others: it is listed with its error.

mod change;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use include_dir::{Dir, include_dir};

use super::manifest::Kind;
use super::package::Package;
use super::{Manifest, Voice, VoiceError, VoiceId};

pub use change::{
    Imported, content, content_at, delete, export, fingerprint, import, new_path, new_path_in, rename, restore, state,
    today,
};

/// File name extension of voices.
pub const EXTENSION: &str = "coffre";

/// Environment variable with further library folders, separated as in `PATH`.
pub const FOLDERS_VARIABLE: &str = "COFFRE_VOICES";

/// A folder of this name in the working folder belongs to the project there.
pub const PROJECT_FOLDER: &str = "coffre-voices";

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/models/voices");

/// Most files looked at in one folder.
const MAX_FILES: usize = 4_096;

/// Where a voice comes from. Earlier ones win when two files have the same content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Part of the program.
    Embedded,
    /// A folder beside the project.
    Project,
    /// The user's own folder.
    User,
    /// A folder for all users.
    System,
}

/// One voice of the library, or a file that should be one.
#[derive(Clone, Debug)]
pub struct VoiceEntry {
    /// SHA-256 of the file content; `None` when the file could not be read.
    pub id: Option<VoiceId>,
    /// Display name; the file name when the file is bad.
    pub name: String,
    /// Where it was found.
    pub origin: Origin,
    /// Full path, or the file name of an embedded voice.
    pub path: PathBuf,
    /// The manifest, or why the file cannot be used.
    pub manifest: Result<Manifest, VoiceError>,
}

/// The voices found at the last scan.
#[derive(Clone, Debug, Default)]
pub struct Library {
    entries: Vec<VoiceEntry>,
}

impl Library {
    /// Scans the embedded voices, the folders of this machine and the given project folders.
    pub fn scan(project_folders: &[PathBuf]) -> Self {
        let mut folders: Vec<(Origin, PathBuf)> =
            project_folders.iter().map(|path| (Origin::Project, path.clone())).collect();
        folders.extend(default_folders());
        Self::scan_folders(&folders)
    }

    /// Scans the embedded voices and exactly the given folders. Folders that do not exist are empty.
    pub fn scan_folders(folders: &[(Origin, PathBuf)]) -> Self {
        let mut library = Self::default();
        let mut embedded: Vec<_> = EMBEDDED.files().filter(|file| is_voice_file(file.path())).collect();
        embedded.sort_by_key(|file| file.path());
        for file in embedded {
            library.add(Origin::Embedded, file.path().to_owned(), Ok(file.contents()));
        }
        for (origin, folder) in folders {
            library.add_folder(*origin, folder);
        }
        library
    }

    fn add_folder(&mut self, origin: Origin, folder: &Path) {
        for path in voice_files(folder) {
            match Package::read_file(&path) {
                Ok(bytes) => self.add(origin, path, Ok(&bytes)),
                Err(error) => self.add(origin, path, Err(error)),
            }
        }
    }

    fn add(&mut self, origin: Origin, path: PathBuf, content: Result<&[u8], VoiceError>) {
        let peeked = content.and_then(Package::peek).and_then(|(id, manifest)| {
            super::expect_kind(&manifest, Kind::Voice)?;
            Ok((id, manifest))
        });
        let file_name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let entry = match peeked {
            // The same content in two places is one voice.
            Ok((id, _)) if self.entries.iter().any(|entry| entry.id == Some(id)) => return,
            Ok((id, manifest)) => {
                VoiceEntry { id: Some(id), name: manifest.name.clone(), origin, path, manifest: Ok(manifest) }
            }
            Err(error) => VoiceEntry { id: None, name: file_name, origin, path, manifest: Err(error) },
        };
        self.entries.push(entry);
    }

    /// All entries: embedded first, then project, user and system folders, each by file name.
    pub fn entries(&self) -> &[VoiceEntry] {
        &self.entries
    }

    /// The usable voices.
    pub fn voices(&self) -> impl Iterator<Item = &VoiceEntry> {
        self.entries.iter().filter(|entry| entry.manifest.is_ok())
    }

    /// Finds a voice by its id, else by an id it had before, else by its display name, ignoring case.
    ///
    /// The id wins, so a renamed file is still found; former ids serve when a voice was renamed or its origin stated,
    /// the name when it was rebuilt.
    pub fn find(&self, id: Option<VoiceId>, name: &str) -> Option<&VoiceEntry> {
        let wanted = name.trim().to_lowercase();
        let had = |entry: &&VoiceEntry| {
            let former = entry.manifest.as_ref().map_or(&[][..], |manifest| &manifest.previous_ids);
            id.is_some_and(|id| former.iter().any(|text| text.parse() == Ok(id)))
        };
        self.voices()
            .find(|entry| id.is_some() && entry.id == id)
            .or_else(|| self.voices().find(had))
            .or_else(|| self.voices().find(|entry| entry.name.to_lowercase() == wanted))
    }

    /// Finds a voice by a word from the user: an id (or its first eight or more digits), or a display name.
    ///
    /// # Errors
    /// [`VoiceError::NotFound`] with the names that exist.
    pub fn find_by_word(&self, word: &str) -> Result<&VoiceEntry, VoiceError> {
        let lower = word.trim().to_lowercase();
        self.find(lower.parse().ok(), word)
            .or_else(|| {
                let looks_like_id = lower.len() >= 8 && lower.bytes().all(|b| b.is_ascii_hexdigit());
                self.voices().find(|e| looks_like_id && e.id.is_some_and(|id| id.to_string().starts_with(&lower)))
            })
            .ok_or_else(|| VoiceError::NotFound {
                wanted: word.to_owned(),
                known: self.voices().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
            })
    }
}

impl VoiceEntry {
    /// Opens the voice, or hands out the copy that another instance of this process already holds.
    ///
    /// # Errors
    /// The entry's own error, or whatever opening the file gives.
    pub fn load(&self) -> Result<Arc<Voice>, VoiceError> {
        self.manifest.as_ref().map_err(Clone::clone)?;
        if let Some(voice) = self.id.and_then(shared) {
            return Ok(voice);
        }
        let voice = match self.origin {
            Origin::Embedded => {
                let file = EMBEDDED.get_file(&self.path).ok_or_else(|| VoiceError::NotFound {
                    wanted: self.name.clone(),
                    known: "the embedded voices changed".to_owned(),
                })?;
                Voice::from_bytes(file.contents())?
            }
            _ => Voice::open(&self.path)?,
        };
        Ok(share(voice))
    }
}

/// Opens a voice file given by path and shares it within the process.
///
/// # Errors
/// Whatever opening the file gives.
pub fn load_file(path: &Path) -> Result<Arc<Voice>, VoiceError> {
    Ok(share(Voice::open(path)?))
}

fn registry() -> std::sync::MutexGuard<'static, HashMap<VoiceId, Weak<Voice>>> {
    static VOICES: OnceLock<Mutex<HashMap<VoiceId, Weak<Voice>>>> = OnceLock::new();
    // A panic while holding the lock cannot leave the map half-written in a way that matters.
    VOICES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared(id: VoiceId) -> Option<Arc<Voice>> {
    registry().get(&id).and_then(Weak::upgrade)
}

fn share(voice: Voice) -> Arc<Voice> {
    let mut voices = registry();
    voices.retain(|_, held| held.strong_count() > 0);
    if let Some(held) = voices.get(&voice.id()).and_then(Weak::upgrade) {
        return held;
    }
    let voice = Arc::new(voice);
    voices.insert(voice.id(), Arc::downgrade(&voice));
    voice
}

/// The user's own voice folder, where new voices are saved. `None` when the system names no home.
pub fn user_folder() -> Option<PathBuf> {
    data_home().map(|home| home.join(FOLDER_NAME).join("voices"))
}

/// Library folders: [`PROJECT_FOLDER`] in the working folder, those of [`FOLDERS_VARIABLE`], the user's, those for
/// all users.
pub fn default_folders() -> Vec<(Origin, PathBuf)> {
    let project = std::env::current_dir().ok().map(|folder| folder.join(PROJECT_FOLDER));
    let mut folders: Vec<_> =
        project.filter(|path| path.is_dir()).map(|path| (Origin::Project, path)).into_iter().collect();
    if let Some(list) = std::env::var_os(FOLDERS_VARIABLE) {
        folders.extend(std::env::split_paths(&list).filter(|path| path.is_absolute()).map(|p| (Origin::User, p)));
    }
    folders.extend(user_folder().map(|path| (Origin::User, path)));
    folders.extend(system_data().into_iter().map(|path| (Origin::System, path.join(FOLDER_NAME).join("voices"))));
    folders
}

/// The data folders' own customs on the three systems.
#[cfg(not(any(target_os = "macos", windows)))]
const FOLDER_NAME: &str = "coffre";
/// The data folders' own customs on the three systems.
#[cfg(any(target_os = "macos", windows))]
const FOLDER_NAME: &str = "Coffre";

/// An absolute path from an environment variable; the XDG specification says to ignore relative ones.
fn absolute_variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(not(any(target_os = "macos", windows)))]
fn data_home() -> Option<PathBuf> {
    absolute_variable("XDG_DATA_HOME").or_else(|| absolute_variable("HOME").map(|home| home.join(".local/share")))
}

#[cfg(not(any(target_os = "macos", windows)))]
fn system_data() -> Vec<PathBuf> {
    let list = std::env::var_os("XDG_DATA_DIRS").filter(|list| !list.is_empty());
    let list = list.unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    std::env::split_paths(&list).filter(|path| path.is_absolute()).collect()
}

#[cfg(target_os = "macos")]
fn data_home() -> Option<PathBuf> {
    absolute_variable("HOME").map(|home| home.join("Library/Application Support"))
}

#[cfg(target_os = "macos")]
fn system_data() -> Vec<PathBuf> {
    vec![PathBuf::from("/Library/Application Support")]
}

#[cfg(windows)]
fn data_home() -> Option<PathBuf> {
    absolute_variable("APPDATA")
}

#[cfg(windows)]
fn system_data() -> Vec<PathBuf> {
    absolute_variable("PROGRAMDATA").into_iter().collect()
}

fn is_voice_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION))
}

/// Voice files directly in a folder, by name.
fn voice_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        listing.flatten().map(|item| item.path()).filter(|path| is_voice_file(path)).take(MAX_FILES).collect();
    files.sort();
    files
}
