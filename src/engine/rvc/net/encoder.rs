//! The text encoder: from content features and pitch classes to mean and spread of the flow's input.
//!
//! A transformer whose attention also depends on the distance between two frames, up to [`WINDOW`] frames (Shaw et al. 2018).

use super::layers::{Conv, Net};
use crate::onnx::model::{Attribute, Edge};
use crate::voice::import::{ImportError, RvcConfig};

/// Frames to each side for which the attention has its own weight.
const WINDOW: usize = 10;

/// Distances with a weight.
const DISTANCES: usize = 2 * WINDOW + 1;

const LEAK: f32 = 0.1;
const NORM_EPSILON: f32 = 1e-5;

/// Sizes that depend on the number of frames `t`, computed in the graph once for all layers.
struct Lengths {
    /// `[1, heads, t, -1]`.
    rows: Edge,
    /// `[0, 0, 0, 0, 0, 0, 0, t]`: t zeros after each row.
    pad_rows: Edge,
    /// `[1, heads, t, t + 20]`.
    square: Edge,
    /// `[t (t + 20)]`.
    square_len: Edge,
    /// `[t + 10]`.
    window_end: Edge,
    /// `[0, 0, 0, 0, 0, t]`: t zeros after all.
    pad_flat: Edge,
}

/// Mean and logarithm of the spread, each `[1, inter_channels, frames after head]`.
pub(super) fn text_encoder(
    net: &mut Net<'_>,
    config: &RvcConfig,
    phone: &Edge,
    pitch: Option<&Edge>,
    head: &Edge,
) -> Result<(Edge, Edge), ImportError> {
    let hidden = config.hidden_channels;
    let mut x = linear(net, "enc_p.emb_phone", config.version.features(), hidden, phone)?;
    if let Some(pitch) = pitch {
        let table = net.weights.floats("enc_p.emb_pitch.weight", &[256, hidden])?;
        let table = net.graph.floats(&[256, hidden], &table);
        let class = net.graph.node("Cast", &[pitch], &[("to", Attribute::Int(7))]);
        let embedded = net.op("Gather", &[&table, &class]);
        x = net.op("Add", &[&x, &embedded]);
    }
    let scale = net.graph.floats(&[1], &[(hidden as f32).sqrt()]);
    x = net.op("Mul", &[&x, &scale]);
    x = net.leaky(&x, LEAK);
    let lengths = lengths(net, config.heads, &x);
    let mut left = head.clone();
    for layer in 0..config.layers {
        let prefix = format!("enc_p.encoder.attn_layers.{layer}");
        let y = attention(net, config, &prefix, &x, &lengths)?;
        x = net.op("Add", &[&x, &y]);
        if layer + 1 == config.layers {
            // After the last attention no frame asks for others than its neighbours.
            (x, left) = neighbourhood(net, config, &x, head);
        }
        x = norm(net, &format!("enc_p.encoder.norm_layers_1.{layer}"), hidden, &x)?;
        let y = feed_forward(net, config, &format!("enc_p.encoder.ffn_layers.{layer}"), &x)?;
        x = net.op("Add", &[&x, &y]);
        x = norm(net, &format!("enc_p.encoder.norm_layers_2.{layer}"), hidden, &x)?;
    }
    x = net.transpose(&x, &[0, 2, 1]);
    x = net.frames_after(&x, &left);
    let inter = config.inter_channels;
    let both = net.conv("enc_p.proj", Conv::same(hidden, 2 * inter, 1, 1), &x, None)?;
    let [mean, log_std] = net.halves(&both, 2 * inter);
    Ok((mean, log_std))
}

/// The frames of `[1, frames, hidden]` that those after `head` need in the feed-forward layer, and how many of them are
/// still before `head`.
fn neighbourhood(net: &mut Net<'_>, config: &RvcConfig, x: &Edge, head: &Edge) -> (Edge, Edge) {
    let head = net.graph.node("Cast", &[head], &[("to", Attribute::Int(7))]);
    let (reach, zero) = (net.graph.ints(&[2 * (config.kernel / 2) as i64]), net.graph.ints(&[0]));
    let first = net.op("Sub", &[&head, &reach]);
    let first = net.op("Max", &[&first, &zero]);
    let left = net.op("Sub", &[&head, &first]);
    let (end, axis) = (net.graph.ints(&[i64::MAX]), net.graph.ints(&[1]));
    (net.op("Slice", &[x, &first, &end, &axis]), left)
}

