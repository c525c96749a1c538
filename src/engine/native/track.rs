//! What the synthesiser is told per feature frame, addressed by absolute sample position.
//!
//! Runs on the engine's thread; allocates in [`Track::new`] only.

use super::filter::Response;
use crate::engine::HOP_LEN;

/// Frames that are remembered (640 ms); a power of two.
const FRAMES: usize = 64;

/// One feature frame as the synthesiser sees it.
#[derive(Clone, Debug)]
pub struct TrackFrame {
    /// F0 of the source in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Output F0 divided by source F0.
    pub ratio: f32,
    /// Linear gain on the output.
    pub gain: f32,
    /// Filter from source to target.
    pub response: Response,
}

/// The newest frames. Frame `j` lies at sample `j * HOP_LEN - offset`.
pub struct Track {
    frames: Box<[TrackFrame]>,
    offset: i64,
    /// Index one past the newest frame.
    end: i64,
}

impl Track {
    /// A track whose frames lie `offset` samples before multiples of the hop.
    pub fn new(offset: i64) -> Self {
        let frame = TrackFrame { f0_hz: 0.0, ratio: 1.0, gain: 1.0, response: Response::flat() };
        Self { frames: vec![frame; FRAMES].into_boxed_slice(), offset, end: 0 }
    }

    /// Forgets all frames; the next one to be pushed has the index `first`.
    pub fn reset(&mut self, first: i64) {
        for frame in &mut self.frames {
            (frame.f0_hz, frame.ratio, frame.gain) = (0.0, 1.0, 1.0);
            frame.response.set_flat();
        }
        self.end = first;
    }

    /// The frame after the newest one, to be filled in; it counts as pushed.
    pub fn push(&mut self) -> &mut TrackFrame {
        self.end += 1;
        let slot = Self::slot(self.end - 1);
        &mut self.frames[slot]
    }

    /// The frame nearest to a position; the newest one where the position lies beyond it.
    pub fn nearest(&self, position: f64) -> &TrackFrame {
        let index = ((position + self.offset as f64) / HOP_LEN as f64).round() as i64;
        &self.frames[Self::slot(self.limit(index))]
    }

    /// The frames before and after a position and the weight of the second, in `0.0..1.0`.
    pub fn around(&self, position: f64) -> (&TrackFrame, &TrackFrame, f32) {
        let place = (position + self.offset as f64) / HOP_LEN as f64;
        let before = place.floor();
        let low = self.limit(before as i64);
        let high = self.limit(before as i64 + 1);
        let weight = if low == high { 0.0 } else { (place - before) as f32 };
        (&self.frames[Self::slot(low)], &self.frames[Self::slot(high)], weight)
    }

    fn limit(&self, index: i64) -> i64 {
        index.clamp(self.end - FRAMES as i64, self.end - 1)
    }

    fn slot(index: i64) -> usize {
        index.rem_euclid(FRAMES as i64) as usize
    }
}
