//! Running statistics of one speaker: shapes, keys, F0, loudness. Used for singers and for voices alike.
//!
//! Plain arithmetic on the caller's thread. Knows no file, host or thread.

use crate::engine::bands::{ENV_BANDS, centre_hz};
use crate::voice::bank::KEY_LEN;
use crate::voice::{Delivery, MeanShapes};

/// Unvoiced frames quieter than the voiced ones' mean by more than this (22 dB, in natural-log power) are pauses.
const ACTIVE_RANGE: f32 = 5.0;

/// Bins of the F0 histogram: a quarter of a semitone each, from 40 Hz.
const F0_BINS: usize = 256;
const F0_FLOOR_HZ: f32 = 40.0;
const F0_BINS_PER_OCTAVE: f32 = 48.0;

/// Frames between two readings of the F0 that are compared to tell song from speech: 180 ms, one turn of a usual
/// vibrato, after which a held note is back where it was.
const HELD_FRAMES: usize = 18;

/// Readings closer than this count as held, in octaves: half a semitone.
const HELD_OCTAVES: f32 = 0.5 / 12.0;

/// From this share of held readings on it is song. Of 40 speakers of the speech set half stay below 0.24 and 36 below
/// 0.65 (few seconds each, by an independent tracker); five singers of single notes have 0.76 to 0.97.
const SUNG_SHARE: f32 = 0.65;

/// Fewest readings to judge from.
const LEAST_READINGS: usize = 500;

/// Running statistics of one speaker: shapes, keys, F0, loudness. Used for singers and for voices alike.
#[derive(Clone, Debug)]
pub struct SpeakerStatistics {
    /// Active frames: voiced, unvoiced.
    count: [usize; 2],
    shape_sum: [[f64; ENV_BANDS]; 2],
    power_sum: [f64; ENV_BANDS],
    key_sum: [f64; KEY_LEN],
    keys: usize,
    loudness_sum: f64,
    f0_histogram: Box<[u32; F0_BINS]>,
    /// F0 of the newest frames, and how many of them are voiced without a break.
    latest_f0_hz: [f32; HELD_FRAMES],
    voiced_run: usize,
    /// Readings of the F0 that were compared, and those that were held.
    readings: usize,
    held: usize,
}

impl SpeakerStatistics {
    /// Nothing heard yet.
    pub fn new() -> Self {
        Self {
            count: [0; 2],
            shape_sum: [[0.0; ENV_BANDS]; 2],
            power_sum: [0.0; ENV_BANDS],
            key_sum: [0.0; KEY_LEN],
            keys: 0,
            loudness_sum: 0.0,
            f0_histogram: Box::new([0; F0_BINS]),
            latest_f0_hz: [0.0; HELD_FRAMES],
            voiced_run: 0,
            readings: 0,
            held: 0,
        }
    }

    /// Forgets everything; does not allocate.
    pub fn clear(&mut self) {
        self.count = [0; 2];
        self.shape_sum = [[0.0; ENV_BANDS]; 2];
        self.power_sum = [0.0; ENV_BANDS];
        self.key_sum = [0.0; KEY_LEN];
        self.keys = 0;
        self.loudness_sum = 0.0;
        self.f0_histogram.fill(0);
        (self.voiced_run, self.readings, self.held) = (0, 0, 0);
    }

    /// Voiced frames so far.
    pub fn voiced_frames(&self) -> usize {
        self.count[0]
    }

    /// Whether a frame is voice and not a pause, judged by the frames so far.
    pub fn is_active(&self, is_voiced: bool, loudness: f32) -> bool {
        let mean = self.loudness_sum / self.count[0].max(1) as f64;
        is_voiced && self.count[0] < 50 || self.count[0] > 0 && f64::from(loudness + ACTIVE_RANGE) > mean
    }

