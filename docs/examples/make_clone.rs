//! Makes a voice file of a recording, with the consent of whoever speaks in it.
//!
//! `cargo run --release --example make_clone`

use std::error::Error;
use std::path::Path;

use coffre::audio_file::read_mono;
use coffre::clone::{CloneOptions, clone_voice};
use coffre::engine::Mode;
use coffre::engine::content::ContentEncoder;
use coffre::onnx::Runtime;
use coffre::voice::{Consent, ConsentGround, Voice};

/// A voice of recordings at 48 kHz.
pub fn make(recordings: &[&[f32]], name: &str) -> Result<Voice, Box<dyn Error>> {
    let consent = Consent {
        ground: ConsentGround::OwnVoice,
        statement: "I recorded my own voice.".to_owned(),
        date: None,
        recordings_sha256: None,
    };
    let options = CloneOptions { name: name.to_owned(), consent: Some(consent), ..CloneOptions::default() };
    let mut encoder = ContentEncoder::new(Runtime::get()?, Mode::Mix)?;
    let bytes = clone_voice(recordings.iter().copied(), Some(&mut encoder), &options, &mut |_| ())?;
    // `std::fs::write("my-voice.coffre", &bytes)` would keep it.
    Ok(Voice::from_bytes(&bytes)?)
}

#[allow(dead_code, reason = "the tests call `make`")]
fn main() -> Result<(), Box<dyn Error>> {
    let vocal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac");
    let (recording, rate) = read_mono(&vocal, 60.0)?;
    assert_eq!(rate, 48_000, "other rates are resampled first");
    let voice = make(&[&recording], "My voice")?;
    println!("{}: about {:.0} Hz", voice.name(), voice.median_f0_hz());
    Ok(())
}
