//! Where voices are found: embedded ones and those in library folders.
//!
//! Scanning reads manifests, so it belongs to the loader, the editor's background work or the command line, never to the
//! audio thread; whole files are read to hash them, once, or to open them. The looking itself is the process's: see
//! `catalogue`. A bad file does not hide the others: it is listed with its error.

mod catalogue;
mod change;
mod foreign;
mod index;
mod listing;
mod places;
mod search;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use include_dir::{Dir, include_dir};

use super::file::Stamp;
use super::manifest::Kind;
use super::package::Package;
use super::{Manifest, Voice, VoiceError, VoiceId};
use catalogue::{Catalogue, Wants};
use listing::is_voice_file;

pub use change::{Imported, content, content_at, delete, export, import, rename, restore, state, today};
pub use foreign::{ForeignImport, ForeignPlace, ForeignStep, ForeignWishes, import_foreign, is_foreign};
pub use places::{default_folders, user_folder};
pub use search::Search;
pub use store::{save, save_in};

/// File name extension of voices.
pub const EXTENSION: &str = "coffre";

/// Environment variable with further library folders, separated as in `PATH`.
pub const FOLDERS_VARIABLE: &str = "COFFRE_VOICES";

/// A folder of this name in the working folder belongs to the project there.
pub const PROJECT_FOLDER: &str = "coffre-voices";

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/models/voices");

/// Longest that a command waits for a folder to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest that a command waits for one file to be hashed.
const HASH_PATIENCE: Duration = Duration::from_secs(60);

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
    /// SHA-256 of the file content; `None` when the file could not be read, or was not hashed yet.
    pub id: Option<VoiceId>,
    /// Display name; the file name when the file is bad.
    pub name: String,
    /// Where it was found.
    pub origin: Origin,
    /// Full path, or the file name of an embedded voice.
    pub path: PathBuf,
    /// The manifest, or why the file cannot be used.
    pub manifest: Result<Manifest, VoiceError>,
    /// Length and time of the file when it was looked at.
    stamp: Stamp,
}

/// What became of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderState {
    /// It was looked into.
    There,
    /// There is no such folder.
    Absent,
    /// It did not answer: its voices are not known.
    Silent,
}

/// The voices found at the last scan.
#[derive(Clone, Debug, Default)]
pub struct Library {
    entries: Vec<VoiceEntry>,
    folders: Vec<(Origin, PathBuf, FolderState)>,
}

impl Library {
    /// Scans the embedded voices, the folders of this machine and the given project folders; every good file gets its
    /// id. Files that were hashed before are not read again.
    pub fn scan(project_folders: &[PathBuf]) -> Self {
        Self::search(&machine_folders(project_folders), Wants { hashes: true, hurries: true, keeps: true })
    }

    /// As [`Library::scan`], but files are not hashed: what was never hashed has no id.
    pub fn look(project_folders: &[PathBuf]) -> Self {
        Self::search(&machine_folders(project_folders), Wants { hashes: false, hurries: false, keeps: true })
    }

    /// Scans the embedded voices and exactly the given folders. Folders that do not exist are empty.
    pub fn scan_folders(folders: &[(Origin, PathBuf)]) -> Self {
        Self::search(folders, Wants { hashes: true, hurries: true, keeps: false })
    }

    fn search(folders: &[(Origin, PathBuf)], wants: Wants) -> Self {
        let catalogue = Catalogue::process();
        let folders: Vec<_> = folders.iter().map(|(origin, path)| (*origin, absolute(path))).collect();
        let paths: Vec<PathBuf> = folders.iter().map(|(_, path)| path.clone()).collect();
        catalogue.wait(&catalogue.request(&paths, wants), PATIENCE);
        if wants.hashes {
            catalogue.wait_for_hashes(&paths, HASH_PATIENCE);
        }
        let mut library = Self::gather(catalogue, &folders);
        library.drop_twins();
        library
    }

    /// The embedded voices, and what is known of folders now.
    fn gather(catalogue: &Catalogue, folders: &[(Origin, PathBuf)]) -> Self {
        let mut library = Self { entries: embedded().to_vec(), folders: Vec::new() };
        let mut ids: HashSet<VoiceId> = library.entries.iter().filter_map(|entry| entry.id).collect();
        let mut paths = HashSet::new();
        for (origin, folder) in folders {
            let listing = catalogue.listing(folder);
            let state = match (listing.has_answered, listing.is_there) {
                (false, _) => FolderState::Silent,
                (true, false) => FolderState::Absent,
                (true, true) => FolderState::There,
            };
            library.folders.push((*origin, folder.clone(), state));
            for found in listing.files.iter().filter(|found| paths.insert(found.path.clone())) {
                let id = found.good().and_then(|(path, stamp)| catalogue.id_of(path, stamp));
                // The same content in two places is one voice.
                if id.is_some_and(|id| !ids.insert(id)) {
                    continue;
                }
                library.entries.push(VoiceEntry::new(
                    *origin,
                    found.path.clone(),
                    id,
                    found.stamp,
                    found.manifest.as_ref().map(|manifest| Manifest::clone(manifest)).map_err(Clone::clone),
                ));
            }
        }
        library
    }

