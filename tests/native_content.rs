//! The native engine with content graphs that work and that do not fit.
//!
//! Skips nothing: without ONNX Runtime these tests fail and say where to get it.

use std::path::Path;
use std::sync::Arc;

use coffre::audio_file::read_mono;
use coffre::engine::content::{ContentEncoder, PHONES};
use coffre::engine::native::NativeEngine;
use coffre::engine::native::correct::{self, Corrector, KNOWN_BANDS};
use coffre::engine::native::network::VOICE_LEN;
use coffre::engine::native::refine::{ADAPTATION_SHAPE, HIDDEN_LEN, KNOWN_BINS, RefineGraph, Refiner};
use coffre::engine::native::stages::Stages;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{Engine as _, HOP_LEN, HopParams, HopReport, Mode, RegisterMode};
use coffre::onnx::Runtime;
use coffre::onnx::model::{Attribute, Dim, GraphWriter};
use coffre::voice::{Adaptation, NativeVoice, Voice};

#[path = "native/signals.rs"]
#[allow(dead_code, reason = "shared with other tests, which use the rest")]
mod signals;

use signals::vowel;

const PARAMS: HopParams = HopParams {
    voice_slot: 0,
    voice_b_slot: 1,
    morph: 0.0,
    transpose_st: 0.0,
    register: RegisterMode::Semitones,
    formant_st: 0.0,
    likeness: 0.6,
    gate_db: -100.0,
    is_marked: false,
};

fn runtime() -> &'static Runtime {
    Runtime::get().unwrap_or_else(|error| panic!("{error}"))
}

fn tree(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn engine(mode: Mode, content: Option<ContentEncoder>) -> NativeEngine {
    with_voice(NativeEngine::new(mode, content, SourceProfile::population()))
}

/// An engine with all graphs of its mode.
fn complete_engine(mode: Mode) -> NativeEngine {
    with_voice(NativeEngine::open(runtime(), mode, SourceProfile::population()).expect("its graphs ship"))
}

fn with_voice(mut engine: NativeEngine) -> NativeEngine {
    let voice = Voice::open(&tree("models/voices/quartz.coffre")).expect("a voice of the tree opens");
    engine.set_voice(0, Some(Arc::new(voice)));
    engine
}

fn run(engine: &mut NativeEngine, input: &[f32]) -> (Vec<f32>, Vec<HopReport>) {
    let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
    let hops = input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN));
    let reports = hops.map(|(hop, out)| engine.process_hop(&PARAMS, hop, out).expect("failures fall back")).collect();
    (out, reports)
}

#[test]
fn the_shipped_graph_shapes_the_sound_and_repeats_after_reset() {
    let (speech, rate) = read_mono(&tree("tests/data/vocal.flac"), 60.0).expect("test data");
    assert_eq!(rate, 48_000);
    let input = &speech[..144_000];
    for mode in [Mode::Live, Mode::Mix] {
        let mut with = complete_engine(mode);
        let (first, reports) = run(&mut with, input);
        let sure = reports.iter().filter(|report| report.confidence > 0.3).count();
        assert!(sure > reports.len() / 5, "{sure} of {} frames are understood", reports.len());
        assert!(with.trouble().is_none());
        with.reset();
        let (again, _) = run(&mut with, input);
        assert!(first.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "{mode:?}");
        let (without, _) = run(&mut engine(mode, None), input);
        assert!(first != without, "{mode:?}: retrieval changes nothing");
    }
}

#[test]
fn the_ends_of_a_morph_are_its_voices_bit_for_bit() {
    let (speech, _) = read_mono(&tree("tests/data/vocal.flac"), 60.0).expect("test data");
    let input = &speech[..96_000];
    let voice = |name: &str| {
        let path = tree("models/voices").join(name);
        Some(Arc::new(Voice::open(&path).expect("a voice of the tree opens")))
    };
    let output = |mode, [a, b]: [&str; 2], morph: f32| {
        let mut engine = complete_engine(mode);
        engine.set_voice(0, if a.is_empty() { None } else { voice(a) });
        engine.set_voice(1, if b.is_empty() { None } else { voice(b) });
        let params = HopParams { morph, is_marked: true, ..PARAMS };
        let (out, marks): (Vec<Vec<f32>>, Vec<_>) = input
            .chunks_exact(HOP_LEN)
            .map(|hop| {
                let mut out = vec![0.0; HOP_LEN];
                engine.process_hop(&params, hop, &mut out).expect("it works");
                (out, engine.mark().expect("it is marked"))
            })
            .unzip();
        (out.concat(), marks)
    };
    let (a, b) = ("quartz.coffre", "basalt.coffre");
    for mode in [Mode::Live, Mode::Mix] {
        let (alone_a, alone_b) = (output(mode, [a, ""], 0.0), output(mode, [b, ""], 0.0));
        assert!(output(mode, [a, b], 0.0) == alone_a, "{mode:?}: 0 %");
        assert!(output(mode, [a, b], 1.0) == alone_b, "{mode:?}: 100 %");
        assert!(output(mode, [a, ""], 0.7) == alone_a, "{mode:?}: there is no voice B");
        assert!(output(mode, [a, a], 0.7) == alone_a, "{mode:?}: voice B is voice A");
        let half = output(mode, [a, b], 0.5);
        assert!(half.0 != alone_a.0 && half.0 != alone_b.0);
        // The mark names the voice that has more of the sound.
        assert_eq!(half.1.last(), alone_a.1.last());
        assert_eq!(output(mode, [a, b], 0.6).1.last(), alone_b.1.last());
    }
}

