//! Loads a plugin's file as a host does and renders a recording through it: `load-plugin FILE IN OUT.wav`.
//!
//! FILE is a `.clap` file, the binary inside a VST3 bundle, or `none`: then IN is copied. OUT has one channel of floating
//! point. The last line on standard output is a report in JSON. Not
//! shipped: `cargo xtask test --target` runs it on both systems and compares what comes out.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/host.rs"]
mod host;
mod vst3;

use std::path::Path;
use std::time::Instant;

use clack_host::prelude::PluginEntry;
use coffre::audio_file::{AudioReader, AudioSpec, AudioWriter, SampleFormat};

/// Samples of a block.
const BLOCK: usize = 512;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, input, output] = arguments.as_slice() else {
        eprintln!("usage: load-plugin FILE IN OUT.wav");
        std::process::exit(2);
    };
    let (rate, input) = read(Path::new(input));
    let start = Instant::now();
    let (latency, rendered) = match file.as_str() {
        "none" => (0, input.clone()),
        file if file.ends_with(".clap") => through_clap(file, rate, &input),
        file => vst3::render(Path::new(file), rate, &input, BLOCK),
    };
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(rendered.len(), input.len());
    let spec = AudioSpec { rate, channels: 1, format: SampleFormat::Float };
    let mut writer = AudioWriter::create(Path::new(output), spec).expect("a file to write");
    writer.write(&rendered).and_then(|()| writer.finish()).expect("it is written");
    println!("{{\"latency\": {latency}, \"seconds\": {seconds:.2}}}");
}

/// The first channel of a recording.
fn read(path: &Path) -> (u32, Vec<f32>) {
    let mut reader = AudioReader::open(path).expect("a recording");
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.read(&mut block).expect("a whole recording") {
        all.extend(block.iter().step_by(reader.spec().channels));
    }
    (reader.spec().rate, all)
}

fn through_clap(file: &str, rate: u32, input: &[f32]) -> (u32, Vec<f32>) {
    // SAFETY: a plugin of ours, whose start does nothing but set itself up.
    let entry = unsafe { PluginEntry::load(file) }.expect("a plugin");
    let mut host = host::Host::of(&entry);
    host.select_layout(2, (1, 1));
    host.set_offline(true);
    host.activate(rate, BLOCK as u32);
    let latency = u32::try_from(host.latency()).expect("a latency");
    (latency, host.play_mono(input, &common::partition(input.len(), &[BLOCK]), host::Pace::Free, &[]))
}
