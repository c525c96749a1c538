//! Compares what came back with the recording, frame by frame, on the refiner's frames.

use std::sync::Arc;

use crate::engine::HOP_LEN;
use crate::engine::content::PHONES;
use crate::engine::native::network::VOICE_LEN;
use crate::engine::native::refine::{HIDDEN_LEN, KNOWN_BINS, Probe, ProbedFrame, RefineGraph};
use crate::onnx::GraphError;

use super::Sums;

/// Power that counts as nothing.
const FLOOR: f32 = 1e-8;

/// Largest gain that is asked for, natural logarithm of amplitude.
const MAX_WANTED: f32 = 2.4;

/// Natural-log power of a frame's mean bin from which on it counts, and the range in which its weight grows to 1.
const LEAST_LOUDNESS: f32 = -16.0;
const LOUDNESS_RANGE: f32 = 8.0;

/// A frame that waits for the one after it.
#[derive(Clone, Debug)]
struct Frame {
    hidden: [f32; HIDDEN_LEN],
    gains: [f32; KNOWN_BINS],
    heard: [f32; KNOWN_BINS],
    wanted: [f32; KNOWN_BINS],
}

/// What came back, the recording, and the phones for each hop.
#[derive(Debug)]
pub(super) struct Sounds {
    pub(super) heard: Arc<[f32]>,
    pub(super) wanted: Arc<[f32]>,
    pub(super) phones: Arc<[[f32; PHONES]]>,
}

/// Two sounds on their way into the sums.
#[derive(Debug)]
pub(super) struct Comparison {
    probe: Probe,
    sounds: Sounds,
    scale: f32,
    position: usize,
    /// The two newest frames, oldest first.
    frames: [Option<Box<Frame>>; 2],
}

impl Comparison {
    /// Both sounds are scaled alike, so that the wanted one has this root mean square.
    pub(super) fn new(graph: RefineGraph, described: &[f32; VOICE_LEN], sounds: Sounds, level: f32) -> Self {
        let wanted = &sounds.wanted;
        let power = wanted.iter().map(|sample| sample * sample).sum::<f32>() / wanted.len().max(1) as f32;
        let scale = if power > 0.0 { level / power.sqrt() } else { 1.0 };
        Self { probe: Probe::new(graph, described), sounds, scale, position: 0, frames: [None, None] }
    }

    pub(super) fn progress(&self) -> f32 {
        self.position as f32 / self.sounds.wanted.len().max(1) as f32
    }

    /// Compares some hops. `false` at the end.
    ///
    /// # Errors
    /// [`GraphError`] when the graph fails.
    pub(super) fn step(&mut self, hops: usize, sums: &mut Sums) -> Result<bool, GraphError> {
        for _ in 0..hops {
            let next = |sound: &[f32]| -> Option<[f32; HOP_LEN]> {
                let hop: [f32; HOP_LEN] = sound.get(self.position..self.position + HOP_LEN)?.try_into().ok()?;
                Some(hop.map(|sample| sample * self.scale))
            };
            let (heard, wanted) = (next(&self.sounds.heard), next(&self.sounds.wanted));
            let (Some(heard), Some(wanted)) = (heard, wanted) else { return Ok(false) };
            let phones = self.sounds.phones.get(self.position / HOP_LEN).unwrap_or(&[0.0; PHONES]);
            self.position += HOP_LEN;
            let frames = &mut self.frames;
            self.probe.push(&heard, &wanted, phones, |frame| take(frames, frame, sums))?;
        }
        Ok(true)
    }
}

/// Puts the frame before the new one into the sums: its powers are the mean of three.
fn take(frames: &mut [Option<Box<Frame>>; 2], new: ProbedFrame<'_>, sums: &mut Sums) {
    if let [Some(before), Some(frame)] = frames {
        let mean = |of: fn(&Frame) -> &[f32; KNOWN_BINS], after: &[f32; KNOWN_BINS], bin: usize| {
            (of(before)[bin] + of(frame)[bin] + after[bin]) / 3.0
        };
        let missing = std::array::from_fn(|bin| {
            let heard = mean(|frame| &frame.heard, new.heard, bin) + FLOOR;
            let wanted = mean(|frame| &frame.wanted, new.wanted, bin) + FLOOR;
            (0.5 * (wanted / heard).ln()).clamp(-MAX_WANTED, MAX_WANTED) - frame.gains[bin]
        });
        let loudness = (frame.wanted.iter().sum::<f32>() / KNOWN_BINS as f32 + 1e-9).ln();
        let weight = ((loudness - LEAST_LOUDNESS) / LOUDNESS_RANGE).clamp(0.0, 1.0);
        if weight > 0.0 {
            sums.push(&frame.hidden, &missing, weight);
        }
    }
    frames.rotate_left(1);
    let mut frame =
        Frame { hidden: [0.0; HIDDEN_LEN], gains: [0.0; KNOWN_BINS], heard: *new.heard, wanted: *new.wanted };
    frame.hidden.copy_from_slice(&new.hidden[..HIDDEN_LEN]);
    frame.gains.copy_from_slice(&new.gains[..KNOWN_BINS]);
    frames[1] = Some(Box::new(frame));
}
