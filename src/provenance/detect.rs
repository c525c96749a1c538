//! Finds marks: folds the evidence of a window by the pattern's period, tries all starts, decodes the likeliest ones.
//!
//! For each of the 512 starts the evidence gives one soft value per coded bit, of variance 1 where there is no mark. A
//! mark shows in their energy before anything is decoded; the eight strongest starts are decoded and must pass the
//! check of the payload and agree with the sound by [`MIN_SCORE`]. For files and command line, not for live use.

use std::ops::Range;

use super::Mark;
use super::code::{CODE_BITS, decode, encode};
use super::evidence::{FRAMES_PER_SECOND, Levels};
use super::pattern::{BANDS, PERIOD_SLOTS, Pattern};

/// Lengths of the search windows, in seconds. The longer ones are used only where the shorter ones found nothing:
/// they find weaker marks.
pub const WINDOW_SECONDS: [usize; 2] = [10, 40];

/// Windows begin every so many parts of their length.
const WINDOW_STEPS: usize = 4;

/// Shortest sound that is searched, in seconds.
pub const MIN_SECONDS: usize = 2;

/// Least agreement of code and sound: correlation in standard deviations of pure chance. The best of all 2^48 words
/// reaches about 8 by chance, and one word in 16 384 passes the check besides.
pub const MIN_SCORE: f32 = 9.0;

/// Starts that are decoded.
const MAX_TRIES: usize = 8;

const FRAMES_PER_SLOT: usize = 4;
const PERIOD: usize = PERIOD_SLOTS * FRAMES_PER_SLOT;

/// At the ends of a finding, seconds whose agreement is below this are cut off.
const MIN_AGREEMENT: f32 = 2.0;

/// The result of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// What the mark says.
    pub mark: Mark,
    /// Agreement of code and sound, at least [`MIN_SCORE`]; about 20 in untouched speech.
    pub score: f32,
    /// Coded bits of [`CODE_BITS`] that the code had to correct.
    pub corrected: usize,
    /// Frame of the pattern's start, in `0..PERIOD`.
    start: usize,
}

/// A stretch with one mark.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What the mark says.
    pub mark: Mark,
    /// Where it begins, in seconds, to about one second.
    pub start_s: f64,
    /// Where it ends, in seconds.
    pub end_s: f64,
    /// Best [`Hit::score`] within.
    pub score: f32,
    /// [`Hit::corrected`] of the best window.
    pub corrected: usize,
}

/// All marks of a sound in the order of their beginnings.
pub fn detect(levels: &Levels, pattern: &Pattern) -> Vec<Finding> {
    for seconds in WINDOW_SECONDS {
        let hits = windows(levels.len(), seconds * FRAMES_PER_SECOND)
            .into_iter()
            .filter_map(|window| Folded::new(levels, window.clone()).look(pattern).hit.map(|hit| (window, hit)));
        let findings = joined(levels, pattern, hits);
        if !findings.is_empty() || levels.len() <= seconds * FRAMES_PER_SECOND {
            return findings;
        }
    }
    Vec::new()
}

/// Windows of `len` frames over a sound; one shorter one where the sound is shorter, none below [`MIN_SECONDS`].
pub fn windows(sound_len: usize, len: usize) -> Vec<Range<usize>> {
    if sound_len < MIN_SECONDS * FRAMES_PER_SECOND {
        return Vec::new();
    }
    let len = len.min(sound_len);
    let (last, step) = (sound_len - len, (len / WINDOW_STEPS).max(1));
    let mut starts: Vec<usize> = (0..=last).step_by(step).collect();
    if starts.last() != Some(&last) {
        starts.push(last);
    }
    starts.into_iter().map(|start| start..start + len).collect()
}

/// The evidence of a window, folded by the pattern's period: all that the search needs, whatever the key.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Sums over the periods, `[PERIOD][BANDS]`. Frame numbers count from the start of the sound, so that all windows
    /// mean the same by a start.
    sums: Vec<[f32; BANDS]>,
    /// Energy of the evidence, by frame number within a slot.
    energy: [f32; FRAMES_PER_SLOT],
}

/// What a key finds in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Look {
    /// The mark, if there is one.
    pub hit: Option<Hit>,
    /// Agreement of the best word, whatever it says: what chance reaches where there is no mark.
    pub best_score: f32,
}

impl Folded {
    /// Folds the evidence of one window.
    pub fn new(levels: &Levels, window: Range<usize>) -> Self {
        let (mut sums, mut energy) = (vec![[0.0_f32; BANDS]; PERIOD], [0.0_f32; FRAMES_PER_SLOT]);
        for (frame, values) in window.clone().zip(levels.evidence(window.start, window.end)) {
            energy[frame % FRAMES_PER_SLOT] += values.iter().map(|value| value * value).sum::<f32>();
            for (sum, value) in sums[frame % PERIOD].iter_mut().zip(values) {
                *sum += value;
            }
        }
        Self { sums, energy }
    }

