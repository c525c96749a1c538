//! The container of voice and singer files: a zip of `manifest.json` and binary members.
//!
//! Reading treats every byte as hostile: no number from the file decides an allocation before it was checked, the
//! directory is walked before the zip reader sees it, and every listed member is compared with its hash. Knows no engine
//! and not what the members mean. Never runs anything from a file. Off the audio thread only.

mod archive;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, Write};
use std::path::Path;

use archive::{check_file_len, open_archive, read_bounded, read_member, shape_error};
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipArchive, ZipWriter};

use super::file::{Budget, Stamp, open_regular};
use super::manifest::{ElementType, Manifest, Member};
use super::signature::{self, Signature, Signer};
use super::{VoiceError, VoiceId};

/// Path of the manifest inside the archive.
pub const MANIFEST_PATH: &str = "manifest.json";

/// Path of the detached signature over the manifest, if there is one.
pub const SIGNATURE_PATH: &str = "manifest.sig";

/// Largest accepted file, in bytes.
pub const MAX_FILE_BYTES: u64 = 768 << 20;

/// Most bytes of all compressed members together, once unpacked. Anything larger must be stored uncompressed, so that a
/// small file never unpacks to much.
pub const MAX_UNPACKED_BYTES: u64 = 256 << 20;

/// Endings of members that are stored: weights do not get smaller.
const STORED: [&str; 3] = [".safetensors", ".onnx", ".index"];

/// Largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// Most bytes that are read of a file to learn its manifest: the directory twice, the manifest, and room.
const MAX_PEEK_BYTES: u64 = 4 << 20;

/// An opened container: verified manifest and members.
#[derive(Debug)]
pub struct Package {
    /// SHA-256 of the file content.
    pub id: VoiceId,
    /// The validated manifest.
    pub manifest: Manifest,
    /// Whether the file is signed; a signature that does not fit is an error.
    pub signature: Signature,
    members: BTreeMap<String, Vec<u8>>,
}

impl Package {
    /// Reads a file of at most [`MAX_FILE_BYTES`] into memory.
    ///
    /// # Errors
    /// [`VoiceError::Unreadable`] or [`VoiceError::TooLarge`].
    pub fn read_file(path: &Path) -> Result<Vec<u8>, VoiceError> {
        let unreadable = |error: std::io::Error| VoiceError::Unreadable {
            path: path.display().to_string(),
            reason: error.to_string(),
        };
        let (file, metadata) = open_regular(path).map_err(unreadable)?;
        check_file_len(metadata.len())?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        // The file may grow while it is read.
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        check_file_len(bytes.len() as u64)?;
        Ok(bytes)
    }

    /// Reads and validates the manifest alone; members are neither unpacked nor verified.
    ///
    /// # Errors
    /// Any [`VoiceError`] about the container or the manifest.
    pub fn peek(bytes: &[u8]) -> Result<(VoiceId, Manifest), VoiceError> {
        Ok((VoiceId::of(bytes), peek(Cursor::new(bytes), bytes.len() as u64)?))
    }

    /// As [`Package::peek`], of a file, of which no more is read than that takes; also gives the file's stamp.
    ///
    /// # Errors
    /// As [`Package::read_file`] and [`Package::peek`].
    pub(super) fn peek_file(path: &Path) -> Result<(Stamp, Manifest), VoiceError> {
        let (file, about) = open_regular(path)
            .map_err(|error| VoiceError::Unreadable { path: path.display().to_string(), reason: error.to_string() })?;
        Ok((Stamp::new(&about), peek(Budget::new(file, MAX_PEEK_BYTES), about.len())?))
    }

