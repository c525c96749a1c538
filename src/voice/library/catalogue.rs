//! What this process knows of voice folders: one look at a time for all instances, each on a thread that may hang alone.
//!
//! A look lists a folder and reads the manifests of files that are new or have changed; hashing whole files comes after
//! it, one file after the other, at low priority unless a command waits for it, and no instance does. A folder that does not answer holds up
//! its own thread and nothing else; how many threads there may be is bounded. The threads go on when an instance ends, so
//! whoever looks from a plugin has pinned its module before. Not for the audio thread.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::index::{self, Ids};
use super::listing::{Found, Listing, Seen, hash, list, look_into};
use crate::voice::VoiceId;
use crate::voice::file::Stamp;

/// Most folders that are looked into at once: so many may hang before another one has to wait.
const MAX_SCANNERS: usize = 16;

/// Most files that are hashed at once.
const MAX_HASHERS: usize = 2;

/// A folder that has been looked into for so long is not waited for by those who come then.
const OVERDUE: Duration = Duration::from_secs(1);

/// Share of the time that looking again and again may take, as its divisor: network shares are slow.
const IDLE_PER_LOOK: u32 = 20;

/// Time between two writings of the index while many files are hashed.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// What is wanted of a folder besides its listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wants {
    /// Files without an id are to be hashed.
    pub hashes: bool,
    /// Somebody waits for that: it is not to be done at low priority.
    pub hurries: bool,
    /// The folder is one of this machine's: its ids are kept on disk.
    pub keeps: bool,
}

/// A look that was asked for: folders, and which look of each.
pub(super) type Ticket = Vec<(PathBuf, u64)>;

/// A way to list a folder; tests have one that hangs.
type Lister = dyn Fn(&Path) -> Option<Vec<Seen>> + Send + Sync;

/// See the module.
pub(super) struct Catalogue {
    state: Mutex<State>,
    news: Condvar,
    list: Box<Lister>,
    /// The file of the index; `None` = nothing is kept.
    index: Option<PathBuf>,
}

#[derive(Default)]
struct State {
    folders: HashMap<PathBuf, Folder>,
    ids: Ids,
    /// Hashed so soon after a change that another one may have gone unseen; not kept on disk.
    unsure: HashSet<PathBuf>,
    has_loaded: bool,
    /// Whether `ids` has what the file does not.
    is_dirty: bool,
    saved: Option<Instant>,
    /// Threads that look into folders, and how many of them are at it.
    scanners: usize,
    scanning: usize,
    to_scan: VecDeque<PathBuf>,
    /// Threads that hash, and how many of them are at it.
    hashers: usize,
    hashing: usize,
    to_hash: VecDeque<PathBuf>,
}

#[derive(Default)]
struct Folder {
    listing: Listing,
    /// Number of the newest look that was asked for, and of the newest that is done.
    wanted: u64,
    done: u64,
    /// Since when it is looked into.
    running: Option<Instant>,
    ended: Option<Instant>,
    took: Duration,
    /// Grows with each change that can be seen.
    version: u64,
    wants_hashes: bool,
    hurries: bool,
    keeps: bool,
    is_hashing: bool,
    /// Files that could not be hashed.
    failed: HashSet<(PathBuf, Stamp)>,
}

impl Catalogue {
    fn new(list: Box<Lister>, index: Option<PathBuf>) -> Self {
        Self { state: Mutex::default(), news: Condvar::new(), list, index }
    }

    /// That of this process.
    pub fn process() -> &'static Arc<Self> {
        static CATALOGUE: OnceLock<Arc<Catalogue>> = OnceLock::new();
        CATALOGUE.get_or_init(|| Arc::new(Self::new(Box::new(list), index::path())))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves whole values behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look at folders that begins after this call. Does not wait.
    pub fn request(self: &Arc<Self>, folders: &[PathBuf], wants: Wants) -> Ticket {
        let mut state = self.state();
        let mut ticket = Vec::new();
        for path in folders {
            ticket.push((path.clone(), state.want(path, wants)));
            // What could not be read may be readable by now.
            state.folders.entry(path.clone()).or_default().failed.clear();
        }
        self.employ(&mut state);
        ticket
    }

