//! Optional extras of a voice file: a preview, the recordings it was made of, a picture.
//!
//! Opaque bytes to everything except the code that shows or rebuilds them; none is decoded to use a voice.

use std::ops::Range;

use super::manifest::ElementType;
use super::package::{Package, PackageWriter};
use super::{VoiceError, VoiceId};

/// A few seconds to listen to, FLAC.
pub const PREVIEW_PATH: &str = "preview.flac";

/// The recordings the voice was made of, one after the other with half a second of digital silence between them, FLAC.
pub const RECORDINGS_PATH: &str = "enrolment/recordings.flac";

const PORTRAIT_PNG: &str = "portrait.png";
const PORTRAIT_JPEG: &str = "portrait.jpg";
const PORTRAIT_PATHS: [&str; 2] = [PORTRAIT_PNG, PORTRAIT_JPEG];

/// Largest preview in bytes.
pub const MAX_PREVIEW: usize = 2 << 20;

/// Largest picture in bytes, and its longest side in pixels.
const MAX_PORTRAIT: usize = 2 << 20;
const PORTRAIT_SIDES: Range<u32> = 1..4_097;

/// Whether a member is an extra.
pub(super) fn is_extra(path: &str) -> bool {
    [PREVIEW_PATH, RECORDINGS_PATH, PORTRAIT_PNG, PORTRAIT_JPEG].contains(&path)
}

/// A picture of a voice: PNG or JPEG, checked by its first bytes and its size only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Portrait {
    path: &'static str,
    bytes: Vec<u8>,
}

impl Portrait {
    /// Takes the content of a picture file.
    ///
    /// # Errors
    /// [`VoiceError::Shape`] if it is neither PNG nor JPEG, or too large.
    pub fn new(bytes: Vec<u8>) -> Result<Self, VoiceError> {
        let shape = |found: String| VoiceError::Shape {
            member: "portrait".to_owned(),
            found,
            expected: "a PNG or JPEG picture of at most 2 MiB and 4096 by 4096 pixels".to_owned(),
        };
        if bytes.len() > MAX_PORTRAIT {
            return Err(shape(format!("{} bytes", bytes.len())));
        }
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            return Ok(Self { path: PORTRAIT_JPEG, bytes });
        }
        // PNG, third edition, 5.2 and 11.2.1: signature, length and name of IHDR, width, height.
        let side = |at: usize| bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map(|b| u32::from_be_bytes(*b));
        if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") || bytes.get(12..16) != Some(b"IHDR") {
            return Err(shape("something else".to_owned()));
        }
        match (side(16), side(20)) {
            (Some(w), Some(h)) if PORTRAIT_SIDES.contains(&w) && PORTRAIT_SIDES.contains(&h) => {
                Ok(Self { path: PORTRAIT_PNG, bytes })
            }
            (w, h) => Err(shape(format!("{} by {} pixels", w.unwrap_or(0), h.unwrap_or(0)))),
        }
    }

    /// The picture file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// All extras of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// A few seconds to listen to, FLAC.
    pub preview: Option<Vec<u8>>,
    /// The recordings, FLAC.
    pub recordings: Option<Vec<u8>>,
    /// A picture.
    pub portrait: Option<Portrait>,
}

impl Extras {
    /// Adds the members to a container.
    pub(super) fn write(self, writer: &mut PackageWriter) {
        let members = [
            (PREVIEW_PATH, self.preview),
            (RECORDINGS_PATH, self.recordings),
            self.portrait.map_or((PORTRAIT_PNG, None), |portrait| (portrait.path, Some(portrait.bytes))),
        ];
        for (path, data) in members {
            if let Some(data) = data {
                writer.push(path, ElementType::U8, &[data.len()], data);
            }
        }
    }

    /// The preview alone; nothing else of the file is unpacked. `None` when it has none.
    ///
    /// # Errors
    /// Any [`VoiceError`] about container, manifest or member.
    pub fn peek_preview(bytes: &[u8]) -> Result<Option<Vec<u8>>, VoiceError> {
        Package::peek_member(bytes, PREVIEW_PATH, MAX_PREVIEW as u64)?.map(checked_flac(PREVIEW_PATH)).transpose()
    }

