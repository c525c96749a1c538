//! RVC voices against an independent implementation: `tests/rvc/reference.py` made the numbers in `tests/data`.

#[path = "rvc/command.rs"]
mod command;
mod common;
#[path = "rvc/content.rs"]
mod content;
#[path = "rvc/eight_bit.rs"]
mod eight_bit;
#[path = "rvc/engine.rs"]
mod engine;
#[path = "rvc/hostile.rs"]
mod hostile;
#[path = "rvc/hubert.rs"]
mod hubert;
#[path = "rvc/pitch.rs"]
mod pitch_line;
#[path = "rvc/rmvpe_stand_in.rs"]
mod rmvpe_stand_in;
#[path = "rvc/stand_in.rs"]
mod stand_in;

use std::path::PathBuf;

use coffre::engine::Mode;
use coffre::engine::rvc::generator::{Generator, Network, Window};
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::net::{self, Probe};
use coffre::engine::rvc::retrieval::{self, Neighbour};
use coffre::engine::rvc::{pitch, source};
use coffre::onnx::{Graph, Port, Runtime};
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::{Checkpoint, import_rvc};
use coffre::voice::tensors::Tensors;

/// Frames of the fixtures, those before the flow and those before the decoder.
const FRAMES: usize = 40;
const FLOW_HEAD: usize = 4;
const DECODE_HEAD: usize = 6;
const SPEAKER: usize = 1;

/// Fixtures of full size, if somebody made them: `python tests/rvc/fixtures.py FOLDER`.
const FULL_SIZE_VARIABLE: &str = "COFFRE_RVC_FULL";

