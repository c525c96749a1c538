//! A graph as large as ContentVec, with random weights: for measuring what it costs, not for what it says.

use coffre::onnx::model::{Attribute, Dim, Edge, GraphWriter};

use super::common::Random;

const WIDTH: usize = 768;
const HEADS: usize = 12;
const INNER: usize = 3_072;
const LAYERS: usize = 12;
const CHANNELS: usize = 512;

struct Builder {
    graph: GraphWriter,
    random: Random,
}

impl Builder {
    fn weights(&mut self, shape: &[usize], fan_in: usize) -> Edge {
        let scale = (3.0 / fan_in as f32).sqrt();
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| scale * self.random.sample()).collect();
        self.graph.floats(shape, &values)
    }

    fn node(&mut self, kind: &str, inputs: &[&Edge], attributes: &[(&str, Attribute<'_>)]) -> Edge {
        self.graph.node(kind, inputs, attributes)
    }

    fn norm(&mut self, x: &Edge, width: usize) -> Edge {
        let (scale, bias) =
            (self.graph.floats(&[width], &vec![1.0; width]), self.graph.floats(&[width], &vec![0.0; width]));
        self.node("LayerNormalization", &[x, &scale, &bias], &[("axis", Attribute::Int(-1))])
    }

    fn linear(&mut self, x: &Edge, from: usize, to: usize) -> Edge {
        let weights = self.weights(&[from, to], from);
        let bias = self.graph.floats(&[to], &vec![0.0; to]);
        let y = self.node("MatMul", &[x, &weights], &[]);
        self.node("Add", &[&y, &bias], &[])
    }

    fn gelu(&mut self, x: &Edge) -> Edge {
        let root = self.graph.floats(&[1], &[std::f32::consts::FRAC_1_SQRT_2]);
        let (one, half) = (self.graph.floats(&[1], &[1.0]), self.graph.floats(&[1], &[0.5]));
        let y = self.node("Mul", &[x, &root], &[]);
        let y = self.node("Erf", &[&y], &[]);
        let y = self.node("Add", &[&y, &one], &[]);
        let y = self.node("Mul", &[&y, x], &[]);
        self.node("Mul", &[&y, &half], &[])
    }

    fn heads(&mut self, x: &Edge, order: &[i64]) -> Edge {
        let y = self.linear(x, WIDTH, WIDTH);
        let shape = self.graph.ints(&[0, 0, HEADS as i64, (WIDTH / HEADS) as i64]);
        let y = self.node("Reshape", &[&y, &shape], &[]);
        self.node("Transpose", &[&y], &[("perm", Attribute::Ints(order))])
    }

    fn layer(&mut self, x: &Edge) -> Edge {
        let (query, key, value) =
            (self.heads(x, &[0, 2, 1, 3]), self.heads(x, &[0, 2, 3, 1]), self.heads(x, &[0, 2, 1, 3]));
        let scale = self.graph.floats(&[1], &[1.0 / ((WIDTH / HEADS) as f32).sqrt()]);
        let scores = self.node("MatMul", &[&query, &key], &[]);
        let scores = self.node("Mul", &[&scores, &scale], &[]);
        let shares = self.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let y = self.node("MatMul", &[&shares, &value], &[]);
        let y = self.node("Transpose", &[&y], &[("perm", Attribute::Ints(&[0, 2, 1, 3]))]);
        let shape = self.graph.ints(&[0, 0, WIDTH as i64]);
        let y = self.node("Reshape", &[&y, &shape], &[]);
        let y = self.linear(&y, WIDTH, WIDTH);
        let y = self.node("Add", &[x, &y], &[]);
        let x = self.norm(&y, WIDTH);
        let y = self.linear(&x, WIDTH, INNER);
        let y = self.gelu(&y);
        let y = self.linear(&y, INNER, WIDTH);
        let y = self.node("Add", &[&x, &y], &[]);
        self.norm(&y, WIDTH)
    }
}

/// The graph: 94 million weights.
pub fn full_size() -> Vec<u8> {
    let mut b = Builder { graph: GraphWriter::new(), random: super::common::Random(5) };
    let mut x = b.graph.input("source", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
    let mut from = 1;
    for (kernel, stride) in [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)] {
        let weights = b.weights(&[CHANNELS, from, kernel], from * kernel);
        let y = b.node("Conv", &[&x, &weights], &[("strides", Attribute::Ints(&[stride]))]);
        x = b.gelu(&y);
        from = CHANNELS;
    }
    let x = b.node("Transpose", &[&x], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    let x = b.norm(&x, CHANNELS);
    let x = b.linear(&x, CHANNELS, WIDTH);
    let turned = b.node("Transpose", &[&x], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    let weights = b.weights(&[WIDTH, WIDTH / 16, 127], WIDTH / 16 * 127);
    let places = [("group", Attribute::Int(16)), ("pads", Attribute::Ints(&[63, 63]))];
    let places = b.node("Conv", &[&turned, &weights], &places);
    let places = b.gelu(&places);
    let places = b.node("Transpose", &[&places], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    let y = b.node("Add", &[&x, &places], &[]);
    let mut x = b.norm(&y, WIDTH);
    for _ in 0..LAYERS {
        x = b.layer(&x);
    }
    let x = b.node("Transpose", &[&x], &[("perm", Attribute::Ints(&[0, 2, 1]))]);
    b.graph.output(&x, "embed", &[Dim::Fixed(1), Dim::Fixed(WIDTH), Dim::Open("frames")]);
    b.graph.finish("contentvec", &[])
}
