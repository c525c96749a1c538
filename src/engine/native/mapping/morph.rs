//! Morphing from voice A to voice B: how far along it is, and the envelope between two converted ones.
//!
//! A formant at 500 Hz in one voice and at 600 Hz in the other would become two half formants if both spectra were simply
//! averaged. So each spectrum is first moved along the frequency axis towards the other, and then their logarithms are
//! averaged.

use super::pairing::{fit_warp, moved_band, value_at};
use super::{FADE_FRAMES, mix};
use crate::engine::bands::ENV_BANDS;
use crate::voice::NativeVoice;

/// Most of the way that is covered in one frame: as fast as a change of voice.
const STEP: f32 = 1.0 / (FADE_FRAMES + 1) as f32;

/// Where the output stands between the voices.
#[derive(Clone, Debug)]
pub(super) struct Morph {
    /// Share of voice B, in `0.0..=1.0`; `None` before the first frame.
    weight: Option<f32>,
    /// Formant factor from voice A to voice B.
    warp: f32,
}

impl Morph {
    /// At voice A.
    pub(super) fn new() -> Self {
        Self { weight: None, warp: 1.0 }
    }

    /// The next frame starts where it is told to.
    pub(super) fn reset(&mut self) {
        self.weight = None;
    }

    /// Whether there was a frame.
    pub(super) fn has_begun(&self) -> bool {
        self.weight.is_some()
    }

    /// Share of voice B now.
    pub(super) fn weight(&self) -> f32 {
        self.weight.unwrap_or(0.0)
    }

    /// Goes towards `goal`, at once in the first frame and in small steps later. Returns the share of voice B.
    pub(super) fn step(&mut self, goal: f32) -> f32 {
        let goal = if goal.is_finite() { goal.clamp(0.0, 1.0) } else { 0.0 };
        let weight = self.weight.map_or(goal, |old| old + (goal - old).clamp(-STEP, STEP));
        self.weight = Some(weight);
        weight
    }

    /// Voice B is gone: nothing of it may sound any more.
    pub(super) fn fall_back(&mut self) {
        self.weight = self.weight.map(|_| 0.0);
    }

    /// Fits the formants of two voices. Without a voice A the singer takes its place, whose factor to voice B is known.
    pub(super) fn pair(&mut self, a: Option<&NativeVoice>, b: Option<&NativeVoice>, from_singer: f32) {
        self.warp = match (a, b) {
            (Some(a), Some(b)) => fit_warp(&a.shapes.voiced, &b.shapes.voiced),
            (None, Some(_)) => from_singer,
            (_, None) => 1.0,
        };
    }

    /// Blends the difference to voice B into the difference to voice A. Consonants have no formants to be moved.
    pub(super) fn blend(
        &self,
        envelope: &[f32; ENV_BANDS],
        voicing: f32,
        difference: &mut [f32; ENV_BANDS],
        to_b: &[f32; ENV_BANDS],
    ) {
        let weight = self.weight();
        let a: [f32; ENV_BANDS] = std::array::from_fn(|band| envelope[band] + difference[band]);
        let b: [f32; ENV_BANDS] = std::array::from_fn(|band| envelope[band] + to_b[band]);
        let (up, down) = (self.warp.powf(voicing * weight), self.warp.powf(voicing * (weight - 1.0)));
        for (band, value) in difference.iter_mut().enumerate() {
            let (a, b) = (value_at(&a, moved_band(band, up)), value_at(&b, moved_band(band, down)));
            *value = mix(a, b, weight) - envelope[band];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bands::centre_hz;

    fn peak(hz: f32) -> [f32; ENV_BANDS] {
        std::array::from_fn(|band| 5.0 * (-((centre_hz(band).max(20.0) / hz).ln() / 0.1).powi(2)).exp())
    }

    #[test]
    fn a_formant_moves_instead_of_becoming_two() {
        let (flat, a, b) = ([0.0; ENV_BANDS], peak(1_000.0), peak(1_250.0));
        for weight in [0.25, 0.5, 0.75] {
            let morph = Morph { weight: Some(weight), warp: 1.25 };
            let mut between = a;
            morph.blend(&flat, 1.0, &mut between, &b);
            let top = (0..ENV_BANDS).max_by(|&x, &y| between[x].total_cmp(&between[y])).expect("bands");
            let wanted = 1_000.0 * 1.25_f32.powf(weight);
            assert!((centre_hz(top) / wanted - 1.0).abs() < 0.06, "{weight}: {}", centre_hz(top));
            assert!(between[top] > 4.2, "{weight}: {}", between[top]);
        }
    }

    #[test]
    fn the_ends_are_reached_without_a_step() {
        let (envelope, a, b) = (peak(500.0), peak(1_000.0), peak(1_250.0));
        for (weight, end) in [(1e-4, &a), (1.0 - 1e-4, &b)] {
            let mut between = a;
            Morph { weight: Some(weight), warp: 1.25 }.blend(&envelope, 1.0, &mut between, &b);
            assert!((0..ENV_BANDS).all(|band| (between[band] - end[band]).abs() < 0.01), "{weight}");
        }
    }

    #[test]
    fn the_first_frame_is_there_at_once_and_a_jump_takes_as_long_as_a_change_of_voice() {
        let mut morph = Morph::new();
        assert_eq!(morph.step(0.8), 0.8);
        let steps = (1..).find(|_| morph.step(0.0) == 0.0);
        assert_eq!(steps, Some(6));
        assert_eq!(morph.step(f32::NAN), 0.0);
        morph.reset();
        assert_eq!(morph.step(1.0), 1.0);
    }
}
