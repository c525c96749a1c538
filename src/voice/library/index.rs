//! The ids of voice files as they were last hashed, so that no file is hashed twice: by path, length and time of change.
//!
//! Kept in a file of the user's cache folder, which may be deleted at any time. Its content is hostile: a line that cannot
//! be read counts for nothing, and one that lies is found out when the voice is opened. Not for the audio thread.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{Error, Read as _};
use std::path::{Path, PathBuf};

use crate::new_file::{self, Existing};
use crate::voice::VoiceId;
use crate::voice::file::{Stamp, open_regular};

/// Name of the file.
const FILE: &str = "voices.index";

/// First line of the file. Another one is another version's: the file is made anew.
const HEAD: &str = "coffre voices 1";

/// Largest file that is read or written, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// Most ids that are kept.
const MAX_ENTRIES: usize = 16_384;

/// Longest path that is kept, in bytes.
const MAX_PATH: usize = 4_096;

/// Ids by path, each for the file as it was then.
pub(super) type Ids = HashMap<PathBuf, (Stamp, VoiceId)>;

/// The file; `None` when the system names no home.
pub(super) fn path() -> Option<PathBuf> {
    super::places::cache_home().map(|home| home.join(super::places::FOLDER_NAME).join(FILE))
}

/// Reads a file; empty when it is not there or cannot be used.
pub(super) fn load(path: &Path) -> Ids {
    let read = || -> std::io::Result<Vec<u8>> {
        let (file, about) = open_regular(path)?;
        if about.len() > MAX_BYTES as u64 {
            return Err(Error::other("too long"));
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| parse(&bytes)).unwrap_or_default()
}

/// Writes a file, whole or not at all; makes its folder. What the file holds besides stays, but for paths that `is_gone`.
///
/// # Errors
/// In words. Nothing depends on it: what is not kept is hashed again.
pub(super) fn save(path: &Path, ids: &Ids, is_gone: impl Fn(&Path) -> bool) -> Result<(), String> {
    let mut all: Vec<(PathBuf, (Stamp, VoiceId))> = ids.iter().map(|(path, known)| (path.clone(), *known)).collect();
    all.extend(load(path).into_iter().filter(|(path, _)| !ids.contains_key(path) && !is_gone(path)));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    new_file::write(path, &to_bytes(&all), Existing::Replace).map_err(|error| error.to_string())
}

/// The lines of a file. Those at the front are kept when there is no room for all.
fn to_bytes(ids: &[(PathBuf, (Stamp, VoiceId))]) -> Vec<u8> {
    let mut text = format!("{HEAD}\n");
    for (path, (stamp, id)) in ids.iter().take(MAX_ENTRIES) {
        let line = format!("{id} {} {} {}\n", stamp.len, stamp.modified_ns, escaped(path));
        if path.as_os_str().len() <= MAX_PATH && text.len() + line.len() <= MAX_BYTES {
            text += &line;
        }
    }
    text.into_bytes()
}

fn parse(bytes: &[u8]) -> Ids {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ids::new() };
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return Ids::new();
    }
    lines.filter_map(parse_line).take(MAX_ENTRIES).collect()
}

fn parse_line(line: &str) -> Option<(PathBuf, (Stamp, VoiceId))> {
    let mut words = line.splitn(4, ' ');
    let id = words.next()?.parse().ok()?;
    let stamp = Stamp { len: words.next()?.parse().ok()?, modified_ns: words.next()?.parse().ok()? };
    let path = unescaped(words.next()?).filter(|path| path.is_absolute() && path.as_os_str().len() <= MAX_PATH)?;
    Some((path, (stamp, id)))
}

/// A path as plain characters without space: every other byte as `%` and two digits.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "%{byte:02x}");
            }
        }
    }
    text
}