    /// Tells files apart that could be one voice because length and manifest are the same, and keeps the first of each.
    fn drop_twins(&mut self) {
        let mut by_len: HashMap<u64, Vec<usize>> = HashMap::new();
        for (place, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.manifest.is_ok()) {
            by_len.entry(entry.stamp.len).or_default().push(place);
        }
        for places in by_len.values().filter(|places| places.len() > 1) {
            for &place in places {
                let is_alike =
                    |other: &usize| *other != place && self.entries[*other].manifest == self.entries[place].manifest;
                if self.entries[place].id.is_none() && places.iter().any(is_alike) {
                    self.entries[place].id = self.entries[place].identify();
                }
            }
        }
        let mut ids = HashSet::new();
        self.entries.retain(|entry| entry.id.is_none_or(|id| ids.insert(id)));
    }

    /// The folders that were searched, and what became of each.
    pub fn folders(&self) -> &[(Origin, PathBuf, FolderState)] {
        &self.folders
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
    /// the name when it was rebuilt. Of files that were not hashed yet, those of this name are hashed if it matters which
    /// of them is meant: the same content has the same name.
    pub fn find(&self, id: Option<VoiceId>, name: &str) -> Option<&VoiceEntry> {
        let wanted = name.trim().to_lowercase();
        let is_called = |entry: &&VoiceEntry| is_called(entry, &wanted);
        let former = || self.voices().find(|entry| entry.was(id));
        let named: Vec<&VoiceEntry> = self.voices().filter(is_called).collect();
        let Some(wanted_id) = id else { return named.first().copied() };
        let known: Vec<Option<VoiceId>> = self.voices().map(VoiceEntry::known_id).collect();
        if let Some(place) = known.iter().position(|known| *known == Some(wanted_id)) {
            return self.voices().nth(place);
        }
        if let ([only], None) = (named.as_slice(), former()) {
            return Some(only);
        }
        named
            .iter()
            .find(|entry| entry.known_id().is_none() && entry.identify() == id)
            .copied()
            .or_else(former)
            .or_else(|| named.first().copied())
    }

    /// Finds the voice with exactly this content; files that were not hashed yet are hashed, those of this name first.
    pub fn find_content(&self, id: VoiceId, name: &str) -> Option<&VoiceEntry> {
        let wanted = name.trim().to_lowercase();
        let unknown = |is_named: bool| {
            let entries = self.voices().filter(move |entry| entry.known_id().is_none());
            let wanted = &wanted;
            entries.filter(move |entry| is_called(entry, wanted) == is_named)
        };
        self.voices()
            .find(|entry| entry.known_id() == Some(id))
            .or_else(|| unknown(true).chain(unknown(false)).find(|entry| entry.identify() == Some(id)))
    }

    /// Whether a file of so many bytes is in the library already, by its content.
    fn holding(&self, id: VoiceId, len: u64) -> Option<&VoiceEntry> {
        self.voices().filter(|entry| entry.stamp.len == len).find(|entry| entry.identify() == Some(id))
    }

    /// Finds a voice by a word from the user: an id (or its first eight or more digits), or a display name.
    ///
    /// # Errors
    /// [`VoiceError::NotFound`] with the names that exist.
    pub fn find_by_word(&self, word: &str) -> Result<&VoiceEntry, VoiceError> {
        let lower = word.trim().to_lowercase();
        let id = lower.parse().ok();
        let starts_so = |id: Option<VoiceId>| id.is_some_and(|id| id.to_string().starts_with(&lower));
        let by_digits = || {
            let looks_like_id = lower.len() >= 8 && lower.bytes().all(|b| b.is_ascii_hexdigit());
            let voices = || self.voices().filter(|_| looks_like_id);
            // What is known first: the rest has to be read.
            let known = voices().find(|entry| starts_so(entry.known_id()));
            known.or_else(|| voices().find(|entry| starts_so(entry.identify())))
        };
        self.find(id, word).or_else(by_digits).ok_or_else(|| VoiceError::NotFound {
            wanted: word.to_owned(),
            known: self.voices().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Opens the voice that [`Library::find`] finds; `None` when there is none. What was read is compared with what was
    /// believed of the file, and the search is made again when that was wrong.
    ///
    /// # Errors
    /// As [`VoiceEntry::load`].
    pub fn open(&self, id: Option<VoiceId>, name: &str) -> Result<Option<Arc<Voice>>, VoiceError> {
        /// Corrections of one search; every one concerns another file.
        const MAX_CORRECTIONS: usize = 8;
        for _ in 0..MAX_CORRECTIONS {
            let Some(entry) = self.find(id, name) else { return Ok(None) };
            let believed = entry.known_id();
            let voice = entry.load()?;
            // By former id or by name it may be another one.
            if believed != id || id.is_none() || id == Some(voice.id()) {
                return Ok(Some(voice));
            }
        }
        let reason = "its file keeps changing".to_owned();
        Err(VoiceError::Unreadable { path: name.to_owned(), reason })
    }
}

/// Whether a voice has this name, which is in lower case.
fn is_called(entry: &VoiceEntry, wanted: &str) -> bool {
    entry.name.to_lowercase() == wanted
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Project folders and those of this machine.
fn machine_folders(project_folders: &[PathBuf]) -> Vec<(Origin, PathBuf)> {
    let project = project_folders.iter().map(|path| (Origin::Project, path.clone()));
    project.chain(default_folders()).collect()
}

/// The voices in the program itself. Read once per process.
fn embedded() -> &'static [VoiceEntry] {
    static ENTRIES: OnceLock<Vec<VoiceEntry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let mut files: Vec<_> = EMBEDDED.files().filter(|file| is_voice_file(file.path())).collect();
        files.sort_by_key(|file| file.path());
        let entry = |file: &include_dir::File<'_>| {
            let bytes = file.contents();
            let peeked = Package::peek(bytes).and_then(|(id, manifest)| {
                super::expect_kind(&manifest, Kind::Voice)?;
                Ok((id, manifest))
            });
            let stamp = Stamp { len: bytes.len() as u64, modified_ns: 0 };
            let id = peeked.as_ref().ok().map(|(id, _)| *id);
            VoiceEntry::new(Origin::Embedded, file.path().to_owned(), id, stamp, peeked.map(|(_, manifest)| manifest))
        };
        files.into_iter().map(entry).collect()
    })
}

impl VoiceEntry {
    fn new(
        origin: Origin,
        path: PathBuf,
        id: Option<VoiceId>,
        stamp: Stamp,
        manifest: Result<Manifest, VoiceError>,
    ) -> Self {
        let file_name = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = manifest.as_ref().map_or_else(|_| file_name(), |manifest| manifest.name.clone());
        Self { id, name, origin, path, manifest, stamp }
    }