    /// As [`Catalogue::request`], for folders that nobody has looked into for a time.
    pub fn refresh(self: &Arc<Self>, folders: &[PathBuf], wants: Wants, max_age: Duration) {
        let mut state = self.state();
        for path in folders {
            let folder = state.folders.entry(path.clone()).or_default();
            let pause = max_age.max(folder.took * IDLE_PER_LOOK);
            if folder.done == folder.wanted && folder.ended.is_none_or(|ended| ended.elapsed() >= pause) {
                state.want(path, wants);
            }
        }
        self.employ(&mut state);
    }

    /// Waits for a look, but not for folders that have not answered for a while; tells whether all of it is done.
    pub fn wait(&self, ticket: &Ticket, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.state();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !ticket.iter().any(|(path, look)| state.is_worth_waiting(path, *look)) {
                return state.is_done(ticket);
            }
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether a look is done.
    pub fn is_done(&self, ticket: &Ticket) -> bool {
        self.state().is_done(ticket)
    }

    /// Waits until the files of folders are hashed, as long as one after the other gets ready within `patience`.
    pub fn wait_for_hashes(&self, folders: &[PathBuf], patience: Duration) {
        let mut state = self.state();
        while state.folders.iter().any(|(path, folder)| folder.is_hashing && folders.contains(path)) {
            let (next, waited) = self.news.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                return;
            }
            state = next;
        }
    }

    /// Bytes of the files in folders that have no id yet.
    pub fn bytes_to_hash(&self, folders: &[PathBuf]) -> u64 {
        let state = self.state();
        let folders = folders.iter().filter_map(|path| state.folders.get(path));
        folders.flat_map(|folder| state.unhashed(folder)).map(|(_, stamp)| stamp.len).sum()
    }

    /// Waits until there may be something new.
    pub fn wait_for_news(&self, patience: Duration) {
        let _ = self.news.wait_timeout(self.state(), patience).unwrap_or_else(PoisonError::into_inner);
    }

    /// What the newest look found in a folder.
    pub fn listing(&self, folder: &Path) -> Listing {
        self.state().folders.get(folder).map(|folder| folder.listing.clone()).unwrap_or_default()
    }

    /// A number that grows when something that can be seen changes in these folders.
    pub fn version(&self, folders: &[PathBuf]) -> u64 {
        let state = self.state();
        folders.iter().filter_map(|path| state.folders.get(path)).map(|folder| folder.version).sum()
    }

    /// The id of a file, if it is known.
    pub fn id_of(&self, path: &Path, stamp: Stamp) -> Option<VoiceId> {
        self.state().id_of(path, stamp)
    }

    /// The id of a file; reads it when that is needed. `None` when it cannot be read.
    pub fn identify(&self, path: &Path, stamp: Stamp) -> Option<VoiceId> {
        let known = self.id_of(path, stamp);
        known.or_else(|| {
            let now = SystemTime::now();
            let (stamp, id) = hash(path).ok()?;
            self.state().learn(path, stamp, id, now);
            Some(id)
        })
    }

    /// Remembers the id of a file that was read while it had this stamp. What was believed before is corrected.
    pub fn learn(&self, path: &Path, stamp: Stamp, id: VoiceId) {
        let mut state = self.state();
        let before = state.id_of(path, stamp);
        if before != Some(id) {
            state.learn(path, stamp, id, SystemTime::now());
            if let Some(folder) = path.parent().and_then(|folder| state.folders.get_mut(folder)) {
                folder.version += 1;
            }
            self.news.notify_all();
        }
    }

