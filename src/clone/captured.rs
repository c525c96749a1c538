//! A recording from a track while it plays: any rate in pieces of any length in, mono at 48 kHz out, with its clipping and
//! its hash. The counterpart of [`super::recording`] for files.

use sha2::{Digest as _, Sha256};

use super::Cloner;
use super::recording::{FlatTops, flat_top};
use crate::engine::ENGINE_RATE;
use crate::engine::resample::Resampler;
use crate::voice::package::hex;

/// What a look at a capture says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// More may come.
    Part,
    /// Everything wanted is here.
    All,
    /// It broke off.
    Broken(&'static str),
}

/// Sound that is being recorded elsewhere. The clone job looks for it every few milliseconds.
pub trait Capture: Send {
    /// Rate of the samples in Hz.
    fn rate(&self) -> u32;

    /// Share of what is wanted that was handed out, in `0.0..=1.0`.
    fn progress(&self) -> f32;

    /// Replaces `samples` by what has come; a sample that is not a number is a seam, where something is missing.
    fn read(&mut self, samples: &mut Vec<f32>) -> Heard;
}

/// Puts captured samples into a [`Cloner`].
pub(super) struct Captured {
    rate: u32,
    resampler: Resampler,
    flat_tops: FlatTops,
    hash: Sha256,
    /// Clipping that was told to the cloner.
    clipped: u64,
    /// Samples of this stretch that came and went.
    taken: u64,
    given: u64,
    samples: Vec<f32>,
}

impl Captured {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            rate,
            resampler: Resampler::new(rate, ENGINE_RATE, 0),
            flat_tops: FlatTops::new(1, flat_top(rate)),
            hash: Sha256::new(),
            clipped: 0,
            taken: 0,
            given: 0,
            samples: Vec::new(),
        }
    }

    /// Takes the next samples; seams begin a new take.
    pub(super) fn push(&mut self, cloner: &mut Cloner, samples: &[f32]) {
        for (index, stretch) in samples.split(|sample| sample.is_nan()).enumerate() {
            if index > 0 {
                self.end_stretch(cloner);
            }
            stretch.iter().for_each(|sample| self.hash.update(sample.to_le_bytes()));
            self.flat_tops.push(stretch);
            self.resampler.push(stretch);
            self.taken += stretch.len() as u64;
            self.hand_on(cloner, u64::MAX);
        }
    }

    /// What the resampler still holds back comes out with silence behind it, to the stretch's exact length.
    fn end_stretch(&mut self, cloner: &mut Cloner) {
        if self.taken == 0 {
            return;
        }
        let silence = vec![0.0; self.resampler.missing_len(1) + 4 * self.rate as usize / 100];
        self.resampler.push(&silence);
        self.hand_on(cloner, (self.taken * u64::from(ENGINE_RATE)).div_ceil(u64::from(self.rate)));
        cloner.end_take(self.flat_tops.count() - self.clipped);
        self.clipped = self.flat_tops.count();
        self.resampler = Resampler::new(self.rate, ENGINE_RATE, 0);
        (self.taken, self.given) = (0, 0);
    }

    fn hand_on(&mut self, cloner: &mut Cloner, whole: u64) {
        let count = (self.resampler.available() as u64).min(whole.saturating_sub(self.given));
        self.samples.resize(usize::try_from(count).unwrap_or(0), 0.0);
        self.resampler.pull(&mut self.samples);
        cloner.push(&self.samples);
        self.given += count;
    }

    /// Ends the recording. Returns its hash: SHA-256 of the samples as they came, 32-bit floats, low byte first.
    pub(super) fn end(mut self, cloner: &mut Cloner) -> String {
        self.end_stretch(cloner);
        hex(&self.hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_rate_and_any_pieces_become_48_khz_of_the_same_length() {
        for rate in [8_000, 44_100, 96_000] {
            let mut hashes = Vec::new();
            for piece in [331, 48_000] {
                let mut cloner = Cloner::new(None).expect("a thread");
                let mut captured = Captured::new(rate);
                let tone: Vec<f32> =
                    (0..rate).map(|n| 0.3 * (n as f32 * 440.0 * std::f32::consts::TAU / rate as f32).sin()).collect();
                tone.chunks(piece).for_each(|part| captured.push(&mut cloner, part));
                captured.push(&mut cloner, &[f32::NAN]);
                captured.push(&mut cloner, &tone[..rate as usize / 2]);
                hashes.push(captured.end(&mut cloner));
                assert!((cloner.seconds() - 1.5).abs() < 1e-3, "{rate}: {}", cloner.seconds());
            }
            assert_eq!(hashes[0], hashes[1]);
        }
    }
}
