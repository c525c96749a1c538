//! Pictures of voices: read and decoded in the background, made small at once.
//!
//! The file is hostile: its sides and what it unpacks to are known before memory is taken for it, and a decoder that
//! panics gives no picture. The editor's thread asks for the result and never waits.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView as _, ImageDecoder as _, ImageFormat, ImageReader, Limits};

use crate::bridge::session::{VoiceChoice, VoiceRef};
use crate::clone::background::background;
use crate::clone::listen::VoiceFile;
use crate::voice::Extras;

/// Side of the small picture, in pixels: twice what it is drawn at.
pub const SIDE: usize = 96;

/// Longest side of a picture file, in pixels.
const MAX_SIDE: u32 = 4_096;

/// Most bytes that a picture may unpack to: 4096 by 4096 pixels of four bytes.
const MAX_UNPACKED: u64 = 64 << 20;

/// A small square picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Whose it is: the hash of the voice file.
    pub id: String,
    /// `[SIDE, SIDE, 4]`, row by row, not premultiplied.
    pub rgba: Arc<[u8]>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picture").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What is known of the picture of the chosen voice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortraitState {
    /// There is none, or it is not there yet.
    #[default]
    Nothing,
    /// Here it is.
    Shown(Picture),
    /// Why it cannot be shown, by the hash of the voice file.
    Refused(String, String),
}

/// Keeps the picture of one voice.
#[derive(Debug, Default)]
pub struct Portraits {
    /// Whose picture is wanted.
    wanted: Option<VoiceRef>,
    job: Option<Receiver<Result<Arc<[u8]>, String>>>,
    state: PortraitState,
}

impl Portraits {
    /// Goes on with the picture of `voice`. To be called for each picture of the editor.
    pub fn turn(&mut self, voice: Option<&VoiceChoice>) -> &PortraitState {
        let voice = voice.filter(|voice| voice.has_portrait);
        let is_same = match (&self.wanted, voice) {
            (Some(wanted), Some(voice)) => wanted.is_same(&voice.voice),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.wanted = voice.map(|voice| voice.voice.clone());
            self.job = voice.and_then(start);
            self.state = PortraitState::Nothing;
        }
        if let (Some(job), Some(wanted)) = (&self.job, &self.wanted) {
            let id = wanted.id.clone();
            match job.try_recv() {
                Err(TryRecvError::Empty) => return &self.state,
                Ok(Ok(rgba)) => self.state = PortraitState::Shown(Picture { id, rgba }),
                Ok(Err(reason)) => self.state = PortraitState::Refused(id, reason),
                Err(TryRecvError::Disconnected) => {}
            }
            self.job = None;
        }
        &self.state
    }
}

fn start(voice: &VoiceChoice) -> Option<Receiver<Result<Arc<[u8]>, String>>> {
    let id = voice.voice.id.parse().ok()?;
    let file = VoiceFile { id, path: voice.path.clone(), is_embedded: voice.is_embedded };
    let (sender, receiver) = channel();
    let run = move || {
        // Another voice may have been chosen meanwhile.
        let _ = sender.send(file.read().and_then(|bytes| small(&bytes)));
    };
    background("coffre-portrait", run).ok().map(|()| receiver)
}

/// The picture in the bytes of a voice file, `[SIDE, SIDE, 4]`.
///
/// # Errors
/// In words.
pub fn small(voice_file: &[u8]) -> Result<Arc<[u8]>, String> {
    let portrait = Extras::peek_portrait(voice_file).map_err(|error| error.to_string())?;
    let portrait = portrait.ok_or("The file holds no picture.")?;
    decode(portrait.bytes())
}

/// A square from the middle of a PNG or JPEG file, made small: `[SIDE, SIDE, 4]`.
///
/// # Errors
/// In words.
pub fn decode(file: &[u8]) -> Result<Arc<[u8]>, String> {
    // The decoders return errors; should one of them panic on a hostile file, that is an error as well.
    std::panic::catch_unwind(|| decode_checked(file)).unwrap_or_else(|_| Err("The picture makes no sense.".to_owned()))
}

