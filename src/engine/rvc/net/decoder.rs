//! The decoder: from frames to samples, by upsampling steps with residual blocks (HiFi-GAN, Kong et al. 2020), guided by
//! the sine excitation where the voice has pitch (NSF, Wang et al. 2019).

use super::layers::{Conv, Net, affine};
use crate::onnx::model::{Attribute, Edge};
use crate::voice::import::{ImportError, RvcConfig};

const LEAK: f32 = 0.1;
/// Before the last layer alone.
const LAST_LEAK: f32 = 0.01;
const EDGE_KERNEL: usize = 7;

/// How far beyond the wanted sound each stage has to go so that nothing of it changes: in frames before the first stage,
/// then in samples after each upsampling.
fn reaches(config: &RvcConfig) -> Vec<usize> {
    let blocks = config.resblock_kernels.iter().zip(&config.resblock_dilations);
    let block = |(kernel, dilations): (&usize, &Vec<usize>)| -> usize {
        dilations.iter().map(|dilation| (kernel / 2) * (dilation + 1)).sum()
    };
    let residual = blocks.map(block).max().unwrap_or(0);
    let mut reach = EDGE_KERNEL / 2;
    let mut reaches = Vec::with_capacity(config.upsample_rates.len() + 1);
    for (rate, kernel) in config.upsample_rates.iter().zip(&config.upsample_kernels).rev() {
        reach += residual;
        reaches.push(reach);
        // A place is reached from the ones at most a kernel before it.
        reach = (reach + kernel).div_ceil(*rate);
    }
    reaches.push(reach + EDGE_KERNEL / 2);
    reaches.reverse();
    reaches
}

/// `[1, inter_channels, frames]` and `[1, 1, samples]` to `[1, 1, samples of the first made_frames]`.
pub(super) fn decode(
    net: &mut Net<'_>,
    config: &RvcConfig,
    z: &Edge,
    source: Option<&Edge>,
    speaker: &[f32],
    made_frames: &Edge,
) -> Result<Edge, ImportError> {
    let reaches = reaches(config);
    let z = &net.places_before(z, made_frames, 1, reaches[0]);
    let initial = config.initial_channels;
    let weight = net.weights.floats("dec.cond.weight", &[initial, speaker.len(), 1])?;
    let bias = net.weights.floats("dec.cond.bias", &[initial])?;
    let condition = affine(&weight, &bias, speaker);
    let conv = Conv::same(config.inter_channels, initial, EDGE_KERNEL, 1);
    let mut x = net.conv("dec.conv_pre", conv, z, Some(&condition))?;
    let excitation = source.map(|source| excite(net, source)).transpose()?;
    let blocks = config.resblock_kernels.len();
    for stage in 0..config.upsample_rates.len() {
        let channels = config.channels(stage);
        x = net.leaky(&x, LEAK);
        x = upsample(net, config, stage, &x)?;
        let per_frame: usize = config.upsample_rates[..=stage].iter().product();
        x = net.places_before(&x, made_frames, per_frame, reaches[stage + 1]);
        if let Some(excitation) = &excitation {
            let stride: usize = config.upsample_rates[stage + 1..].iter().product();
            let conv = match stride {
                1 => Conv::same(1, channels, 1, 1),
                _ => {
                    Conv { inputs: 1, outputs: channels, kernel: 2 * stride, stride, dilation: 1, padding: stride / 2 }
                }
            };
            let added = net.conv(&format!("dec.noise_convs.{stage}"), conv, excitation, None)?;
            let added = net.places_before(&added, made_frames, per_frame, reaches[stage + 1]);
            x = net.op("Add", &[&x, &added]);
        }
        let mut total = None;
        for block in 0..blocks {
            let name = format!("dec.resblocks.{}", stage * blocks + block);
            let (kernel, dilations) = (config.resblock_kernels[block], &config.resblock_dilations[block]);
            let y = residual(net, &name, channels, kernel, dilations, &x)?;
            total = Some(match &total {
                Some(total) => net.op("Add", &[total, &y]),
                None => y,
            });
        }
        let share = net.graph.floats(&[1], &[1.0 / blocks as f32]);
        x = net.op("Mul", &[total.as_ref().unwrap_or(&x), &share]);
    }
    x = net.leaky(&x, LAST_LEAK);
    let channels = config.channels(config.upsample_rates.len() - 1);
    let weight = net.weight("dec.conv_post.weight", &[1, channels, EDGE_KERNEL])?;
    let x = net.conv_from(Conv::same(channels, 1, EDGE_KERNEL, 1), &x, &weight, None);
    let x = net.op("Tanh", &[&x]);
    Ok(net.places_before(&x, made_frames, config.samples_per_frame(), 0))
}

/// The learned gain on the sine.
fn excite(net: &mut Net<'_>, source: &Edge) -> Result<Edge, ImportError> {
    let weight = net.weights.floats("dec.m_source.l_linear.weight", &[1, 1])?;
    let bias = net.weights.floats("dec.m_source.l_linear.bias", &[1])?;
    let (weight, bias) = (net.graph.floats(&[1], &weight), net.graph.floats(&[1], &bias));
    let x = net.op("Mul", &[source, &weight]);
    let x = net.op("Add", &[&x, &bias]);
    Ok(net.op("Tanh", &[&x]))
}

fn upsample(net: &mut Net<'_>, config: &RvcConfig, stage: usize, x: &Edge) -> Result<Edge, ImportError> {
    let (outputs, inputs) = (config.channels(stage), config.initial_channels >> stage);
    let (rate, kernel) = (config.upsample_rates[stage], config.upsample_kernels[stage]);
    let weight = net.weight(&format!("dec.ups.{stage}.weight"), &[inputs, outputs, kernel])?;
    let bias = net.weights.floats(&format!("dec.ups.{stage}.bias"), &[outputs])?;
    let (weight, bias) = (net.graph.floats(&[inputs, outputs, kernel], &weight), net.graph.floats(&[outputs], &bias));
    let padding = (kernel - rate) as i64 / 2;
    let attributes = [("strides", Attribute::Ints(&[rate as i64])), ("pads", Attribute::Ints(&[padding, padding]))];
    Ok(net.graph.node("ConvTranspose", &[x, &weight, &bias], &attributes))
}

fn residual(
    net: &mut Net<'_>,
    name: &str,
    channels: usize,
    kernel: usize,
    dilations: &[usize],
    x: &Edge,
) -> Result<Edge, ImportError> {
    let mut x = x.clone();
    for (index, &dilation) in dilations.iter().enumerate() {
        let y = net.leaky(&x, LEAK);
        let conv = Conv::same(channels, channels, kernel, dilation);
        let y = net.conv(&format!("{name}.convs1.{index}"), conv, &y, None)?;
        let y = net.leaky(&y, LEAK);
        let conv = Conv::same(channels, channels, kernel, 1);
        let y = net.conv(&format!("{name}.convs2.{index}"), conv, &y, None)?;
        x = net.op("Add", &[&x, &y]);
    }
    Ok(x)
}
