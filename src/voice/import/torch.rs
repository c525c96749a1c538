//! PyTorch's container: a zip of stored members, and one pickle that describes them.
//!
//! Only stored members are read, directly from the file's bytes, so nothing can unpack to more than its own size.

use std::collections::HashMap;
use std::ops::Range;

use super::ImportError;
use super::pickle::{Object, Pickle, Scalar, TensorView};
use crate::voice::tensors::{FloatType, Tensors, elements};

/// Most members of an archive: one per tensor and a few more.
const MAX_MEMBERS: usize = 16_384;

/// Longest description, in bytes. That of a voice has some 40 kB.
const MAX_PICKLE_BYTES: usize = 8 << 20;

/// Longest end of an archive: end record, comment, 64-bit record and its locator.
const END_SEARCH_LEN: usize = 22 + 0xffff;

/// An opened archive.
#[derive(Debug)]
pub struct TorchFile {
    bytes: Vec<u8>,
    /// Places of the storages, by the last part of their names.
    storages: HashMap<String, Range<usize>>,
    pickle: Pickle,
}

impl TorchFile {
    /// Opens a file that `torch.save` wrote since version 1.6.
    ///
    /// # Errors
    /// Any [`ImportError`] about the archive or its description.
    pub fn open(bytes: Vec<u8>) -> Result<Self, ImportError> {
        if bytes.starts_with(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19") {
            return Err(ImportError::unsupported(
                "the file is in the format of PyTorch before 1.6, which is not read. Save it again with a newer one",
            ));
        }
        if !bytes.starts_with(b"PK") {
            return Err(ImportError::damaged("it is not a PyTorch file"));
        }
        let members = directory(&bytes)?;
        let mut storages = HashMap::with_capacity(members.len());
        let mut description = None;
        for (name, range) in members {
            let Some((_, inner)) = name.split_once('/') else { continue };
            if inner == "data.pkl" {
                description = Some(range);
            } else if inner == "byteorder" {
                if bytes[range] != *b"little" {
                    return Err(ImportError::unsupported("the file was saved on a big-endian machine"));
                }
            } else if let Some(storage) = inner.strip_prefix("data/") {
                storages.insert(storage.to_owned(), range);
            }
        }
        let description = description.ok_or_else(|| ImportError::damaged("it is a zip file, but not PyTorch's"))?;
        if description.len() > MAX_PICKLE_BYTES {
            return Err(ImportError::damaged("its description is far too long"));
        }
        let pickle = Pickle::read(&bytes[description])?;
        Ok(Self { bytes, storages, pickle })
    }

    /// The description.
    pub fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// All tensors of a dictionary by name; entries that are no floating-point tensors are left out.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when a tensor reaches beyond its storage.
    pub fn into_tensors(self, find: impl Fn(&Pickle) -> Option<&Object>) -> Result<Tensors, ImportError> {
        let Self { bytes, storages, pickle } = self;
        let limit = bytes.len();
        let mut tensors = Tensors::over(bytes);
        let Some(Object::Dict(pairs)) = find(&pickle) else { return Ok(tensors) };
        for (key, value) in pairs {
            let (Object::Text(name), Object::Tensor(view)) = (pickle.get(*key), pickle.get(*value)) else { continue };
            let Some(float) = float_type(view.scalar) else { continue };
            if name.len() > 200 {
                return Err(ImportError::damaged("a tensor has a name that is too long"));
            }
            let outside = || ImportError::damaged(format!("the tensor `{name}` reaches beyond its data"));
            let storage = storages.get(&view.storage).ok_or_else(outside)?.clone();
            let capacity = storage.len() / float.bytes();
            let count = elements(&view.shape, capacity).ok_or_else(outside)?;
            let start = if is_contiguous(view) {
                view.offset.checked_add(count).filter(|&end| end <= capacity).ok_or_else(outside)?;
                storage.start + view.offset * float.bytes()
            } else {
                let gathered = gather(&tensors.data()[storage], view, float, count).ok_or_else(outside)?;
                if tensors.data().len() + gathered.len() > 2 * limit {
                    return Err(ImportError::damaged("its tensors are larger than the file"));
                }
                tensors.append(&gathered)
            };
            tensors.add(name, float, view.shape.clone(), start)?;
        }
        tensors.check_total()?;
        Ok(tensors)
    }
}

fn float_type(scalar: Scalar) -> Option<FloatType> {
    match scalar {
        Scalar::F16 => Some(FloatType::F16),
        Scalar::Bf16 => Some(FloatType::Bf16),
        Scalar::F32 => Some(FloatType::F32),
        Scalar::F64 => Some(FloatType::F64),
        Scalar::Other => None,
    }
}

fn is_contiguous(view: &TensorView) -> bool {
    let mut expected = 1_usize;
    for (&size, &stride) in view.shape.iter().zip(&view.strides).rev() {
        if size != 1 && stride != expected {
            return false;
        }
        expected = expected.saturating_mul(size);
    }
    true
}

