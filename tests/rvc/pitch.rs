//! F0 by RMVPE: numbers against an independent implementation, and its place in the engine.

use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::rvc::rmvpe::{self, PitchLine, Rmvpe};
use coffre::engine::rvc::{RvcEngine, RvcOptions};
use coffre::engine::{Engine, HOP_LEN, HopParams, HopReport, Mode, RegisterMode};
use coffre::onnx::Graph;
use coffre::voice::foundation::Foundation;

use super::engine::{load, runtime, stand_in, voice};
use super::rmvpe_stand_in::rmvpe_stand_in;
use super::{expected, values};

fn rmvpe(factor: f64) -> Rmvpe {
    let graph = Graph::open(runtime(), rmvpe::NAME, &rmvpe_stand_in(factor)).expect("it loads");
    Rmvpe::new(graph).expect("it is RMVPE")
}

/// An engine with the small voice, whose F0 comes from a stand-in for RMVPE where there is one.
fn engine(geometry: Geometry, factor: Option<f64>) -> RvcEngine {
    let mut engine = RvcEngine::new(geometry, RvcOptions::default());
    engine.put(0, Some(load(voice(), factor.map(rmvpe), 0).expect("it loads")));
    engine
}

/// Five partials, of which the lowest is the strongest; the F0 changes at sample `step`.
fn tone(from_hz: f32, to_hz: f32, step: usize, len: usize) -> Vec<f32> {
    let mut phase = 0.0_f32;
    (0..len)
        .map(|n| {
            phase = (phase + if n < step { from_hz } else { to_hz } / 48_000.0).fract();
            (1..=5).map(|k| 0.3 / (k * k) as f32 * (std::f32::consts::TAU * k as f32 * phase).sin()).sum()
        })
        .collect()
}

fn run(engine: &mut RvcEngine, input: &[f32]) -> (Vec<f32>, Vec<HopReport>) {
    let params = HopParams { register: RegisterMode::Off, transpose_st: 12.0, ..HopParams::default() };
    let mut output = vec![0.0; input.len()];
    let hops = input.chunks_exact(HOP_LEN).zip(output.chunks_exact_mut(HOP_LEN));
    let reports = hops.map(|(input, output)| engine.process_hop(&params, input, output).expect("no failure")).collect();
    (output, reports)
}

#[test]
fn from_sound_to_pitch_it_equals_the_reference() {
    let geometry = Geometry { block: 10, crossfade: 2, margin: 3, context: 30, mode: Mode::Live };
    let mut line = PitchLine::new(rmvpe(1.0), geometry);
    let sound: Vec<f32> = (0..31 * 160)
        .map(|n| {
            let t = f64::from(n);
            let value = 0.3 * (0.08 * t + 40.0 * (0.0009 * t).sin()).sin() + 0.1 * (0.31 * t).sin();
            if n > 1_500 { value as f32 } else { 0.0 }
        })
        .collect();
    line.update(Some(&sound), geometry.block).expect("it runs");
    // The first three frames and the last are not used.
    let wanted = &values(&expected("rvc_rmvpe"), "f0")[3..31];
    let found = &line.frames()[geometry.window() - 28..];
    assert!(wanted.contains(&0.0) && wanted.iter().filter(|f0| **f0 > 0.0).count() > 20);
    let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs() / b.max(1.0)).fold(0.0, f32::max);
    println!("F0 differs by {worst:.1e} at most");
    assert!(worst < 1e-4, "{found:?}\n{wanted:?}");
    assert_eq!(Foundation::recognise(&rmvpe_stand_in(1.0)), Ok(Foundation::Rmvpe));
}

#[test]
fn what_is_no_rmvpe_is_refused() {
    let graph = Graph::open(runtime(), rmvpe::NAME, stand_in()).expect("it loads");
    assert!(Rmvpe::new(graph).is_err());
}

#[test]
fn in_the_engine_it_decides_at_the_right_time_and_costs_no_delay() {
    // It hears an octave below, so that its word can be told from Coffre's own.
    for geometry in [Geometry::of(Mode::Live), Geometry::of(Mode::Mix), Geometry::file(200)] {
        let mut engine = engine(geometry, Some(0.5));
        assert_eq!(engine.latency_len(), self::engine(geometry, None).latency_len());
        let flush = geometry.window();
        let (_, reports) = run(&mut engine, &tone(200.0, 300.0, 100 * HOP_LEN, (200 + flush) * HOP_LEN));
        // What is heard in a hop went in so many hops before.
        let delay = geometry.block + geometry.crossfade + geometry.margin - 1;
        let heard = |frame: usize| reports[frame + delay].f0_source_hz;
        for (frames, f0_hz) in [(10..95, 400.0), (105..190, 600.0)] {
            for frame in frames {
                assert!((heard(frame) / f0_hz - 1.0).abs() < 0.06, "{geometry:?}: {frame}: {}", heard(frame));
            }
        }
        let step = (90..110).find(|&frame| heard(frame) > 490.0).expect("a step");
        assert!(step.abs_diff(100) <= 2, "{geometry:?}: {step}");
        assert_eq!(reports[150 + delay].f0_output_hz, 2.0 * heard(150));
    }
}

#[test]
fn above_its_range_coffres_own_f0_decides() {
    let geometry = Geometry::of(Mode::Live);
    // 1150 Hz: RMVPE would say 575 Hz.
    let (_, reports) = run(&mut engine(geometry, Some(2.0)), &tone(1_150.0, 1_150.0, 0, 150 * HOP_LEN));
    let last = reports[149].f0_source_hz;
    assert!((last - 1_150.0).abs() < 12.0, "{last}");
    // 800 Hz: RMVPE says 1600 Hz, where its word does not count.
    let (_, reports) = run(&mut engine(geometry, Some(0.5)), &tone(800.0, 800.0, 0, 150 * HOP_LEN));
    let last = reports[149].f0_source_hz;
    assert!((last - 800.0).abs() < 8.0, "{last}");
}

#[test]
fn a_reset_gives_the_same_bits_and_another_f0_another_sound() {
    let input = super::common::vocal_like(48_000, 90 * HOP_LEN);
    let mut first = engine(Geometry::of(Mode::Live), Some(0.5));
    let (wanted, _) = run(&mut first, &input);
    first.reset();
    assert!(run(&mut first, &input).0 == wanted);
    assert!(run(&mut engine(Geometry::of(Mode::Live), None), &input).0 != wanted);
}
