//! F0 and voicing of the source, one frame per hop.
//!
//! Normalised cross-correlation candidates (RAPT class, Talkin 1995) from a window that is symmetric around the frame
//! centre and reaches 30 ms to each side, then a dynamic-programming track: causal in live mode, with 15 frames of
//! hindsight in mix mode. Runs on the engine's thread; allocates in the constructors only.

pub mod candidates;
pub mod prefilter;
pub mod track;
pub mod whitener;

use candidates::{CandidateFinder, Candidates};
use prefilter::Prefilter;
use track::Track;

use super::Mode;

/// Sample rate of the input, in Hz.
pub const F0_RATE: u32 = 16_000;

/// Samples per hop at [`F0_RATE`].
pub const F0_HOP_LEN: usize = 160;

/// Lowest F0 that is found, in Hz.
pub const LOWEST_F0_HZ: f32 = 40.0;

/// Highest F0 that is found, in Hz.
pub const HIGHEST_F0_HZ: f32 = 1200.0;

/// Hops by which a frame centre lies before the end of the newest hop.
pub const F0_DELAY_HOPS: usize = 3;

/// Frames by which mix mode decides later than live mode: 150 ms.
pub const MIX_LAG_FRAMES: usize = 15;

/// F0 of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct F0Frame {
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Degree of voicing in `0.0..=1.0`: the normalised correlation of neighbouring cycles, also where the frame
    /// counts as unvoiced.
    pub voicing: f32,
}

/// Streaming F0 tracker.
///
/// After hop `h` it returns the frame whose centre is the sample `160 (h + 1 - F0_DELAY_HOPS - lag_frames)` of the
/// 16 kHz stream.
#[derive(Debug)]
pub struct F0Tracker {
    prefilter: Prefilter,
    finder: CandidateFinder,
    candidates: Candidates,
    track: Track,
}

impl F0Tracker {
    /// A tracker that has heard silence.
    pub fn new(mode: Mode) -> Self {
        Self {
            prefilter: Prefilter::new(),
            finder: CandidateFinder::new(),
            candidates: Candidates::default(),
            track: Track::new(lag_frames(mode)),
        }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.prefilter.reset();
        self.finder.reset();
        self.track.reset();
    }

    /// Takes one hop of [`F0_HOP_LEN`] samples at [`F0_RATE`] and returns the frame that is decided now.
    ///
    /// # Panics
    /// When `hop` has another length.
    pub fn push(&mut self, hop: &[f32]) -> F0Frame {
        let mut filtered = [0.0; F0_HOP_LEN];
        self.prefilter.process(hop, &mut filtered);
        self.finder.push(&filtered, &mut self.candidates);
        self.track.push(&self.candidates)
    }
}

/// Frames by which a mode's decision comes later than the earliest possible one.
pub fn lag_frames(mode: Mode) -> usize {
    match mode {
        Mode::Live => 0,
        Mode::Mix => MIX_LAG_FRAMES,
    }
}

#[cfg(test)]
mod tests;