    /// Gives waiting folders to threads.
    fn employ(self: &Arc<Self>, state: &mut State) {
        // Those that are not at work are about to take a folder.
        while state.to_scan.len() > state.scanners - state.scanning.min(state.scanners) && state.scanners < MAX_SCANNERS
        {
            if !self.spawn(Self::scan_all) {
                return;
            }
            state.scanners += 1;
        }
        while state.to_hash.len() > state.hashers - state.hashing.min(state.hashers) && state.hashers < MAX_HASHERS {
            if !self.spawn(Self::hash_all) {
                return;
            }
            state.hashers += 1;
        }
    }

    fn spawn(self: &Arc<Self>, work: fn(&Arc<Self>)) -> bool {
        let own = self.clone();
        std::thread::Builder::new().name("coffre-voices".to_owned()).spawn(move || work(&own)).is_ok()
    }

    /// A scanner: looks into folders as long as one waits.
    fn scan_all(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(path) = state.to_scan.pop_front() else {
                state.scanners -= 1;
                return;
            };
            state.scanning += 1;
            let folder = state.folders.entry(path.clone()).or_default();
            folder.running = Some(Instant::now());
            let (look, known, keeps) = (folder.wanted, folder.listing.clone(), folder.keeps);
            let must_load = keeps && !std::mem::replace(&mut state.has_loaded, true);
            drop(state);
            if must_load && let Some(index) = &self.index {
                let ids = index::load(index);
                let mut state = self.state();
                for (path, known) in ids {
                    state.ids.entry(path).or_insert(known);
                }
            }
            // A file that makes a reader panic must not end the looking.
            let found = catch_unwind(AssertUnwindSafe(|| look_into((self.list)(&path), &known)));
            let mut state = self.state();
            state.scanning -= 1;
            state.take(&path, look, found.unwrap_or(known));
            self.employ(&mut state);
            self.news.notify_all();
        }
    }

    /// A hasher: hashes the files of one folder after the other.
    fn hash_all(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(path) = state.to_hash.pop_front() else {
                state.hashers -= 1;
                return;
            };
            state.hashing += 1;
            let hurries = state.folders.get(&path).is_some_and(|folder| folder.hurries);
            drop(state);
            if !hurries {
                lower_priority();
            }
            while let Some((file, stamp)) = self.next_to_hash(&path) {
                let now = SystemTime::now();
                let hashed = hash(&file);
                let mut state = self.state();
                match hashed {
                    Ok((new, id)) if new == stamp => state.learn(&file, stamp, id, now),
                    // It changed meanwhile, which the next look finds, or cannot be read.
                    _ => {
                        state.folders.entry(path.clone()).or_default().failed.insert((file, stamp));
                    }
                }
                state.folders.entry(path.clone()).or_default().version += 1;
                let is_due = state.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY);
                drop(state);
                self.news.notify_all();
                if is_due {
                    self.save();
                }
            }
            self.save();
            let mut state = self.state();
            state.hashing -= 1;
            state.folders.entry(path).or_default().is_hashing = false;
            drop(state);
            self.news.notify_all();
        }
    }

    /// The shortest file of a folder that has no id yet.
    fn next_to_hash(&self, path: &Path) -> Option<(PathBuf, Stamp)> {
        let state = self.state();
        let files = state.unhashed(state.folders.get(path)?);
        files.min_by_key(|(_, stamp)| stamp.len).map(|(path, stamp)| (path.to_owned(), stamp))
    }

    /// Writes the index, if it has something new to say.
    fn save(&self) {
        static SAVING: Mutex<()> = Mutex::new(());
        let Some(index) = &self.index else { return };
        let _turn = SAVING.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if !std::mem::take(&mut state.is_dirty) {
            return;
        }
        state.saved = Some(Instant::now());
        let kept: HashMap<&PathBuf, &Folder> =
            state.folders.iter().filter(|(_, folder)| folder.keeps && folder.listing.is_there).collect();
        let mut ids = Ids::new();
        for folder in kept.values() {
            let sure = folder.listing.files.iter().filter(|found| !state.unsure.contains(&found.path));
            ids.extend(sure.filter_map(|found| Some((found.path.clone(), *state.ids.get(&found.path)?))));
        }
        let folders: HashSet<PathBuf> = kept.keys().map(|path| (*path).clone()).collect();
        drop(state);
        if ids.is_empty() {
            return;
        }
        // Without an index all goes on; the next process hashes again.
        let _ = index::save(index, &ids, |path| path.parent().is_some_and(|folder| folders.contains(folder)));
    }
}