/// Quartz as somebody's own voice, with and without something that was learned about it: everything a little softer.
fn own_voice(is_taught: bool) -> Arc<Voice> {
    let quartz = Voice::open(&tree("models/voices/quartz.coffre")).expect("it opens");
    let graph = RefineGraph::for_any(runtime()).expect("it ships");
    let mut weights = vec![0.0; ADAPTATION_SHAPE.iter().product()];
    weights[HIDDEN_LEN * KNOWN_BINS..].fill(-0.5);
    let adaptation = Adaptation::new(graph.hidden_space(), ADAPTATION_SHAPE, weights).filter(|_| is_taught);
    let manifest = coffre::voice::Manifest { name: "Own".into(), ..quartz.manifest().clone() };
    let bytes = Voice::write(
        manifest,
        &NativeVoice { adaptation, ..NativeVoice::clone(quartz.native().expect("of the native engine")) },
    )
    .expect("a file");
    Arc::new(Voice::from_bytes(&bytes).expect("readable"))
}

#[test]
fn what_was_learned_about_a_voice_is_heard_in_mix_mode_and_by_its_share_in_a_morph() {
    let input = vowel(72_000, |_| 130.0);
    let level = |mode: Mode, voices: [bool; 2], morph: f32| {
        let mut engine = complete_engine(mode);
        for (slot, is_taught) in voices.into_iter().enumerate() {
            engine.set_voice(slot, Some(own_voice(is_taught)));
        }
        let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
        for (hop, out) in input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN)) {
            engine.process_hop(&HopParams { morph, ..PARAMS }, hop, out).expect("failures fall back");
        }
        // From where the first frames are through.
        let heard = &out[out.len() / 2..];
        10.0 * (heard.iter().map(|sample| sample * sample).sum::<f32>() / heard.len() as f32).log10()
    };
    let plain = level(Mode::Mix, [false, true], 0.0);
    // 60 % of the gains act: 0.3 in the natural logarithm.
    let softer = level(Mode::Mix, [true, false], 0.0) - plain;
    assert!((softer + 2.6).abs() < 0.3, "{softer} dB");
    let half = level(Mode::Mix, [false, true], 0.5) - plain;
    assert!((half + 1.3).abs() < 0.3, "{half} dB");
    assert_eq!(
        level(Mode::Live, [true, false], 0.0),
        level(Mode::Live, [false, true], 0.0),
        "the corrector of live mode is told of mean shapes alone"
    );
}

#[test]
fn live_mode_is_corrected_without_delay_at_the_singer_s_loudness() {
    let (speech, _) = read_mono(&tree("tests/data/vocal.flac"), 60.0).expect("test data");
    let input = &speech[..144_000];
    let run = |likeness: f32, is_corrected: bool| {
        let mut engine = match is_corrected {
            true => complete_engine(Mode::Live),
            false => engine(Mode::Live, Some(ContentEncoder::new(runtime(), Mode::Live).expect("it ships"))),
        };
        let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
        for (hop, out) in input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN)) {
            engine.process_hop(&HopParams { likeness, ..PARAMS }, hop, out).expect("it works");
        }
        (engine.latency_len(), out)
    };
    assert_eq!(run(0.0, true), run(0.0, false), "there is nothing to correct");
    for likeness in [0.6, 1.0] {
        let ((late, corrected), (plain_late, plain)) = (run(likeness, true), run(likeness, false));
        assert_eq!(late, plain_late);
        let power = |audio: &[f32]| audio.iter().map(|sample| sample * sample).sum::<f32>();
        let distance: Vec<f32> = corrected.iter().zip(&plain).map(|(a, b)| a - b).collect();
        let change = power(&distance) / power(&plain);
        assert!((0.001..0.5).contains(&change), "{likeness}: {change} of the power changed");
        let louder = 10.0 * (power(&corrected) / power(&plain)).log10();
        assert!(louder.abs() < 1.5, "{likeness}: {louder} dB louder");
    }
}

#[test]
fn a_graph_with_another_look_ahead_is_not_asked() {
    let mut graph = std::fs::read(tree("tests/data/content_random.onnx")).expect("test data");
    // Key, then the value's field and length, then the value.
    let entry = b"look_ahead_frames\x12\x012";
    let at = graph.windows(entry.len()).position(|bytes| bytes == entry).expect("the entry is there");
    graph[at + entry.len() - 1] = b'5';
    let content = ContentEncoder::from_graph(runtime(), &graph).expect("it loads");
    assert_eq!(content.look_ahead_frames(), 5);
    let mut engine = engine(Mode::Live, Some(content));
    let (_, reports) = run(&mut engine, &vowel(24_000, |_| 140.0));
    assert!(reports.iter().all(|report| report.confidence == 0.0));
    let trouble = engine.trouble().map(|error| error.to_string()).unwrap_or_default();
    assert!(trouble.contains("5 frames"), "{trouble:?}");
}

