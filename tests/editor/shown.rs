//! The picture of the editor in `docs/`: drawn anew and compared, so that it shows the editor as it is.
//!
//! `COFFRE_WRITE_PICTURE=1` writes the picture instead; `cargo xtask docs` sets it.

use std::path::{Path, PathBuf};

use coffre::bridge::session::{SlotState, VoiceChoice};
use coffre::bridge::telemetry::{ProfileState, Reading};
use coffre::editor::DEFAULT_SIZE;
use coffre::editor::model::EditorModel;
use coffre::editor::note::hz_from_midi;
use coffre::editor::portrait::{Picture as Portrait, PortraitState, SIDE};
use coffre::editor::trace::{PitchPoint, PitchTrace};
use coffre::voice::{Extras, Package};
use image::{ExtendedColorType, ImageEncoder as _};

use super::stage::{Stage, lively, named};

/// Pixels per point: sharp on a dense screen.
const SCALE: f32 = 1.5;

/// A channel that is further off than this counts as another pixel. Below it are the last bits of floating point.
const FAINT: u8 = 24;

/// Share of other pixels up to which the committed picture still shows the editor. One changed word has more.
const TOLERATED: f64 = 1e-4;

/// The voice that is shown as chosen, and the second one.
const CHOSEN: [&str; 2] = ["celadon", "onyx"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A voice that ships, as the list shows it, and its portrait.
fn shipped(file: &Path) -> (VoiceChoice, Portrait) {
    let bytes = Package::read_file(file).unwrap();
    let (id, manifest) = Package::peek(&bytes).unwrap();
    let id = id.to_string();
    let portrait = Extras::peek_portrait(&bytes).unwrap().expect("voices that ship have a portrait");
    let rgba = image::load_from_memory(portrait.bytes()).unwrap().thumbnail_exact(SIDE as u32, SIDE as u32).to_rgba8();
    let choice = VoiceChoice {
        voice: named(&id, &manifest.name),
        description: manifest.description,
        range_hz: manifest.range_hz,
        licence: manifest.licence,
        attribution: manifest.attribution,
        consent: manifest.consent.map(|consent| consent.statement).unwrap_or_default(),
        is_embedded: true,
        has_preview: true,
        has_portrait: true,
        ..VoiceChoice::default()
    };
    (choice, Portrait { id, rgba: rgba.into_raw().into() })
}

/// Coffre in the middle of a made-up song: the voices that ship, a low singer, the output an octave higher.
fn in_use() -> EditorModel {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("models/voices")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "coffre"));
    files.sort();
    let stem = |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    let voices: Vec<(String, (VoiceChoice, Portrait))> = files.iter().map(|file| (stem(file), shipped(file))).collect();
    let mut model = lively();
    for (slot, wanted) in CHOSEN.iter().enumerate() {
        let (_, (choice, portrait)) = voices.iter().find(|(stem, _)| stem == wanted).expect("a voice that ships");
        model.slots[slot] = Some(choice.voice.clone());
        model.slot_states[slot] = SlotState::Ready;
        if slot == 0 {
            model.portrait = PortraitState::Shown(portrait.clone());
        }
    }
    model.voices = voices.into_iter().map(|(_, (choice, _))| choice).collect();
    // Figures of live mode from docs/measured.md.
    model.reading = Reading {
        profile: ProfileState::Learned,
        latency_samples: 2224,
        load: 0.09,
        register_st: 12.0,
        ..model.reading
    };
    let octave_down = hz_from_midi(57.0) / hz_from_midi(69.0);
    let mut trace = PitchTrace::default();
    let points: Vec<PitchPoint> = model.trace.newest_first().collect();
    for point in points.iter().rev() {
        trace.push(PitchPoint { source_hz: point.source_hz * octave_down, output_hz: point.source_hz });
    }
    model.trace = trace;
    model
}

/// The editor with this model as it looks after a moment: width, height and pixels.
fn drawn(model: EditorModel) -> (u32, u32, Vec<u8>) {
    let mut stage = Stage::new(model, DEFAULT_SIZE, SCALE);
    stage.rest(20);
    let picture = stage.picture();
    (picture.width as u32, picture.height as u32, picture.to_rgb())
}

/// Share of pixels that are not the same in two pictures of one size.
fn other(a: &[u8], b: &[u8]) -> f64 {
    let is_other = |(a, b): (&[u8], &[u8])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > FAINT);
    let count = a.chunks(3).zip(b.chunks(3)).filter(|&pixels| is_other(pixels)).count();
    count as f64 * 3.0 / a.len() as f64
}

#[test]
fn the_picture_in_the_documentation_is_of_this_editor() {
    let (width, height, drawn) = drawn(in_use());
    let file = root().join("docs/editor.png");
    if std::env::var_os("COFFRE_WRITE_PICTURE").is_some() {
        let mut bytes = Vec::new();
        let (best, filter) = (image::codecs::png::CompressionType::Best, image::codecs::png::FilterType::Adaptive);
        image::codecs::png::PngEncoder::new_with_quality(&mut bytes, best, filter)
            .write_image(&drawn, width, height, ExtendedColorType::Rgb8)
            .unwrap();
        std::fs::write(&file, bytes).unwrap();
    }
    let remedy = "If the editor was changed on purpose, run `cargo xtask docs --picture`";
    let shown = image::open(&file).unwrap_or_else(|error| panic!("docs/editor.png: {error}. {remedy}")).to_rgb8();
    assert_eq!(shown.dimensions(), (width, height), "{remedy}");
    let share = other(shown.as_raw(), &drawn);
    assert!(share <= TOLERATED, "a share of {share} of docs/editor.png is not as the editor draws it. {remedy}");
}

#[test]
fn another_word_is_another_picture() {
    let mut model = in_use();
    model.reading.late_hops = 7;
    let (_, _, first) = drawn(in_use());
    assert_eq!(other(&first, &drawn(in_use()).2), 0.0, "the same model gives the same picture");
    let share = other(&first, &drawn(model).2);
    assert!(share > 3.0 * TOLERATED, "“Late 7 times” for “Never late” is a share of {share} only");
}
