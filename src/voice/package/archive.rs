//! The zip archive of a container: its directory is walked before the zip reader sees it, and no entry is unpacked beyond
//! a limit.
//!
//! Reads from memory or from a file alike, and of a file only the directory and what is asked for.

use std::io::{Read, Seek, SeekFrom};

use zip::ZipArchive;

use super::{MAX_FILE_BYTES, MAX_MANIFEST_BYTES};
use crate::voice::VoiceError;
use crate::voice::manifest::MAX_MEMBERS;

/// Longest directory of an archive, in bytes: Coffre's own take some kilobytes.
const MAX_DIRECTORY_BYTES: u64 = 1 << 20;

const END_RECORD_LEN: u64 = 22;
const DIRECTORY_ENTRY_LEN: usize = 46;

/// Bytes that deflate makes of one at most: a copy of 258 takes two bits.
const DEFLATE_MOST: u64 = 1_032;

/// Walks the zip directory without allocating by its numbers, then hands the archive to the zip reader.
///
/// The walk is what bounds memory: the zip reader alone would build one record per directory entry that a hostile file
/// claims, and would search backwards for other directories. Archives with a comment, several disks or more than
/// [`MAX_MEMBERS`] + 2 entries are not written by Coffre and are refused.
pub(super) fn open_archive<R: Read + Seek>(
    mut reader: R,
    len: u64,
) -> Result<(ZipArchive<R>, Vec<String>), VoiceError> {
    check_file_len(len)?;
    let names = walk_directory(&mut reader, len)?;
    let archive = ZipArchive::new(reader).map_err(|error| VoiceError::container(error.to_string()))?;
    if archive.len() != names.len() || archive.offset() != 0 {
        return Err(VoiceError::container("the directory is ambiguous"));
    }
    Ok((archive, names))
}

fn damaged_directory() -> VoiceError {
    VoiceError::container("the zip directory is missing or damaged")
}

/// Reads `len` bytes at `start`.
fn read_at(reader: &mut (impl Read + Seek), start: u64, len: u64) -> Result<Vec<u8>, VoiceError> {
    let mut bytes = Vec::new();
    let read = reader.seek(SeekFrom::Start(start)).and_then(|_| reader.by_ref().take(len).read_to_end(&mut bytes));
    read.map_err(|error| VoiceError::container(format!("reading failed: {error}")))?;
    if bytes.len() as u64 == len { Ok(bytes) } else { Err(damaged_directory()) }
}

fn walk_directory(reader: &mut (impl Read + Seek), len: u64) -> Result<Vec<String>, VoiceError> {
    let damaged = damaged_directory;
    let end = len.checked_sub(END_RECORD_LEN).ok_or_else(damaged)?;
    let record = read_at(reader, end, END_RECORD_LEN)?;
    if record.get(..4) != Some(b"PK\x05\x06") {
        return Err(damaged());
    }
    let entries = usize::from(u16_at(&record, 10).ok_or_else(damaged)?);
    if entries > MAX_MEMBERS + 2 {
        return Err(VoiceError::container(format!("{entries} entries, at most {} are allowed", MAX_MEMBERS + 2)));
    }
    let start = u64::from(u32_at(&record, 16).ok_or_else(damaged)?);
    let directory_len = end.checked_sub(start).filter(|len| *len <= MAX_DIRECTORY_BYTES).ok_or_else(damaged)?;
    let directory = read_at(reader, start, directory_len)?;
    let mut at = 0;
    let mut names = Vec::with_capacity(entries);
    for _ in 0..entries {
        let entry = directory.get(at..).filter(|entry| entry.starts_with(b"PK\x01\x02")).ok_or_else(damaged)?;
        let packed = u64::from(u32_at(entry, 20).ok_or_else(damaged)?);
        let unpacked = u64::from(u32_at(entry, 24).ok_or_else(damaged)?);
        let is_stored = u16_at(entry, 10).ok_or_else(damaged)? == 0;
        // Memory is taken by the second number, so it must not be larger than the first can explain.
        let most = if is_stored { packed } else { packed * DEFLATE_MOST };
        if packed > len || unpacked > most {
            return Err(VoiceError::container("an entry claims to be larger than it can be"));
        }
        let [name_len, extra_len, comment_len] =
            [28, 30, 32].map(|place| u16_at(entry, place).map_or(usize::MAX, usize::from));
        let name_end = DIRECTORY_ENTRY_LEN.saturating_add(name_len);
        let name = entry.get(DIRECTORY_ENTRY_LEN..name_end).ok_or_else(damaged)?;
        let name = std::str::from_utf8(name).map_err(|_| damaged())?.to_owned();
        if names.contains(&name) {
            return Err(VoiceError::container("an entry appears twice"));
        }
        names.push(name);
        at = at.saturating_add(name_end).saturating_add(extra_len).saturating_add(comment_len);
    }
    if at != directory.len() {
        return Err(damaged());
    }
    Ok(names)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..at + 2)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..at + 4)?.first_chunk()?))
}

/// Unpacks one entry of at most the given length.
pub(super) fn read_bounded(
    archive: &mut ZipArchive<impl Read + Seek>,
    path: &str,
    limit: u64,
) -> Result<Vec<u8>, VoiceError> {
    read_entry(archive, path, limit, None)
}

/// Unpacks one entry of exactly the given length, or of a manifest's at most.
pub(super) fn read_member(
    archive: &mut ZipArchive<impl Read + Seek>,
    path: &str,
    exact_len: Option<u64>,
) -> Result<Vec<u8>, VoiceError> {
    read_entry(archive, path, exact_len.unwrap_or(MAX_MANIFEST_BYTES), exact_len)
}

fn read_entry(
    archive: &mut ZipArchive<impl Read + Seek>,
    path: &str,
    limit: u64,
    exact_len: Option<u64>,
) -> Result<Vec<u8>, VoiceError> {
    let entry = archive.by_name(path).map_err(|error| match error {
        zip::result::ZipError::FileNotFound => VoiceError::MissingMember { member: path.to_owned() },
        other => VoiceError::container(format!("`{path}`: {other}")),
    })?;
    if entry.size() > limit || exact_len.is_some_and(|len| entry.size() != len) {
        return Err(shape_error(path, format!("{} bytes", entry.size()), format!("{limit} bytes")));
    }
    let mut data = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0));
    // The size in the directory is a claim: the take is what stops a zip bomb.
    entry
        .take(limit + 1)
        .read_to_end(&mut data)
        .map_err(|error| VoiceError::container(format!("`{path}`: {error}")))?;
    if data.len() as u64 > limit || exact_len.is_some_and(|len| data.len() as u64 != len) {
        return Err(shape_error(path, format!("{} bytes", data.len()), format!("{limit} bytes")));
    }
    Ok(data)
}

pub(super) fn check_file_len(bytes: u64) -> Result<(), VoiceError> {
    if bytes > MAX_FILE_BYTES {
        return Err(VoiceError::TooLarge { bytes, limit: MAX_FILE_BYTES });
    }
    Ok(())
}

pub(super) fn shape_error(member: &str, found: String, expected: String) -> VoiceError {
    VoiceError::Shape { member: member.to_owned(), found, expected }
}
