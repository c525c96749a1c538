//! Whether a library's file is complete.
//!
//! The system's loader maps what the header promises. When an interrupted download left less than that, the process dies
//! of SIGBUS inside `dlopen` and takes the host along, so the promise is checked first.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

/// Program header entries looked at; real libraries have about ten.
const MAX_SEGMENTS: u16 = 512;

/// Why the file must not be given to the loader; `None` when nothing speaks against it. Files that are not 64-bit
/// little-endian ELF are left to the loader, which refuses them properly.
pub(super) fn why_incomplete(path: &Path) -> Option<String> {
    match missing_bytes(path) {
        Ok(0) => None,
        Ok(missing) => Some(format!("{missing} bytes at its end are missing")),
        Err(error) => Some(error.to_string()),
    }
}

/// By how many bytes the file's last part reaches beyond the end of the file. Layout: System V ABI, chapters 4 and 5.
fn missing_bytes(path: &Path) -> std::io::Result<u64> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut header = [0; 64];
    if !is_elf64(read_at(&mut file, 0, &mut header)?) {
        return Ok(0);
    }
    let table = u64_at(&header, 32);
    let (entry_len, entries) = (u64::from(u16_at(&header, 54)), u16_at(&header, 56).min(MAX_SEGMENTS));
    let mut end = table.saturating_add(entry_len * u64::from(entries));
    // The section table (e_shoff, e_shentsize, e_shnum) is not mapped, but it lies last: what reaches it is complete.
    let sections = u64::from(u16_at(&header, 58)) * u64::from(u16_at(&header, 60));
    end = end.max(u64_at(&header, 40).saturating_add(sections));
    for index in 0..u64::from(entries) {
        let mut entry = [0; 56];
        let offset = table.saturating_add(index * entry_len);
        if read_at(&mut file, offset, &mut entry)?.len() == entry.len() {
            // p_offset and p_filesz.
            end = end.max(u64_at(&entry, 8).saturating_add(u64_at(&entry, 32)));
        }
    }
    Ok(end.saturating_sub(len))
}

fn is_elf64(header: &[u8]) -> bool {
    header.len() == 64 && header.starts_with(b"\x7fELF\x02\x01")
}

/// As much of `bytes` as the file has from `offset` on.
fn read_at<'b>(file: &mut File, offset: u64, bytes: &'b mut [u8]) -> std::io::Result<&'b [u8]> {
    file.seek(SeekFrom::Start(offset.min(i64::MAX as u64)))?;
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(&bytes[..filled])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_cut_library_misses_bytes_at_every_length() {
        let whole = std::fs::read(std::env::current_exe().expect("a path")).expect("readable");
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("lib.so");
        std::fs::write(&file, &whole).expect("written");
        assert_eq!(why_incomplete(&file), None);
        for len in [64, 100, 1000, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&file, &whole[..len]).expect("written");
            assert!(why_incomplete(&file).is_some(), "{len} of {} bytes", whole.len());
        }
    }

    #[test]
    fn what_is_no_elf_is_left_to_the_loader_and_what_is_missing_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("lib.so");
        assert!(why_incomplete(&file).is_some());
        let absurd = [b"\x7fELF\x02\x01".as_slice(), &[0xff; 58]].concat();
        for (bytes, is_fine) in [(&b""[..], true), (b"MZ", true), (&[0x42; 5000], true), (&absurd, false)] {
            std::fs::write(&file, bytes).expect("written");
            assert_eq!(why_incomplete(&file).is_none(), is_fine, "{bytes:?}");
        }
    }
}