    /// Unpacks and verifies one member of plain bytes, of at most `limit` of them, and nothing else; `None` when the
    /// manifest does not list it.
    ///
    /// # Errors
    /// Any [`VoiceError`] about the container, the manifest or this member.
    pub fn peek_member(bytes: &[u8], path: &str, limit: u64) -> Result<Option<Vec<u8>>, VoiceError> {
        let (mut archive, _) = open_archive(Cursor::new(bytes), bytes.len() as u64)?;
        let manifest = Manifest::from_json(&read_member(&mut archive, MANIFEST_PATH, None)?)?;
        let Some(member) = manifest.members.iter().find(|member| member.path == path) else { return Ok(None) };
        let len = member.byte_len().filter(|len| *len <= limit && member.dtype == ElementType::U8);
        let Some(len) = len.filter(|_| member.shape.len() == 1) else {
            return Err(shape_error(
                path,
                format!("{:?} {:?}", member.dtype, member.shape),
                format!("at most {limit} bytes"),
            ));
        };
        let data = read_member(&mut archive, path, Some(len))?;
        match hex(&Sha256::digest(&data)).eq_ignore_ascii_case(&member.sha256) {
            true => Ok(Some(data)),
            false => Err(VoiceError::HashMismatch { member: path.to_owned() }),
        }
    }

    /// Opens a container and verifies all members.
    ///
    /// # Errors
    /// Any [`VoiceError`] about the container, the manifest or the hashes.
    pub fn open(bytes: &[u8]) -> Result<Self, VoiceError> {
        let (mut archive, names) = open_archive(Cursor::new(bytes), bytes.len() as u64)?;
        let json = read_member(&mut archive, MANIFEST_PATH, None)?;
        let manifest = Manifest::from_json(&json)?;
        if let Some(stray) = names.iter().find(|name| {
            *name != MANIFEST_PATH && *name != SIGNATURE_PATH && !manifest.members.iter().any(|m| m.path == **name)
        }) {
            let shown: String = stray.chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(VoiceError::container(format!(
                "the archive holds `{shown}`, which its manifest does not list"
            )));
        }
        let signature = check_signature(&mut archive, &json)?;
        let unpacked: u64 = manifest
            .members
            .iter()
            .filter(|member| !is_stored(&mut archive, &member.path))
            .filter_map(Member::byte_len)
            .sum();
        if unpacked > MAX_UNPACKED_BYTES {
            return Err(VoiceError::container("the compressed members unpack to more than any voice has"));
        }
        let mut members = BTreeMap::new();
        for member in &manifest.members {
            let data = read_member(&mut archive, &member.path, member.byte_len())?;
            if !hex(&Sha256::digest(&data)).eq_ignore_ascii_case(&member.sha256) {
                return Err(VoiceError::HashMismatch { member: member.path.clone() });
            }
            members.insert(member.path.clone(), data);
        }
        Ok(Self { id: VoiceId::of(bytes), manifest, signature, members })
    }

    /// The members with their contents, in the order of the manifest.
    pub(crate) fn into_members(mut self) -> Vec<(Member, Vec<u8>)> {
        let listed = self.manifest.members.into_iter();
        listed.filter_map(|member| self.members.remove(&member.path).map(|data| (member, data))).collect()
    }

    /// The bytes of a member that is no array; `None` when there is no such member.
    pub fn bytes(&self, path: &str) -> Option<Result<&[u8], VoiceError>> {
        self.has(path).then(|| match self.member(path, ElementType::U8)? {
            ([_], data) => Ok(data),
            (shape, _) => Err(shape_error(path, format!("{shape:?}"), "[bytes]".to_owned())),
        })
    }

    /// Whether the container has a member.
    pub fn has(&self, path: &str) -> bool {
        self.members.contains_key(path)
    }

    /// Takes a member of plain bytes out of the container.
    ///
    /// # Errors
    /// [`VoiceError::MissingMember`] or [`VoiceError::Shape`].
    pub(crate) fn take_bytes(&mut self, path: &str) -> Result<Vec<u8>, VoiceError> {
        let (shape, _) = self.member(path, ElementType::U8)?;
        if shape.len() != 1 {
            return Err(shape_error(path, format!("{shape:?}"), "[bytes]".to_owned()));
        }
        self.members.remove(path).ok_or_else(|| VoiceError::MissingMember { member: path.to_owned() })
    }