    /// The id as far as it is known by now.
    fn known_id(&self) -> Option<VoiceId> {
        match self.origin {
            Origin::Embedded => self.id,
            _ => Catalogue::process().id_of(&self.path, self.stamp),
        }
    }

    /// The id; a file that was not hashed yet is read. `None` when it cannot be read.
    pub fn identify(&self) -> Option<VoiceId> {
        match (self.origin, &self.manifest) {
            (_, Err(_)) => None,
            (Origin::Embedded, _) => self.id,
            _ => Catalogue::process().identify(&self.path, self.stamp),
        }
    }

    /// Whether it had an id before it was changed.
    fn was(&self, id: Option<VoiceId>) -> bool {
        let former = self.manifest.as_ref().map_or(&[][..], |manifest| &manifest.previous_ids);
        id.is_some_and(|id| former.iter().any(|text| text.parse() == Ok(id)))
    }

    /// Opens the voice, or hands out the copy that another instance of this process already holds.
    ///
    /// # Errors
    /// The entry's own error, or whatever opening the file gives.
    pub fn load(&self) -> Result<Arc<Voice>, VoiceError> {
        let manifest = self.manifest.as_ref().map_err(Clone::clone)?;
        // An id that is wrongly believed names another voice, which has another manifest.
        if let Some(voice) = self.known_id().and_then(shared).filter(|voice| voice.manifest() == manifest) {
            return Ok(voice);
        }
        if self.origin == Origin::Embedded {
            let file = EMBEDDED.get_file(&self.path).ok_or_else(|| VoiceError::NotFound {
                wanted: self.name.clone(),
                known: "the embedded voices changed".to_owned(),
            })?;
            return Ok(share(Voice::from_bytes(file.contents())?));
        }
        let before = Stamp::of(&self.path);
        let voice = Voice::open(&self.path)?;
        if let Some(stamp) = before.filter(|_| before == Stamp::of(&self.path)) {
            Catalogue::process().learn(&self.path, stamp, voice.id());
        }
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
