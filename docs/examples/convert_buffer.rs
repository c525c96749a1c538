//! Converts a buffer of samples to another voice, aligned to its input.
//!
//! `cargo run --release --example convert_buffer`

use std::error::Error;
use std::path::Path;

use coffre::audio_file::read_mono;
use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::stream::HostStream;
use coffre::engine::{HopParams, Mode};
use coffre::onnx::Runtime;
use coffre::voice::Library;

/// `input` at `rate` Hz as `voice` sings it: as many samples, each where its input was.
pub fn convert(input: &[f32], rate: u32, voice: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let library = Library::scan(&[]);
    let mut engine = NativeEngine::open(Runtime::get()?, Mode::Mix, SourceProfile::population())?;
    engine.set_voice(0, Some(library.find_by_word(voice)?.load()?));

    // A stream brings any rate to the engine's and back; its delay is known to the sample.
    let mut stream = HostStream::new(Box::new(engine), rate)?;
    stream.set_params(0, HopParams { likeness: 0.8, ..HopParams::default() });
    let latency = stream.latency_len();
    stream.push(input);
    // What is still inside comes out behind silence.
    stream.push(&vec![0.0; stream.tail_len() + stream.missing_len()]);
    while let Some(result) = stream.run_hop() {
        result?;
    }
    let mut output = vec![0.0; stream.available()];
    stream.read(&mut output);
    Ok(output[latency..latency + input.len()].to_vec())
}

#[allow(dead_code, reason = "the tests call `convert`")]
fn main() -> Result<(), Box<dyn Error>> {
    let vocal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac");
    let (input, rate) = read_mono(&vocal, 60.0)?;
    let output = convert(&input, rate, "Celadon")?;
    println!("{} samples in, {} out", input.len(), output.len());
    Ok(())
}
