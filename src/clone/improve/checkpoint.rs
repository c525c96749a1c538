//! Progress of an improvement, saved in a file so that an interrupted one can be resumed.
//!
//! Layout: a line of text with the method, the id of the voice, the number of rounds done and the map as 32-bit floats with
//! the low byte first; if the refiner is adapted, the number of turns done and the sums as 64-bit floats; and the SHA-256
//! of all that. If a file is anything else, the work starts over. Written atomically, like voice files.

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::adapt::{Adapting, Sums, TURNS};
use super::align::{KeyMap, ROUNDS};
use super::{Improvement, METHOD};
use crate::new_file::{self, Existing};
use crate::voice::{KEY_LEN, VoiceError, VoiceId, library};

/// Folder beside the user's voices; scans do not look into it.
const FOLDER: &str = ".improving";

/// Bytes of the map.
const MAP_LEN: usize = (KEY_LEN + 1) * KEY_LEN * 4;

/// Bytes of the turns and sums.
const SUMS_LEN: usize = 1 + Sums::LEN * 8;

const HASH_LEN: usize = 32;

/// Where the work on a voice is kept beside the user's voices; `None` when the system names no home.
pub fn path(id: VoiceId) -> Option<PathBuf> {
    library::user_folder().map(|folder| path_in(&folder, id))
}

/// Where the work on a voice is kept beside the voices of a folder.
pub fn path_in(folder: &Path, id: VoiceId) -> PathBuf {
    folder.join(FOLDER).join(format!("{id}.work"))
}

fn head(id: VoiceId) -> Vec<u8> {
    [format!("coffre improve {METHOD}\n").as_bytes(), id.as_bytes()].concat()
}

impl Improvement {
    /// Rounds and turns that are done: what [`Improvement::keep`] keeps.
    pub fn rounds(&self) -> usize {
        self.alignment.round() + self.adapting.as_ref().map_or(0, |adapting| adapting.kept().0)
    }

    /// Keeps the rounds and turns that are done. To be called when [`Improvement::rounds`] has just grown: in the middle of a
    /// turn's comparison the sums hold a part of it, which would count twice.
    ///
    /// # Errors
    /// [`VoiceError::Unreadable`] when it cannot be written; the work itself can go on.
    pub fn keep(&self, path: &Path) -> Result<(), VoiceError> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| VoiceError::Unreadable {
                path: folder.display().to_string(),
                reason: error.to_string(),
            })?;
        }
        let mut bytes = head(self.id);
        // There are a handful.
        bytes.push(u8::try_from(self.alignment.round()).unwrap_or(0));
        let values = self.alignment.map().0.iter().flatten();
        bytes.extend(values.flat_map(|value| value.to_le_bytes()));
        if let Some((turns, sums)) = self.adapting.as_ref().map(Adapting::kept) {
            bytes.push(u8::try_from(turns).unwrap_or(0));
            bytes.extend(sums.values().flat_map(f64::to_le_bytes));
        }
        let hash: [u8; HASH_LEN] = Sha256::digest(&bytes).into();
        bytes.extend(hash);
        Ok(new_file::write(path, &bytes, Existing::Replace)?)
    }

    /// Resumes from a saved file. `false` if it is of no use: then nothing has changed.
    pub fn take_up(&mut self, path: &Path) -> bool {
        let head = head(self.id);
        let sums_len = if self.adapting.is_some() { SUMS_LEN } else { 0 };
        let len = head.len() + 1 + MAP_LEN + sums_len + HASH_LEN;
        // The length first: a strange file is not read at all.
        let is_possible = std::fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() == len as u64);
        let Some(bytes) = is_possible.then(|| std::fs::read(path).ok()).flatten() else { return false };
        let Some((content, hash)) = bytes.split_last_chunk::<HASH_LEN>() else { return false };
        let Some((round, rest)) = content.strip_prefix(head.as_slice()).and_then(<[u8]>::split_first) else {
            return false;
        };
        let round = usize::from(*round);
        if <[u8; HASH_LEN]>::from(Sha256::digest(content)) != *hash || round > ROUNDS {
            return false;
        }
        let Some((map, sums)) = rest.split_at_checked(MAP_LEN).filter(|(_, sums)| sums.len() == sums_len) else {
            return false;
        };
        let (values, _) = map.as_chunks::<4>();
        let value = |at: usize| f32::from_le_bytes(values[at]);
        let map = KeyMap(Box::new(std::array::from_fn(|row| std::array::from_fn(|n| value(row * KEY_LEN + n)))));
        // Keys are of the order of 1; so is whatever maps them onto each other.
        if !map.0.iter().flatten().all(|value| value.abs() <= 100.0) {
            return false;
        }
        if let Some(adapting) = &mut self.adapting {
            let Some((turns, values)) = sums.split_first() else { return false };
            let values: Vec<f64> = values.as_chunks::<8>().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
            let Some(sums) = Sums::from_values(&values).filter(|_| usize::from(*turns) <= TURNS) else {
                return false;
            };
            adapting.resume(usize::from(*turns), sums);
        }
        self.alignment.resume(&self.target.body().bank, round, map);
        true
    }
}
