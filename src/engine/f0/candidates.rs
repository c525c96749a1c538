//! Candidates for the period of one frame: peaks of the normalised cross-correlation.

use crate::dsp::dot;

use super::peak::{crest, parabola};
use super::prefilter::PREFILTER_DELAY_LEN;
use super::whitener::Whitener;
use super::{F0_DELAY_HOPS, F0_HOP_LEN, F0_RATE, HIGHEST_F0_HZ, LOWEST_F0_HZ};

/// Most candidates of a frame.
pub const MAX_CANDIDATES: usize = 8;

/// Samples that are known on each side of the frame centre: 30 ms less the delay of the prefilter.
const REACH: usize = F0_DELAY_HOPS * F0_HOP_LEN - PREFILTER_DELAY_LEN;

const LINE_LEN: usize = 2 * REACH;
const MIN_LAG: usize = (F0_RATE as f32 / HIGHEST_F0_HZ) as usize - 1;
const MAX_LAG: usize = (F0_RATE as f32 / LOWEST_F0_HZ) as usize + 2;
const LAGS: usize = MAX_LAG + 1;

/// Shortest lag considered: half of the shortest period, where the correlation has its first valley.
const VALLEY_LAG: usize = MIN_LAG / 2;

/// Height of a peak above the lowest valley before it, at least. Slow waves have no valley.
const MIN_PROMINENCE: f32 = 0.1;

/// Shortest correlation window, in samples at 16 kHz: 17.5 ms.
const MIN_WINDOW: usize = 280;

/// Length of the correlation window in periods, once that is longer than [`MIN_WINDOW`].
const WINDOW_PERIODS: f32 = 1.5;

/// Power per sample that is added to both energies: quieter periodic sound than -75 dBFS counts as noise.
const NOISE_POWER: f32 = 3e-8;

/// The same as a share of the mean power of the whole stretch: what is 35 dB weaker than its neighbourhood is the
/// end of a decay, not a voice of its own.
const NOISE_SHARE: f32 = 3e-4;

/// Peaks below this correlation are not candidates.
const MIN_CORRELATION: f32 = 0.3;

/// Handicap of a candidate per octave below the highest F0.
const OCTAVE_HANDICAP: f32 = 0.02;

/// Handicap, per octave, of a candidate whose period is a multiple of that of another one that is nearly as good: the
/// multiples of the true period correlate as well as itself.
const MULTIPLE_HANDICAP: f32 = 0.16;

/// The same beyond 4 times: there the other one is as likely to be a formant that a low voice excites.
const HIGH_MULTIPLE_HANDICAP: f32 = 0.04;

/// Shortfall of the other one's correlation at which the handicap has shrunk to nothing.
const MULTIPLE_MARGIN: f32 = 0.2;

/// Weight of the whitened signal's vote: what a candidate's correlation falls short of the best one's there.
const WHITENED_WEIGHT: f32 = 0.45;

/// One possible period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Candidate {
    /// F0 in Hz.
    pub f0_hz: f32,
    /// Normalised correlation, in `0.0..=1.0`.
    pub correlation: f32,
    /// Correlation after handicaps for long periods and for multiples of others: which ones are kept.
    pub merit: f32,
    /// What speaks for and against it, for the [judge](super::judge).
    pub clues: [f32; CLUES],
    /// What it costs to take it for F0, from there.
    pub cost: f32,
}

/// Values that are known of a candidate: its correlation and the whitened signal's, what both fall short of the frame's
/// best ones, how high it is (octaves above 300 Hz), the correlation at a half, a third, three halves and twice its
/// period, the whitened signal's at a half, and what its merit falls short of the best.
pub const CLUES: usize = 11;

/// The candidates of one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidates {
    list: [Candidate; MAX_CANDIDATES],
    len: usize,
    /// Lowest F0 that could be seen, in Hz.
    pub lowest_hz: f32,
}

impl Candidates {
    /// The candidates, in no particular order.
    pub fn as_slice(&self) -> &[Candidate] {
        &self.list[..self.len]
    }

