//! The generator network of an RVC voice as one ONNX graph, built from its weights.
//!
//! ```text
//! phone, pitch ─▶ text encoder ─▶ mean, log_std ─▶ + noise ─▶ flow, reversed ─▶ decoder ─▶ audio
//!                                (from flow_head on)          (from decode_head on)  ▲ source
//! ```
//!
//! Noise and sine excitation are inputs: a graph with random numbers of its own could not be compared, nor render the same
//! twice. The speaker is folded into the weights. The number of frames is open, so one session serves every window.

mod decoder;
mod encoder;
mod flow;
mod layers;

use layers::Net;

use crate::onnx::model::{Dim, GraphWriter};
use crate::voice::import::{Checkpoint, ImportError};

/// Content features, `[1, frames, features]`, 100 Hz.
pub const PHONE: &str = "phone";
/// Pitch classes in `1.0..=255.0`, `[1, frames]`; only for voices with F0.
pub const PITCH: &str = "pitch";
/// Standard normal numbers, `[1, inter_channels, frames after flow_head]`.
pub const NOISE: &str = "noise";
/// Excitation, `[1, 1, samples of the decoded frames]`; only for voices with F0.
pub const SOURCE: &str = "source";
/// Frames that only the text encoder sees, `[1]`.
pub const FLOW_HEAD: &str = "flow_head";
/// Further frames that only the flow sees, `[1]`.
pub const DECODE_HEAD: &str = "decode_head";
/// Frames that the decoder makes of those that are left, `[1]`: more or fewer move the formants.
pub const DECODED_FRAMES: &str = "decoded_frames";
/// Number of frames whose sound is wanted, counted from the first, `[1]`: work for the others is skipped.
pub const MADE_FRAMES: &str = "made_frames";
/// The sound, `[1, 1, samples of the wanted frames]`.
pub const AUDIO: &str = "audio";

/// Which inner values become outputs besides the sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probe {
    /// None.
    #[default]
    Off,
    /// `mean`, `log_std` and `z`: for comparing stage by stage.
    Stages,
}

/// Share of the noise that is used; part of how voices were trained.
pub const NOISE_SCALE: f32 = 0.66666;

/// Builds the graph of one speaker.
///
/// # Errors
/// [`ImportError`] naming the tensor that is missing, misshapen or not finite.
pub fn build(voice: &Checkpoint, speaker: usize, probe: Probe) -> Result<Vec<u8>, ImportError> {
    let config = &voice.config;
    let table = [config.speakers, config.speaker_channels];
    let row = speaker.min(config.speakers - 1) * config.speaker_channels;
    let embedding = voice.weights.floats("emb_g.weight", &table)?[row..row + config.speaker_channels].to_vec();
    let mut net = Net { graph: GraphWriter::new(), weights: &voice.weights };

    let frames = Dim::Open("frames");
    let phone = net.graph.input(PHONE, &[Dim::Fixed(1), frames, Dim::Fixed(config.version.features())]);
    let pitch = config.has_f0.then(|| net.graph.input(PITCH, &[Dim::Fixed(1), frames]));
    let inter = Dim::Fixed(config.inter_channels);
    let noise = net.graph.input(NOISE, &[Dim::Fixed(1), inter, Dim::Open("flow_frames")]);
    let one = Dim::Fixed(1);
    let source = config.has_f0.then(|| net.graph.input(SOURCE, &[one, one, Dim::Open("samples")]));
    let flow_head = net.graph.input(FLOW_HEAD, &[one]);
    let decode_head = net.graph.input(DECODE_HEAD, &[one]);
    let decoded_frames = net.graph.input(DECODED_FRAMES, &[one]);
    let made_frames = net.graph.input(MADE_FRAMES, &[one]);

    let (mean, log_std) = encoder::text_encoder(&mut net, config, &phone, pitch.as_ref(), &flow_head)?;
    let spread = net.op("Exp", &[&log_std]);
    let noise = net.op("Mul", &[&spread, &noise]);
    let scale = net.graph.floats(&[1], &[NOISE_SCALE]);
    let noise = net.op("Mul", &[&noise, &scale]);
    let prior = net.op("Add", &[&mean, &noise]);
    let z = flow::reverse(&mut net, config, &prior, &embedding)?;
    let heard = net.frames_after(&z, &decode_head);
    let heard = net.stretch(&heard, config.inter_channels, &decoded_frames);
    let audio = decoder::decode(&mut net, config, &heard, source.as_ref(), &embedding, &made_frames)?;

    if probe == Probe::Stages {
        let shape = [one, inter, Dim::Open("flow_frames")];
        for (edge, name) in [(&mean, "mean"), (&log_std, "log_std"), (&z, "z")] {
            net.graph.output(edge, name, &shape);
        }
    }
    net.graph.output(&audio, AUDIO, &[one, one, Dim::Open("made_samples")]);
    Ok(net.graph.finish("rvc", &[]))
}
