//! Layers shared by the parts of the generator, on top of the graph writer.

use crate::onnx::model::{Attribute, Edge, GraphWriter};
use crate::voice::import::ImportError;
use crate::voice::tensors::Tensors;

/// A graph that grows, and the weights that it takes.
pub(super) struct Net<'w> {
    pub graph: GraphWriter,
    pub weights: &'w Tensors,
}

/// A convolution along time.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub padding: usize,
}

impl Conv {
    /// As long out as in.
    pub fn same(inputs: usize, outputs: usize, kernel: usize, dilation: usize) -> Self {
        Self { inputs, outputs, kernel, stride: 1, dilation, padding: dilation * (kernel - 1) / 2 }
    }
}

impl Net<'_> {
    /// A node without attributes.
    pub fn op(&mut self, kind: &str, inputs: &[&Edge]) -> Edge {
        self.graph.node(kind, inputs, &[])
    }

    /// The numbers of a weight that may be kept as direction and length (`_v` and `_g`): `w = g v / |v|`, the length
    /// taken over all axes but the first.
    pub fn weight(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        let direction = format!("{name}_v");
        if !self.weights.has(&direction) {
            // Newer PyTorch calls the same pair by another name.
            let parametrised = name.replace(".weight", ".parametrizations.weight.original");
            if self.weights.has(&format!("{parametrised}1")) {
                return self.fold(&format!("{parametrised}1"), &format!("{parametrised}0"), shape);
            }
            return self.weights.floats(name, shape);
        }
        self.fold(&direction, &format!("{name}_g"), shape)
    }

    fn fold(&self, direction: &str, length: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        let mut values = self.weights.floats(direction, shape)?;
        let mut length_shape = vec![1; shape.len()];
        length_shape[0] = shape[0];
        let lengths = self.weights.floats(length, &length_shape)?;
        for (row, length) in values.chunks_exact_mut(shape[1..].iter().product()).zip(lengths) {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                #[expect(clippy::cast_possible_truncation, reason = "a factor on f32 weights")]
                let factor = (f64::from(length) / norm) as f32;
                row.iter_mut().for_each(|value| *value *= factor);
            }
        }
        Ok(values)
    }

    /// A convolution from the weights `{name}.weight` and `{name}.bias`, with `shift` added to the bias.
    pub fn conv(&mut self, name: &str, conv: Conv, x: &Edge, shift: Option<&[f32]>) -> Result<Edge, ImportError> {
        let weight = self.weight(&format!("{name}.weight"), &[conv.outputs, conv.inputs, conv.kernel])?;
        let mut bias = self.weights.floats(&format!("{name}.bias"), &[conv.outputs])?;
        if let Some(shift) = shift {
            bias.iter_mut().zip(shift).for_each(|(bias, shift)| *bias += shift);
        }
        Ok(self.conv_from(conv, x, &weight, Some(&bias)))
    }

    /// A convolution with given numbers.
    pub fn conv_from(&mut self, conv: Conv, x: &Edge, weight: &[f32], bias: Option<&[f32]>) -> Edge {
        let weight = self.graph.floats(&[conv.outputs, conv.inputs, conv.kernel], weight);
        let bias = bias.map(|bias| self.graph.floats(&[conv.outputs], bias));
        let inputs: Vec<&Edge> = [x, &weight].into_iter().chain(bias.as_ref()).collect();
        let [stride, dilation, padding] = [conv.stride, conv.dilation, conv.padding].map(|value| value as i64);
        self.graph.node(
            "Conv",
            &inputs,
            &[
                ("strides", Attribute::Ints(&[stride])),
                ("dilations", Attribute::Ints(&[dilation])),
                ("pads", Attribute::Ints(&[padding, padding])),
            ],
        )
    }

    /// `x` where it is positive, `slope x` elsewhere.
    pub fn leaky(&mut self, x: &Edge, slope: f32) -> Edge {
        self.graph.node("LeakyRelu", &[x], &[("alpha", Attribute::Float(slope))])
    }

    /// Both halves along the channels of `[1, channels, frames]`.
    pub fn halves(&mut self, x: &Edge, channels: usize) -> [Edge; 2] {
        let sizes = self.graph.ints(&[channels as i64 / 2, channels as i64 / 2]);
        self.graph.split_node("Split", &[x, &sizes], &[("axis", Attribute::Int(1))])
    }

    /// The frames of `[1, channels, frames]` from the one on that an input names.
    pub fn frames_after(&mut self, x: &Edge, first: &Edge) -> Edge {
        let first = self.graph.node("Cast", &[first], &[("to", Attribute::Int(7))]);
        let (end, axis) = (self.graph.ints(&[i64::MAX]), self.graph.ints(&[2]));
        self.op("Slice", &[x, &first, &end, &axis])
    }

    /// The first `frames * per_frame + reach` places along time, or all when there are fewer; `frames` from an input.
    pub fn places_before(&mut self, x: &Edge, frames: &Edge, per_frame: usize, reach: usize) -> Edge {
        let frames = self.graph.node("Cast", &[frames], &[("to", Attribute::Int(7))]);
        let (per_frame, reach) = (self.graph.ints(&[per_frame as i64]), self.graph.ints(&[reach as i64]));
        let end = self.op("Mul", &[&frames, &per_frame]);
        let end = self.op("Add", &[&end, &reach]);
        let (begin, axis) = (self.graph.ints(&[0]), self.graph.ints(&[2]));
        self.op("Slice", &[x, &begin, &end, &axis])
    }

    /// `[1, channels, frames]` with as many frames as an input says, by linear interpolation between their centres.
    pub fn stretch(&mut self, x: &Edge, channels: usize, frames: &Edge) -> Edge {
        let frames = self.graph.node("Cast", &[frames], &[("to", Attribute::Int(7))]);
        let fixed = self.graph.ints(&[1, channels as i64]);
        let sizes = self.graph.node("Concat", &[&fixed, &frames], &[("axis", Attribute::Int(0))]);
        let none = Edge::none();
        self.graph.node("Resize", &[x, &none, &none, &sizes], &[("mode", Attribute::Text("linear"))])
    }

    /// Axes in another order.
    pub fn transpose(&mut self, x: &Edge, order: &[i64]) -> Edge {
        self.graph.node("Transpose", &[x], &[("perm", Attribute::Ints(order))])
    }
}

/// `weight [outputs, inputs] * x [inputs] + bias`: what a layer of size 1 makes of the speaker, computed once.
pub(super) fn affine(weight: &[f32], bias: &[f32], x: &[f32]) -> Vec<f32> {
    let rows = weight.chunks_exact(x.len()).zip(bias);
    rows.map(|(row, bias)| bias + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
}
