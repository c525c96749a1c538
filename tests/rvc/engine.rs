//! The RVC engine on a small voice and a stand-in for ContentVec: delay, partitions, options.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use coffre::engine::profile::SourceProfile;
use coffre::engine::rvc::contentvec::{self, ContentVec};
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::loaded::{Foundations, Loaded};
use coffre::engine::rvc::rmvpe::Rmvpe;
use coffre::engine::rvc::track::Unvoiced;
use coffre::engine::rvc::{RvcEngine, RvcOptions};
use coffre::engine::stream::HostStream;
use coffre::engine::{Engine, HOP_LEN, HopParams, Mode, Prepared, RegisterMode};
use coffre::onnx::model::{Attribute, Dim, GraphWriter};
use coffre::onnx::{Graph, GraphError, Runtime, Settings};
use coffre::voice::import::import_rvc;
use coffre::voice::{Manifest, Voice};

pub use super::stand_in::stand_in;
use super::{common, data, fixture};

pub fn voice() -> Arc<Voice> {
    static VOICE: OnceLock<Arc<Voice>> = OnceLock::new();
    Arc::clone(VOICE.get_or_init(|| Arc::new(import_rvc(&fixture("rvc_v2_40k.pth"), None).expect("a voice"))))
}

pub fn runtime() -> &'static Runtime {
    Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)")
}

fn engine(geometry: Geometry, options: RvcOptions, voice: Option<Arc<Voice>>) -> RvcEngine {
    let mut engine = RvcEngine::new(geometry, options);
    engine.put(0, voice.map(|voice| load(voice, None, options.speaker).expect("it loads")));
    engine
}

/// A voice with a stand-in for ContentVec, and for RMVPE where there is one.
pub fn load(voice: Arc<Voice>, pitch: Option<Rmvpe>, speaker: usize) -> Result<Prepared, GraphError> {
    let features = voice.rvc().map_or(768, |body| body.features());
    let graph =
        Graph::open_built(runtime(), contentvec::NAME, [7; 32], Settings::large(), || Ok(Cow::Borrowed(stand_in())))?;
    let foundations = Foundations { content: ContentVec::new(graph, features)?, pitch };
    Ok(Prepared::Rvc(Arc::new(Loaded::new(runtime(), foundations, voice, speaker)?)))
}

/// Half a second of silence, then singing.
fn song(len: usize) -> Vec<f32> {
    let mut song = common::vocal_like(48_000, len);
    song[..24_000].fill(0.0);
    song
}

fn run(engine: &mut RvcEngine, params: &HopParams, input: &[f32]) -> Vec<f32> {
    let mut output = vec![0.0; input.len()];
    for (input, output) in input.chunks_exact(HOP_LEN).zip(output.chunks_exact_mut(HOP_LEN)) {
        engine.process_hop(params, input, output).expect("no failure");
    }
    output
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|v| v * v).sum::<f32>() / samples.len() as f32).sqrt()
}

#[test]
fn without_a_voice_every_sample_comes_out_at_the_promised_delay() {
    for geometry in [Geometry::of(Mode::Live), Geometry::of(Mode::Mix), Geometry::file(20)] {
        let mut engine = engine(geometry, RvcOptions::default(), None);
        let input: Vec<f32> = common::vocal_like(48_000, 300 * HOP_LEN);
        let output = run(&mut engine, &HopParams { gate_db: -100.0, ..HopParams::default() }, &input);
        let latency = engine.latency_len();
        // The very first samples fade in from the silence before them.
        let from = (geometry.crossfade + 2) * HOP_LEN;
        let (heard, sent) = (&output[latency + from..], &input[from..input.len() - latency]);
        assert!(heard.iter().zip(sent).all(|(a, b)| (a - b).abs() < 1e-5), "{geometry:?}");
    }
}