fn lengths(net: &mut Net<'_>, heads: usize, x: &Edge) -> Lengths {
    let shape = net.op("Shape", &[x]);
    let one = net.graph.ints(&[1]);
    let frames = net.graph.node("Gather", &[&shape, &one], &[]);
    let concat = |net: &mut Net<'_>, parts: &[&Edge]| net.graph.node("Concat", parts, &[("axis", Attribute::Int(0))]);
    let batch = net.graph.ints(&[1, heads as i64]);
    let margin = net.graph.ints(&[2 * WINDOW as i64]);
    let wide = net.op("Add", &[&frames, &margin]);
    let rest = net.graph.ints(&[-1]);
    let half = net.graph.ints(&[WINDOW as i64]);
    let (zeros_7, zeros_5) = (net.graph.ints(&[0; 7]), net.graph.ints(&[0; 5]));
    Lengths {
        rows: concat(net, &[&batch, &frames, &rest]),
        pad_rows: concat(net, &[&zeros_7, &frames]),
        square: concat(net, &[&batch, &frames, &wide]),
        square_len: net.op("Mul", &[&frames, &wide]),
        window_end: net.op("Add", &[&frames, &half]),
        pad_flat: concat(net, &[&zeros_5, &frames]),
    }
}

/// Attention over `[1, frames, hidden]`.
fn attention(
    net: &mut Net<'_>,
    config: &RvcConfig,
    prefix: &str,
    x: &Edge,
    lengths: &Lengths,
) -> Result<Edge, ImportError> {
    let (hidden, heads) = (config.hidden_channels, config.heads);
    let width = hidden / heads;
    let split = net.graph.ints(&[1, -1, heads as i64, width as i64]);
    let [mut q, k, v] = ["q", "k", "v"].map(|part| linear(net, &format!("{prefix}.conv_{part}"), hidden, hidden, x));
    q = q.map(|q| {
        let scale = net.graph.floats(&[1], &[1.0 / (width as f32).sqrt()]);
        net.op("Mul", &[&q, &scale])
    });
    let [q, k, v] = [q?, k?, v?].map(|edge| net.op("Reshape", &[&edge, &split]));
    let (q, v) = (net.transpose(&q, &[0, 2, 1, 3]), net.transpose(&v, &[0, 2, 1, 3]));
    let k = net.transpose(&k, &[0, 2, 3, 1]);

    let near_k = net.weights.floats(&format!("{prefix}.emb_rel_k"), &[1, DISTANCES, width])?;
    let near_k = net.graph.floats(&[1, 1, DISTANCES, width], &near_k);
    let near_k = net.transpose(&near_k, &[0, 1, 3, 2]);
    let by_distance = net.op("MatMul", &[&q, &near_k]);
    let by_place = place_from_distance(net, &by_distance, heads, lengths);
    let scores = net.op("MatMul", &[&q, &k]);
    let scores = net.op("Add", &[&scores, &by_place]);
    let weights = net.graph.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);

    let y = net.op("MatMul", &[&weights, &v]);
    let near_v = net.weights.floats(&format!("{prefix}.emb_rel_v"), &[1, DISTANCES, width])?;
    let near_v = net.graph.floats(&[1, 1, DISTANCES, width], &near_v);
    let by_distance = distance_from_place(net, &weights, heads, lengths);
    let near = net.op("MatMul", &[&by_distance, &near_v]);
    let y = net.op("Add", &[&y, &near]);
    let y = net.transpose(&y, &[0, 2, 1, 3]);
    let joined = net.graph.ints(&[1, -1, hidden as i64]);
    let y = net.op("Reshape", &[&y, &joined]);
    linear(net, &format!("{prefix}.conv_o"), hidden, hidden, &y)
}

