//! What a host owes, and whether it keeps to the wall clock. The reasoning stands in [`super`].

use super::{JITTER_S, RENDERING_LEAD_BLOCKS, SLOW_SHARE};

/// Share of the audio by which the line goes up with the lead, or while the host owes something: sound cards may be as
/// fast, and a host whose first call was late comes to its line.
pub(super) const DRIFT: f64 = 0.01;

/// Audio played at the wall clock's pace after which is forgotten what a host owed before: it dropped that. At least
/// that, at most twice.
pub(super) const MEMORY_S: f64 = 30.0;

/// Shortest audio whose pace is looked at, and that of a window besides one burst of blocks.
const STRETCH_S: f64 = 0.004;
const WINDOW_S: f64 = 0.1;

/// Share of a window by which the lowest lead may rise over the window before while a host plays.
const FLAT_SHARE: f64 = 0.2;

/// Flat windows in a row that prove that a host plays: a single pause of a render makes two of them.
pub(super) const FLAT_WINDOWS: u32 = 3;

/// The highest lead at which the host was on time.
///
/// It goes up slowly by [`DRIFT`], and to the highest lead while the host was seen to play. It goes down to the highest lead of
/// the last [`MEMORY_S`] in which the host kept to the wall clock.
#[derive(Debug, Default)]
pub(super) struct Line {
    level_s: f64,
    /// Highest lead of the period under way, no higher than the line, and how much was played in it.
    recent_s: Option<f64>,
    played_s: f64,
}

impl Line {
    pub(super) fn new(level_s: f64) -> Self {
        Self { level_s, ..Self::default() }
    }

    pub(super) fn level_s(&self) -> f64 {
        self.level_s
    }

    /// Follows a block of `block_s` seconds with which the lead is `lead_s`.
    pub(super) fn follow(&mut self, lead_s: f64, block_s: f64) {
        let drifted_s = self.level_s + DRIFT * block_s;
        let is_behind = lead_s < self.level_s - JITTER_S;
        self.raise(if is_behind { drifted_s } else { lead_s.min(drifted_s) });
    }

    pub(super) fn raise(&mut self, level_s: f64) {
        self.level_s = self.level_s.max(level_s);
    }

    /// Forgets what was dropped.
    pub(super) fn age(&mut self, window: &Window) {
        let highest_s = window.highest_s.min(self.level_s);
        let recent_s = self.recent_s.map_or(highest_s, |recent_s| recent_s.max(highest_s));
        self.recent_s = Some(recent_s);
        if window.is_flat {
            self.played_s += window.audio_s;
        }
        if self.played_s >= MEMORY_S {
            *self = Self::new(recent_s);
        }
    }
}

/// The time from an activation or reset until the host has shown what it does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beginning {
    /// What the host asks for at once and then gives time for, besides one block.
    pub(super) burst_s: f64,
    /// What it may ask for at once without being ahead, besides one block and jitter.
    pub(super) leap_s: f64,
    pub(super) waited_s: f64,
    /// Of the stretch under way: audio, and time between calls.
    audio_s: f64,
    outside_s: f64,
    /// Audio since the host last waited for the wall clock.
    hurried_s: f64,
}

impl Beginning {
    pub(super) fn new(burst_s: f64) -> Self {
        Self { burst_s, leap_s: burst_s, ..Self::default() }
    }

    /// A call comes `gap_s` after the last one ended, which asked for `last_s` of audio. Whether the host waited for the
    /// wall clock: it may ask at once for what it let pass, and for what it was kept waiting.
    pub(super) fn step(&mut self, last_s: f64, gap_s: f64, longest_s: f64) -> bool {
        self.audio_s += last_s;
        self.outside_s += gap_s;
        if self.audio_s < STRETCH_S {
            return false;
        }
        let (audio_s, outside_s) = (std::mem::take(&mut self.audio_s), std::mem::take(&mut self.outside_s));
        self.hurried_s += audio_s;
        let is_slow = outside_s >= SLOW_SHARE * audio_s;
        if is_slow {
            let burst_s = outside_s.min(std::mem::take(&mut self.hurried_s));
            self.burst_s = self.burst_s.max(burst_s - longest_s);
            self.leap_s = self.leap_s.max(burst_s + self.waited_s + longest_s + JITTER_S);
        }
        is_slow
    }
}

/// Whether the host keeps to the wall clock. Bursts and stalls lower the lead and bring it back, so its lowest value
/// within each window is looked at: while a host plays, that does not rise.
#[derive(Debug, Default)]
pub(super) struct Pace {
    audio_s: f64,
    lowest_s: f64,
    highest_s: f64,
    /// The lowest and the highest lead of the window before.
    before_s: Option<[f64; 2]>,
    flat: u32,
    played: Option<Played>,
}

/// A window that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) audio_s: f64,
    pub(super) highest_s: f64,
    pub(super) is_flat: bool,
    /// When it proves that the host plays: of all the windows that do.
    pub(super) played: Option<Played>,
}

/// What was seen while a host played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Played {
    pub(super) highest_s: f64,
    /// How far the lead rises and falls in the calmest window.
    pub(super) height_s: f64,
}

impl Pace {
    /// A block of `block_s` is asked for while the lead is `lead_s`.
    pub(super) fn step(&mut self, lead_s: f64, block_s: f64, longest_s: f64) -> Option<Window> {
        if self.audio_s == 0.0 {
            (self.lowest_s, self.highest_s) = (lead_s, lead_s + block_s);
        }
        self.audio_s += block_s;
        self.lowest_s = self.lowest_s.min(lead_s);
        self.highest_s = self.highest_s.max(lead_s + block_s);
        if self.audio_s < WINDOW_S + RENDERING_LEAD_BLOCKS * longest_s {
            return None;
        }
        let audio_s = std::mem::take(&mut self.audio_s);
        let before_s = self.before_s.replace([self.lowest_s, self.highest_s]);
        // A lead counts once it is given back: the window before was high, and this one is low.
        let is_flat = |before_s: &[f64; 2]| self.lowest_s - before_s[0] <= FLAT_SHARE * audio_s;
        let seen = before_s.filter(is_flat).map(|before_s| {
            let height_s = self.highest_s - self.lowest_s;
            Played { highest_s: before_s[1], height_s }
        });
        let joined = |seen: Played, before: Played| Played {
            highest_s: seen.highest_s.max(before.highest_s),
            height_s: seen.height_s.min(before.height_s),
        };
        self.flat = if seen.is_some() { self.flat + 1 } else { 0 };
        self.played = seen.map(|seen| self.played.map_or(seen, |before| joined(seen, before)));
        let played = self.played.filter(|_| self.flat >= FLAT_WINDOWS);
        if played.is_some() {
            (self.flat, self.played) = (0, None);
        }
        Some(Window { audio_s, highest_s: self.highest_s, is_flat: seen.is_some(), played })
    }
}
