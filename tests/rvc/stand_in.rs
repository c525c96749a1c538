//! A stand-in for ContentVec, for tests.

use std::sync::OnceLock;

use coffre::onnx::model::{Attribute, Dim, GraphWriter};

use super::common;

/// A graph with the outside of ContentVec: sound in, 768 features every 20 ms out, as the export called
/// `vec-768-layer-12` names and turns them.
pub fn stand_in() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let mut graph = GraphWriter::new();
        let source = graph.input("source", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
        let mut random = common::Random(3);
        let weights: Vec<f32> = (0..768 * 400).map(|_| 0.3 * random.sample()).collect();
        let weights = graph.floats(&[768, 1, 400], &weights);
        let y = graph.node("Conv", &[&source, &weights], &[("strides", Attribute::Ints(&[320]))]);
        let y = graph.node("Tanh", &[&y], &[]);
        graph.output(&y, "embed", &[Dim::Fixed(1), Dim::Fixed(768), Dim::Open("frames")]);
        graph.finish("contentvec", &[])
    })
}
