//! What the engine gives without any host: the yardstick of the host tests.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use std::sync::Arc;

use coffre::bridge::Session;
use coffre::engine::stream::HostStream;
use coffre::engine::{HopParams, Mode};
use coffre::params::CoffreParams;
use coffre::worker::Backend as _;
use coffre::worker::backend::{NativeBackend, embedded_voices};

/// The parameters of a new instance, as the engine gets them.
pub fn default_params() -> HopParams {
    CoffreParams::new(&Arc::new(Session::default()), (0.0, 0.0)).controls().hop
}

/// Input through the native engine with the embedded voices in their slots, as a host that was told `latency` hears it.
/// `params` are changes at absolute samples of the input; the first one holds from the beginning.
pub fn converted(input: &[f32], rate: u32, mode: Mode, latency: usize, params: &[(usize, HopParams)]) -> Vec<f32> {
    let mut backend = NativeBackend::with_folders(Vec::new());
    backend.scan();
    let mut engine = backend.build(mode.into()).expect("an engine");
    assert_eq!(backend.device(), Ok("CPU".to_owned()), "ONNX Runtime is installed (`cargo xtask setup`)");
    for (slot, voice) in embedded_voices().iter().enumerate() {
        engine.put(slot, Some(backend.load_voice(voice, mode.into()).expect("an embedded voice")));
    }
    engine.reset();
    let mut stream = HostStream::new(engine, rate).expect("a rate");
    for (position, params) in params {
        stream.set_params(*position as u64, *params);
    }
    stream.push(input);
    let mut all = Vec::new();
    while let Some(result) = stream.run_hop() {
        result.expect("the engine never fails");
        let mut part = vec![0.0; stream.available()];
        stream.read(&mut part);
        all.extend(part);
    }
    // Silence until the latency is over, then the stream from its own latency on.
    let mut output = vec![0.0; latency];
    output.extend(&all[stream.latency_len()..]);
    output.truncate(input.len());
    output
}

/// The input, `latency` samples later.
pub fn delayed(input: &[f32], latency: usize) -> Vec<f32> {
    let mut output = vec![0.0; latency.min(input.len())];
    output.extend(&input[..input.len().saturating_sub(latency)]);
    output
}

/// Every sample equal, bit for bit but for the sign of zero.
#[track_caller]
pub fn assert_same(output: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(output.len(), wanted.len(), "{what}: the length");
    if let Some(n) = (0..output.len()).find(|n| output[*n] != wanted[*n]) {
        let count = (0..output.len()).filter(|n| output[*n] != wanted[*n]).count();
        panic!("{what}: {count} samples differ, first sample {n}: {} and not {}", output[n], wanted[n]);
    }
}

/// Root mean square.
pub fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len().max(1) as f32).sqrt()
}

/// Largest difference between neighbours.
pub fn largest_step(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}