/// From `[.., i, distance + 10]` to `[.., i, j]` with `j = i + distance`, zero where the distance is out of the window.
///
/// Rows of length `21 + t` read again as rows of length `20 + t` move by one place per row.
fn place_from_distance(net: &mut Net<'_>, x: &Edge, heads: usize, lengths: &Lengths) -> Edge {
    let padded = net.op("Pad", &[x, &lengths.pad_rows]);
    let flat = net.graph.ints(&[1, heads as i64, -1]);
    let flat = net.op("Reshape", &[&padded, &flat]);
    let (zero, two) = (net.graph.ints(&[0]), net.graph.ints(&[2]));
    let cut = net.op("Slice", &[&flat, &zero, &lengths.square_len, &two]);
    let rows = net.op("Reshape", &[&cut, &lengths.square]);
    let (start, axis) = (net.graph.ints(&[WINDOW as i64]), net.graph.ints(&[3]));
    net.op("Slice", &[&rows, &start, &lengths.window_end, &axis])
}

/// The way back: from `[.., i, j]` to `[.., i, distance + 10]`.
fn distance_from_place(net: &mut Net<'_>, x: &Edge, heads: usize, lengths: &Lengths) -> Edge {
    let margin = net.graph.ints(&[0, 0, 0, WINDOW as i64, 0, 0, 0, WINDOW as i64]);
    let padded = net.op("Pad", &[x, &margin]);
    let flat = net.graph.ints(&[1, heads as i64, -1]);
    let flat = net.op("Reshape", &[&padded, &flat]);
    let longer = net.op("Pad", &[&flat, &lengths.pad_flat]);
    let rows = net.op("Reshape", &[&longer, &lengths.rows]);
    let (zero, end, axis) = (net.graph.ints(&[0]), net.graph.ints(&[DISTANCES as i64]), net.graph.ints(&[3]));
    net.op("Slice", &[&rows, &zero, &end, &axis])
}

/// Two convolutions over `[1, frames, hidden]`.
fn feed_forward(net: &mut Net<'_>, config: &RvcConfig, prefix: &str, x: &Edge) -> Result<Edge, ImportError> {
    let (hidden, filter) = (config.hidden_channels, config.filter_channels);
    let x = net.transpose(x, &[0, 2, 1]);
    let x = net.conv(&format!("{prefix}.conv_1"), Conv::same(hidden, filter, config.kernel, 1), &x, None)?;
    let x = net.op("Relu", &[&x]);
    let x = net.conv(&format!("{prefix}.conv_2"), Conv::same(filter, hidden, config.kernel, 1), &x, None)?;
    Ok(net.transpose(&x, &[0, 2, 1]))
}

/// Layer normalisation over the last axis.
fn norm(net: &mut Net<'_>, prefix: &str, channels: usize, x: &Edge) -> Result<Edge, ImportError> {
    let gamma = net.weights.floats(&format!("{prefix}.gamma"), &[channels])?;
    let beta = net.weights.floats(&format!("{prefix}.beta"), &[channels])?;
    let (gamma, beta) = (net.graph.floats(&[channels], &gamma), net.graph.floats(&[channels], &beta));
    let attributes = [("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(NORM_EPSILON))];
    Ok(net.graph.node("LayerNormalization", &[x, &gamma, &beta], &attributes))
}

/// A linear layer over the last axis; a convolution of size 1 is one too.
fn linear(net: &mut Net<'_>, prefix: &str, inputs: usize, outputs: usize, x: &Edge) -> Result<Edge, ImportError> {
    let name = format!("{prefix}.weight");
    let shape: &[usize] = match net.weights.shape(&name) {
        Some([_, _, _]) => &[outputs, inputs, 1],
        _ => &[outputs, inputs],
    };
    let weight = net.weights.floats(&name, shape)?;
    let bias = net.weights.floats(&format!("{prefix}.bias"), &[outputs])?;
    let transposed: Vec<f32> =
        (0..inputs).flat_map(|column| weight.iter().skip(column).step_by(inputs).copied()).collect();
    let weight = net.graph.floats(&[inputs, outputs], &transposed);
    let bias = net.graph.floats(&[outputs], &bias);
    let y = net.op("MatMul", &[x, &weight]);
    Ok(net.op("Add", &[&y, &bias]))
}