/// The elements of a view in row-major order; `None` when one lies outside the storage.
fn gather(storage: &[u8], view: &TensorView, float: FloatType, count: usize) -> Option<Vec<u8>> {
    let size = float.bytes();
    let mut bytes = Vec::with_capacity(count * size);
    for index in 0..count {
        let (mut rest, mut place) = (index, view.offset);
        for (&axis, &stride) in view.shape.iter().zip(&view.strides).rev() {
            place = place.checked_add((rest % axis).checked_mul(stride)?)?;
            rest /= axis;
        }
        let at = place.checked_mul(size)?;
        bytes.extend_from_slice(storage.get(at..at.checked_add(size)?)?);
    }
    Some(bytes)
}

/// A little-endian number of `N` bytes at a place.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(N)?)?;
    Some(part.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn place<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    number::<N>(bytes, at).and_then(|value| usize::try_from(value).ok())
}

/// Names and byte ranges of all members. Layout: APPNOTE.TXT 4.3.
fn directory(bytes: &[u8]) -> Result<Vec<(String, Range<usize>)>, ImportError> {
    let damaged = || ImportError::damaged("its directory is missing: the file is truncated, or not a PyTorch file");
    let from = bytes.len().saturating_sub(END_SEARCH_LEN);
    let end = bytes[from..].windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(damaged)? + from;
    let (mut count, mut at) =
        (place::<2>(bytes, end + 10).ok_or_else(damaged)?, place::<4>(bytes, end + 16).ok_or_else(damaged)?);
    // Numbers that do not fit stand in a 64-bit record, which a locator right before the end record points to.
    if let Some(locator) = end.checked_sub(20).filter(|&at| bytes[at..].starts_with(b"PK\x06\x07")) {
        let record = place::<8>(bytes, locator + 8).filter(|&at| at < bytes.len()).ok_or_else(damaged)?;
        if !bytes[record..].starts_with(b"PK\x06\x06") {
            return Err(damaged());
        }
        count = place::<8>(bytes, record + 32).ok_or_else(damaged)?;
        at = place::<8>(bytes, record + 48).ok_or_else(damaged)?;
    }
    if count > MAX_MEMBERS {
        return Err(ImportError::damaged(format!("its directory lists more than {MAX_MEMBERS} members")));
    }
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let (member, next) = entry(bytes, at)?;
        members.push(member);
        at = next;
    }
    Ok(members)
}

/// One line of the directory, and the place of the next.
fn entry(bytes: &[u8], at: usize) -> Result<((String, Range<usize>), usize), ImportError> {
    let damaged = || ImportError::damaged("its directory is damaged");
    if at >= bytes.len() || !bytes[at..].starts_with(b"PK\x01\x02") {
        return Err(damaged());
    }
    let field2 = |offset: usize| place::<2>(bytes, at + offset).ok_or_else(damaged);
    let field4 = |offset: usize| place::<4>(bytes, at + offset).ok_or_else(damaged);
    let (method, name_len, extra_len, comment_len) = (field2(10)?, field2(28)?, field2(30)?, field2(32)?);
    let (mut packed, mut len, mut header) = (field4(20)?, field4(24)?, field4(42)?);
    let name_end = at + 46 + name_len;
    let name = bytes.get(at + 46..name_end).ok_or_else(damaged)?;
    let name = std::str::from_utf8(name).map_err(|_| damaged())?.to_owned();
    let mut extra = bytes.get(name_end..name_end + extra_len).ok_or_else(damaged)?;
    while let (Some(id), Some(size)) = (place::<2>(extra, 0), place::<2>(extra, 2)) {
        let Some((field, rest)) = extra[4..].split_at_checked(size) else { break };
        if id == 1 {
            let mut field_at = 0;
            for value in [&mut len, &mut packed, &mut header] {
                if *value == 0xffff_ffff {
                    *value = place::<8>(field, field_at).ok_or_else(damaged)?;
                    field_at += 8;
                }
            }
        }
        extra = rest;
    }
    if method != 0 || packed != len {
        return Err(ImportError::unsupported(format!(
            "the member `{}` is compressed, as PyTorch never does. Save the file again with PyTorch",
            name.chars().filter(|c| !c.is_control()).take(80).collect::<String>()
        )));
    }
    if header >= bytes.len() || !bytes[header..].starts_with(b"PK\x03\x04") {
        return Err(damaged());
    }
    let skip = place::<2>(bytes, header + 26).zip(place::<2>(bytes, header + 28));
    let start = skip.map(|(name, extra)| header + 30 + name + extra).ok_or_else(damaged)?;
    let end = start.checked_add(len).filter(|&end| end <= bytes.len()).ok_or_else(damaged)?;
    Ok(((name, start..end), name_end + extra_len + comment_len))
}
