//! Many channels to one, for an engine that hears one singer.
//!
//! The mean of the channels is right for most takes. It is not where some carry nothing (a voice on one side, a centre of
//! five) or where they cancel each other (one side turned over by a wrong cable). Frame by frame, on a grid of its own, so
//! that the result does not depend on how the input was cut. Knows no host, file or thread.

/// Frames after which the channels are looked at again.
const GRID: usize = 480;

/// Share of the past that is kept at each look: half a second at 48 kHz.
const KEPT: f32 = 0.98;

/// A channel with this share of the loudest one's power and less carries nothing: -50 dB.
const NOTHING: f32 = 1e-5;

/// Channels cancel each other where their mean has this share of the loudest one's power and less: -17 dB. Two independent
/// voices of the same level have a half.
const CANCELLED: f32 = 0.02;

/// From here on they no longer do: -11 dB.
const HELD: f32 = 0.08;

/// Power of a frame below which nothing is decided: -85 dBFS.
const SILENT: f32 = 3e-9;

/// Samples count as this at most: 6 dB over full scale.
const LARGEST: f32 = 2.0;

/// Which channels the engine hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The mean of those that carry something; the loudest one where they cancel each other.
    #[default]
    Sum,
    /// This one alone, counted from 0; the last one where there are fewer.
    One(usize),
}

/// Mixes frames down.
#[derive(Clone, Debug)]
pub struct DownMix {
    choice: Choice,
    /// What each channel counts before and after the ramp, which is `GRID` frames long.
    from: Box<[f32]>,
    to: Box<[f32]>,
    /// What each of equal channels counts, and whether all do, before and after.
    even: f32,
    is_even: bool,
    /// Decaying power of each channel and of the mean, and what has come since the last look.
    powers: Box<[f32]>,
    fresh: Box<[f32]>,
    place: usize,
    /// The channel that stands for all, as long as they cancel each other.
    alone: Option<usize>,
    has_cancelled: bool,
}

impl DownMix {
    /// For frames of so many channels.
    pub fn new(channels: usize, choice: Choice) -> Self {
        let channels = channels.max(1);
        let zeros = |len: usize| vec![0.0; len].into_boxed_slice();
        let mut mix = Self {
            choice,
            from: zeros(channels),
            to: zeros(channels),
            even: 1.0 / channels as f32,
            is_even: true,
            powers: zeros(channels + 1),
            fresh: zeros(channels + 1),
            place: 0,
            alone: None,
            has_cancelled: false,
        };
        mix.reset();
        mix
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        let channels = self.to.len();
        match self.choice {
            Choice::Sum => self.to.fill(self.even),
            Choice::One(channel) => {
                self.to.fill(0.0);
                self.to[channel.min(channels - 1)] = 1.0;
            }
        }
        self.from.copy_from_slice(&self.to);
        self.is_even = self.choice == Choice::Sum;
        self.powers.fill(0.0);
        self.fresh.fill(0.0);
        (self.place, self.alone, self.has_cancelled) = (0, None, false);
    }

    /// Whether the channels have cancelled each other somewhere, so that one stood for all.
    pub fn has_cancelled(&self) -> bool {
        self.has_cancelled
    }

    /// The next frame; one sample per channel.
    pub fn step(&mut self, frame: &[f32]) -> f32 {
        let mean = frame.iter().sum::<f32>() * self.even;
        if self.to.len() == 1 {
            return mean;
        }
        if let Choice::Sum = self.choice {
            for (power, sample) in self.fresh.iter_mut().zip(frame.iter().chain([&mean])) {
                // What is far beyond full scale must not stay in the sum for ever.
                let bounded = sample.clamp(-LARGEST, LARGEST);
                *power += bounded * bounded;
            }
        }
        let mixed = if self.is_even {
            mean
        } else {
            let along = (self.place + 1) as f32 / GRID as f32;
            let weights = self.from.iter().zip(&self.to).map(|(from, to)| from + along * (to - from));
            weights.zip(frame).map(|(weight, sample)| weight * sample).sum()
        };
        self.place += 1;
        if self.place == GRID {
            self.place = 0;
            self.look();
        }
        mixed
    }

    /// Decides what counts in the next stretch.
    fn look(&mut self) {
        self.from.copy_from_slice(&self.to);
        if self.choice == Choice::Sum {
            for (power, fresh) in self.powers.iter_mut().zip(&mut self.fresh) {
                *power = KEPT * *power + std::mem::take(fresh) / GRID as f32;
            }
            self.weigh();
        }
        self.is_even = self.from.iter().chain(&self.to).all(|weight| *weight == self.even);
    }