    /// Adds an active frame.
    pub fn push(&mut self, f0_hz: f32, loudness: f32, shape: &[f32; ENV_BANDS], key: Option<&[f32; KEY_LEN]>) {
        let class = usize::from(f0_hz <= 0.0);
        self.count[class] += 1;
        self.compare(f0_hz);
        for (band, &value) in shape.iter().enumerate() {
            self.shape_sum[class][band] += f64::from(value);
            self.power_sum[band] += f64::from(value.min(30.0)).exp();
        }
        if let Some(key) = key.filter(|key| key.iter().all(|v| v.is_finite())) {
            self.keys += 1;
            self.key_sum.iter_mut().zip(key).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        if class == 0 {
            self.loudness_sum += f64::from(loudness);
            let bin = (F0_BINS_PER_OCTAVE * (f0_hz / F0_FLOOR_HZ).log2()).round();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the histogram")]
            let bin = bin.clamp(0.0, (F0_BINS - 1) as f32) as usize;
            self.f0_histogram[bin] += 1;
        }
    }

    /// Compares a frame's F0 with that of a vibrato's turn before.
    fn compare(&mut self, f0_hz: f32) {
        if f0_hz <= 0.0 {
            self.voiced_run = 0;
            return;
        }
        let place = self.voiced_run % HELD_FRAMES;
        if self.voiced_run >= HELD_FRAMES {
            self.readings += 1;
            self.held += usize::from((f0_hz / self.latest_f0_hz[place]).log2().abs() < HELD_OCTAVES);
        }
        self.latest_f0_hz[place] = f0_hz;
        self.voiced_run += 1;
    }

    /// Whether what was heard is sung or spoken: song holds its notes. Spoken where too little was heard.
    pub fn delivery(&self) -> Delivery {
        let is_sung = self.readings >= LEAST_READINGS && self.held as f32 >= SUNG_SHARE * self.readings as f32;
        if is_sung { Delivery::Sung } else { Delivery::Spoken }
    }

    /// Mean shapes of voiced and unvoiced frames. Without unvoiced frames the voiced mean stands for both.
    pub fn shapes(&self) -> MeanShapes {
        let mean = |class: usize| {
            std::array::from_fn(|band| (self.shape_sum[class][band] / self.count[class].max(1) as f64) as f32)
        };
        let voiced = mean(0);
        let unvoiced = if self.count[1] >= 20 { mean(1) } else { voiced };
        MeanShapes { voiced, unvoiced }
    }

    /// Mean key of all active frames; zero without keys.
    pub fn mean_key(&self) -> [f32; KEY_LEN] {
        std::array::from_fn(|n| (self.key_sum[n] / self.keys.max(1) as f64) as f32)
    }

    /// Median F0 and its 5th and 95th percentile in Hz, to a quarter of a semitone.
    pub fn f0(&self) -> (f32, [f32; 2]) {
        let percentile = |share: f64| {
            let wanted = share * self.count[0] as f64;
            let mut seen = 0.0;
            let bin = self.f0_histogram.iter().position(|&n| {
                seen += f64::from(n);
                seen >= wanted && seen > 0.0
            });
            F0_FLOOR_HZ * (bin.unwrap_or(F0_BINS / 2) as f32 / F0_BINS_PER_OCTAVE).exp2()
        };
        (percentile(0.5), [percentile(0.05), percentile(0.95)])
    }

    /// Highest frequency with real signal in Hz: where the mean power falls off a cliff, or the top of the axis.
    ///
    /// A resampled or compressed recording loses 13 dB or more from one band to the next but one; speech itself never
    /// falls that fast above 3 kHz.
    pub fn bandwidth_hz(&self) -> f32 {
        const CLIFF: f64 = 3.0;
        let power = |band: usize| self.power_sum[band].max(1e-30).ln();
        let first = (0..ENV_BANDS).find(|&band| centre_hz(band) > 3_000.0).unwrap_or(ENV_BANDS);
        let edge = (first..ENV_BANDS - 2).find(|&band| power(band) - power(band + 2) > CLIFF);
        centre_hz(edge.unwrap_or(ENV_BANDS - 1))
    }
}

impl Default for SpeakerStatistics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn song_is_told_from_speech_by_its_held_notes() {
        let heard = |f0_hz: &dyn Fn(f32) -> f32| {
            let mut statistics = SpeakerStatistics::new();
            for frame in 0..1_000 {
                let f0_hz = if frame % 100 < 10 { 0.0 } else { f0_hz(frame as f32 / 100.0) };
                statistics.push(f0_hz, 0.0, &[0.0; ENV_BANDS], None);
            }
            statistics.delivery()
        };
        // A new note every second, with vibrato; and a voice that rises and falls by five semitones a second.
        let vibrato = |t: f32| 0.6 * (std::f32::consts::TAU * 5.5 * t).sin();
        let song = |t: f32| 220.0 * ((t.floor() * 5.0 % 12.0 + vibrato(t)) / 12.0).exp2();
        let speech = |t: f32| 120.0 * (4.0 * (std::f32::consts::TAU * 0.8 * t).sin() / 12.0).exp2();
        assert_eq!((heard(&song), heard(&speech)), (Delivery::Sung, Delivery::Spoken));
        assert_eq!(SpeakerStatistics::new().delivery(), Delivery::Spoken);
    }

    #[test]
    fn the_edge_of_a_band_limited_recording_is_found() {
        for (edge_hz, low, high) in [(8_000.0, 6_800.0, 8_100.0), (30_000.0, 20_000.0, 21_000.0)] {
            let mut statistics = SpeakerStatistics::new();
            let shape = std::array::from_fn(|band| {
                let hz = centre_hz(band);
                -1.5 * (hz.max(500.0) / 500.0).log2() - if hz > edge_hz { 8.0 } else { 0.0 }
            });
            (0..100).for_each(|_| statistics.push(200.0, 0.0, &shape, None));
            let found = statistics.bandwidth_hz();
            assert!((low..=high).contains(&found), "{found} for {edge_hz}");
        }
    }
}