    /// The shape of a member after checking its element type.
    fn member(&self, path: &str, dtype: ElementType) -> Result<(&[u32], &[u8]), VoiceError> {
        let missing = || VoiceError::MissingMember { member: path.to_owned() };
        let entry = self.manifest.members.iter().find(|m| m.path == path).ok_or_else(missing)?;
        let data = self.members.get(path).ok_or_else(missing)?;
        if entry.dtype != dtype {
            return Err(shape_error(path, format!("{:?}", entry.dtype), format!("{dtype:?}")));
        }
        Ok((&entry.shape, data))
    }

    /// A matrix of signed bytes with `columns` columns and at most `max_rows` rows, row-major.
    ///
    /// # Errors
    /// [`VoiceError::MissingMember`] or [`VoiceError::Shape`].
    pub fn i8_matrix(&self, path: &str, columns: usize, max_rows: usize) -> Result<Vec<i8>, VoiceError> {
        let (shape, data) = self.member(path, ElementType::I8)?;
        match shape {
            [rows, width] if *width as usize == columns && *rows as usize <= max_rows => {
                Ok(data.iter().map(|&byte| byte.cast_signed()).collect())
            }
            _ => Err(shape_error(path, format!("{shape:?}"), format!("[0..={max_rows}, {columns}]"))),
        }
    }

    /// A list of unsigned 16-bit numbers with exactly `len` elements.
    ///
    /// # Errors
    /// [`VoiceError::MissingMember`] or [`VoiceError::Shape`].
    pub fn u16_list(&self, path: &str, len: usize) -> Result<Vec<u16>, VoiceError> {
        let (shape, data) = self.member(path, ElementType::U16)?;
        if shape != [u32::try_from(len).unwrap_or(u32::MAX)] {
            return Err(shape_error(path, format!("{shape:?}"), format!("[{len}]")));
        }
        Ok(data.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
    }

    /// Floats with exactly the given shape, each finite and within `range`.
    ///
    /// # Errors
    /// [`VoiceError::MissingMember`], [`VoiceError::Shape`] or [`VoiceError::Value`].
    pub fn f32_array(
        &self,
        path: &str,
        expected: &[u32],
        range: std::ops::RangeInclusive<f32>,
    ) -> Result<Vec<f32>, VoiceError> {
        let (shape, data) = self.member(path, ElementType::F32)?;
        if shape != expected {
            return Err(shape_error(path, format!("{shape:?}"), format!("{expected:?}")));
        }
        floats(path, data, range)
    }

    /// A matrix of floats, row-major, with 1 to `max_side` rows and columns, each number finite and within `range`. Also
    /// gives rows and columns.
    ///
    /// # Errors
    /// As [`Package::f32_array`].
    pub fn f32_matrix(
        &self,
        path: &str,
        max_side: usize,
        range: std::ops::RangeInclusive<f32>,
    ) -> Result<([usize; 2], Vec<f32>), VoiceError> {
        let (shape, data) = self.member(path, ElementType::F32)?;
        let sides = match shape {
            [rows, columns] => [*rows as usize, *columns as usize],
            _ => [0; 2],
        };
        if !sides.iter().all(|side| (1..=max_side).contains(side)) {
            return Err(shape_error(path, format!("{shape:?}"), format!("[1..={max_side}, 1..={max_side}]")));
        }
        Ok((sides, floats(path, data, range)?))
    }
}

/// The floats of a member.
fn floats(path: &str, data: &[u8], range: std::ops::RangeInclusive<f32>) -> Result<Vec<f32>, VoiceError> {
    let values: Vec<f32> = data.as_chunks::<4>().0.iter().map(|quad| f32::from_le_bytes(*quad)).collect();
    // NaN is contained in no range.
    match values.iter().position(|value| !range.contains(value)) {
        Some(position) => Err(VoiceError::Value { member: path.to_owned(), position }),
        None => Ok(values),
    }
}

/// Collects members and writes a container; the same input gives the same bytes.
#[derive(Debug)]
pub struct PackageWriter {
    manifest: Manifest,
    members: Vec<(String, Vec<u8>)>,
}

impl PackageWriter {
    /// Starts a container; members already listed in the manifest are dropped.
    pub fn new(manifest: Manifest) -> Self {
        Self { manifest: Manifest { members: Vec::new(), ..manifest }, members: Vec::new() }
    }

