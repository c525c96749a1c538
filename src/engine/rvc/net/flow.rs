//! The flow, run backwards: from the encoder's statistics to the decoder's input.
//!
//! Four times: reverse the channels, then shift one half by what a small WaveNet computes from the other.

use super::layers::{Conv, Net, affine};
use crate::onnx::model::Edge;
use crate::voice::import::{ImportError, RvcConfig};

/// Couplings stand at the even places of the checkpoint; the odd ones turn the channels round.
const COUPLINGS: [usize; 4] = [6, 4, 2, 0];

const LAYERS: usize = 3;
const KERNEL: usize = 5;

/// `[1, inter_channels, frames]` in and out.
pub(super) fn reverse(net: &mut Net<'_>, config: &RvcConfig, x: &Edge, speaker: &[f32]) -> Result<Edge, ImportError> {
    let channels = config.inter_channels;
    let mut x = x.clone();
    for place in COUPLINGS {
        let prefix = format!("flow.flows.{place}");
        x = turn_round(net, &x);
        let [kept, moved] = net.halves(&x, channels);
        let hidden = config.hidden_channels;
        let y = net.conv(&format!("{prefix}.pre"), Conv::same(channels / 2, hidden, 1, 1), &kept, None)?;
        let y = wavenet(net, &format!("{prefix}.enc"), hidden, &y, speaker)?;
        let y = net.conv(&format!("{prefix}.post"), Conv::same(hidden, channels / 2, 1, 1), &y, None)?;
        let moved = net.op("Sub", &[&moved, &y]);
        x = net.graph.node("Concat", &[&kept, &moved], &[("axis", crate::onnx::model::Attribute::Int(1))]);
    }
    Ok(x)
}

fn turn_round(net: &mut Net<'_>, x: &Edge) -> Edge {
    let (last, end) = (net.graph.ints(&[-1]), net.graph.ints(&[i64::MIN + 1]));
    let (axis, step) = (net.graph.ints(&[1]), net.graph.ints(&[-1]));
    net.op("Slice", &[x, &last, &end, &axis, &step])
}

/// Gated convolutions; what they say of the speaker is part of their biases.
fn wavenet(net: &mut Net<'_>, prefix: &str, hidden: usize, x: &Edge, speaker: &[f32]) -> Result<Edge, ImportError> {
    let outputs = 2 * hidden * LAYERS;
    let weight = net.weight(&format!("{prefix}.cond_layer.weight"), &[outputs, speaker.len(), 1])?;
    let bias = net.weights.floats(&format!("{prefix}.cond_layer.bias"), &[outputs])?;
    let conditions = affine(&weight, &bias, speaker);
    let (mut x, mut total) = (x.clone(), None);
    for (layer, condition) in conditions.chunks_exact(2 * hidden).enumerate() {
        let conv = Conv::same(hidden, 2 * hidden, KERNEL, 1);
        let y = net.conv(&format!("{prefix}.in_layers.{layer}"), conv, &x, Some(condition))?;
        let [wave, gate] = net.halves(&y, 2 * hidden);
        let (wave, gate) = (net.op("Tanh", &[&wave]), net.op("Sigmoid", &[&gate]));
        let y = net.op("Mul", &[&wave, &gate]);
        let is_last = layer + 1 == LAYERS;
        let conv = Conv::same(hidden, if is_last { hidden } else { 2 * hidden }, 1, 1);
        let mut y = net.conv(&format!("{prefix}.res_skip_layers.{layer}"), conv, &y, None)?;
        if !is_last {
            let [onward, skip] = net.halves(&y, 2 * hidden);
            x = net.op("Add", &[&x, &onward]);
            y = skip;
        }
        total = Some(match &total {
            Some(total) => net.op("Add", &[total, &y]),
            None => y,
        });
    }
    Ok(total.unwrap_or(x))
}