    /// The same, to be judged.
    pub fn as_mut_slice(&mut self) -> &mut [Candidate] {
        &mut self.list[..self.len]
    }

    /// The candidate of most merit; all zeros when there is none.
    pub fn best(&self) -> Candidate {
        self.as_slice().iter().copied().max_by(|a, b| a.merit.total_cmp(&b.merit)).unwrap_or_default()
    }

    /// Keeps a candidate if there is room or it beats the worst.
    pub fn offer(&mut self, candidate: Candidate) {
        if self.len < MAX_CANDIDATES {
            self.list[self.len] = candidate;
            self.len += 1;
            return;
        }
        let worst = self.list.iter_mut().min_by(|a, b| a.merit.total_cmp(&b.merit));
        if let Some(worst) = worst.filter(|worst| worst.merit < candidate.merit) {
            *worst = candidate;
        }
    }
}

/// Frames after the one in the middle of the line for which candidates can be found with shorter windows.
pub const PREVIEW_FRAMES: usize = 2;

/// A place in the line and how far the samples around it may be used.
#[derive(Clone, Copy, Debug)]
struct Spot {
    centre: usize,
    reach: usize,
}

impl Spot {
    /// The frame that comes `ahead` hops after the one in the middle.
    fn new(ahead: usize) -> Self {
        Self { centre: REACH + ahead * F0_HOP_LEN, reach: REACH - ahead * F0_HOP_LEN }
    }

    /// Longest lag that can be looked at: one period against the next, and a margin for its neighbours.
    fn max_lag(self) -> usize {
        MAX_LAG.min(self.reach - 3)
    }

    /// Correlation window for a lag, in samples at 16 kHz.
    fn window_len(self, lag: usize) -> usize {
        ((lag as f32 * WINDOW_PERIODS) as usize).max(MIN_WINDOW).min(2 * self.reach - lag - 2)
    }
}

/// Finds the candidates of the frame in the middle of its line, and of the next ones as far as they can be seen.
#[derive(Debug)]
pub struct CandidateFinder {
    /// Prefiltered samples around the frame centre, which lies at index [`REACH`].
    line: Box<[f32]>,
    /// Energy of the samples before an index.
    energy: Box<[f64]>,
    /// Power per sample that counts as noise.
    noise_power: f32,
    whitener: Whitener,
    /// `line` with its spectral envelope levelled.
    whitened: Box<[f32]>,
    /// Normalised correlation per lag.
    correlation: Box<[f32]>,
}

impl Default for CandidateFinder {
    fn default() -> Self {
        Self::new()
    }
}

impl CandidateFinder {
    /// A finder that has heard silence.
    pub fn new() -> Self {
        Self {
            line: vec![0.0; LINE_LEN].into_boxed_slice(),
            energy: vec![0.0; LINE_LEN + 1].into_boxed_slice(),
            noise_power: NOISE_POWER,
            whitener: Whitener::new(LINE_LEN),
            whitened: vec![0.0; LINE_LEN].into_boxed_slice(),
            correlation: vec![0.0; LAGS + 1].into_boxed_slice(),
        }
    }

    /// Forgets all audio.
    pub fn reset(&mut self) {
        self.line.fill(0.0);
    }

    /// Takes one prefiltered hop and finds the candidates of the frame whose centre is now in the middle.
    pub fn push(&mut self, hop: &[f32; F0_HOP_LEN], candidates: &mut Candidates) {
        self.line.copy_within(F0_HOP_LEN.., 0);
        self.line[LINE_LEN - F0_HOP_LEN..].copy_from_slice(hop);
        let mut sum = 0.0;
        for (energy, &sample) in self.energy[1..].iter_mut().zip(&self.line) {
            sum += f64::from(sample) * f64::from(sample);
            *energy = sum;
        }
        self.noise_power = NOISE_POWER + NOISE_SHARE * sum as f32 / LINE_LEN as f32;
        self.whitener.whiten(&self.line, &mut self.whitened);
        self.find(Spot::new(0), candidates);
        for candidate in &mut candidates.list[..candidates.len] {
            candidate.f0_hz = F0_RATE as f32 / self.refine(F0_RATE as f32 / candidate.f0_hz);
        }
    }