    /// Adds a member.
    pub fn push(&mut self, path: &str, dtype: ElementType, shape: &[usize], data: Vec<u8>) {
        self.manifest.members.push(Member {
            path: path.to_owned(),
            dtype,
            shape: shape.iter().map(|&n| u32::try_from(n).unwrap_or(u32::MAX)).collect(),
            sha256: hex(&Sha256::digest(&data)),
        });
        self.members.push((path.to_owned(), data));
    }

    /// Adds floats.
    pub fn push_f32(&mut self, path: &str, shape: &[usize], values: &[f32]) {
        self.push(path, ElementType::F32, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }

    /// Adds signed bytes.
    pub fn push_i8(&mut self, path: &str, shape: &[usize], values: &[i8]) {
        self.push(path, ElementType::I8, shape, values.iter().map(|v| v.cast_unsigned()).collect());
    }

    /// Adds a list of unsigned 16-bit numbers.
    pub fn push_u16(&mut self, path: &str, values: &[u16]) {
        self.push(path, ElementType::U16, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect());
    }

    /// Writes the container.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest would not be readable again, [`VoiceError::Container`] otherwise.
    pub fn finish(self) -> Result<Vec<u8>, VoiceError> {
        self.finish_signed(None)
    }

    /// Writes the container, signed.
    ///
    /// # Errors
    /// As [`PackageWriter::finish`].
    pub fn finish_signed(self, signer: Option<&Signer>) -> Result<Vec<u8>, VoiceError> {
        self.manifest.validate()?;
        let broken = |error: &dyn std::fmt::Display| VoiceError::container(error.to_string());
        let json = serde_json::to_vec_pretty(&self.manifest).map_err(|error| broken(&error))?;
        // Time and system are fixed: the id is the hash of the file.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::DEFAULT)
            .system(System::Unix);
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let signature = signer.map(|signer| signer.sign(&json));
        let manifest = std::iter::once((MANIFEST_PATH, json.as_slice()));
        let signature = signature.iter().map(|signature| (SIGNATURE_PATH, signature.as_slice()));
        let members = self.members.iter().map(|(path, data)| (path.as_str(), data.as_slice()));
        for (path, data) in manifest.chain(signature).chain(members) {
            let method = match STORED.iter().any(|ending| path.ends_with(ending)) {
                true => options.compression_method(CompressionMethod::Stored).compression_level(None),
                false => options,
            };
            zip.start_file(path, method).map_err(|error| broken(&error))?;
            zip.write_all(data).map_err(|error| broken(&error))?;
        }
        Ok(zip.finish().map_err(|error| broken(&error))?.into_inner())
    }
}

/// Reads and validates the manifest of an archive of so many bytes.
fn peek(reader: impl Read + Seek, len: u64) -> Result<Manifest, VoiceError> {
    let (mut archive, _) = open_archive(reader, len)?;
    let json = read_member(&mut archive, MANIFEST_PATH, None)?;
    let manifest = Manifest::from_json(&json)?;
    check_signature(&mut archive, &json)?;
    Ok(manifest)
}

/// Checks the signature member, if there is one, over the manifest's bytes.
fn check_signature(archive: &mut ZipArchive<impl Read + Seek>, json: &[u8]) -> Result<Signature, VoiceError> {
    if archive.index_for_name(SIGNATURE_PATH).is_none() {
        return Ok(Signature::Unsigned);
    }
    Signature::check(&read_bounded(archive, SIGNATURE_PATH, signature::MAX_BYTES)?, json)
}

/// Whether an entry lies in the archive as it is.
fn is_stored(archive: &mut ZipArchive<impl Read + Seek>, path: &str) -> bool {
    archive.by_name(path).is_ok_and(|entry| entry.compression() == CompressionMethod::Stored)
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
