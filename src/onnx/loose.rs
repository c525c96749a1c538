//! Runs of graphs that others made: any element type, any shape, memory taken anew for each run.

use half::f16;
use ort::session::SessionInputValue;
use ort::value::{Tensor, TensorElementType, ValueType};

use super::{Graph, GraphError};

/// Numbers for one input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LooseInput<'a> {
    /// Name in the graph.
    pub name: &'a str,
    /// Sizes.
    pub shape: &'a [usize],
    /// As many as the sizes say; turned into what the graph declares (f32, f16 or whole numbers).
    pub values: &'a [f32],
}

/// Numbers of one output.
#[derive(Clone, Debug, PartialEq)]
pub struct LooseOutput {
    /// Name in the graph.
    pub name: String,
    /// Sizes.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<f32>,
}

impl Graph {
    /// Runs the graph on these inputs and copies all outputs of floats.
    ///
    /// # Errors
    /// [`GraphError::Contract`] for an input that the graph does not have, else as [`super::GraphCall::run`].
    /// [worker-thread]
    pub fn run_loose(&self, inputs: &[LooseInput<'_>]) -> Result<Vec<LooseOutput>, GraphError> {
        let unfit = |reason: String| GraphError::Contract { graph: self.name(), reason };
        self.timed(|session, options| {
            let mut given = Vec::with_capacity(inputs.len());
            for input in inputs {
                let outlet = session.inputs().iter().find(|outlet| outlet.name() == input.name);
                let outlet = outlet.ok_or_else(|| unfit(format!("it has no input `{}`", input.name)))?;
                let ValueType::Tensor { ty, .. } = outlet.dtype() else {
                    return Err(unfit(format!("input `{}` is no tensor", input.name)));
                };
                given.push((input.name, value(*ty, input).map_err(unfit)?));
            }
            let failed = |error: ort::Error| GraphError::Run { graph: self.name(), reason: error.to_string() };
            let outputs = session.run_with_options(given, options).map_err(failed)?;
            Ok(outputs.iter().filter_map(|(name, value)| floats(name, &value)).collect())
        })
    }
}

fn value(kind: TensorElementType, input: &LooseInput<'_>) -> Result<SessionInputValue<'static>, String> {
    let LooseInput { name, shape, values } = input;
    let shape = shape.to_vec();
    let refused = |error: ort::Error| error.to_string();
    Ok(match kind {
        TensorElementType::Float32 => Tensor::from_array((shape, values.to_vec())).map_err(refused)?.into(),
        TensorElementType::Float16 => {
            let values: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
            Tensor::from_array((shape, values)).map_err(refused)?.into()
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers that the caller wrote as floats")]
        TensorElementType::Int64 => {
            let values: Vec<i64> = values.iter().map(|&value| value as i64).collect();
            Tensor::from_array((shape, values)).map_err(refused)?.into()
        }
        other => return Err(format!("input `{name}` has elements of type {other:?}")),
    })
}

fn floats(name: &str, value: &ort::value::ValueRef<'_>) -> Option<LooseOutput> {
    let sizes = |shape: &[i64]| shape.iter().map(|&size| usize::try_from(size).unwrap_or(0)).collect();
    let (shape, values) = match value.try_extract_tensor::<f32>() {
        Ok((shape, values)) => (sizes(shape), values.to_vec()),
        Err(_) => {
            let (shape, values) = value.try_extract_tensor::<f16>().ok()?;
            (sizes(shape), values.iter().map(|value| value.to_f32()).collect())
        }
    };
    Some(LooseOutput { name: name.to_owned(), shape, values })
}
