//! What a program or library for Windows says of itself: which libraries it needs, and whether it opens a console.
//!
//! Layout: Microsoft's "PE Format", 64-bit files only.

use anyhow::Context;

/// A program with windows of its own; no console is opened for it.
pub const WINDOWS: u16 = 2;
/// A program that writes into a console.
pub const CONSOLE: u16 = 3;

/// Most libraries that are read; real files name some dozens.
const MAX_IMPORTS: usize = 4096;

/// A file in memory.
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Where the optional header begins.
    optional: usize,
}

impl<'a> Image<'a> {
    /// # Errors
    /// The bytes are no 64-bit program or library for Windows.
    pub fn new(bytes: &'a [u8]) -> anyhow::Result<Self> {
        let image = |bytes: &'a [u8]| {
            let header = u32_at(bytes, 0x3c)?;
            let is_pe = bytes.starts_with(b"MZ") && bytes.get(header..)?.starts_with(b"PE\0\0");
            let image = Self { bytes, optional: header.checked_add(24)? };
            (is_pe && u16_at(bytes, image.optional)? == 0x20b).then_some(image)
        };
        image(bytes).context("this is no 64-bit program or library for Windows")
    }

    /// [`WINDOWS`], [`CONSOLE`] or something else.
    pub fn subsystem(&self) -> Option<u16> {
        u16_at(self.bytes, self.optional + 68)
    }

    /// Names of the libraries that are needed, at the start and later, in lower case.
    pub fn imports(&self) -> Vec<String> {
        // Number of the table, length of an entry, place of the name in it.
        let tables = [(1, 20, 12), (13, 32, 4)];
        tables.into_iter().flat_map(|(table, len, name)| self.names(table, len, name).unwrap_or_default()).collect()
    }

    fn names(&self, table: usize, entry_len: usize, name: usize) -> Option<Vec<String>> {
        let tables = u32_at(self.bytes, self.optional + 108)?;
        let table = if table < tables { u32_at(self.bytes, self.optional + 112 + 8 * table)? } else { 0 };
        if table == 0 {
            return None;
        }
        let begin = self.offset(table)?;
        let names = (0..MAX_IMPORTS).map_while(|index| {
            let place = u32_at(self.bytes, begin.checked_add(index * entry_len)?.checked_add(name)?)?;
            let text = self.bytes.get(self.offset((place != 0).then_some(place)?)?..)?;
            let text = text.split(|byte| *byte == 0).next()?;
            Some(String::from_utf8_lossy(text).to_lowercase())
        });
        Some(names.collect())
    }

    /// Where in the file the byte lies that is loaded at this address, relative to the image.
    fn offset(&self, address: usize) -> Option<usize> {
        let header = self.optional - 24;
        let sections = usize::from(u16_at(self.bytes, header + 6)?);
        let first = self.optional + usize::from(u16_at(self.bytes, header + 20)?);
        (0..sections).map(|index| first + 40 * index).find_map(|section| {
            let [begin, len, place] = [12, 16, 20].map(|at| u32_at(self.bytes, section + at));
            let within = address.checked_sub(begin?)?;
            (within < len?).then_some(place?.checked_add(within)?)
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?)).ok()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A file that needs these libraries, the last one only later.
    pub fn sample(subsystem: u16, libraries: &[&str]) -> Vec<u8> {
        let [header, optional, section, place, address] = [0x40, 0x58, 0x58 + 240, 0x200, 0x1000];
        let mut bytes = vec![0; 0x1000];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        let u32 = |value: usize| (value as u32).to_le_bytes();
        put(0, b"MZ");
        put(0x3c, &u32(header));
        put(header, b"PE\0\0");
        put(header + 6, &[1, 0]);
        put(header + 20, &240_u16.to_le_bytes());
        put(optional, &0x20b_u16.to_le_bytes());
        put(optional + 68, &subsystem.to_le_bytes());
        put(optional + 108, &u32(16));
        put(optional + 112 + 8, &u32(address));
        put(optional + 112 + 8 * 13, &u32(address + 0x200));
        for (at, value) in [(12, address), (16, 0xe00), (20, place)] {
            put(section + at, &u32(value));
        }
        let mut name_at = 0x400;
        for (index, name) in libraries.iter().enumerate() {
            put(place + name_at, name.as_bytes());
            let entry = if index + 1 < libraries.len() { 20 * index + 12 } else { 0x200 + 4 };
            put(place + entry, &u32(address + name_at));
            name_at += name.len() + 1;
        }
        bytes
    }

    #[test]
    fn what_a_file_needs_is_read() {
        let bytes = sample(WINDOWS, &["KERNEL32.dll", "libgcc_s_seh-1.dll", "WINHTTP.dll"]);
        let image = Image::new(&bytes).expect("an image");
        assert_eq!(image.subsystem(), Some(WINDOWS));
        assert_eq!(image.imports(), ["kernel32.dll", "libgcc_s_seh-1.dll", "winhttp.dll"]);
    }

    #[test]
    fn what_is_damaged_is_read_without_harm() {
        let bytes = sample(CONSOLE, &["KERNEL32.dll", "USER32.dll"]);
        for len in 0..bytes.len() {
            if let Ok(image) = Image::new(&bytes[..len]) {
                assert!(image.imports().len() <= 2);
                image.subsystem();
            }
        }
        for at in 0x3c..0x260 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xff;
            if let Ok(image) = Image::new(&bytes) {
                assert!(image.imports().len() <= 2 * MAX_IMPORTS);
            }
        }
        assert!(Image::new(b"\x7fELF").is_err());
    }
}