fn unescaped(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, more)) = rest.split_first() {
        let (byte, more) = match byte {
            b'%' => {
                let digits = std::str::from_utf8(more.get(..2)?).ok()?;
                (u8::from_str_radix(digits, 16).ok()?, &more[2..])
            }
            _ => (byte, more),
        };
        bytes.push(byte);
        rest = more;
    }
    os_string(bytes).map(PathBuf::from)
}

#[cfg(unix)]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    (!bytes.contains(&0)).then(|| std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn os_string(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an absolute path begins with.
    const ROOT: &str = if cfg!(windows) { "C:/" } else { "/" };

    fn known(n: u64) -> (Stamp, VoiceId) {
        (Stamp { len: n, modified_ns: -5 + 1_000_000_007 * n.cast_signed() }, VoiceId::of(&n.to_le_bytes()))
    }

    #[cfg(unix)]
    #[test]
    fn what_is_saved_is_loaded_and_what_is_gone_is_dropped() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/er/voices.index");
        assert!(load(&path).is_empty());
        let odd = os_string(b"/a b/%41\n\xff\xc3\xa9.coffre".to_vec()).expect("a name");
        let first: Ids = [(PathBuf::from("/v/one.coffre"), known(1)), (PathBuf::from(odd), known(2))].into();
        save(&path, &first, |_| false).expect("written");
        assert_eq!(load(&path), first);
        // Another process writes what it knows; what this one knows better wins.
        let second: Ids =
            [(PathBuf::from("/v/one.coffre"), known(3)), (PathBuf::from("/v/new.coffre"), known(4))].into();
        save(&path, &second, |path| path.starts_with("/a b")).expect("written");
        assert_eq!(load(&path), second);
        assert_eq!(std::fs::read_dir(path.parent().expect("a folder")).expect("listed").count(), 1, "nothing is left");
    }

    #[test]
    fn hostile_content_counts_for_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("voices.index");
        let id = known(1).1;
        let good = format!("{id} 5 7 {ROOT}good\n");
        let bad = [
            "".to_owned(),
            good.clone(),
            format!("coffre voices 2\n{good}"),
            format!("{HEAD}\n{id}"),
            format!("{HEAD}\n{id} 5 7 relative\n{id} 5 7 \n{id} -5 7 {ROOT}x\n{id} 5 9223372036854775808 {ROOT}x\n"),
            format!("{HEAD}\n{id} 5 7 {ROOT}%4\n{id} 5 7 {ROOT}%zz\n{id} 5 7 {ROOT}%00\n"),
            format!("{HEAD}\n{} 5 7 {ROOT}x\n", "g".repeat(64)),
            format!("{HEAD}\n{id} 5 7 {ROOT}{}\n", "x".repeat(MAX_PATH)),
        ];
        for text in &bad {
            std::fs::write(&path, text).expect("written");
            assert!(load(&path).is_empty(), "{text}");
        }
        std::fs::write(&path, [0xff; 1_000]).expect("written");
        assert!(load(&path).is_empty());
        std::fs::File::create(&path).and_then(|file| file.set_len(MAX_BYTES as u64 + 1)).expect("sparse");
        assert!(load(&path).is_empty());
        // A bad line does not hide a good one, and many take no more memory than the bounds say.
        let many: String = (0..20_000).map(|n| format!("{id} 5 7 {ROOT}{n}\n")).collect();
        let text = format!("{HEAD}\nnonsense\n{good}{many}");
        std::fs::write(&path, &text).expect("written");
        let ids = load(&path);
        assert_eq!((ids.len(), ids.contains_key(Path::new(ROOT).join("good").as_path())), (MAX_ENTRIES, true));
        std::fs::remove_file(&path).and_then(|()| std::fs::create_dir(&path)).expect("a folder in its place");
        assert!(load(&path).is_empty());
        assert!(save(&path, &ids, |_| false).is_err());
        #[cfg(unix)]
        {
            let pipe = folder.path().join("pipe");
            crate::voice::file::make_pipe(&pipe);
            assert!(load(&pipe).is_empty());
        }
    }
}
