//! A stream through a graph with memory: the state that one run leaves is what the next one gets.
//!
//! Runs on the worker thread. Knows no meaning of any port but the state's.

use std::sync::Arc;

use super::{Graph, GraphCall, GraphError, Port};

/// One stream. The weights are shared by all streams of the process; running it allocates no tensors.
#[derive(Debug)]
pub struct RecurrentCall {
    call: GraphCall,
    /// Index of the state among the inputs and among the outputs: the last of each.
    state: usize,
    state_out: usize,
}

impl RecurrentCall {
    /// A stream at its start: a state of zeros. The last port of each list is the state.
    ///
    /// # Errors
    /// [`GraphError::Contract`] when the graph has other ports, or a state that changes its length.
    ///
    /// # Panics
    /// When one of the lists is empty.
    /// [worker-thread]
    pub fn new(graph: &Arc<Graph>, inputs: &[Port<'_>], outputs: &[Port<'_>]) -> Result<Self, GraphError> {
        let (state, state_out) = (inputs.len() - 1, outputs.len() - 1);
        let mut call = graph.call(inputs, outputs)?;
        let (given, answered) = (call.input_mut(state).len(), call.output(state_out).len());
        if given != answered {
            let reason = format!("its state has {given} values and becomes {answered}");
            return Err(GraphError::Contract { graph: graph.name(), reason });
        }
        Ok(Self { call, state, state_out })
    }

    /// Values of an input by its place in the list, kept from step to step.
    pub fn input_mut(&mut self, index: usize) -> &mut [f32] {
        self.call.input_mut(index)
    }

    /// Values of an output by its place in the list, after the last step that succeeded.
    pub fn output(&self, index: usize) -> &[f32] {
        self.call.output(index)
    }

    /// Starts the stream anew.
    pub fn reset(&mut self) {
        self.call.input_mut(self.state).fill(0.0);
    }

    /// One run. After an error the stream starts anew.
    ///
    /// # Errors
    /// As [`GraphCall::run`], and [`GraphError::Run`] when an output is not finite.
    /// [worker-thread]
    pub fn step(&mut self) -> Result<(), GraphError> {
        let is_finite = |call: &GraphCall, output| call.output(output).iter().all(|value| value.is_finite());
        let result = self.call.run().and_then(|()| match (0..=self.state_out).all(|n| is_finite(&self.call, n)) {
            true => Ok(()),
            false => {
                let reason = "it gave values that are not finite".to_owned();
                Err(GraphError::Run { graph: self.call.graph(), reason })
            }
        });
        match result {
            Ok(()) => self.call.feed_back(self.state_out, self.state),
            Err(_) => self.reset(),
        }
        result
    }
}
