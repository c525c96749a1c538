//! One folder of voices: which files are there, and what their manifests say. Knows nothing of who asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::EXTENSION;
use crate::voice::file::{Stamp, open_regular};
use crate::voice::manifest::Kind;
use crate::voice::package::{MAX_FILE_BYTES, Package};
use crate::voice::{Manifest, VoiceError, VoiceId, expect_kind};

/// Most files looked at in one folder.
const MAX_FILES: usize = 4_096;

/// Bytes that are hashed at once.
const CHUNK_LEN: usize = 1 << 20;

/// A name in a folder: a regular file's, with its stamp, or one of which the system says nothing but why.
pub(super) type Seen = (PathBuf, Result<Stamp, String>);

/// A voice file, or one that should be one.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub path: PathBuf,
    /// Meaningless when the file could not be read at all.
    pub stamp: Stamp,
    pub manifest: Result<Arc<Manifest>, VoiceError>,
    /// It was changed so lately that the stamp does not say much.
    pub is_fresh: bool,
}

impl Found {
    /// Path and stamp of a good file.
    pub fn good(&self) -> Option<(&Path, Stamp)> {
        self.manifest.is_ok().then_some((self.path.as_path(), self.stamp))
    }

    /// Whether reading it again would give the same.
    fn stands(&self) -> bool {
        // What could not be read may be readable now.
        !self.is_fresh && !matches!(self.manifest, Err(VoiceError::Unreadable { .. }))
    }
}

/// What a look into a folder found.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    /// Whether there is such a folder.
    pub is_there: bool,
    /// Whether it has ever answered.
    pub has_answered: bool,
    /// By name.
    pub files: Arc<[Found]>,
}

impl Listing {
    pub fn is_same(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Found, &Found)| {
            (&one.path, one.stamp) == (&other.path, other.stamp) && one.manifest == other.manifest
        };
        (self.is_there, self.has_answered, self.files.len()) == (other.is_there, other.has_answered, other.files.len())
            && self.files.iter().zip(other.files.iter()).all(is_same)
    }
}

/// Voice files directly in a folder, by name; `None` when there is no such folder. Folders, pipes and devices that have
/// a voice's name are left out.
pub(super) fn list(folder: &Path) -> Option<Vec<Seen>> {
    let mut seen = Vec::new();
    for path in std::fs::read_dir(folder).ok()?.flatten().map(|item| item.path()).filter(|path| is_voice_file(path)) {
        match std::fs::metadata(&path) {
            Ok(about) if about.is_file() => seen.push((path, Ok(Stamp::new(&about)))),
            Ok(_) => {}
            Err(error) => seen.push((path, Err(error.to_string()))),
        }
        if seen.len() >= MAX_FILES {
            break;
        }
    }
    seen.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(seen)
}

/// Reads the manifests of the files that are not known from an earlier look, or have changed since.
pub(super) fn look_into(seen: Option<Vec<Seen>>, known: &Listing) -> Listing {
    let is_there = seen.is_some();
    let files = seen.unwrap_or_default().into_iter().map(|(path, stamp)| match stamp {
        Ok(stamp) => {
            let place = known.files.binary_search_by(|found| found.path.cmp(&path)).ok();
            let same = place.map(|place| &known.files[place]).filter(|found| found.stamp == stamp && found.stands());
            same.cloned().unwrap_or_else(|| read(path, stamp))
        }
        Err(reason) => {
            let error = VoiceError::Unreadable { path: path.display().to_string(), reason };
            Found { path, stamp: Stamp { len: 0, modified_ns: 0 }, manifest: Err(error), is_fresh: true }
        }
    });
    Listing { is_there, has_answered: true, files: files.collect() }
}

fn read(path: PathBuf, stamp: Stamp) -> Found {
    let now = SystemTime::now();
    let peeked = Package::peek_file(&path).and_then(|(stamp, manifest)| {
        expect_kind(&manifest, Kind::Voice)?;
        Ok((stamp, manifest))
    });
    match peeked {
        Ok((stamp, manifest)) => Found { path, stamp, manifest: Ok(Arc::new(manifest)), is_fresh: stamp.is_fresh(now) },
        Err(error) => Found { path, stamp, manifest: Err(error), is_fresh: stamp.is_fresh(now) },
    }
}

/// The id of a file, and the stamp that it had while it was read.
pub(super) fn hash(path: &Path) -> std::io::Result<(Stamp, VoiceId)> {
    use std::io::{Error, Read as _};
    let (mut file, about) = open_regular(path)?;
    let stamp = Stamp::new(&about);
    if stamp.len > MAX_FILE_BYTES {
        return Err(Error::other("too long for a voice"));
    }
    let (mut sum, mut chunk, mut len) = (Sha256::new(), vec![0; CHUNK_LEN], 0);
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        len += count as u64;
        if len > stamp.len {
            break;
        }
        sum.update(&chunk[..count]);
    }
    if len != stamp.len || Stamp::new(&file.metadata()?) != stamp {
        return Err(Error::other("it changes while it is read"));
    }
    Ok((stamp, VoiceId(sum.finalize().into())))
}

pub(super) fn is_voice_file(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(EXTENSION))
}
