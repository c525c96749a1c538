//! The content encoder on small graphs that answer, fail, hang or do not fit.
//!
//! Skips nothing: without ONNX Runtime these tests fail and say where to get it.

use std::time::{Duration, Instant};

use coffre::engine::Mode;
use coffre::engine::analysis::content_look_ahead_frames;
use coffre::engine::content::{ContentEncoder, ContentFrame, KEY_LEN, MEL_BANDS, PHONES};
use coffre::onnx::{Graph, GraphError, Port, Runtime};

fn runtime() -> &'static Runtime {
    Runtime::get().unwrap_or_else(|error| panic!("{error}"))
}

fn data(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn encoder(name: &str) -> Result<ContentEncoder, GraphError> {
    ContentEncoder::from_graph(runtime(), &data(name))
}

/// The shipped graphs' answers as their trainer computed them.
#[test]
fn the_shipped_graphs_answer_as_their_trainer_does() {
    let spaces = [(Mode::Live, "content_parity.json"), (Mode::Mix, "content_mix_parity.json")].map(check_parity);
    assert!(!spaces[0].is_empty());
    assert_eq!(spaces[0], spaces[1], "one bank serves both modes");
}

/// Compares and returns the content space.
fn check_parity((mode, name): (Mode, &str)) -> String {
    let parity: serde_json::Value = serde_json::from_slice(&data(name)).expect("JSON");
    let mut encoder = ContentEncoder::new(runtime(), mode).expect("it ships");
    assert_eq!(parity["look_ahead_frames"], encoder.look_ahead_frames());
    assert_eq!(content_look_ahead_frames(mode), encoder.look_ahead_frames());
    let mut frame = ContentFrame::default();
    let calls = parity["mel"].as_array().expect("mel").len();
    assert!(calls > 10);
    for _ in 0..2 {
        for k in 0..calls {
            let mel: Vec<f32> = numbers(&parity["mel"][k]);
            encoder.step(&mel.try_into().expect("80 bands"), &mut frame).expect("a run");
            assert_close(&frame.logp, &numbers(&parity["logp"][k]), 2e-3);
            assert_close(&frame.key, &numbers(&parity["key"][k]), 2e-3);
            let total: f32 = frame.logp.iter().map(|logp| logp.exp()).sum();
            assert!((total - 1.0).abs() < 1e-3, "posteriors sum to {total}");
        }
        encoder.reset();
    }
    encoder.space().to_owned()
}

fn numbers(value: &serde_json::Value) -> Vec<f32> {
    value.as_array().expect("an array").iter().map(|x| x.as_f64().expect("a number") as f32).collect()
}

/// Input and expected output of each frame.
fn expected(name: &str) -> Vec<([f32; MEL_BANDS], Vec<f32>, Vec<f32>)> {
    let json: serde_json::Value = serde_json::from_slice(&data(name)).expect("JSON");
    let frame = |frame: &serde_json::Value| {
        (numbers(&frame["mel"]).try_into().expect("80 bands"), numbers(&frame["logp"]), numbers(&frame["key"]))
    };
    json["frames"].as_array().expect("frames").iter().map(frame).collect()
}

#[track_caller]
fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance, "[{index}]: {x} instead of {y}");
    }
}

#[test]
fn answers_as_numpy_does_and_anew_after_reset() {
    let mut encoder = encoder("content_random.onnx").expect("it fits");
    assert_eq!((encoder.look_ahead_frames(), encoder.space()), (2, "test"));
    assert_eq!((encoder.phones().len(), &*encoder.phones()[0]), (PHONES, "SIL"));
    let mut frame = ContentFrame::default();
    for _ in 0..2 {
        for (mel, logp, key) in expected("content_random.json") {
            encoder.step(&mel, &mut frame).expect("a run");
            assert_close(&frame.logp, &logp, 2e-5);
            assert_close(&frame.key, &key, 2e-5);
        }
        encoder.reset();
    }
}

