//! Looks for Coffre's watermark in a sound.
//!
//! `cargo run --release --example find_watermark FILE`

use std::error::Error;
use std::path::Path;

use coffre::audio_file::read_mono;
use coffre::engine::resample::Resampler;
use coffre::provenance::evidence::{Analyser, DETECT_RATE};
use coffre::provenance::{Finding, Pattern, detect};

/// Where a sound at `rate` Hz was converted, and by which voice. Nothing found shows nothing: a mark can be switched off.
pub fn find(sound: &[f32], rate: u32) -> Vec<Finding> {
    let mut resampler = Resampler::new(rate, DETECT_RATE, 0);
    resampler.push(sound);
    let mut resampled = vec![0.0; resampler.available()];
    resampler.pull(&mut resampled);
    let mut analyser = Analyser::new();
    analyser.push(&resampled);
    detect(&analyser.finish(), Pattern::public())
}

#[allow(dead_code, reason = "the tests call `find`")]
fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args().nth(1).ok_or("name a file")?;
    let (sound, rate) = read_mono(Path::new(&file), 3_600.0)?;
    println!("{} marks", find(&sound, rate).len());
    Ok(())
}
