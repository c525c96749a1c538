//! The layout of a window of the stream, and the delay that follows from it.
//!
//! ```text
//! |<- context ->|guard|<-- block -->|<- crossfade ->|<- margin ->|
//!                      ^ heard now   ^ faded into    ^ not heard  ^ newest sample
//! ```
//!
//! All lengths in hops of 10 ms, which are also the frames of the network.

use super::super::f0::{F0_DELAY_HOPS, lag_frames};
use super::super::{HOP_LEN, Mode};
use crate::dsp::decimator::DECIMATOR_DELAY_LEN;

/// One frame before what is heard: room for the splice search and for the edges of filters.
pub const GUARD: usize = 1;

/// Frames after what is heard whose sound is made: room for the splice search and for the edges of filters.
const SPARE: usize = 1;

/// Frames before the decoded ones that the flow sees.
const FLOW_FRAMES: usize = 24;

/// Frames before the decoded ones that the content graph sees live: with them it sees a second.
const CONTENT_CONTEXT: usize = 82;

/// Longest block of a file, in hops: 10 s. Attention grows with the square of the window.
const LONGEST_FILE_BLOCK: usize = 1_000;

/// Lengths in hops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// New sound per run of the networks.
    pub block: usize,
    /// Overlap of neighbouring blocks.
    pub crossfade: usize,
    /// Future that the networks see beyond what is heard. At least as long as F0 is late.
    pub margin: usize,
    /// Past that the networks see.
    pub context: usize,
    /// Which F0 decisions are used.
    pub mode: Mode,
}

impl Geometry {
    /// The layout of a mode in a plugin: 100 ms blocks live, 500 ms in a mix.
    pub fn of(mode: Mode) -> Self {
        let margin = F0_DELAY_HOPS + lag_frames(mode);
        match mode {
            Mode::Live => Self { block: 10, crossfade: 4, margin, context: 200, mode },
            Mode::Mix => Self { block: 50, crossfade: 5, margin, context: 250, mode },
        }
    }

    /// For a file of about `hops` hops, all of it at hand: long blocks with a second of context on both sides.
    pub fn file(hops: usize) -> Self {
        let (crossfade, margin) = (5, 100);
        let total = hops + crossfade + margin;
        let blocks = total.div_ceil(LONGEST_FILE_BLOCK).max(1);
        Self { block: total.div_ceil(blocks), crossfade, margin, context: 100, mode: Mode::Mix }
    }

    /// Frames that are decoded.
    pub fn decoded(&self) -> usize {
        GUARD + self.block + self.crossfade + self.margin
    }

    /// Frames of these whose sound is made: what is heard or faded from, and `SPARE` after it. The decoder sees the
    /// others as far as they matter for these.
    pub fn made(&self) -> usize {
        GUARD + self.block + self.crossfade + self.margin.min(SPARE)
    }

    /// Frames that the content and text encoders see.
    pub fn window(&self) -> usize {
        self.context + self.decoded()
    }

    /// Frames at the end of the window that the content graph sees at a time; what it said about the others is kept.
    ///
    /// Its cost grows with this, and live nothing else costs more. Where its frames of 20 ms would not lie on the same
    /// grid block after block, it sees the whole window.
    pub fn content_window(&self) -> usize {
        let window = self.window();
        let seen = (self.decoded() + CONTENT_CONTEXT).min(window);
        let is_on_grid = self.block.is_multiple_of(2) && (window - seen).is_multiple_of(2);
        if self.mode == Mode::Live && is_on_grid { seen } else { window }
    }

    /// Frames that only the encoders see.
    pub fn flow_head(&self) -> usize {
        self.context.saturating_sub(FLOW_FRAMES)
    }

    /// Delay of the engine in samples: a block begins to sound in the hop that completes its window.
    pub fn latency_len(&self) -> usize {
        (self.block + self.crossfade + self.margin - 1) * HOP_LEN + DECIMATOR_DELAY_LEN
    }

    /// Samples after the end of the input until the output is silent.
    pub fn tail_len(&self) -> usize {
        self.latency_len() + self.block * HOP_LEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_delays_by_table() {
        let live = Geometry::of(Mode::Live);
        assert_eq!((live.window(), live.decoded(), live.flow_head(), live.latency_len()), (218, 18, 176, 7_728));
        let mix = Geometry::of(Mode::Mix);
        assert_eq!((live.content_window(), mix.content_window()), (100, mix.window()));
        assert_eq!(Geometry { block: 9, ..live }.content_window(), Geometry { block: 9, ..live }.window());
        assert_eq!((mix.margin, mix.latency_len()), (18, 72 * 480 + 48));
        assert_eq!((live.made(), mix.made(), mix.decoded(), Geometry::file(0).made()), (16, 57, 74, 112));
        for hops in [0, 1, 500, 894, 896, 6_000] {
            let file = Geometry::file(hops);
            let blocks = (hops + file.crossfade + file.margin).div_ceil(file.block);
            assert!(file.block <= LONGEST_FILE_BLOCK && blocks == (hops + 105).div_ceil(1_000), "{hops}");
        }
    }
}