#[test]
fn all_block_lengths_put_the_same_sound_at_the_same_place() {
    let input = song(120 * HOP_LEN);
    let mut flush = input.clone();
    flush.extend(vec![0.0; 340 * HOP_LEN]);
    let params = HopParams { transpose_st: 3.0, ..HopParams::default() };
    let aligned = |geometry| {
        let mut engine = engine(geometry, RvcOptions::default(), Some(voice()));
        let output = run(&mut engine, &params, &flush);
        output[engine.latency_len()..][..input.len()].to_vec()
    };
    let live = aligned(Geometry::of(Mode::Live));
    let file = aligned(Geometry::file(120));
    assert!(rms(&file[30_000..55_000]) > 1e-3, "there is sound");
    assert!(rms(&file[..20_000]) < 1e-4 && rms(&live[..20_000]) < 1e-4, "and silence before it");
    let score = |lag: isize| {
        let part = |signal: &[f32], shift: isize| signal[(32_000 + shift) as usize..(54_000 + shift) as usize].to_vec();
        super::correlation(&part(&live, lag), &part(&file, 0))
    };
    let best = (-300..=300).max_by(|a, b| score(*a).total_cmp(&score(*b))).expect("a lag");
    println!("live against file: lag {best}, correlation {:.4}", score(best));
    assert_eq!(best, 0, "correlation {} there, {} at 0", score(best), score(0));
    assert!(score(0) > 0.5, "{}", score(0));
}

#[test]
fn any_partition_and_a_reset_give_the_same_bits() {
    let input = song(100 * HOP_LEN);
    // The stream puts the watermark in, the engine alone does not.
    let params = HopParams { is_marked: false, ..HopParams::default() };
    let mut whole = engine(Geometry::of(Mode::Live), RvcOptions::default(), Some(voice()));
    let wanted = run(&mut whole, &params, &input);
    whole.reset();
    assert!(run(&mut whole, &params, &input) == wanted, "after a reset");
    let engine = engine(Geometry::of(Mode::Live), RvcOptions::default(), Some(voice()));
    let mut stream = HostStream::new(Box::new(engine), 48_000).expect("a usual rate");
    stream.set_params(0, params);
    let mut output = Vec::new();
    let mut at = 0;
    for len in common::random_partition(input.len(), 3_000, 5) {
        stream.push(&input[at..at + len]);
        at += len;
        while let Some(report) = stream.run_hop() {
            report.expect("no failure");
        }
        let mut part = vec![0.0; stream.available()];
        stream.read(&mut part);
        output.extend(part);
    }
    // The stream's latency counts the hop that has to be complete.
    let heard = &output[HOP_LEN..];
    assert!(heard.iter().zip(&wanted).all(|(a, b)| a == b), "in random blocks");
}

#[test]
fn options_and_parameters_act() {
    let input = song(100 * HOP_LEN);
    let render = |options: RvcOptions, params: HopParams| {
        let mut engine = engine(Geometry::of(Mode::Live), options, Some(voice()));
        run(&mut engine, &params, &input)
    };
    let (options, params) = (RvcOptions::default(), HopParams::default());
    let plain = render(options, params);
    for (name, other) in [
        ("transpose", render(options, HopParams { transpose_st: 5.0, ..params })),
        ("formant", render(options, HopParams { formant_st: 3.0, ..params })),
        ("own level", render(RvcOptions { own_level: 1.0, ..options }, params)),
        ("unvoiced", render(RvcOptions { unvoiced: Unvoiced::Interpolated, ..options }, params)),
        ("speaker", render(RvcOptions { speaker: 2, ..options }, params)),
    ] {
        assert!(other.iter().all(|v| v.is_finite()), "{name}");
        assert!(other != plain, "{name} changes nothing");
    }
}

#[test]
fn auto_register_acts_where_the_register_of_the_voice_is_known() {
    let input = song(100 * HOP_LEN);
    let (on, off) = (
        HopParams { register: RegisterMode::Semitones, ..HopParams::default() },
        HopParams { register: RegisterMode::Off, ..HopParams::default() },
    );
    let render = |engine: &mut RvcEngine, params: &HopParams| {
        engine.reset();
        let mut ratio = 0.0;
        let mut output = vec![0.0; input.len()];
        for (input, output) in input.chunks_exact(HOP_LEN).zip(output.chunks_exact_mut(HOP_LEN)) {
            let report = engine.process_hop(params, input, output).expect("no failure");
            if report.f0_source_hz > 0.0 {
                ratio = report.f0_output_hz / report.f0_source_hz;
            }
        }
        (output, 12.0 * ratio.log2())
    };
    let mut unknown = engine(Geometry::of(Mode::Live), RvcOptions::default(), Some(voice()));
    assert_eq!(voice().manifest().register_hz(), None);
    let plain = render(&mut unknown, &off);
    assert!(render(&mut unknown, &on) == plain && plain.1.abs() < 1e-3, "nobody knows where it belongs");

    let manifest = Manifest { median_f0_hz: 440.0, range_hz: [220.0, 880.0], ..voice().manifest().clone() };
    let bytes = Voice::write_rvc(manifest, voice().rvc().expect("of RVC")).expect("writable");
    let known = Arc::new(Voice::from_bytes(&bytes).expect("readable"));
    let mut engine = engine(Geometry::of(Mode::Live), RvcOptions::default(), Some(known));
    assert!(render(&mut engine, &off).1.abs() < 1e-3);
    let mut profile = (*SourceProfile::population()).clone();
    let octaves = HopParams { register: RegisterMode::Octaves, ..off };
    for (median, semitones, octave) in [(220.0, 12.0, 12.0), (415.0, 1.0, 0.0), (880.0, -12.0, -12.0)] {
        profile.median_f0_hz = median;
        engine.set_profile(Some(Arc::new(profile.clone())));
        for (params, wanted) in [(&on, semitones), (&octaves, octave)] {
            let (output, shift) = render(&mut engine, params);
            assert!((shift - wanted).abs() < 1e-3, "{median} Hz: {shift}");
            let shifted = HopParams { transpose_st: wanted, ..off };
            assert!(render(&mut engine, &shifted).0 == output, "as if it had been transposed by hand");
        }
    }
    engine.set_profile(None);
    assert!(render(&mut engine, &octaves).1.abs() < 1e-3, "nobody knows the singer");
}