    /// The picture alone; nothing else of the file is unpacked. `None` when it has none.
    ///
    /// # Errors
    /// Any [`VoiceError`] about container, manifest or member.
    pub fn peek_portrait(bytes: &[u8]) -> Result<Option<Portrait>, VoiceError> {
        for path in PORTRAIT_PATHS {
            if let Some(picture) = Package::peek_member(bytes, path, MAX_PORTRAIT as u64)? {
                return Portrait::new(picture).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether a manifest lists a preview, and whether a picture.
    pub fn listed(manifest: &super::Manifest) -> (bool, bool) {
        let has = |path: &str| manifest.members.iter().any(|member| member.path == path);
        (has(PREVIEW_PATH), PORTRAIT_PATHS.into_iter().any(has))
    }

    /// Reads the members of a container.
    ///
    /// # Errors
    /// [`VoiceError::Shape`] for one that is not what its name says.
    pub fn read(package: &Package) -> Result<Self, VoiceError> {
        let preview = flac(package, PREVIEW_PATH)?;
        if let Some(long) = preview.as_ref().filter(|preview| preview.len() > MAX_PREVIEW) {
            return Err(VoiceError::Shape {
                member: PREVIEW_PATH.to_owned(),
                found: format!("{} bytes", long.len()),
                expected: format!("at most {MAX_PREVIEW}"),
            });
        }
        let portrait = PORTRAIT_PATHS.into_iter().find_map(|path| package.bytes(path));
        let portrait = portrait.map(|bytes| Portrait::new(bytes?.to_vec())).transpose()?;
        Ok(Self { preview, recordings: flac(package, RECORDINGS_PATH)?, portrait })
    }
}

fn flac(package: &Package, path: &str) -> Result<Option<Vec<u8>>, VoiceError> {
    let Some(bytes) = package.bytes(path).transpose()? else { return Ok(None) };
    checked_flac(path)(bytes.to_vec()).map(Some)
}

fn checked_flac(path: &str) -> impl Fn(Vec<u8>) -> Result<Vec<u8>, VoiceError> {
    move |bytes| match bytes.starts_with(b"fLaC") {
        true => Ok(bytes),
        false => Err(VoiceError::Shape {
            member: path.to_owned(),
            found: "something else".to_owned(),
            expected: "FLAC".to_owned(),
        }),
    }
}

/// A copy of a voice file with another manifest; members stay as they are, a signature is dropped.
///
/// The file's former id is kept in the copy, so that sessions find it.
///
/// # Errors
/// Any [`VoiceError`] about the file, or about the manifest after `edit`.
pub fn rewrite(bytes: &[u8], edit: impl FnOnce(&mut super::Manifest)) -> Result<Vec<u8>, VoiceError> {
    let package = Package::open(bytes)?;
    let mut manifest = package.manifest.clone();
    edit(&mut manifest);
    let former = &mut manifest.previous_ids;
    former.push(VoiceId::of(bytes).to_string());
    let surplus = former.len().saturating_sub(super::manifest::MAX_PREVIOUS_IDS);
    former.drain(..surplus);
    let mut writer = PackageWriter::new(manifest);
    for (member, data) in package.into_members() {
        let shape: Vec<usize> = member.shape.iter().map(|&n| n as usize).collect();
        writer.push(&member.path, member.dtype, &shape, data);
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_their_first_bytes_and_bounded() {
        let png = |width: u32, height: u32| {
            [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(), &width.to_be_bytes(), &height.to_be_bytes(), &[0; 40]]
                .concat()
        };
        assert_eq!(Portrait::new(png(512, 256)).expect("fine").path, PORTRAIT_PNG);
        assert_eq!(Portrait::new(vec![0xff, 0xd8, 0xff, 0xe0, 0]).expect("fine").path, PORTRAIT_JPEG);
        for bad in [png(0, 5), png(5, 70_000), png(5, 5)[..18].to_vec(), b"GIF89a".to_vec(), Vec::new()] {
            assert!(Portrait::new(bad).is_err());
        }
        let mut large = png(5, 5);
        large.resize(MAX_PORTRAIT + 1, 0);
        assert!(Portrait::new(large).is_err());
    }
}
