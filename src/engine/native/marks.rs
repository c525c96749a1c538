//! Pitch marks of the source: one per period where it is voiced, a fixed grid elsewhere.
//!
//! Marks are placed one at a time and only when the synthesiser needs the next one, so each is based on all audio and
//! all F0 frames that have arrived by then. A placed mark is never moved. Runs on the engine's thread; allocates in
//! [`MarkTracker::new`] only.

use crate::engine::ENGINE_RATE;
use crate::engine::history::History;

/// Distance of marks where the source is unvoiced, in samples (5 ms). They lie on multiples of it.
pub const UNVOICED_STEP: i64 = 240;

/// Lowest F0 that is marked period by period, in Hz.
pub const MIN_F0_HZ: f32 = 40.0;

/// Highest F0 that is marked period by period, in Hz.
pub const MAX_F0_HZ: f32 = 1600.0;

/// How far a period may differ from the one the F0 frame promises, as a fraction of it.
const SEARCH: f64 = 0.13;

/// Similarity of neighbouring periods under which a voiced stretch ends although the F0 frame goes on.
const MIN_SIMILARITY: f32 = 0.3;

/// Share of the way to the centre of energy that a mark is pulled per period. Without it, small errors of the lag add
/// up over a long note and carry the marks to where grains are cut through their strongest moment.
const PULL: f64 = 0.1;

/// Largest pull per period, as a fraction of the period.
const MAX_PULL: f64 = 0.02;

/// Marks that are remembered; at 1600 Hz they span 160 ms.
const MARKS: usize = 256;

/// One pitch mark.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mark {
    /// Absolute position in samples; fractional where voiced.
    pub position: f64,
    /// Whether a period of a voiced sound is centred here.
    pub voiced: bool,
}

/// Places marks along the source.
#[derive(Debug)]
pub struct MarkTracker {
    /// Mark `i` is at `i % MARKS`.
    marks: Box<[Mark]>,
    /// Marks placed since the last reset.
    count: usize,
    template: Box<[f32]>,
    region: Box<[f32]>,
    scores: Box<[f32]>,
}

impl MarkTracker {
    /// Prepares the search for the longest period.
    pub fn new() -> Self {
        let longest = (f64::from(ENGINE_RATE) / f64::from(MIN_F0_HZ)).ceil() as usize;
        let mut tracker = Self {
            marks: vec![Mark::default(); MARKS].into_boxed_slice(),
            count: 0,
            template: vec![0.0; 2 * longest + 2].into_boxed_slice(),
            region: vec![0.0; 3 * longest + 4].into_boxed_slice(),
            scores: vec![0.0; longest].into_boxed_slice(),
        };
        tracker.reset(0);
        tracker
    }

    /// Forgets all marks and places two unvoiced ones at or before `start`.
    pub fn reset(&mut self, start: i64) {
        self.count = 0;
        let first = start.div_euclid(UNVOICED_STEP) * UNVOICED_STEP;
        self.push(Mark { position: (first - UNVOICED_STEP) as f64, voiced: false });
        self.push(Mark { position: first as f64, voiced: false });
    }

    /// Number of marks placed since the last reset; the newest has the index `len() - 1`.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no mark was placed, which [`Self::reset`] rules out.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The mark with an index below [`Self::len`]; the newest 256 are remembered.
    pub fn mark(&self, index: usize) -> Mark {
        self.marks[index % MARKS]
    }

    /// Places the next mark. `f0_at` gives the source's F0 in Hz at an absolute position, 0.0 = unvoiced.
    pub fn place_next(&mut self, history: &History, f0_at: impl Fn(f64) -> f32) {
        let last = self.mark(self.count - 1);
        let mut f0_hz = f0_at(last.position);
        if f0_hz > 0.0 {
            // The period lies between this mark and the next: ask again in its middle.
            let ahead = f0_at(last.position + 0.5 * f64::from(ENGINE_RATE) / f64::from(f0_hz));
            f0_hz = if ahead > 0.0 || !last.voiced { ahead } else { f0_hz };
        } else {
            f0_hz = f0_at(last.position + 0.5 * UNVOICED_STEP as f64);
        }
        let next = if (MIN_F0_HZ..=MAX_F0_HZ).contains(&f0_hz) {
            let period = f64::from(ENGINE_RATE) / f64::from(f0_hz);
            if last.voiced {
                self.next_period(history, last.position, period)
            } else {
                Some(self.first_period(history, last.position, period))
            }
        } else {
            None
        };
        self.push(match next {
            Some(position) => Mark { position, voiced: true },
            None => {
                // At least half a step away, so that the windows stay wide.
                let from = (last.position + 0.5 * UNVOICED_STEP as f64).ceil() as i64;
                let position = (from + UNVOICED_STEP - 1).div_euclid(UNVOICED_STEP) * UNVOICED_STEP;
                Mark { position: position as f64, voiced: false }
            }
        });
    }