fn decode_checked(file: &[u8]) -> Result<Arc<[u8]>, String> {
    let said = |error: image::ImageError| format!("The picture cannot be read: {error}.");
    let format = if file.starts_with(b"\x89PNG") { ImageFormat::Png } else { ImageFormat::Jpeg };
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    // Rows under way come on top.
    limits.max_alloc = Some(MAX_UNPACKED + (8 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(said)?;
    let (width, height) = decoder.dimensions();
    // The header's word, before a pixel is unpacked; not every decoder asks the limits itself.
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE || decoder.total_bytes() > MAX_UNPACKED {
        return Err(format!(
            "The picture has {width} by {height} pixels and would take {} MiB; at most {MAX_SIDE} by {MAX_SIDE} and 64 MiB \
             are shown.",
            decoder.total_bytes() >> 20
        ));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(said)?;
    let side = width.min(height);
    let middle = picture.view((width - side) / 2, (height - side) / 2, side, side);
    // SIDE is a small constant.
    let small = image::imageops::thumbnail(&*middle, SIDE as u32, SIDE as u32);
    let mut small = DynamicImage::ImageRgba8(small);
    small.apply_orientation(orientation);
    Ok(small.into_rgba8().into_raw().into())
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::voice::manifest::ElementType;
    use crate::voice::package::{Package, PackageWriter};
    use crate::voice::{Manifest, VoiceId};

    /// A picture of one colour with black borders left and right of the square in its middle.
    fn picture(width: u32, height: u32, colour: [u8; 3], format: ImageFormat) -> Vec<u8> {
        let side = width.min(height);
        let (left, top) = ((width - side) / 2, (height - side) / 2);
        let picture = RgbImage::from_fn(width, height, |x, y| {
            let is_inside = (left..left + side).contains(&x) && (top..top + side).contains(&y);
            if is_inside { Rgb(colour) } else { Rgb([0; 3]) }
        });
        let mut bytes = Cursor::new(Vec::new());
        DynamicImage::ImageRgb8(picture).write_to(&mut bytes, format).expect("written");
        bytes.into_inner()
    }

    /// A voice file with a picture.
    fn voice_with(portrait: &[u8], path: &str) -> Vec<u8> {
        let (_, manifest) = Package::peek(include_bytes!("../../models/voices/opal.coffre")).expect("a voice");
        let mut writer = PackageWriter::new(Manifest { members: Vec::new(), ..manifest });
        writer.push(path, ElementType::U8, &[portrait.len()], portrait.to_vec());
        writer.finish().expect("a file")
    }

    #[test]
    fn the_middle_of_a_picture_is_shown_small() {
        let colour = [200, 100, 50];
        for (format, path) in [(ImageFormat::Png, "portrait.png"), (ImageFormat::Jpeg, "portrait.jpg")] {
            for (width, height) in [(640, 360), (300, 1_000), (3, 2), (1, 1), (4_096, 17)] {
                let small = small(&voice_with(&picture(width, height, colour, format), path)).expect("a picture");
                assert_eq!(small.len(), SIDE * SIDE * 4);
                // JPEG mixes the border in when there are few pixels.
                let most = if format == ImageFormat::Png { 1 } else { 60 };
                let middle = &small[(SIDE / 2 * SIDE + SIDE / 2) * 4..][..3];
                let is_near = middle.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= most);
                assert!(is_near, "{format:?} {width}x{height}: {middle:?}");
            }
        }
    }

    #[test]
    fn hostile_pictures_are_words_and_nothing_else() {
        let good = picture(64, 64, [9; 3], ImageFormat::Png);
        let jpeg = picture(64, 64, [9; 3], ImageFormat::Jpeg);
        // The sides as the header has them, with and without its checksum.
        let mut huge = good.clone();
        huge[16..24].copy_from_slice(&[0, 0, 16, 0, 0, 0, 16, 0]);
        huge[24] = 16;
        let mut wide = jpeg.clone();
        let frame = wide.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
        wide[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let mut cases = vec![huge, wide, b"\x89PNG".to_vec(), vec![0xff, 0xd8, 0xff], Vec::new(), vec![0; 9_000]];
        for whole in [&good, &jpeg] {
            cases.extend([1, 2, 3, 5, 9].map(|part| whole[..whole.len() * part / 10].to_vec()));
        }
        for (n, case) in cases.into_iter().enumerate() {
            let said = decode(&case);
            // A cut JPEG may still show what is there; nothing else may.
            let is_cut_jpeg = case.starts_with(&[0xff, 0xd8]) && jpeg.starts_with(&case);
            assert!(said.is_err() || is_cut_jpeg, "{n}");
        }
        for seed in 0..2_000_u32 {
            for whole in [&good, &jpeg] {
                let mut bytes = whole.clone();
                let len = bytes.len() as u32;
                for round in 0..3 {
                    let at = seed.wrapping_mul(2_654_435_761).rotate_left(round * 7) % len;
                    bytes[at as usize] ^= 1 << ((seed + round) % 8);
                }
                if let Ok(small) = decode(&bytes) {
                    assert_eq!(small.len(), SIDE * SIDE * 4);
                }
            }
        }
    }

    #[test]
    fn what_would_take_much_memory_is_refused_by_its_header() {
        // 4096 by 4096 of one colour is some kilobytes; with 16 bits it would be 128 MiB.
        let mut bytes = Cursor::new(Vec::new());
        let deep = image::ImageBuffer::from_pixel(4_096, 4_096, image::Rgba([7_u16; 4]));
        DynamicImage::ImageRgba16(deep).write_to(&mut bytes, ImageFormat::Png).expect("written");
        let said = decode(&bytes.into_inner()).expect_err("refused");
        assert!(said.contains("128 MiB"), "{said}");
        let large = picture(4_096, 4_096, [90; 3], ImageFormat::Png);
        assert_eq!(decode(&large).expect("the largest that is allowed")[..3], [90; 3]);
    }

    #[test]
    fn the_picture_follows_the_chosen_voice() {
        let folder = tempfile::tempdir().expect("a folder");
        let choice = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("written");
            let voice = VoiceRef { name: name.into(), id: VoiceId::of(bytes).to_string(), ..VoiceRef::default() };
            VoiceChoice { voice, path, has_portrait: true, ..VoiceChoice::default() }
        };
        let good = choice("good", &voice_with(&picture(8, 8, [1, 2, 3], ImageFormat::Png), "portrait.png"));
        let bad = choice("bad", &voice_with(b"\x89PNG no picture", "portrait.png"));
        let plain = VoiceChoice { has_portrait: false, ..good.clone() };
        let mut portraits = Portraits::default();
        let mut wait = |voice: &VoiceChoice| {
            let start = std::time::Instant::now();
            loop {
                let state = portraits.turn(Some(voice)).clone();
                if state != PortraitState::Nothing || portraits.job.is_none() {
                    return state;
                }
                assert!(start.elapsed().as_secs() < 20, "no answer");
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        };
        let shown = |state| matches!(state, PortraitState::Shown(picture) if picture.id == good.voice.id);
        assert!(shown(wait(&good)));
        assert!(matches!(wait(&bad), PortraitState::Refused(id, reason) if id == bad.voice.id && reason.len() > 10));
        assert!(shown(wait(&good)));
        assert_eq!(wait(&plain), PortraitState::Nothing);
    }
}
