//! Keeps the room quiet: what is at the singer's own noise floor is never amplified.
//!
//! An equaliser that makes a voice brighter also makes the hiss of the room louder. The floor of each band is the lowest
//! envelope of the unvoiced frames of the last seconds (minimum statistics after Martin 2001, IEEE Transactions
//! on Speech and Audio Processing 9); voiced frames do not count, so a held note is never taken for a floor.

use crate::engine::bands::ENV_BANDS;

/// Unvoiced frames of one stretch; the floor looks back over one to two of them.
const STRETCH: u32 = 100;

/// A band this near to its floor is noise: 4 dB, natural-log power.
const NOISE: f32 = 0.9;

/// From this distance on it is voice: 14 dB.
const VOICE: f32 = 3.2;

/// Floor per band of the singer's track.
#[derive(Clone, Debug)]
pub(super) struct Hiss {
    current: [f32; ENV_BANDS],
    /// The stretch before; infinite until one is complete, so that nothing is restrained on a guess.
    previous: [f32; ENV_BANDS],
    count: u32,
    is_known: bool,
}

impl Hiss {
    pub(super) fn new() -> Self {
        Self { current: [f32::INFINITY; ENV_BANDS], previous: [f32::INFINITY; ENV_BANDS], count: 0, is_known: false }
    }

    /// Takes the next frame in time order.
    pub(super) fn push(&mut self, envelope: &[f32; ENV_BANDS], voicing: f32) {
        if voicing >= 0.5 {
            return;
        }
        for (least, &value) in self.current.iter_mut().zip(envelope) {
            *least = least.min(value);
        }
        self.count += 1;
        if self.count == STRETCH {
            self.previous = self.current;
            self.current = [f32::INFINITY; ENV_BANDS];
            (self.count, self.is_known) = (0, true);
        }
    }

    /// Takes back boosts where there is nothing but noise; cuts stay.
    pub(super) fn restrain(&self, envelope: &[f32; ENV_BANDS], difference: &mut [f32; ENV_BANDS]) {
        if !self.is_known {
            return;
        }
        for (band, change) in difference.iter_mut().enumerate() {
            if *change > 0.0 {
                let floor = self.previous[band].min(self.current[band]);
                *change *= ((envelope[band] - floor - NOISE) / (VOICE - NOISE)).clamp(0.0, 1.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOST: [f32; ENV_BANDS] = [2.0; ENV_BANDS];

    fn restrained(hiss: &Hiss, level: f32) -> f32 {
        let mut difference = BOOST;
        hiss.restrain(&[level; ENV_BANDS], &mut difference);
        difference[10]
    }

    #[test]
    fn noise_is_not_boosted_and_voice_is() {
        let mut hiss = Hiss::new();
        for frame in 0..150 {
            hiss.push(&[-14.0 + 0.3 * (frame % 3) as f32; ENV_BANDS], 0.0);
        }
        assert_eq!(restrained(&hiss, -13.5), 0.0);
        assert_eq!(restrained(&hiss, -5.0), 2.0);
        let mut cut = [-2.0; ENV_BANDS];
        hiss.restrain(&[-14.0; ENV_BANDS], &mut cut);
        assert_eq!(cut, [-2.0; ENV_BANDS]);
    }

    #[test]
    fn a_held_note_is_no_floor_and_an_unknown_floor_restrains_nothing() {
        let mut hiss = Hiss::new();
        for _ in 0..1000 {
            hiss.push(&[-3.0; ENV_BANDS], 1.0);
        }
        assert_eq!(restrained(&hiss, -3.0), 2.0);
    }

    #[test]
    fn a_quieter_room_is_believed_at_once_and_a_louder_one_within_two_stretches() {
        let mut hiss = Hiss::new();
        let push = |hiss: &mut Hiss, level: f32, frames: u32| {
            (0..frames).for_each(|_| hiss.push(&[level; ENV_BANDS], 0.0));
        };
        push(&mut hiss, -10.0, STRETCH);
        push(&mut hiss, -15.0, 1);
        assert!(restrained(&hiss, -10.0) > 1.9);
        push(&mut hiss, -8.0, 2 * STRETCH);
        assert_eq!(restrained(&hiss, -8.0), 0.0);
    }
}