    fn push(&mut self, mark: Mark) {
        self.marks[self.count % MARKS] = mark;
        self.count += 1;
    }

    /// Where a voiced stretch begins: at the centre of energy of the first period after an unvoiced mark.
    fn first_period(&mut self, history: &History, last: f64, period: f64) -> f64 {
        let centre = last + 0.5 * period.min(UNVOICED_STEP as f64) + 0.5 * period;
        centre + self.energy_offset(history, centre, period)
    }

    /// Distance from `position` to the centre of energy of the period around it, in `-period / 2..=period / 2`.
    ///
    /// A grain that is centred there loses least by its window, and neighbouring harmonics add up in phase between
    /// them. The centre on the circle of one period is the phase of the energy's first Fourier component.
    fn energy_offset(&mut self, history: &History, position: f64, period: f64) -> f64 {
        let reach = period.min((history.end() as f64 - position).max(0.5 * period));
        let start = (position - reach).ceil() as i64;
        let len = ((position + reach).floor() as i64 - start + 1).clamp(1, self.region.len() as i64) as usize;
        let region = &mut self.region[..len];
        history.copy(start, region);
        let (mut re, mut im) = (0.0_f64, 0.0_f64);
        for (n, value) in region.iter().enumerate() {
            let distance = (start + n as i64) as f64 - position;
            let window = 0.5 + 0.5 * (std::f64::consts::PI * distance / reach).cos();
            let (sin, cos) = (2.0 * std::f64::consts::PI * distance / period).sin_cos();
            let energy = f64::from(value * value) * window;
            re += energy * cos;
            im += energy * sin;
        }
        if re == 0.0 && im == 0.0 { 0.0 } else { im.atan2(re) / (2.0 * std::f64::consts::PI) * period }
    }

    /// One period further: the lag at which the signal around the last mark is most like itself, to a fraction of a
    /// sample. `None` when nothing is alike.
    fn next_period(&mut self, history: &History, last: f64, period: f64) -> Option<f64> {
        let anchor = last.round() as i64;
        let reach = ((SEARCH * period).ceil() as i64).max(2);
        let centre = period.round() as i64;
        let before = period.ceil() as i64;
        // The comparison reaches one period past the candidate where there is audio, less where there is not yet.
        let after = (history.end() - (anchor + centre + reach + 2)).clamp(0, before);
        let len = (before + after) as usize;
        let lags = (2 * reach + 1) as usize;
        let template = &mut self.template[..len];
        history.copy(anchor - before, template);
        let region = &mut self.region[..len + lags];
        history.copy(anchor - before + centre - reach, region);

        let template_energy: f32 = template.iter().map(|v| v * v).sum();
        let mut energy: f32 = region[..len].iter().map(|v| v * v).sum();
        let floor = 1e-9_f32;
        let mut best = 0;
        let mut best_score = f32::MIN;
        for lag in 0..lags {
            let window = &region[lag..lag + len];
            let similarity = dot(template, window) / (template_energy * energy.max(0.0) + floor * floor).sqrt();
            self.scores[lag] = similarity;
            let distance = (lag as i64 - reach).unsigned_abs() as f32 / period as f32;
            let score = similarity - 0.1 * distance;
            if score > best_score {
                best_score = score;
                best = lag;
            }
            energy += region[lag + len] * region[lag + len] - region[lag] * region[lag];
        }
        if self.scores[best] < MIN_SIMILARITY {
            return None;
        }
        let mut fraction = 0.0_f64;
        if best > 0 && best + 1 < lags {
            let (a, b, c) = (self.scores[best - 1], self.scores[best], self.scores[best + 1]);
            let bend = a - 2.0 * b + c;
            if bend < 0.0 {
                fraction = f64::from((0.5 * (a - c) / bend).clamp(-0.5, 0.5));
            }
        }
        let next = last + (centre - reach + best as i64) as f64 + fraction;
        let pull = (PULL * self.energy_offset(history, next, period)).clamp(-MAX_PULL * period, MAX_PULL * period);
        Some(next + pull)
    }
}

impl Default for MarkTracker {
    fn default() -> Self {
        Self::new()
    }
}

/// Scalar product with eight running sums: the order of additions is fixed, and the compiler can use vectors.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let whole = a.len().min(b.len()) / 8 * 8;
    for (x, y) in a[..whole].chunks_exact(8).zip(b[..whole].chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f32 = a[whole..].iter().zip(&b[whole..]).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}
