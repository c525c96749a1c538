//! The singer's F0: Coffre's own, which comes with every hop, and RMVPE's, which comes with every block where there is one.
//!
//! Owned by one engine, used on its thread.

use super::LOW_HOP_LEN;
use super::geometry::{GUARD, Geometry};
use super::rmvpe::{PitchLine, Rmvpe};
use super::track::F0History;
use crate::engine::f0::{F0_DELAY_HOPS, F0Tracker, lag_frames};
use crate::onnx::GraphError;

/// F0 of the newest window.
pub(super) struct Hearing {
    geometry: Geometry,
    tracker: F0Tracker,
    history: F0History,
    /// F0 by RMVPE, if the voices came with it.
    line: Option<PitchLine>,
    /// F0 of the frames of the current block where RMVPE decides, before transposition, in Hz.
    heard_hz: Vec<f32>,
}

impl Hearing {
    pub(super) fn new(geometry: Geometry) -> Self {
        Self {
            geometry,
            tracker: F0Tracker::new(geometry.mode),
            history: history(geometry),
            line: None,
            heard_hz: vec![0.0; geometry.block],
        }
    }

    /// Forgets the stream; keeps the graph.
    pub(super) fn reset(&mut self) {
        self.tracker.reset();
        self.history = history(self.geometry);
        if let Some(line) = &mut self.line {
            line.reset();
        }
        self.heard_hz.fill(0.0);
    }

    /// From now on with this graph, or without one.
    pub(super) fn use_graph(&mut self, rmvpe: Option<&Rmvpe>) {
        // All voices come with the same graph, unless it was replaced meanwhile: then the newest counts.
        match rmvpe {
            None => self.line = None,
            Some(rmvpe) if self.line.as_ref().is_some_and(|line| line.is_of(rmvpe)) => {}
            Some(rmvpe) => self.line = Some(PitchLine::new(rmvpe.clone(), self.geometry)),
        }
    }

    /// Takes a hop at 16 kHz, and gives the F0 that Coffre finds, in Hz; 0.0 = unvoiced.
    pub(super) fn push(&mut self, low: &[f32; LOW_HOP_LEN]) -> f32 {
        let f0_hz = self.tracker.push(low).f0_hz;
        self.history.push(f0_hz);
        f0_hz
    }

    /// Frames before the end of the window that RMVPE asks about; `None` without it.
    pub(super) fn seen(&self) -> Option<usize> {
        self.line.as_ref().map(PitchLine::seen)
    }

    /// Brings RMVPE's F0 up to the window that ends with `low`; `None` where nothing of it is heard.
    ///
    /// # Errors
    /// [`GraphError`] when the run failed; the new frames are unvoiced then.
    pub(super) fn update(&mut self, low: Option<&[f32]>) -> Result<(), GraphError> {
        let block = self.geometry.block;
        self.line.as_mut().map_or(Ok(()), |line| line.update(low, block))
    }

    /// F0 of the window that begins with the frame `start`, in Hz; 0.0 = unvoiced.
    pub(super) fn window(&mut self, start: i64) -> Vec<f32> {
        let geometry = self.geometry;
        let mut f0_hz = vec![0.0; geometry.window()];
        self.history.copy(start, &mut f0_hz);
        if let Some(line) = &self.line {
            line.replace(&mut f0_hz);
            let from = geometry.window() - geometry.decoded() + GUARD;
            self.heard_hz.copy_from_slice(&f0_hz[from..][..geometry.block]);
        }
        f0_hz
    }

    /// What to show of a hop of the current block, whose F0 by Coffre is `own_hz`: RMVPE is asked once per block, so what
    /// it says is shown as it is heard.
    pub(super) fn shown_hz(&self, part: usize, own_hz: f32) -> f32 {
        if self.line.is_some() { self.heard_hz[part] } else { own_hz }
    }
}

fn history(geometry: Geometry) -> F0History {
    let lag = F0_DELAY_HOPS + lag_frames(geometry.mode);
    F0History::new(geometry.window() + 1, 1 - lag as i64)
}