    /// Finds the candidates of the frame that comes `ahead` (1 or 2) hops later, with the audio that is there; low
    /// F0 cannot be seen yet.
    pub fn preview(&mut self, ahead: usize, candidates: &mut Candidates) {
        self.find(Spot::new(ahead.min(PREVIEW_FRAMES)), candidates);
    }

    fn find(&mut self, spot: Spot, candidates: &mut Candidates) {
        candidates.len = 0;
        let max_lag = spot.max_lag();
        candidates.lowest_hz = F0_RATE as f32 / (max_lag - 1) as f32;
        for lag in VALLEY_LAG..=max_lag {
            self.correlation[lag] = self.correlate(spot, lag, spot.window_len(lag));
        }
        let mut valley = self.correlation[VALLEY_LAG];
        for lag in VALLEY_LAG + 1..max_lag {
            let [before, peak, after] = [-1, 0, 1].map(|step: isize| self.correlation[lag.wrapping_add_signed(step)]);
            valley = valley.min(peak);
            if lag <= MIN_LAG || peak < MIN_CORRELATION.max(valley + MIN_PROMINENCE) || peak < before || peak <= after {
                continue;
            }
            let (offset, _) = parabola(before, peak, after);
            let candidate = self.candidate(lag as f32 + offset, crest(before, peak, after).min(1.0));
            if (LOWEST_F0_HZ..=HIGHEST_F0_HZ).contains(&candidate.f0_hz) {
                candidates.offer(candidate);
            }
        }
        let list = &mut candidates.list[..candidates.len];
        let votes = self.vote(spot, list);
        Self::handicap_multiples(list);
        self.clue(spot, list, &votes);
    }

    /// Fills in the clues.
    fn clue(&self, spot: Spot, candidates: &mut [Candidate], votes: &[f32; MAX_CANDIDATES]) {
        let best = |value: fn(&Candidate) -> f32| candidates.iter().map(value).fold(f32::MIN, f32::max);
        let (best_correlation, best_merit) = (best(|c| c.correlation), best(|c| c.merit));
        let best_vote = votes.iter().copied().fold(0.0, f32::max);
        for (candidate, vote) in candidates.iter_mut().zip(votes) {
            let lag = F0_RATE as f32 / candidate.f0_hz;
            let half = (0.5 * lag).round() as usize;
            candidate.clues = [
                candidate.correlation,
                *vote,
                best_correlation - candidate.correlation,
                best_vote - vote,
                (candidate.f0_hz / 300.0).log2(),
                self.correlation_at(spot, 0.5 * lag),
                self.correlation_at(spot, lag / 3.0),
                self.correlation_at(spot, 1.5 * lag),
                self.correlation_at(spot, 2.0 * lag),
                [half - 1, half, half + 1]
                    .map(|lag| self.whitened_correlation(spot, lag))
                    .into_iter()
                    .fold(-1.0, f32::max),
                best_merit - candidate.merit,
            ];
        }
    }

    /// Correlation between lags (cubic); at the ends the nearest value.
    fn correlation_at(&self, spot: Spot, lag: f32) -> f32 {
        let lag = lag.clamp((VALLEY_LAG + 1) as f32, (spot.max_lag() - 2) as f32);
        let whole = lag as usize;
        let x = lag - whole as f32;
        let [a, b, c, d] = [whole - 1, whole, whole + 1, whole + 2].map(|lag| self.correlation[lag]);
        b + 0.5 * x * (c - a + x * (2.0 * a - 5.0 * b + 4.0 * c - d + x * (3.0 * (b - c) + d - a)))
    }

