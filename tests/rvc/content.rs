//! Content features kept by frame.

use coffre::engine::Mode;
use coffre::engine::rvc::contentvec::{self, ContentLine, ContentVec};
use coffre::engine::rvc::geometry::Geometry;
use coffre::onnx::Graph;
use coffre::onnx::model::{Dim, GraphWriter};

use super::common;
use super::engine::{runtime, stand_in};

const WIDTH: usize = 768;

fn content() -> ContentVec {
    let graph = Graph::open(runtime(), contentvec::NAME, stand_in()).expect("it loads");
    ContentVec::new(graph, WIDTH).expect("it is ContentVec")
}

fn differences(one: &[f32], other: &[f32]) -> Vec<usize> {
    let frames = one.chunks_exact(WIDTH).zip(other.chunks_exact(WIDTH)).enumerate();
    frames.filter(|(_, (a, b))| a.iter().zip(*b).any(|(a, b)| (a - b).abs() > 1e-5)).map(|(frame, _)| frame).collect()
}

#[test]
fn what_is_kept_is_what_the_whole_window_gives() {
    let live = Geometry::of(Mode::Live);
    let (window, seen) = (live.window(), live.content_window());
    let whole = Geometry { mode: Mode::Mix, ..live };
    assert!(seen < window && whole.content_window() == window);
    let low = common::vocal_like(16_000, 160 * 1_000);
    let (mut kept, content) = (ContentLine::new(content(), live), content());
    let mut end = window;
    for block in 0..40 {
        if block == 30 {
            // Four blocks in which nothing is heard.
            end += 4 * live.block;
        }
        kept.update(&low[..160 * end], end as i64).expect("it runs");
        let mut all = ContentLine::new(content.clone(), whole);
        all.update(&low[..160 * end], 0).expect("it runs");
        // The stand-in hears 25 ms at a time, so that the window's length makes no difference.
        let differing = differences(kept.phone(), all.phone());
        let known = if block < 30 { seen + block * live.block } else { seen + (block - 26) * live.block };
        let known = if block >= 30 && 4 * live.block + 34 <= seen { window } else { known };
        assert!(differing.iter().all(|&frame| frame + known < window), "{block}: {differing:?}");
        end += live.block;
    }
    assert!(differences(kept.phone(), &vec![0.0; window * WIDTH]).len() > 100, "there is something to keep");
}

#[test]
fn after_a_long_gap_nothing_old_is_left() {
    let live = Geometry::of(Mode::Live);
    let (window, seen) = (live.window(), live.content_window());
    let low = common::vocal_like(16_000, 160 * 1_000);
    let mut line = ContentLine::new(content(), live);
    line.update(&low[..160 * 300], 300).expect("it runs");
    line.update(&low[..160 * 600], 600).expect("it runs");
    let mut fresh = ContentLine::new(content(), live);
    fresh.update(&low[..160 * 600], 600).expect("it runs");
    assert!(line.phone() == fresh.phone());
    let first = &line.phone()[(window - seen) * WIDTH..][..WIDTH];
    assert!(line.phone()[..(window - seen) * WIDTH].chunks_exact(WIDTH).all(|frame| frame == first));
    line.reset();
    line.update(&low[..160 * 610], 610).expect("it runs");
    assert!(line.phone()[..WIDTH] != fresh.phone()[..WIDTH], "a reset forgets");
}

#[test]
fn a_graph_with_several_outputs_gives_the_one_that_is_wanted() {
    // As exports for both versions of voices: `unit9` and `unit12`.
    let mut graph = GraphWriter::new();
    let sound = graph.input("audio", &[Dim::Fixed(1), Dim::Open("samples")]);
    let one = graph.ints(&[1]);
    let wide = graph.node("Unsqueeze", &[&sound, &one], &[]);
    let attributes = [("strides", coffre::onnx::model::Attribute::Ints(&[320]))];
    for (name, width, value) in [("unit9", 256, 0.01), ("unit12", WIDTH, 0.02)] {
        let weights = graph.floats(&[width, 1, 400], &vec![value; width * 400]);
        let y = graph.node("Conv", &[&wide, &weights], &attributes);
        let y = graph.node("Transpose", &[&y], &[("perm", coffre::onnx::model::Attribute::Ints(&[0, 2, 1]))]);
        graph.output(&y, name, &[Dim::Fixed(1), Dim::Open("frames"), Dim::Fixed(width)]);
    }
    let graph = Graph::open(runtime(), contentvec::NAME, &graph.finish("contentvec", &[])).expect("it loads");
    let live = Geometry::of(Mode::Live);
    let low = vec![0.5; 160 * 218];
    for (width, wanted) in [(256, 2.0), (WIDTH, 4.0)] {
        let mut line = ContentLine::new(ContentVec::new(graph.clone(), width).expect("it fits"), live);
        for end in [218, 228] {
            line.update(&low, end).expect("it runs");
            assert_eq!(line.phone().len(), 218 * width);
            assert!(line.phone().iter().all(|value| (value - wanted).abs() < 1e-4), "{width}");
        }
    }
}
