//! ContentVec: what is said, 50 times a second, from a graph that the user provides.
//!
//! Exports differ in names, rank and orientation; one run on silence shows what a graph returns.

use std::borrow::Cow;
use std::sync::Arc;

use super::geometry::Geometry;
use crate::onnx::device::{self, Device};
use crate::onnx::{Graph, GraphCall, GraphError, LooseInput, Runtime, Settings};
use crate::voice::import::eight_bit;

/// Name in messages.
pub const NAME: &str = "contentvec";

/// Samples at 16 kHz between frames.
const STRIDE: usize = 320;

/// Samples at 16 kHz that one frame sees.
const FIELD: usize = 400;

/// Samples at 16 kHz between the frames of the network.
const LOW_FRAME_LEN: usize = 160;

/// Frames at the beginning of what the graph sees whose older features are kept: it knows too little of what was before
/// them.
const HEAD: usize = 32;

/// Frames of `len` samples at 16 kHz.
pub fn frames(len: usize) -> usize {
    if len < FIELD { 0 } else { (len - FIELD) / STRIDE + 1 }
}

/// Opens the content graph that `read` gives, or joins those who use the file with this key.
///
/// On the processor, and where [`eight_bit::VARIABLE`] asks for it, its matrix products become those of 8-bit numbers,
/// once for all users; a graph in which that is not possible is opened as it is.
///
/// # Errors
/// [`GraphError::Load`] when the runtime refuses it, and what `read` says.
/// [worker-thread]
pub fn open<'b>(
    runtime: &Runtime,
    key: [u8; 32],
    read: impl Fn() -> Result<Cow<'b, [u8]>, GraphError>,
) -> Result<Arc<Graph>, GraphError> {
    if eight_bit::is_chosen() && device::usable(runtime) == Device::Cpu {
        let rewritten = || {
            let bytes = read()?;
            Ok(eight_bit::rewrite(&bytes).map_or(bytes, Cow::Owned))
        };
        let graph = Graph::open_built(runtime, NAME, key.map(|byte| !byte), Settings::large(), rewritten);
        if graph.is_ok() {
            return graph;
        }
    }
    Graph::open_built(runtime, NAME, key, Settings::large(), read)
}

/// A content graph for one kind of features.
#[derive(Clone, Debug)]
pub struct ContentVec {
    graph: Arc<Graph>,
    input: String,
    rank: usize,
    output: String,
    is_transposed: bool,
    features: usize,
}

impl ContentVec {
    /// Finds the output with `features` values per frame. Of several, the one named after the right layer.
    ///
    /// # Errors
    /// [`GraphError::Contract`] when the graph is no ContentVec or does not give these features.
    /// [worker-thread]
    pub fn new(graph: Arc<Graph>, features: usize) -> Result<Self, GraphError> {
        let unfit = |reason: String| GraphError::Contract { graph: NAME, reason };
        let [inputs, _] = graph.ports()?;
        let [input] = inputs.as_slice() else {
            return Err(unfit(format!("it has {} inputs, not one for the sound", inputs.len())));
        };
        let (name, rank) = (input.name.clone(), input.shape.len());
        let len = 16_000;
        let shape: &[usize] = match rank {
            2 => &[1, len],
            3 => &[1, 1, len],
            other => return Err(unfit(format!("its input has {other} axes"))),
        };
        let outputs = graph.run_loose(&[LooseInput { name: &name, shape, values: &vec![0.0; len] }])?;
        let layer = if features == 256 { "9" } else { "12" };
        let expected = frames(len);
        let mut found = None;
        for output in &outputs {
            let is_transposed = match output.shape[..] {
                [1, frames, width] if frames == expected && width == features => false,
                [1, width, frames] if frames == expected && width == features => true,
                _ => continue,
            };
            if found.is_none() || output.name.ends_with(layer) {
                found = Some((output.name.clone(), is_transposed));
            }
        }
        let (output, is_transposed) =
            found.ok_or_else(|| unfit(format!("it does not give {features} features, {expected} times a second")))?;
        Ok(Self { graph, input: name, rank, output, is_transposed, features })
    }

    /// Values per frame.
    pub fn features(&self) -> usize {
        self.features
    }

    /// The shape of its input for `len` samples.
    fn input_shape(&self, len: usize) -> Vec<usize> {
        [1, 1, len][3 - self.rank.min(3)..].to_vec()
    }