    /// Looks for a mark of a key.
    pub fn look(&self, pattern: &Pattern) -> Look {
        let mut starts: Vec<(f32, usize)> =
            (0..PERIOD).map(|start| (self.soft(pattern, start).iter().map(|x| x * x).sum(), start)).collect();
        starts.sort_by(|one, other| other.0.total_cmp(&one.0));
        let mut look = Look { hit: None, best_score: 0.0 };
        for &(_, start) in &starts[..MAX_TRIES] {
            let soft = self.soft(pattern, start);
            let bits = decode(&soft);
            let code = encode(&bits);
            let score = agreement(&soft, &code);
            look.best_score = look.best_score.max(score);
            if score < MIN_SCORE.max(look.hit.map_or(0.0, |hit| hit.score)) {
                continue;
            }
            if let Some(mark) = Mark::from_bits(&bits) {
                let corrected = soft.iter().zip(code).filter(|(soft, bit)| (**soft > 0.0) != *bit).count();
                look.hit = Some(Hit { mark, score, corrected, start });
            }
        }
        look
    }

    /// One value per coded bit for a pattern that starts at this frame; of variance 1 by chance.
    fn soft(&self, pattern: &Pattern, start: usize) -> [f32; CODE_BITS] {
        let mut soft = [0.0; CODE_BITS];
        for slot in 0..PERIOD_SLOTS {
            let values = &self.sums[(start + slot * FRAMES_PER_SLOT) % PERIOD];
            for (value, chip) in values.iter().zip(pattern.slot(slot as u64)) {
                soft[usize::from(chip.bit)] += if chip.is_turned { -value } else { *value };
            }
        }
        let variance = self.energy[start % FRAMES_PER_SLOT] / CODE_BITS as f32;
        let scale = variance.max(f32::MIN_POSITIVE).sqrt().recip();
        soft.map(|value| value * scale)
    }
}

fn agreement(soft: &[f32; CODE_BITS], code: &[bool; CODE_BITS]) -> f32 {
    let sum: f32 = soft.iter().zip(code).map(|(soft, bit)| if *bit { *soft } else { -soft }).sum();
    sum / (CODE_BITS as f32).sqrt()
}

/// Joins hits of the same mark in overlapping windows, and cuts the ends where the mark is not heard.
fn joined(levels: &Levels, pattern: &Pattern, hits: impl Iterator<Item = (Range<usize>, Hit)>) -> Vec<Finding> {
    let mut runs: Vec<(Range<usize>, Hit, Range<usize>)> = Vec::new();
    for (window, hit) in hits {
        match runs.iter_mut().find(|(run, known, _)| known.mark == hit.mark && run.end >= window.start) {
            Some((run, known, best)) => {
                run.end = window.end;
                if hit.score > known.score {
                    (*known, *best) = (hit, window);
                }
            }
            None => runs.push((window.clone(), hit, window)),
        }
    }
    let findings = runs.into_iter().map(|(run, hit, best)| {
        let heard = heard(levels, pattern, run, &hit, &best);
        let seconds = |frame: usize| frame as f64 / FRAMES_PER_SECOND as f64;
        Finding {
            mark: hit.mark,
            start_s: seconds(heard.start),
            end_s: seconds(heard.end),
            score: hit.score,
            corrected: hit.corrected,
        }
    });
    findings.collect()
}

/// The part of a run between the first and the last second that agree with the mark.
fn heard(levels: &Levels, pattern: &Pattern, run: Range<usize>, hit: &Hit, best: &Range<usize>) -> Range<usize> {
    let code = encode(&hit.mark.to_bits());
    let second = |from: usize| {
        let to = (from + FRAMES_PER_SECOND).min(run.end);
        let (mut sum, mut energy) = (0.0, f32::MIN_POSITIVE);
        // The evidence is taken with a second around it: edges know their surroundings, and the loudness is that of here.
        let wide = from.saturating_sub(FRAMES_PER_SECOND)..(to + FRAMES_PER_SECOND).min(levels.len());
        for (frame, values) in wide.clone().zip(levels.evidence(wide.start, wide.end)) {
            let place = (frame + PERIOD - hit.start) % PERIOD;
            if !(from..to).contains(&frame) || !place.is_multiple_of(FRAMES_PER_SLOT) {
                continue;
            }
            for (value, chip) in values.iter().zip(pattern.slot((place / FRAMES_PER_SLOT) as u64)) {
                sum += if code[usize::from(chip.bit)] != chip.is_turned { *value } else { -value };
                energy += value * value;
            }
        }
        sum / energy.sqrt() >= MIN_AGREEMENT
    };
    let mut seconds = run.clone().step_by(FRAMES_PER_SECOND).filter(|from| second(*from));
    // A mark too weak to show within a second is where its best window is.
    let Some(first) = seconds.next() else { return best.clone() };
    let last = seconds.next_back().unwrap_or(first);
    first..(last + FRAMES_PER_SECOND).min(run.end)
}