/// An export with the inputs of RVC's own, which makes 400 samples of noise from each frame.
pub fn export(metadata: &[(&str, &str)]) -> Vec<u8> {
    let mut graph = GraphWriter::new();
    let frames = Dim::Open("frames");
    let phone = graph.input("phone", &[Dim::Fixed(1), frames, Dim::Fixed(768)]);
    for (name, shape) in [("phone_lengths", vec![Dim::Fixed(1)]), ("pitchf", vec![Dim::Fixed(1), frames])] {
        graph.input(name, &shape);
    }
    let noise = graph.input("rnd", &[Dim::Fixed(1), Dim::Fixed(16), frames]);
    let weights: Vec<f32> = (0..16 * 400).map(|n| 0.1 * (n as f32 * 0.7).sin()).collect();
    let weights = graph.floats(&[16, 1, 400], &weights);
    let audio = graph.node("ConvTranspose", &[&noise, &weights], &[("strides", Attribute::Ints(&[400]))]);
    graph.output(&phone, "unused", &[Dim::Fixed(1), frames, Dim::Fixed(768)]);
    graph.output(&audio, "audio", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
    graph.finish("export", metadata)
}

#[test]
fn an_exported_graph_plays_and_its_rate_is_found() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("singer.onnx");
    std::fs::write(&path, export(&[("note", "nothing")])).expect("written");
    let voice = Arc::new(import_rvc(&path, None).expect("an export"));
    assert_eq!(voice.name(), "singer");
    let mut engine =
        engine(Geometry::of(Mode::Live), RvcOptions { own_level: 1.0, ..RvcOptions::default() }, Some(voice));
    let output = run(&mut engine, &HopParams::default(), &song(100 * HOP_LEN));
    assert!(rms(&output[44_000..]) > 1e-3, "{}", rms(&output[44_000..]));
    assert!(output[..engine.latency_len() + 20_000].iter().all(|v| v.abs() < 1e-6), "the gate keeps silence");
}

#[test]
fn a_voice_file_holds_all_of_the_checkpoint() {
    let voice = voice();
    let parts = voice.rvc().expect("of RVC");
    let bytes = Voice::write_rvc(voice.manifest().clone(), parts).expect("writable");
    let again = Voice::from_bytes(&bytes).expect("readable");
    let input = song(70 * HOP_LEN);
    let render = |voice: Arc<Voice>| {
        let mut engine = engine(Geometry::of(Mode::Live), RvcOptions::default(), Some(voice));
        run(&mut engine, &HopParams::default(), &input)
    };
    let direct = render(Arc::clone(&voice));
    assert!(direct == render(Arc::new(again)), "the same sound from the file");
    let renamed = Manifest { name: "Other".to_owned(), ..voice.manifest().clone() };
    assert!(Voice::write_rvc(renamed, parts).is_ok());
    let plain = import_rvc(&fixture("rvc_v1_32k_plain.pth"), None).expect("a voice without F0");
    assert!(plain.describe().contains("RVC v1, 32 kHz, without F0"), "{}", plain.describe());
    assert!(import_rvc(&fixture("rvc_v2_40k.pth"), Some(&fixture("rvc_full_lists.index"))).is_err(), "16 is not 768");
    assert!(data("rvc_v2_40k.pth").len() < 1 << 20);
}