    fn weigh(&mut self) {
        let channels = self.to.len();
        let (powers, mean) = (&self.powers[..channels], self.powers[channels]);
        let (loudest, most) = powers
            .iter()
            .copied()
            .enumerate()
            .fold((0, 0.0), |best, (channel, power)| if power > best.1 { (channel, power) } else { best });
        if most < SILENT {
            return;
        }
        let counts = |power: f32| power > NOTHING * most;
        let count = powers.iter().filter(|power| counts(**power)).count();
        // The mean of those that count: the others add nothing but their number.
        let mean = mean * (channels as f32 / count as f32).powi(2);
        let limit = if self.alone.is_some() { HELD } else { CANCELLED };
        self.alone = match self.alone {
            _ if count < 2 || mean > limit * most => None,
            // Not to and fro between two sides of the same level.
            Some(alone) if powers[alone] > 0.5 * most => Some(alone),
            _ => Some(loudest),
        };
        self.has_cancelled |= self.alone.is_some();
        for (channel, weight) in self.to.iter_mut().enumerate() {
            let is_heard = self.alone.map_or(counts(self.powers[channel]), |alone| alone == channel);
            let share = if self.alone.is_some() { 1.0 } else { 1.0 / count as f32 };
            *weight = if is_heard { share } else { 0.0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(n: usize) -> f32 {
        0.3 * (n as f32 * 0.03).sin() + 0.1 * (n as f32 * 0.11).sin()
    }

    /// Level of what is made of two seconds against the voice alone, in dB, the first tenth left out.
    fn level_db(gains: &[f32]) -> f32 {
        let mut mix = DownMix::new(gains.len(), Choice::Sum);
        let (mut made, mut wanted) = (0.0, 0.0);
        for n in 0..96_000 {
            let frame: Vec<f32> = gains.iter().map(|gain| gain * voice(n)).collect();
            let sample = mix.step(&frame);
            if n >= 4_800 {
                made += sample * sample;
                wanted += voice(n) * voice(n);
            }
        }
        10.0 * (made / wanted).log10()
    }

    #[test]
    fn channels_that_carry_nothing_or_cancel_do_not_weaken_the_voice() {
        for (gains, wanted_db) in [
            (&[1.0, 0.0][..], 0.0),
            (&[0.0, 1.0], 0.0),
            (&[1.0, -1.0], 0.0),
            (&[1.0, -0.95], 0.0),
            (&[0.8, -1.0], 0.0),
            (&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 0.0),
            (&[1.0, 1.0], 0.0),
            (&[1.0, 0.5], -2.5),
        ] {
            let level_db = level_db(gains);
            assert!((level_db - wanted_db).abs() < 0.1, "{gains:?}: {level_db} dB");
        }
    }

    #[test]
    fn two_voices_that_sound_together_are_averaged_bit_by_bit() {
        let mut mix = DownMix::new(2, Choice::Sum);
        for n in 0..48_000 {
            let frame = [voice(n), 0.6 * voice(n + 577)];
            assert_eq!(mix.step(&frame), (frame[0] + frame[1]) * 0.5, "{n}");
        }
        assert!(!mix.has_cancelled());
    }

    #[test]
    fn nothing_clicks_where_a_side_falls_silent() {
        let mut mix = DownMix::new(2, Choice::Sum);
        let mut last = 0.0_f32;
        let mut steepest = 0.0_f32;
        for n in 0..192_000 {
            let right = if n < 96_000 { 1.0 } else { 0.0 };
            let sample = mix.step(&[voice(n), right * voice(n)]);
            // The cut itself is the input's.
            if n != 96_000 {
                steepest = steepest.max((sample - last).abs());
            }
            last = sample;
        }
        assert!(steepest < 0.03, "{steepest}");
    }

    #[test]
    fn what_is_far_too_loud_is_forgotten() {
        let mut mix = DownMix::new(2, Choice::Sum);
        for n in 0..4_800 {
            mix.step(&[if n % 2 == 0 { f32::MAX } else { f32::MIN }; 2]);
        }
        for n in 0..48_000 {
            let sample = mix.step(&[voice(n); 2]);
            assert!(n < 24_000 || sample == voice(n), "{n}: {sample}");
        }
    }

    #[test]
    fn a_chosen_side_is_taken_as_it_is() {
        let mut mix = DownMix::new(2, Choice::One(1));
        assert!((0..2_000).all(|n| mix.step(&[voice(n), -voice(n)]) == -voice(n)));
        assert_eq!(DownMix::new(1, Choice::One(1)).step(&[0.5]), 0.5);
    }
}