impl State {
    /// Wants one more look at a folder; gives its number.
    fn want(&mut self, path: &Path, wants: Wants) -> u64 {
        let folder = self.folders.entry(path.to_owned()).or_default();
        folder.wants_hashes |= wants.hashes;
        folder.hurries |= wants.hurries;
        folder.keeps |= wants.keeps;
        let is_idle = folder.done == folder.wanted;
        folder.wanted += 1;
        if is_idle {
            self.to_scan.push_back(path.to_owned());
        }
        folder.wanted
    }

    fn is_done(&self, ticket: &Ticket) -> bool {
        ticket.iter().all(|(path, look)| self.folders.get(path).is_some_and(|folder| folder.done >= *look))
    }

    fn is_worth_waiting(&self, path: &Path, look: u64) -> bool {
        self.folders
            .get(path)
            .is_some_and(|folder| folder.done < look && folder.running.is_none_or(|since| since.elapsed() < OVERDUE))
    }

    fn id_of(&self, path: &Path, stamp: Stamp) -> Option<VoiceId> {
        self.ids.get(path).filter(|(of, _)| *of == stamp).map(|(_, id)| *id)
    }

    /// `now` is when reading began.
    fn learn(&mut self, path: &Path, stamp: Stamp, id: VoiceId, now: SystemTime) {
        self.ids.insert(path.to_owned(), (stamp, id));
        match stamp.is_fresh(now) {
            true => self.unsure.insert(path.to_owned()),
            false => {
                self.is_dirty = true;
                self.unsure.remove(path)
            }
        };
    }

    fn unhashed<'a>(&'a self, folder: &'a Folder) -> impl Iterator<Item = (&'a Path, Stamp)> {
        let files = folder.listing.files.iter().filter_map(Found::good);
        files.filter(|(path, stamp)| {
            self.id_of(path, *stamp).is_none() && !folder.failed.contains(&((*path).to_owned(), *stamp))
        })
    }

    /// Takes what a look found.
    fn take(&mut self, path: &Path, look: u64, listing: Listing) {
        let Some(folder) = self.folders.get(path) else { return };
        // What may have changed unseen since it was hashed is hashed again.
        for old in folder.listing.files.iter().filter(|old| old.is_fresh) {
            if self.unsure.remove(&old.path) {
                self.ids.remove(&old.path);
            }
        }
        let Some(folder) = self.folders.get_mut(path) else { return };
        if !folder.listing.is_same(&listing) {
            folder.version += 1;
        }
        folder.listing = listing;
        folder.done = look;
        folder.took = folder.running.take().map_or(Duration::ZERO, |since| since.elapsed());
        folder.ended = Some(Instant::now());
        if folder.wanted > look {
            self.to_scan.push_back(path.to_owned());
        }
        let folder = &self.folders[path];
        if folder.wants_hashes && !folder.is_hashing && self.unhashed(folder).next().is_some() {
            self.to_hash.push_back(path.to_owned());
            if let Some(folder) = self.folders.get_mut(path) {
                folder.is_hashing = true;
            }
        }
    }
}

/// Lets everything else go first.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: plain system call on the calling thread: Linux gives each thread its own priority. Failing is harmless.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}

#[cfg(test)]
mod tests;
