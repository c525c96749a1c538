//! Containers taken apart, to be tampered with.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

/// Paths and contents of all members.
pub fn unpack(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    let count = archive.len();
    let read = |index| {
        let mut entry = archive.by_index(index).expect("an entry");
        let mut data = Vec::new();
        entry.read_to_end(&mut data).expect("readable");
        (entry.name().expect("a name").into_owned(), data)
    };
    (0..count).map(read).collect()
}
