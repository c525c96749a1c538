//! RMVPE: F0 from a graph that the user provides, 100 times a second.
//!
//! The graph turns a log-mel spectrogram into a salience per pitch; spectrogram and decoding are done here, as its authors
//! do it. Above [`HIGHEST_HZ`] Coffre's own F0 is used, because RMVPE was not trained there. Runs on the worker
//! thread or in the command line; knows no file.

mod mel;

use std::sync::Arc;

use mel::{BANDS, Spectrogram};

use super::geometry::Geometry;
use crate::onnx::{Graph, GraphError, LooseInput};

/// Name in messages.
pub const NAME: &str = "rmvpe";

/// Above this neither its word counts nor its silence: about C6.
pub const HIGHEST_HZ: f32 = 1040.0;

/// Pitches that the graph tells apart, 20 cents each.
const PITCHES: usize = 360;

/// Cents above 10 Hz of the lowest pitch.
const LOWEST_CENTS: f32 = 1_997.379_4;

/// Salience up to which a frame is unvoiced.
const THRESHOLD: f32 = 0.03;

/// Pitches to each side of the best one that are averaged.
const AROUND: usize = 4;

/// The graph takes multiples of this many frames.
const STEP: usize = 32;

/// Frames at the beginning of a window whose spectrum is mirrored: not used, as in RVC.
const HEAD: usize = 3;

/// Frames before the decoded ones that the graph sees besides [`HEAD`].
const LEAD: usize = 9;

/// Samples at 16 kHz between frames.
pub(super) const FRAME_LEN: usize = 160;

/// The graph and how it is asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rmvpe {
    graph: Arc<Graph>,
    input: String,
    output: String,
}

impl Rmvpe {
    /// Asks the graph about silence to see whether it is what it says.
    ///
    /// # Errors
    /// [`GraphError::Contract`] when it is no RMVPE.
    /// [worker-thread]
    pub fn new(graph: Arc<Graph>) -> Result<Self, GraphError> {
        let unfit = |reason: String| GraphError::Contract { graph: NAME, reason };
        let [inputs, _] = graph.ports()?;
        let [input] = inputs.as_slice() else {
            return Err(unfit(format!("it has {} inputs, not one for the spectrogram", inputs.len())));
        };
        let name = input.name.clone();
        let silence = vec![mel::FLOOR.ln(); BANDS * STEP];
        let outputs = graph.run_loose(&[LooseInput { name: &name, shape: &[1, BANDS, STEP], values: &silence }])?;
        let output = outputs.into_iter().find(|output| output.shape == [1, STEP, PITCHES]);
        let output = output.ok_or_else(|| unfit(format!("it does not give {PITCHES} pitches per frame")))?.name;
        Ok(Self { graph, input: name, output })
    }

    /// F0 in Hz of each frame of a spectrogram, `[BANDS, frames]` with a multiple of 32 frames; 0.0 = unvoiced.
    fn f0(&self, mel: &[f32]) -> Result<Vec<f32>, GraphError> {
        let failed = |reason: &str| GraphError::Run { graph: NAME, reason: reason.to_owned() };
        let frames = mel.len() / BANDS;
        let outputs =
            self.graph.run_loose(&[LooseInput { name: &self.input, shape: &[1, BANDS, frames], values: mel }])?;
        let output = outputs.into_iter().find(|output| output.name == self.output);
        let output = output.filter(|output| output.values.len() == frames * PITCHES);
        let output = output.ok_or_else(|| failed("it gave another length"))?;
        if !output.values.iter().all(|value| value.is_finite()) {
            return Err(failed("it gave values that are not finite"));
        }
        Ok(output.values.chunks_exact(PITCHES).map(decode).collect())
    }
}

/// F0 in Hz from the salience of one frame: the mean of the pitches around the best one, weighted by salience.
fn decode(salience: &[f32]) -> f32 {
    let best = (0..salience.len()).fold(0, |best, pitch| if salience[pitch] > salience[best] { pitch } else { best });
    if salience.get(best).is_none_or(|&value| value <= THRESHOLD) {
        return 0.0;
    }
    let near = best.saturating_sub(AROUND)..(best + AROUND + 1).min(salience.len());
    let sum: f32 = salience[near.clone()].iter().sum();
    let cents: f32 = near.map(|pitch| salience[pitch] * (20.0 * pitch as f32 + LOWEST_CENTS)).sum();
    10.0 * (cents / sum / 1200.0).exp2()
}