#[test]
fn two_encoders_share_a_graph_and_keep_their_own_state() {
    let frames = expected("content_random.json");
    let (mut one, mut two) =
        (encoder("content_random.onnx").expect("fits"), encoder("content_random.onnx").expect("fits"));
    let mut frame = ContentFrame::default();
    // The second runs two frames behind the first.
    for k in 0..frames.len() + 2 {
        for (encoder, k) in [(&mut one, Some(k)), (&mut two, k.checked_sub(2))] {
            if let Some((mel, logp, _)) = k.and_then(|k| frames.get(k)) {
                encoder.step(mel, &mut frame).expect("a run");
                assert_close(&frame.logp, logp, 2e-5);
            }
        }
    }
}

#[test]
fn graphs_that_do_not_fit_are_refused_with_the_reason() {
    for (name, word) in [("content_nokey.onnx", "no output `key`"), ("content_phones.onnx", "39 phones")] {
        let error = encoder(name).expect_err(name);
        assert!(matches!(error, GraphError::Contract { .. }), "{error:?}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let whole = data("content_random.onnx");
    for bytes in [&whole[..whole.len() / 2], b"not a graph", b""] {
        let error = ContentEncoder::from_graph(runtime(), bytes).expect_err("garbage");
        assert!(matches!(error, GraphError::Load { .. }), "{error:?}");
    }
    // A port of another shape, and an input that the caller does not know.
    let graph = Graph::open(runtime(), "content", &whole).expect("a graph");
    let error = graph.call(&[Port { name: "mel", shape: Some(&[1, 1, 81]) }, Port { name: "state", shape: None }], &[]);
    assert!(error.expect_err("81 bands").to_string().contains("81"));
    let error = graph.call(&[Port { name: "mel", shape: None }], &[]).expect_err("the state is unknown");
    assert!(error.to_string().contains("`state`"), "{error}");
}

#[test]
fn a_failing_run_is_an_error_and_the_next_one_starts_anew() {
    for (name, band) in [("content_nan.onnx", -200.0), ("content_failing.onnx", 500.0)] {
        let mut encoder = encoder(name).expect("it fits");
        let (mut first, mut again) = (ContentFrame::default(), ContentFrame::default());
        encoder.step(&[0.5; MEL_BANDS], &mut first).expect("a run");
        encoder.step(&[-0.5; MEL_BANDS], &mut again).expect("a run");
        let before = again.clone();
        let error = encoder.step(&[band; MEL_BANDS], &mut again).expect_err(name);
        assert!(matches!(error, GraphError::Run { .. }), "{error:?}");
        assert_eq!(again, before, "{name}: an error must not touch the frame");
        encoder.step(&[0.5; MEL_BANDS], &mut again).expect("a run after the error");
        assert_eq!(again, first, "{name}");
    }
}

#[test]
fn values_that_are_not_finite_count_as_silence() {
    let mut encoder = encoder("content_random.onnx").expect("it fits");
    let (mut silent, mut frame) = (ContentFrame::default(), ContentFrame::default());
    encoder.step(&[((1e-6_f32).ln() + 7.0) / 3.0; MEL_BANDS], &mut silent).expect("a run");
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        encoder.reset();
        encoder.step(&[value; MEL_BANDS], &mut frame).expect("a run");
        assert_close(&frame.logp, &silent.logp, 1e-5);
        assert_close(&frame.key, &silent.key, 1e-5);
    }
    assert_eq!(frame.key.len(), KEY_LEN);
}

#[test]
fn a_run_that_does_not_end_is_stopped() {
    let graph = Graph::open_with_limit(runtime(), "endless", &data("content_endless.onnx"), Duration::from_millis(200));
    let graph = graph.expect("a graph");
    let ports = |names: &[&'static str]| -> Vec<Port> { names.iter().map(|name| Port { name, shape: None }).collect() };
    let prepare = || graph.call(&ports(&["mel", "state"]), &ports(&["logp", "key", "state_out"])).expect("it fits");
    let mut call = prepare();
    for _ in 0..2 {
        let start = Instant::now();
        let error = call.run().expect_err("it cannot end");
        assert_eq!(error, GraphError::TimedOut { graph: "endless", limit_ms: 200 });
        assert!(start.elapsed() < Duration::from_secs(3), "stopped after {:?}", start.elapsed());
    }
}
