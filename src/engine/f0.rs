//! F0 and voicing of the source, one frame per hop.
//!
//! Normalised cross-correlation candidates (RAPT class, Talkin 1995) from a window that is symmetric around the frame
//! centre and reaches 30 ms to each side, judged by a small network, then a dynamic-programming track: causal in live
//! mode, with 15 frames of hindsight in mix mode. Runs on the engine's thread; allocates in the constructors only.

pub mod candidates;
pub mod evidence;
pub mod judge;
pub mod peak;
pub mod prefilter;
pub mod track;
pub mod whitener;

use candidates::{CandidateFinder, PREVIEW_FRAMES};
use evidence::VoicingEvidence;
use prefilter::Prefilter;
use track::{Observation, Track};

use super::Mode;

/// Sample rate of the input, in Hz.
pub const F0_RATE: u32 = 16_000;

/// Samples per hop at [`F0_RATE`].
pub const F0_HOP_LEN: usize = 160;

/// Lowest F0 that is found, in Hz.
pub const LOWEST_F0_HZ: f32 = 40.0;

/// Highest F0 that is found, in Hz.
pub const HIGHEST_F0_HZ: f32 = 1600.0;

/// Hops by which a frame centre lies before the end of the newest hop.
pub const F0_DELAY_HOPS: usize = 3;

/// Frames by which mix mode decides later than live mode: 150 ms.
pub const MIX_LAG_FRAMES: usize = 15;

/// F0 of one frame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct F0Frame {
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Probability of voicing in `0.0..=1.0`, of this frame by itself: it can be low inside a voiced stretch and high
    /// outside.
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
    /// The newest frame and the next ones as far as they can be seen.
    observations: [Observation; PREVIEW_FRAMES + 1],
    /// How many of the next ones are looked at.
    previews: usize,
    /// Whether high candidates are doubted, see [`judge::judge`].
    doubts: bool,
    evidence: VoicingEvidence,
    track: Track,
}

impl F0Tracker {
    /// A tracker that has heard silence.
    pub fn new(mode: Mode) -> Self {
        Self {
            prefilter: Prefilter::new(),
            finder: CandidateFinder::new(),
            observations: [Observation::default(); PREVIEW_FRAMES + 1],
            // With frames in hindsight there is no need for half a look ahead.
            previews: if mode == Mode::Live { PREVIEW_FRAMES } else { 0 },
            doubts: mode == Mode::Mix,
            evidence: VoicingEvidence::default(),
            track: Track::new(lag_frames(mode)),
        }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.prefilter.reset();
        self.finder.reset();
        self.evidence.reset();
        self.track.reset();
    }

    /// Takes one hop of [`F0_HOP_LEN`] samples at [`F0_RATE`] and returns the frame that is decided now.
    ///
    /// # Panics
    /// When `hop` has another length.
    pub fn push(&mut self, hop: &[f32]) -> F0Frame {
        let mut filtered = [0.0; F0_HOP_LEN];
        self.prefilter.process(hop, &mut filtered);
        self.evidence.push(hop, &filtered);
        let (frame, previews) = self.observations.split_at_mut(1);
        let previews = &mut previews[..self.previews];
        self.finder.push(&filtered, &mut frame[0].candidates);
        frame[0].voicing = self.evidence.voicing(frame[0].candidates.best().correlation);
        frame[0].unvoiced = judge::judge(&mut frame[0].candidates, self.evidence.levels_db(0), 0, self.doubts);
        for (index, preview) in previews.iter_mut().enumerate() {
            let ahead = index + 1;
            self.finder.preview(ahead, &mut preview.candidates);
            preview.unvoiced =
                judge::judge(&mut preview.candidates, self.evidence.levels_db(ahead), ahead, self.doubts);
        }
        self.track.push(&frame[0], previews)
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
