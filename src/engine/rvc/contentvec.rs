//! ContentVec: what is said, 50 times a second, from a graph that the user brings.
//!
//! Exports differ in names, rank and orientation; one run on silence shows what a graph gives.

use std::sync::Arc;

use crate::onnx::{Graph, GraphError, LooseInput};

/// Name in messages.
pub const NAME: &str = "contentvec";

/// Samples at 16 kHz between frames.
const STRIDE: usize = 320;

/// Samples at 16 kHz that one frame sees.
const FIELD: usize = 400;

/// Frames of `len` samples at 16 kHz.
pub fn frames(len: usize) -> usize {
    if len < FIELD { 0 } else { (len - FIELD) / STRIDE + 1 }
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

    /// Features of a window at 16 kHz, as the network takes them: 100 a second, `[frames, features]`.
    ///
    /// The last frame counts twice, then each one twice, as RVC does it in real time.
    ///
    /// # Errors
    /// [`GraphError`] when the run failed or gave something else than on silence.
    /// [worker-thread]
    pub fn features(&self, window: &[f32], frame_count: usize) -> Result<Vec<f32>, GraphError> {
        let wide = [1, 1, window.len()];
        let shape = &wide[3 - self.rank.min(3)..];
        let outputs = self.graph.run_loose(&[LooseInput { name: &self.input, shape, values: window }])?;
        let output = outputs.into_iter().find(|output| output.name == self.output);
        let count = frames(window.len());
        let output = output.filter(|output| output.values.len() == count * self.features && count > 0);
        let output = output.ok_or_else(|| GraphError::Run { graph: NAME, reason: "it gave another length".into() })?;
        if !output.values.iter().all(|value| value.is_finite()) {
            return Err(GraphError::Run { graph: NAME, reason: "it gave values that are not finite".into() });
        }
        let mut features = Vec::with_capacity(frame_count * self.features);
        for frame in 0..frame_count {
            let row = (frame / 2).min(count - 1);
            match self.is_transposed {
                false => features.extend_from_slice(&output.values[row * self.features..(row + 1) * self.features]),
                true => features.extend(output.values.iter().skip(row).step_by(count)),
            }
        }
        Ok(features)
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
