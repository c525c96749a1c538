//! A first adaptation for a new voice, from some seconds of its recordings and one other voice for each half. Takes about
//! two seconds on two cores, and gives most of what the full adaptation gives.

use crate::engine::native::refine::ADAPTATION_SHAPE;
use crate::engine::{ENGINE_RATE, HOP_LEN};
use crate::voice::{Adaptation, MeanShapes};

use super::passage::STEP_HOPS;
use super::{Half, Plan, Sums, half};

/// Least recordings, in samples: each half has to make a voice of its own.
const LEAST_LEN: usize = 8 * ENGINE_RATE as usize;

/// Recordings that are used, in samples.
const LEN: usize = 17 * ENGINE_RATE as usize;

/// A hop belongs to the voice from this power on, relative to the loud ones: 20 dB below.
const VOICE_POWER: f32 = 0.01;

/// Adapts the refiner to the voice with these mean shapes and this median F0 in Hz on `samples`, its recordings at 48 kHz.
///
/// # Errors
/// In words, why it cannot be done.
pub(in crate::clone) fn adaptation(
    shapes: &MeanShapes,
    median_f0_hz: f32,
    samples: &[i16],
) -> Result<Adaptation, String> {
    if samples.len() < LEAST_LEN {
        return Err("the recordings are short".to_owned());
    }
    let samples: Vec<f32> = fullest(samples).iter().map(|&sample| f32::from(sample) / 32_768.0).collect();
    let plan = Plan::new(shapes, median_f0_hz, &samples)?;
    let halves: Vec<Half> = both(|number| plan.hear(number))?.into();
    let mut sums = Sums::new();
    for of_turn in both(|turn| plan.whole_turn(turn, &halves))? {
        sums.add(&of_turn);
    }
    Adaptation::new(&plan.space, ADAPTATION_SHAPE, sums.solve().ok_or("the recordings leave it open")?)
        .ok_or_else(|| "the recordings give no plausible answer".to_owned())
}

/// Does something for 0 and for 1, side by side.
fn both<T: Send>(work: impl Fn(usize) -> Result<T, String> + Sync) -> Result<[T; 2], String> {
    std::thread::scope(|scope| {
        let second = scope.spawn(|| work(1));
        let first = work(0);
        let second = second.join().map_err(|_| "a thread ended suddenly".to_owned())?;
        Ok([first?, second?])
    })
}

/// The stretch of [`LEN`] samples with the most voice.
fn fullest(samples: &[i16]) -> &[i16] {
    let power = |hop: &[i16; HOP_LEN]| hop.iter().map(|&sample| f32::from(sample).powi(2)).sum::<f32>();
    let powers: Vec<f32> = samples.as_chunks::<HOP_LEN>().0.iter().map(power).collect();
    let hops = LEN / HOP_LEN;
    if powers.len() <= hops {
        return samples;
    }
    let mut sorted = powers.clone();
    sorted.sort_by(f32::total_cmp);
    let least = VOICE_POWER * sorted[sorted.len() * 19 / 20];
    let is_voice = |hop: usize| usize::from(powers[hop] > least);
    let mut count: usize = (0..hops).map(is_voice).sum();
    let (mut best, mut start) = (count, 0);
    for first in 1..=powers.len() - hops {
        count = count + is_voice(first + hops - 1) - is_voice(first - 1);
        if count > best {
            (best, start) = (count, first);
        }
    }
    &samples[start * HOP_LEN..(start + hops) * HOP_LEN]
}

impl Plan {
    /// Processes one half to its end.
    fn hear(&self, number: usize) -> Result<Half, String> {
        let mut hearing = self.hearing(self.samples[number].clone())?;
        while hearing.step()? {}
        let (frames, profile) = hearing.finish();
        half(frames, profile, self.content()?.space())
    }

    /// Does one turn to its end.
    fn whole_turn(&self, turn: usize, halves: &[Half]) -> Result<Sums, String> {
        let mut away = self.away(turn, halves)?;
        while away.step()? {}
        let (away, _) = away.output();
        let mut hearing = self.hearing(away.clone())?;
        while hearing.step()? {}
        let (_, profile) = hearing.finish();
        let mut back = self.back(turn, away, profile, halves)?;
        while back.step()? {}
        let (back, phones) = back.output();
        let mut comparison = self.comparison(turn, back, phones)?;
        let mut sums = Sums::new();
        while comparison.step(STEP_HOPS, &mut sums).map_err(|error| error.to_string())? {}
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stretch_with_the_most_voice_is_taken() {
        let second = ENGINE_RATE as usize;
        let voice = |n: usize| if (n / 7).is_multiple_of(2) { 3_000 } else { -3_000 };
        let samples: Vec<i16> =
            (0..60 * second).map(|n| if (30 * second..50 * second).contains(&n) { voice(n) } else { 3 }).collect();
        let found = fullest(&samples);
        assert_eq!(found.len(), LEN);
        assert!(found.iter().all(|sample| sample.abs() > 1_000));
        assert_eq!(fullest(&samples[..LEN]).len(), LEN);
    }

    #[test]
    fn what_cannot_be_taught_is_said() {
        let shapes = MeanShapes { voiced: [-5.0; 86], unvoiced: [-4.0; 86] };
        assert!(adaptation(&shapes, 150.0, &[100; 1_000]).is_err_and(|reason| reason.contains("short")));
        assert!(adaptation(&shapes, 150.0, &vec![0; LEN]).is_err(), "silence");
    }
}