#[test]
fn a_content_graph_that_fails_in_the_midst_of_a_song_is_named() {
    let graph = std::fs::read(tree("tests/data/content_loud.onnx")).expect("test data");
    let content = ContentEncoder::from_graph(runtime(), &graph).expect("it fits");
    let mut engine = engine(Mode::Live, Some(content));
    run(&mut engine, &[0.0; 48_000]);
    assert!(engine.trouble().is_none(), "{:?}", engine.trouble());
    let (sound, _) = run(&mut engine, &vowel(48_000, |_| 200.0));
    let trouble = engine.trouble().expect("the voice is louder than the graph bears").to_string();
    assert!(trouble.contains("content"), "{trouble}");
    assert!(sound.iter().all(|sample| sample.is_finite()) && sound.iter().any(|sample| sample.abs() > 0.01));
    engine.reset();
    assert!(engine.trouble().is_none());
}

/// A graph with the contract of the corrector or the refiner that changes nothing, until one of the `watched` features is
/// above a half: then it gives what is no number.
fn brittle_graph(features: usize, watched: std::ops::Range<i64>, outputs: &[(&str, usize)]) -> Vec<u8> {
    let row = |len: usize| [Dim::Fixed(1), Dim::Fixed(len)];
    let mut graph = GraphWriter::new();
    let heard = graph.input("features", &row(features));
    graph.input("voice", &row(VOICE_LEN));
    graph.input("phones", &row(PHONES));
    let state = graph.input("state", &row(1));
    let [from, to, along] = [watched.start, watched.end, 1].map(|value| graph.ints(&[value]));
    let watched = graph.node("Slice", &[&heard, &from, &to, &along], &[]);
    let most = graph.node("ReduceMax", &[&watched], &[("axes", Attribute::Ints(&[1]))]);
    let steep = graph.floats(&[1], &[200.0]);
    let steep = graph.node("Mul", &[&most, &steep], &[]);
    let much = graph.node("Exp", &[&steep], &[]);
    let none = graph.floats(&[1], &[0.0]);
    let broken = graph.node("Mul", &[&much, &none], &[]);
    for (name, len) in outputs {
        let zeros = graph.floats(&[1, *len], &vec![0.0; *len]);
        let output = graph.node("Add", &[&zeros, &broken], &[]);
        graph.output(&output, name, &row(*len));
    }
    graph.output(&state, "state_out", &row(1));
    graph.finish("brittle", &[])
}

#[test]
fn a_stage_that_breaks_while_it_plays_is_named_and_left_out() {
    let voicing = 2 * KNOWN_BANDS as i64 + 1;
    let corrector = brittle_graph(correct::FEATURES, voicing..voicing + 1, &[("gain", KNOWN_BANDS)]);
    let outputs = [("gain", KNOWN_BINS), ("hidden", HIDDEN_LEN)];
    let refiner = brittle_graph(KNOWN_BINS + 1, 0..KNOWN_BINS as i64, &outputs);
    let stages = |mode: Mode| match mode {
        Mode::Live => {
            let graph = Corrector::from_graph(runtime(), &corrector).expect("it fits");
            Stages::default().shaped_by(Corrector::new(Some(graph)))
        }
        Mode::Mix => {
            let graph = || RefineGraph::from_graph(runtime(), &refiner).expect("it fits");
            Stages::default().finished_by(Refiner::new(Some([graph(), graph()])))
        }
    };
    for (mode, name) in [(Mode::Live, "correct"), (Mode::Mix, "refine")] {
        let engine = |stages: Stages| {
            let content = ContentEncoder::new(runtime(), mode).expect("it ships");
            with_voice(NativeEngine::with_stages(mode, Some(content), SourceProfile::population(), stages))
        };
        let (mut broken, mut plain) = (engine(stages(mode)), engine(Stages::without_graphs(mode)));
        let [silence, voice] = [vec![0.0; 48_000], vowel(48_000, |_| 200.0)];
        run(&mut broken, &silence);
        assert!(broken.trouble().is_none(), "{:?}", broken.trouble());
        run(&mut plain, &silence);
        let ((sound, _), (expected, _)) = (run(&mut broken, &voice), run(&mut plain, &voice));
        let trouble = broken.trouble().expect("it broke").to_string();
        assert!(trouble.contains(name) && trouble.contains("not finite"), "{trouble}");
        assert!(sound[24_000..] == expected[24_000..], "{name}: without it the sound is what it would be");
        assert!(sound.iter().all(|sample| sample.is_finite()) && sound.iter().any(|sample| sample.abs() > 0.01));
        // It is given up: also where it would work again nobody asks it until the next reset.
        run(&mut broken, &silence);
        assert!(broken.trouble().is_some());
        broken.reset();
        run(&mut broken, &silence);
        assert!(broken.trouble().is_none(), "{:?}", broken.trouble());
    }
}