    /// Tensors for windows of `len` samples; `None` where the graph takes other numbers than 32-bit floats.
    fn call(&self, len: usize) -> Option<GraphCall> {
        let (rows, width) = (frames(len), self.features);
        let output = if self.is_transposed { [1, width, rows] } else { [1, rows, width] };
        self.graph.call_for((&self.input, &self.input_shape(len)), (&self.output, &output)).ok()
    }

    /// Features of a window at 16 kHz, in the graph's own layout.
    fn run(&self, window: &[f32], call: Option<&mut GraphCall>) -> Result<Vec<f32>, GraphError> {
        let values = match call {
            Some(call) => {
                call.input_mut(0).copy_from_slice(window);
                call.run()?;
                call.output(0).to_vec()
            }
            None => {
                let shape = self.input_shape(window.len());
                let outputs =
                    self.graph.run_loose(&[LooseInput { name: &self.input, shape: &shape, values: window }])?;
                let output = outputs.into_iter().find(|output| output.name == self.output);
                output.map(|output| output.values).unwrap_or_default()
            }
        };
        let failed = |reason: &str| Err(GraphError::Run { graph: NAME, reason: reason.to_owned() });
        if values.is_empty() || values.len() != frames(window.len()) * self.features {
            return failed("it gave another length");
        }
        if !values.iter().all(|value| value.is_finite()) {
            return failed("it gave values that are not finite");
        }
        Ok(values)
    }
}

/// The features of a stream, kept by frame: 100 a second, as the network takes them.
///
/// Where the layout says so, the graph sees only the newer part of the window, and what was found about the older part
/// when it was new stays.
#[derive(Debug)]
pub struct ContentLine {
    content: ContentVec,
    /// Frames of the window, and how many of them the graph sees at a time.
    window: usize,
    seen: usize,
    /// Tensors, made at the first run.
    call: Option<Option<GraphCall>>,
    /// `[window, features]`.
    phone: Vec<f32>,
    /// Absolute frame after the window of the last update; `None` = nothing is kept.
    end: Option<i64>,
}

impl ContentLine {
    /// A line that has heard nothing. Loads nothing.
    pub fn new(content: ContentVec, geometry: Geometry) -> Self {
        let window = geometry.window();
        let phone = vec![0.0; window * content.features];
        Self { content, window, seen: geometry.content_window(), call: None, phone, end: None }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.end = None;
    }

    /// Features of the window of the last update, `[window, features]`.
    pub fn phone(&self) -> &[f32] {
        &self.phone
    }

    /// Moves on to the window that ends before absolute frame `end`; `low` is the stream at 16 kHz up to there.
    ///
    /// The last frame counts twice, then each one twice, as RVC does it in real time. After a gap, in which nothing was
    /// heard, the older part repeats the oldest frame that the graph sees.
    ///
    /// # Errors
    /// [`GraphError`] when the run failed or gave something else than on silence; nothing is kept then.
    /// [worker-thread]
    pub fn update(&mut self, low: &[f32], end: i64) -> Result<(), GraphError> {
        let Self { content, window, seen, call, phone, .. } = self;
        let (window, seen, width) = (*window, *seen, content.features);
        let from = window - seen;
        let moved = self.end.take().and_then(|old| usize::try_from(end - old).ok());
        let moved = moved.filter(|moved| moved % 2 == 0 && moved + HEAD + 2 <= seen && seen < window);
        let call = call.get_or_insert_with(|| content.call(seen * LOW_FRAME_LEN));
        let values = content.run(&low[low.len() - seen * LOW_FRAME_LEN..], call.as_mut())?;
        let rows = values.len() / width;
        let kept = match moved {
            Some(moved) => {
                phone.copy_within(moved * width.., 0);
                HEAD
            }
            None => 0,
        };
        for (frame, values_of_frame) in phone.chunks_exact_mut(width).enumerate().skip(from + kept) {
            let row = ((frame - from) / 2).min(rows - 1);
            match content.is_transposed {
                false => values_of_frame.copy_from_slice(&values[row * width..(row + 1) * width]),
                true => {
                    let column = values.iter().skip(row).step_by(rows);
                    values_of_frame.iter_mut().zip(column).for_each(|(out, value)| *out = *value);
                }
            }
        }
        if moved.is_none() {
            let (older, newer) = phone.split_at_mut(from * width);
            older.chunks_exact_mut(width).for_each(|frame| frame.copy_from_slice(&newer[..width]));
        }
        self.end = Some(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_counts_by_table() {
        for (len, count) in [(0, 0), (399, 0), (400, 1), (4_800, 14), (8_000, 24), (16_000, 49)] {
            assert_eq!(frames(len), count, "{len}");
        }
    }
}
