//! How reverberant the room is: the decay of the level where the voice stops.
//!
//! No sound can decay faster than its room. So the fastest of many level drops in running speech are close to the
//! room's decay (after Ratnam et al. 2003, Löllmann et al. 2010: blind estimation from free decays). Reads samples
//! at 48 kHz in pieces; keeps 10 ms levels only.

use crate::engine::HOP_LEN;

/// Least fall in dB that counts as a decay.
const LEAST_FALL_DB: f32 = 18.0;

/// Part of a decay whose time is taken, in dB.
const PART_DB: f32 = 15.0;

/// Rise within a decay that does not end it, in dB: reverberation fluctuates.
const WOBBLE_DB: f32 = 1.0;

/// Least decays for an estimate.
const LEAST_DECAYS: usize = 6;

/// Which of the decays, sorted from the quickest, is taken as the room's.
const SHARE: f32 = 0.25;

/// Levels of a recording, and what they say about the room.
#[derive(Clone, Debug, Default)]
pub struct Room {
    power: f64,
    samples: usize,
    /// Levels in dB.
    levels: Vec<f32>,
}

impl Room {
    /// Takes the next samples.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.power += f64::from(sample) * f64::from(sample);
            self.samples += 1;
            if self.samples == HOP_LEN {
                self.levels.push(10.0 * (self.power / HOP_LEN as f64 + 1e-12).log10() as f32);
                (self.power, self.samples) = (0.0, 0);
            }
        }
    }

    /// Time in which the room's sound falls by 60 dB, in seconds; `None` when the voice stops too rarely to say.
    pub fn decay_s(&self) -> Option<f32> {
        let mut sorted = self.levels.clone();
        sorted.sort_by(f32::total_cmp);
        let at = |share: f32| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
            let index = (share * sorted.len() as f32) as usize;
            sorted.get(index).copied()
        };
        let (loud, floor) = (at(0.8)? - 12.0, at(0.05)? + 6.0);
        let mut decays = Vec::new();
        let mut start = 0;
        for index in 1..self.levels.len() {
            if self.levels[index] < self.levels[index - 1] + WOBBLE_DB && self.levels[index] > floor {
                continue;
            }
            self.decay(start, index, loud).into_iter().for_each(|seconds| decays.push(seconds));
            start = index;
        }
        decays.sort_by(f32::total_cmp);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
        let index = (SHARE * decays.len() as f32) as usize;
        decays.get(index).copied().filter(|_| decays.len() >= LEAST_DECAYS)
    }

    /// Time of a fall by 60 dB according to one fall of the level that begins above `loud`.
    fn decay(&self, start: usize, end: usize, loud: f32) -> Option<f32> {
        let fall = &self.levels[start..end];
        let (first, last) = (fall.iter().copied().reduce(f32::max)?, fall.last()?);
        if first < loud || first - last < LEAST_FALL_DB {
            return None;
        }
        // The quickest part is where the source is silent and the room alone sounds.
        let quickest = (0..fall.len())
            .filter_map(|at| fall[at..].iter().position(|level| *level <= fall[at] - PART_DB).map(|hops| (at, hops)));
        quickest.map(|(at, hops)| 60.0 * 0.01 * hops as f32 / (fall[at] - fall[at + hops])).reduce(f32::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bursts of noise that stop abruptly, in a room with the given decay.
    fn bursts(decay_s: f32) -> Room {
        let mut state = 1_u32;
        let mut level = 0.0_f32;
        // Amplitude falls by 60 dB in `decay_s`.
        let fall = 10.0_f32.powf(-3.0 / (decay_s * 48_000.0));
        let samples: Vec<f32> = (0..48_000 * 24)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = state as f32 / u32::MAX as f32 - 0.5;
                level = if n % 60_000 < 30_000 { 0.5 } else { level * fall };
                noise * (level + 1e-5)
            })
            .collect();
        let mut room = Room::default();
        samples.chunks(1_000).for_each(|piece| room.push(piece));
        room
    }

    #[test]
    fn a_decay_is_measured_and_rooms_are_told_apart() {
        for decay_s in [0.3, 0.6, 1.2] {
            let found = bursts(decay_s).decay_s().expect("many decays");
            assert!((found / decay_s - 1.0).abs() < 0.35, "{found} for {decay_s}");
        }
        assert!(bursts(0.05).decay_s().is_some_and(|found| found < 0.12));
        assert_eq!(Room::default().decay_s(), None);
    }
}
