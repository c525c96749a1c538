//! The library as a plugin instance follows it: never waits long for a folder, and hears when there is something new.
//!
//! All instances of a process share one look at each folder and one index. Folders are looked into again and again
//! rather than watched by the system: its watches cost a thread and a crate for each system, see no change that another
//! computer makes on a network share, and one listing every few seconds for the whole process costs less than a
//! millisecond. Belongs to the loader's thread.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::catalogue::{Catalogue, Ticket, Wants};
use super::{Library, Origin, PATIENCE, absolute};

/// Time between two looks at the folders.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// Longest that a look is waited for: folders that are well answer within this time.
const GRACE: Duration = Duration::from_millis(50);

/// So few bytes are hashed before the first answer, so that a new clone is in the list at once; and the longest that this
/// may take.
const SMALL_BYTES: u64 = 32 << 20;
const SMALL_PATIENCE: Duration = Duration::from_millis(500);

/// A search that goes on.
#[derive(Debug)]
pub struct Search {
    folders: Vec<(Origin, PathBuf)>,
    paths: Vec<PathBuf>,
    wants: Wants,
    ticket: Ticket,
    asked: Instant,
    /// What the folders looked like when [`Search::library`] was asked last, and whether folders were missing then.
    seen: Option<(u64, bool)>,
}

impl Search {
    /// Asks for a look at folders, and for ids of their files. `keeps` = these are folders of this machine, whose ids are
    /// kept on disk. Does not wait.
    pub fn new(folders: Vec<(Origin, PathBuf)>, keeps: bool) -> Self {
        let folders: Vec<_> = folders.into_iter().map(|(origin, path)| (origin, absolute(&path))).collect();
        let paths: Vec<PathBuf> = folders.iter().map(|(_, path)| path.clone()).collect();
        let wants = Wants { hashes: true, hurries: false, keeps };
        let ticket = Catalogue::process().request(&paths, wants);
        Self { folders, paths, wants, ticket, asked: Instant::now(), seen: None }
    }

    /// The voices that are known now: the embedded ones, and those of folders that have answered. Files that were not
    /// hashed yet have no id.
    pub fn library(&mut self) -> Library {
        let catalogue = Catalogue::process();
        catalogue.wait(&self.ticket, GRACE);
        if self.seen.is_none() && (1..=SMALL_BYTES).contains(&catalogue.bytes_to_hash(&self.paths)) {
            catalogue.wait_for_hashes(&self.paths, SMALL_PATIENCE);
        }
        self.seen = Some((catalogue.version(&self.paths), self.is_pending()));
        Library::gather(catalogue, &self.folders)
    }

    /// Whether [`Search::library`] would find something else by now. Also lets the folders be looked into again when it
    /// is time for that.
    pub fn has_news(&self) -> bool {
        let catalogue = Catalogue::process();
        catalogue.refresh(&self.paths, self.wants, LOOK_EVERY);
        self.seen.is_some_and(|seen| seen != (catalogue.version(&self.paths), self.is_pending()))
    }

    /// Whether folders have yet to answer, and are not given up.
    pub fn is_pending(&self) -> bool {
        self.asked.elapsed() < PATIENCE && !Catalogue::process().is_done(&self.ticket)
    }

    /// Waits until there may be something new.
    pub fn wait(&self, patience: Duration) {
        if self.is_pending() {
            Catalogue::process().wait_for_news(patience);
        }
    }
}