fn data(name: &str) -> Vec<u8> {
    let path = fixture(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fixture(name: &str) -> PathBuf {
    let folder = match std::env::var_os(FULL_SIZE_VARIABLE) {
        Some(folder) if name.starts_with("rvc_full.") => PathBuf::from(folder),
        _ => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data"),
    };
    folder.join(name)
}

fn expected(name: &str) -> Tensors {
    let mut tensors = Tensors::default();
    tensors.read(&data(&format!("{name}.safetensors"))).expect("a table of tensors");
    tensors
}

fn values(tensors: &Tensors, name: &str) -> Vec<f32> {
    let shape = tensors.shape(name).expect("known").to_vec();
    tensors.floats(name, &shape).expect("numbers")
}

fn wave(count: usize, step: f64) -> Vec<f32> {
    (0..count).map(|n| (n as f64 * step).sin() as f32).collect()
}

/// Largest difference, relative to the root mean square of what is expected.
fn relative_error(found: &[f32], wanted: &[f32]) -> f32 {
    assert_eq!(found.len(), wanted.len());
    let level = (wanted.iter().map(|v| v * v).sum::<f32>() / wanted.len() as f32).sqrt();
    found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / level
}

fn correlation(one: &[f32], other: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

#[test]
fn every_stage_of_the_network_equals_the_reference() {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    let full_size = std::env::var_os(FULL_SIZE_VARIABLE).map(|_| "rvc_full");
    for name in ["rvc_v2_40k", "rvc_v2_48k", "rvc_v1_32k_plain"].into_iter().chain(full_size) {
        let voice = Checkpoint::read(data(&format!("{name}.pth"))).expect("a voice");
        let config = voice.config.clone();
        let graph = net::build(&voice, SPEAKER, Probe::Stages).expect("a graph");
        let graph = Graph::open(runtime, "rvc", &graph).expect("ONNX Runtime takes the graph");
        let wanted = expected(name);

        let (features, inter) = (config.version.features(), config.inter_channels);
        let flow_frames = FRAMES - FLOW_HEAD;
        let samples = (flow_frames - DECODE_HEAD) * config.samples_per_frame();
        let (phone, pitch, stage) = ([1, FRAMES, features], [1, FRAMES], [1, inter, flow_frames]);
        let sound = [1, 1, samples];
        let mut inputs = vec![
            Port { name: net::PHONE, shape: Some(&phone) },
            Port { name: net::NOISE, shape: Some(&stage) },
            Port { name: net::FLOW_HEAD, shape: Some(&[1]) },
            Port { name: net::DECODE_HEAD, shape: Some(&[1]) },
            Port { name: net::DECODED_FRAMES, shape: Some(&[1]) },
            Port { name: net::MADE_FRAMES, shape: Some(&[1]) },
        ];
        if config.has_f0 {
            inputs.push(Port { name: net::PITCH, shape: Some(&pitch) });
            inputs.push(Port { name: net::SOURCE, shape: Some(&sound) });
        }
        let outputs = [
            Port { name: "mean", shape: Some(&stage) },
            Port { name: "log_std", shape: Some(&stage) },
            Port { name: "z", shape: Some(&stage) },
            Port { name: net::AUDIO, shape: Some(&sound) },
        ];
        let mut call = graph.call(&inputs, &outputs).expect("the ports fit");
        call.input_mut(0).copy_from_slice(&wave(FRAMES * features, 0.37));
        let noise: Vec<f32> = wave(inter * flow_frames, 0.71).iter().map(|v| 1.5 * v).collect();
        call.input_mut(1).copy_from_slice(&noise);
        call.input_mut(2)[0] = FLOW_HEAD as f32;
        call.input_mut(3)[0] = DECODE_HEAD as f32;
        call.input_mut(4)[0] = (flow_frames - DECODE_HEAD) as f32;
        call.input_mut(5)[0] = (flow_frames - DECODE_HEAD) as f32;
        if config.has_f0 {
            let f0 = values(&wanted, "f0");
            let classes: Vec<f32> = f0.iter().map(|&hz| pitch::coarse(hz)).collect();
            assert_eq!(classes, values(&wanted, "coarse"));
            call.input_mut(6).copy_from_slice(&classes);
            let mut excitation = vec![0.0; FRAMES * config.samples_per_frame()];
            let mut phase = 0.0;
            for (frame, &hz) in excitation.chunks_exact_mut(config.samples_per_frame()).zip(&f0) {
                source::sine(phase, hz, config.sample_rate, frame);
                phase = source::advance(phase, hz);
            }
            let excitation = &excitation[(FLOW_HEAD + DECODE_HEAD) * config.samples_per_frame()..];
            assert!(relative_error(excitation, &values(&wanted, "source")) < 1e-4, "{name}: source");
            call.input_mut(7).copy_from_slice(excitation);
        }
        call.run().expect("it runs");
        for (index, stage) in ["mean", "log_std", "z", "audio"].into_iter().enumerate() {
            let error = relative_error(call.output(index), &values(&wanted, stage));
            println!("{name}: {stage} {error:.2e}");
            assert!(error < 1e-4, "{name}: {stage} is off by {error}");
        }
        assert!(correlation(call.output(3), &values(&wanted, "audio")) > 0.999_99);
    }
}

#[test]
fn frames_whose_sound_is_not_wanted_change_nothing_of_the_others() {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    let full_size = std::env::var_os(FULL_SIZE_VARIABLE).map(|_| "rvc_full");
    for name in ["rvc_v2_40k", "rvc_v2_48k", "rvc_v1_32k_plain"].into_iter().chain(full_size) {
        let voice = Checkpoint::read(data(&format!("{name}.pth"))).expect("a voice");
        let config = &voice.config;
        let graph = Graph::open(runtime, "rvc", &net::build(&voice, SPEAKER, Probe::Off).expect("a graph"));
        let graph = graph.expect("ONNX Runtime takes the graph");
        let (features, inter, decoded) = (config.version.features(), config.inter_channels, FRAMES - FLOW_HEAD);
        let audio = |made: usize| {
            let (phone, pitch, noise) = ([1, FRAMES, features], [1, FRAMES], [1, inter, decoded]);
            let [source, sound] = [decoded, made].map(|frames| [1, 1, frames * config.samples_per_frame()]);
            let port = |name, shape| Port { name, shape: Some(shape) };
            let mut inputs = vec![port(net::PHONE, &phone[..]), port(net::NOISE, &noise)];
            let lengths = [net::FLOW_HEAD, net::DECODE_HEAD, net::DECODED_FRAMES, net::MADE_FRAMES];
            inputs.extend(lengths.map(|name| port(name, &[1])));
            if config.has_f0 {
                inputs.extend([port(net::PITCH, &pitch[..]), port(net::SOURCE, &source)]);
            }
            let mut call = graph.call(&inputs, &[port(net::AUDIO, &sound)]).expect("the ports fit");
            call.input_mut(0).copy_from_slice(&wave(FRAMES * features, 0.37));
            call.input_mut(1).copy_from_slice(&wave(inter * decoded, 0.71));
            for (index, value) in [FLOW_HEAD, 0, decoded, made].into_iter().enumerate() {
                call.input_mut(2 + index)[0] = value as f32;
            }
            if config.has_f0 {
                call.input_mut(6).fill(90.0);
                let len = source[2];
                call.input_mut(7).copy_from_slice(&wave(len, 0.03).iter().map(|v| 0.1 * v).collect::<Vec<_>>());
            }
            call.run().expect("it runs");
            call.output(0).to_vec()
        };
        let all = audio(decoded);
        for made in [4, 11, 23, decoded - 1] {
            let few = audio(made);
            let error = relative_error(&few, &all[..few.len()]);
            println!("{name}: {made} of {decoded} frames, {error:.1e}");
            assert!(error < 1e-5, "{name}: {made} frames are off by {error}");
        }
    }
}

#[test]
fn the_pipeline_after_the_features_equals_the_reference_with_the_same_noise() {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    let voice = import_rvc(&fixture("rvc_v2_40k.pth"), None).expect("a voice");
    let geometry = Geometry { block: 10, crossfade: 2, margin: 3, context: 30, mode: Mode::Live };
    let mut generator = Generator::new(Network::new(runtime, &voice, 0).expect("it loads"), geometry);
    let wanted = expected("rvc_pipeline");
    let window = geometry.window();
    let phone = wave(window * 768, 0.37);
    let f0_hz: Vec<f32> = (0..window).map(|n| if n % 10 < 7 { 150.0 + 5.0 * n as f32 } else { 0.0 }).collect();
    for (formant, name) in [(1.0, "formant_1.0"), (1.25, "formant_1.25")] {
        let window = Window { start: 100, phone: &phone, f0_hz: &f0_hz, phase: 0.25, formant };
        let (audio, wanted) = (generator.run(&window).expect("it runs"), values(&wanted, name));
        // The reference decodes to the end; what is not made here is not heard.
        assert_eq!(audio.len(), generator.made_frames(formant) * generator.samples_per_frame());
        let (made, all) = (geometry.made(), geometry.decoded());
        assert!(made < all && audio.len() < wanted.len(), "{made} of {all} frames");
        let wanted = &wanted[..audio.len()];
        let (error, correlation) = (relative_error(&audio, wanted), correlation(&audio, wanted));
        println!("{name}: error {error:.2e}, correlation {correlation:.9}");
        assert!(correlation > 0.9999 && error < 1e-3, "{name}: {error}, {correlation}");
    }
}

#[test]
fn the_index_is_searched_and_blended_as_faiss_and_rvc_do() {
    for name in ["rvc_full_lists", "rvc_sparse_lists"] {
        let index = RetrievalIndex::read(&data(&format!("{name}.index"))).expect("an index");
        let wanted = expected(name);
        let (queries, ids) = (values(&wanted, "queries"), values(&wanted, "ids"));
        let (distances, blends) = (values(&wanted, "distances"), values(&wanted, "blend"));
        assert_eq!(RetrievalIndex::read(&index.write()).as_ref(), Ok(&index));
        let mut found: Vec<Neighbour> = Vec::new();
        for (number, query) in queries.chunks_exact(index.dim).enumerate() {
            retrieval::search(&index, query, &mut found);
            let ids = &ids[number * 8..][..8];
            let known: Vec<f32> = ids.iter().copied().filter(|id| *id >= 0.0).collect();
            assert_eq!(found.iter().map(|n| index.ids[n.row] as f32).collect::<Vec<_>>(), known, "{name}");
            for (neighbour, wanted) in found.iter().zip(&distances[number * 8..]) {
                assert!((neighbour.distance - wanted).abs() < 1e-4 * wanted, "{name}");
            }
            let mut features = query.to_vec();
            retrieval::blend(&index, &mut features, 1.0, &mut found);
            if known.len() == 8 && blends.iter().any(|v| *v != 0.0) {
                let error = relative_error(&features, &blends[number * index.dim..][..index.dim]);
                assert!(error < 1e-4, "{name}: {error}");
            } else if known.len() < 8 {
                assert_eq!(features, query, "too few neighbours change nothing");
            }
        }
    }
}
