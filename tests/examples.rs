//! The examples of `docs/examples` do what they say.

use std::path::Path;

use coffre::audio_file::read_mono;

#[path = "../docs/examples/convert_buffer.rs"]
mod convert_buffer;
#[path = "../docs/examples/find_watermark.rs"]
mod find_watermark;
#[path = "../docs/examples/make_clone.rs"]
mod make_clone;
#[path = "../docs/examples/read_voice.rs"]
mod read_voice;
#[path = "../docs/examples/stream_hops.rs"]
mod stream_hops;

fn vocal() -> (Vec<f32>, u32) {
    read_mono(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac"), 60.0).expect("test data")
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

#[test]
fn a_buffer_is_converted_and_its_watermark_found() {
    let (vocal, rate) = vocal();
    // Long enough for the mark.
    let input: Vec<f32> = vocal.iter().copied().cycle().take(vocal.len().max(25 * rate as usize)).collect();
    let output = convert_buffer::convert(&input, rate, "Celadon").expect("converted");
    assert_eq!(output.len(), input.len());
    let (sent, heard) = (rms(&input), rms(&output));
    assert!(heard > 0.5 * sent && heard < 2.0 * sent, "{heard} after {sent}");
    assert!(!find_watermark::find(&output, rate).is_empty());
    assert!(find_watermark::find(&input, rate).is_empty());
}

#[test]
fn hops_tell_the_pitch() {
    let reports = stream_hops::octave_up(220.0, 60).expect("no graph that could fail");
    let last = reports.last().expect("hops");
    assert!((last.f0_source_hz - 220.0).abs() < 1.0 && (last.f0_output_hz - 440.0).abs() < 2.0, "{last:?}");
}

#[test]
fn voices_are_listed_with_their_origin() {
    let voices = read_voice::voices();
    let quartz = voices.iter().find(|(name, ..)| name == "Quartz").expect("it ships");
    assert!(quartz.1[0] < quartz.1[1] && quartz.2 != "origin unknown");
}

#[test]
fn a_clone_is_made_of_a_recording() {
    let (recording, _) = vocal();
    let voice = make_clone::make(&[&recording], "Example").expect("enough voice");
    assert_eq!(voice.name(), "Example");
    assert!(voice.manifest().consent.is_some() && voice.native().is_some_and(|body| !body.bank.is_empty()));
}