/// The F0 of a stream by RMVPE, kept by frame: each block asks about its own frames only.
pub struct PitchLine {
    rmvpe: Rmvpe,
    spectrogram: Spectrogram,
    /// Frames that the graph sees at a time.
    seen: usize,
    /// F0 of the window's frames, in Hz.
    frames: Vec<f32>,
    mel: Vec<f32>,
}

impl PitchLine {
    /// A line that has heard silence, for windows of one layout.
    pub fn new(rmvpe: Rmvpe, geometry: Geometry) -> Self {
        // The last frame lies at the very end of the sound, half of it mirrored: not used either.
        let seen = (HEAD + LEAD + geometry.decoded() + 1).div_ceil(STEP) * STEP;
        let mel = vec![0.0; seen * BANDS];
        Self { rmvpe, spectrogram: Spectrogram::new(), seen, frames: vec![0.0; geometry.window()], mel }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.frames.fill(0.0);
    }

    /// Whether it asks this very graph.
    pub fn is_of(&self, rmvpe: &Rmvpe) -> bool {
        Arc::ptr_eq(&self.rmvpe.graph, &rmvpe.graph)
    }

    /// Frames before the end of the window that the next update may change.
    pub fn seen(&self) -> usize {
        self.seen
    }

    /// Moves on by `block` frames. `low` is the stream at 16 kHz, up to the end of the new window; `None` where nothing
    /// of what the graph would see is heard.
    ///
    /// # Errors
    /// [`GraphError`] when the run failed; the new frames are unvoiced then.
    /// [worker-thread]
    pub fn update(&mut self, low: Option<&[f32]>, block: usize) -> Result<(), GraphError> {
        let window = self.frames.len();
        self.frames.copy_within(block.min(window).., 0);
        self.frames[window - block.min(window)..].fill(0.0);
        let Some(low) = low else { return Ok(()) };
        self.spectrogram.frames(low, self.seen, &mut self.mel);
        let f0_hz = self.rmvpe.f0(&self.mel)?;
        // Frame `seen - 1` of the graph lies at the end of the window, where the next frame of the stream begins.
        let found = &f0_hz[HEAD..self.seen - 1];
        let count = found.len().min(window);
        self.frames[window - count..].copy_from_slice(&found[found.len() - count..]);
        Ok(())
    }

    /// F0 of the window's frames in Hz; 0.0 = unvoiced.
    pub fn frames(&self) -> &[f32] {
        &self.frames
    }

    /// Puts its F0 in the place of Coffre's own, except where one of both is above [`HIGHEST_HZ`].
    pub fn replace(&self, f0_hz: &mut [f32]) {
        for (own, &found) in f0_hz.iter_mut().zip(&self.frames) {
            if *own <= HIGHEST_HZ && found <= HIGHEST_HZ {
                *own = found;
            }
        }
    }
}

impl std::fmt::Debug for PitchLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PitchLine").field("seen", &self.seen).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pitches_by_table() {
        let f0 = |peaks: &[(usize, f32)]| {
            let mut salience = [0.0; PITCHES];
            peaks.iter().for_each(|&(pitch, value)| salience[pitch] = value);
            decode(&salience)
        };
        // 10 Hz * 2^((20 n + 1997.3794) / 1200)
        for (peaks, wanted) in [
            (&[][..], 0.0),
            (&[(100, 0.03)], 0.0),
            (&[(0, 0.9)], 31.700_5),
            (&[(359, 0.9)], 2_005.5),
            (&[(120, 0.5), (121, 0.5)], 127.54),
            // What is farther away than four pitches does not count.
            (&[(120, 0.5), (125, 0.4)], 126.80),
        ] {
            let found = f0(peaks);
            assert!((found - wanted).abs() <= 2e-4 * wanted, "{peaks:?}: {found}");
        }
    }
}
