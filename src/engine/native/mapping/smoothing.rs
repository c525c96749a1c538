//! Windows over which retrieved shapes are averaged in time.

use crate::engine::Mode;

/// Frames in the ring; a power of two that holds the longest window.
const RING: usize = 16;

/// Weights over the newest frames, newest first.
#[derive(Clone, Debug)]
pub(super) struct Smoothing {
    weights: &'static [f32],
    lag: usize,
}

/// Live: falling half of a Hann window over five frames; the newest frame counts most, mean delay 12 ms.
const CAUSAL: [f32; 5] = [0.333_3, 0.301_5, 0.218_2, 0.115_2, 0.031_8];

/// Mix: Hann window over nine frames around the one that leaves.
const SYMMETRIC: [f32; 9] =
    [0.019_098_3, 0.069_098_3, 0.130_901_7, 0.180_901_7, 0.2, 0.180_901_7, 0.130_901_7, 0.069_098_3, 0.019_098_3];

impl Smoothing {
    pub(super) fn new(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self { weights: &CAUSAL, lag: 0 },
            Mode::Mix => Self { weights: &SYMMETRIC, lag: SYMMETRIC.len() / 2 },
        }
    }

    /// Weights by age in frames.
    pub(super) fn weights(&self) -> &'static [f32] {
        self.weights
    }

    /// Age of the frame that leaves.
    pub(super) fn lag(&self) -> usize {
        self.lag
    }

    /// Length of the ring.
    pub(super) fn len(&self) -> usize {
        RING
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_and_fit_the_ring() {
        for mode in [Mode::Live, Mode::Mix] {
            let smoothing = Smoothing::new(mode);
            assert!((smoothing.weights().iter().sum::<f32>() - 1.0).abs() < 1e-4);
            assert!(smoothing.weights().len() <= smoothing.len() && smoothing.len().is_power_of_two());
        }
    }

    #[test]
    fn mix_is_symmetric_around_its_lag_and_live_has_none() {
        let mix = Smoothing::new(Mode::Mix);
        let delay: f32 = mix.weights().iter().enumerate().map(|(age, w)| age as f32 * w).sum();
        assert!((delay - mix.lag() as f32).abs() < 1e-4);
        assert_eq!(Smoothing::new(Mode::Live).lag(), 0);
    }
}