    /// Lowers the merit of candidates that the whitened signal does not confirm: half of a period passes for one when
    /// a formant makes the even harmonics strong, but not once all harmonics are equal.
    /// Returns the votes.
    fn vote(&self, spot: Spot, candidates: &mut [Candidate]) -> [f32; MAX_CANDIDATES] {
        let mut votes = [0.0_f32; MAX_CANDIDATES];
        for (vote, candidate) in votes.iter_mut().zip(candidates.iter()) {
            let lag = (F0_RATE as f32 / candidate.f0_hz).round() as usize;
            let [before, at, after] = [lag - 1, lag, lag + 1].map(|lag| self.whitened_correlation(spot, lag));
            let is_peak = at >= before && at >= after;
            *vote = if is_peak { crest(before, at, after) } else { before.max(after) }.clamp(0.0, 1.0);
        }
        let best = votes.iter().copied().fold(0.0, f32::max);
        for (vote, candidate) in votes.iter().zip(candidates) {
            candidate.merit -= WHITENED_WEIGHT * (best - vote);
        }
        votes
    }

    /// Lowers the merit of multiples of a good period.
    fn handicap_multiples(candidates: &mut [Candidate]) {
        for index in 0..candidates.len() {
            let candidate = candidates[index];
            let handicap = |other: &Candidate| {
                let ratio = other.f0_hz / candidate.f0_hz;
                let whole = ratio.round();
                let is_multiple = whole >= 2.0 && (ratio / whole - 1.0).abs() < 0.03;
                let shortfall = (candidate.correlation - other.correlation).max(0.0) / MULTIPLE_MARGIN;
                let octaves = whole.log2();
                let size = MULTIPLE_HANDICAP * octaves.min(2.0) + HIGH_MULTIPLE_HANDICAP * (octaves - 2.0).max(0.0);
                if is_multiple { size * (1.0 - shortfall).max(0.0) } else { 0.0 }
            };
            let most = candidates.iter().map(handicap).fold(0.0, f32::max);
            candidates[index].merit -= most;
        }
    }

    fn whitened_correlation(&self, spot: Spot, lag: usize) -> f32 {
        let window = spot.window_len(lag);
        let start = spot.centre - (window + lag) / 2;
        let (a, b) = (&self.whitened[start..start + window], &self.whitened[start + lag..start + lag + window]);
        let noise = self.noise_power * window as f32;
        dot(a, b) / ((dot(a, a) + noise) * (dot(b, b) + noise)).sqrt()
    }

    fn candidate(&self, period: f32, correlation: f32) -> Candidate {
        let f0_hz = F0_RATE as f32 / period;
        let merit = correlation - OCTAVE_HANDICAP * (HIGHEST_F0_HZ / f0_hz).log2();
        Candidate { f0_hz, correlation, merit, ..Candidate::default() }
    }

    /// Correlation of two windows that lie `lag` apart, symmetric around the spot.
    fn correlate(&self, spot: Spot, lag: usize, window: usize) -> f32 {
        let start = spot.centre - (window + lag) / 2;
        let (a, b) = (&self.line[start..start + window], &self.line[start + lag..start + lag + window]);
        let energy_of = |from: usize| (self.energy[from + window] - self.energy[from]) as f32;
        let noise = self.noise_power * window as f32;
        dot(a, b) / ((energy_of(start) + noise) * (energy_of(start + lag) + noise)).sqrt()
    }

    /// Measures a period on a multiple of itself, which divides the error of the peak's interpolation.
    fn refine(&self, period: f32) -> f32 {
        let mut best = period;
        let mut multiple = 1.0_f32;
        let mut reference = 0.0;
        loop {
            let aim = best * multiple;
            let lag = aim.round() as usize;
            let window = ((WINDOW_PERIODS * period) as usize).max(240).min(LINE_LEN - lag - 2);
            let [before, peak, after] =
                [-1, 0, 1].map(|step: isize| self.correlate(Spot::new(0), lag.wrapping_add_signed(step), window));
            let is_peak = peak >= before && peak >= after && peak > reference - 0.05;
            if !is_peak && multiple > 1.0 {
                break;
            }
            if is_peak {
                let (offset, height) = parabola(before, peak, after);
                best = (lag as f32 + offset) / multiple;
                reference = height;
            }
            multiple *= 2.0;
            if best * multiple > REFINE_SPAN {
                break;
            }
        }
        best
    }
}

/// Longest lag on which a period is refined, in samples at 16 kHz: 10 ms.
const REFINE_SPAN: f32 = 160.0;
