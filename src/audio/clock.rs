//! How long the audio thread may wait for the worker: not at all, in a host that plays in real time.
//!
//! Three kinds of host. One plays in real time: any wait would be a drop-out. One says that it renders offline: the
//! worker sets the pace. One renders as fast as it can but claims to play (Ardour's export, DawDreamer): it is told by
//! the audio that it asks for. The samples are the same in all three. Runs on the audio thread; knows no ring, worker or
//! thread, only when calls begin and end and how much audio they ask for.
//!
//! # The rule
//!
//! The *lead* is the audio asked for minus the wall time gone by. Lateness lowers it and is never clipped: what a host is
//! late by it owes, and asking for that is no lead. The *line* is the highest lead at which the host was on time
//! (`Line`). A sound card takes one second of audio a second, so whatever sequence of stalls and catching up a host in
//! real time goes through, it is never further beyond its line than what it buffers. It is taken for rendering only beyond
//! the line by `RENDERING_LEAD_S` and `RENDERING_LEAD_BLOCKS` blocks, which is more, and until then it is not kept
//! waiting. A host that renders at `s` times the wall clock's pace gets there within `s / (s - 1)` times (what it owes and
//! that lead) of audio, or twice that if it is kept waiting from its beginning. Rendering ends when the host is seen to play (`Pace`).
//!
//! # Beginnings
//!
//! An export has to be right from its first sample, which is due before any proof can be had. So after an activation or
//! reset, until the host is seen to play, a sound that is due may be waited for as long as the host is ahead of the line
//! now: by more than a block, `JITTER_S` and the longest time that it was seen to let pass at once. Such a wait is time
//! gone by like any other, so that all of them together never exceed the lead, and a host that was on time with its first
//! call is not made late. What a host owes that was seen to play outlives a reset, so that its catching up is not waited
//! for. And a host that rendered when last seen is believed to render again as soon as it is ahead at all, until it lets time
//! pass.
//!
//! Ambiguous in principle, and decided so: a host that asks with its very first calls, without a pause, for more audio than
//! the latency lasts may render, fill its buffers, or catch up with what it missed before the first of them. It may be kept
//! waiting, by less than that lead. And a host that was played and paused before it renders looks like one that was
//! stalled: nothing is waited for until it has asked for more than the pause.

mod ledger;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ledger::{Beginning, Line, Pace};

/// Longest wait for one block while rendering: a worker that needs longer hangs.
const RENDER_PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for voices and graphs while rendering.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// A host this far beyond its line, and by [`RENDERING_LEAD_BLOCKS`] more, is rendering.
///
/// The same goes for a host that let itself be kept waiting for so long at its beginning: only what is ahead can wait,
/// and a worker slower than real time uses the lead up as fast as the host gains it.
const RENDERING_LEAD_S: f64 = 0.25;

/// Blocks that a host may call back to back for one period of its sound card.
const RENDERING_LEAD_BLOCKS: f64 = 8.0;

/// Lead that a host may have by its own jitter, besides one block.
const JITTER_S: f64 = 0.005;

/// Share of the audio's time that passes between calls when a host waits for its sound card.
const SLOW_SHARE: f64 = 0.75;

/// What a block is about to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Samples that the host asks for in this call.
    pub len: usize,
    /// Whether voices and graphs are still under way.
    pub is_loading: bool,
    /// Whether any of the samples can be sound: not before the latency has passed.
    pub is_due: bool,
}

/// What is known about a host beyond one activation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habits {
    /// Whether it rendered, when last seen, while it claimed to play.
    pub has_rendered: bool,
    /// How much audio it asks for back to back while it plays, besides one block, in seconds.
    pub burst_s: f64,
}

/// Tells the three kinds of host apart.
#[derive(Debug)]
pub struct Clock {
    host_rate: f64,
    /// The block length for which the slack was chosen, in samples.
    block_len: usize,
    is_offline: bool,
    is_rendering: bool,
    /// Whether the host was seen to play in this activation, since it last rendered.
    has_played: bool,
    habits: Habits,
    /// Audio asked for minus wall time gone by, in seconds, when the block under way is there. While the host renders our
    /// own waits are no time.
    lead_s: f64,
    line: Line,
    pace: Pace,
    beginning: Option<Beginning>,
    /// Whether the next call is the first one after an activation or reset.
    is_fresh: bool,
    /// Whether the block under way was asked for neither late nor in a hurry.
    is_on_time: bool,
    last_call: Option<Instant>,
    last_end: Option<Instant>,
    /// Length of the last block, in seconds.
    last_s: f64,
    /// The worker's progress when a wait brought nothing: no more waits until it changes.
    given_up_at: Option<(u32, u64)>,
}

impl Clock {
    /// A clock for blocks of up to `block_len` samples at `host_rate`.
    pub fn new(host_rate: u32, block_len: usize) -> Self {
        Self {
            host_rate: f64::from(host_rate.max(1)),
            block_len,
            is_offline: false,
            is_rendering: false,
            has_played: false,
            habits: Habits::default(),
            lead_s: 0.0,
            line: Line::default(),
            pace: Pace::default(),
            beginning: None,
            is_fresh: true,
            is_on_time: true,
            last_call: None,
            last_end: None,
            last_s: 0.0,
            given_up_at: None,
        }
    }

    /// Takes over what an earlier activation learned.
    pub fn set_habits(&mut self, habits: Habits) {
        self.habits = habits;
    }

    /// What was learned about the host.
    pub fn habits(&self) -> Habits {
        self.habits
    }

    /// A new beginning. A host that was seen to play owes what it owed before. [audio-thread]
    pub fn reset(&mut self) {
        (self.is_fresh, self.is_rendering, self.given_up_at) = (true, false, None);
    }

    /// Whether the host plays in real time as far as is known. [audio-thread]
    pub fn is_real_time(&self) -> bool {
        !self.is_offline && !self.is_rendering
    }

    /// A block of `len` samples begins `now`. [audio-thread]
    pub fn begin(&mut self, now: Instant, len: usize, is_offline: bool) {
        self.is_offline = is_offline;
        if is_offline {
            // Says nothing about how the host plays afterwards.
            (self.is_fresh, self.has_played, self.is_rendering) = (true, false, false);
            return;
        }
        let block_s = len as f64 / self.host_rate;
        let longest_s = self.promised_s().max(block_s);
        let since_call_s = self.last_call.map_or(0.0, |last| (now - last).as_secs_f64());
        let gap_s = self.last_end.map_or(0.0, |end| (now - end).as_secs_f64());
        self.lead_s -= since_call_s;
        if std::mem::take(&mut self.is_fresh) {
            self.open();
        } else {
            self.is_on_time =
                since_call_s >= SLOW_SHARE * self.last_s && self.line.level_s() - self.last_s - self.lead_s <= JITTER_S;
            self.look_at_gap(gap_s, longest_s);
        }
        self.look_at_pace(block_s, longest_s);
        self.lead_s += block_s;
        self.look_at_lead(block_s, longest_s);
        (self.last_call, self.last_s) = (Some(now), block_s);
    }

    /// The block has been served after a wait of that length. [audio-thread]
    pub fn end(&mut self, now: Instant, waited: Duration) {
        self.last_end = Some(now);
        if self.is_rendering {
            self.lead_s += waited.as_secs_f64();
        }
        if let Some(beginning) = &mut self.beginning {
            beginning.waited_s += waited.as_secs_f64();
        }
    }

    /// How long this block may wait, given the worker's progress. [audio-thread]
    pub fn patience(&self, need: Need, progress: (u32, u64)) -> Duration {
        if self.given_up_at == Some(progress) {
            return Duration::ZERO;
        }
        let is_believed = self.beginning.is_none() || need.is_due;
        if self.is_offline || self.is_rendering && is_believed {
            return if need.is_loading { LOAD_PATIENCE } else { RENDER_PATIENCE };
        }
        if need.is_loading || !need.is_due {
            return Duration::ZERO;
        }
        let asked_s = need.len as f64 / self.host_rate;
        let mut patience_s = self.beginning.map_or(0.0, |beginning| {
            self.lead_s - self.line.level_s() - beginning.leap_s - self.promised_s().max(asked_s) - JITTER_S
        });
        // Longer blocks than the latency was chosen for cannot be served without a wait: half of what such a block
        // lasts, of a host that is on time. It is asked for a restart at the same time.
        if need.len > self.block_len && self.is_on_time {
            patience_s = patience_s.max(0.5 * asked_s);
        }
        Duration::from_secs_f64(patience_s.clamp(0.0, RENDERING_LEAD_S))
    }

    /// A wait ended without what was waited for, and began at that progress of the worker. [audio-thread]
    pub fn waited_in_vain(&mut self, progress: (u32, u64)) {
        self.given_up_at = Some(progress);
    }

    fn promised_s(&self) -> f64 {
        self.block_len as f64 / self.host_rate
    }

    /// The first call after an activation or reset, before its block counts.
    fn open(&mut self) {
        let mut burst_s = 0.0;
        if !self.has_played {
            self.line = Line::new(self.lead_s);
            burst_s = self.beginning.map_or(0.0, |beginning| beginning.burst_s).max(self.habits.burst_s);
        }
        (self.pace, self.is_on_time) = (Pace::default(), true);
        self.beginning = Some(Beginning::new(burst_s));
    }

    fn look_at_gap(&mut self, gap_s: f64, longest_s: f64) {
        let Some(beginning) = &mut self.beginning else { return };
        let is_slow = beginning.step(self.last_s, gap_s, longest_s);
        if is_slow && std::mem::take(&mut self.is_rendering) {
            self.lead_s -= beginning.waited_s;
        }
    }

    fn look_at_pace(&mut self, block_s: f64, longest_s: f64) {
        // A host that is kept waiting may look as if it played.
        let waited_s = self.beginning.filter(|_| !self.is_rendering).map_or(0.0, |beginning| beginning.waited_s);
        let Some(window) = self.pace.step(self.lead_s + waited_s, block_s, longest_s) else { return };
        self.line.age(&window);
        let Some(played) = window.played else { return };
        if std::mem::take(&mut self.is_rendering) {
            self.line = Line::new(played.highest_s);
        }
        self.line.raise(played.highest_s);
        (self.has_played, self.beginning) = (true, None);
        self.habits = Habits { has_rendered: false, burst_s: (played.height_s - longest_s).max(0.0) };
    }

    fn look_at_lead(&mut self, block_s: f64, longest_s: f64) {
        let rendering_s = RENDERING_LEAD_S + RENDERING_LEAD_BLOCKS * longest_s;
        let beyond_s = self.lead_s - self.line.level_s();
        let is_beyond = beyond_s > rendering_s;
        self.line.follow(self.lead_s, block_s);
        let Some(beginning) = self.beginning else {
            if is_beyond && !self.is_rendering {
                self.prove_rendering();
            }
            return;
        };
        if is_beyond || beginning.waited_s > rendering_s {
            self.prove_rendering();
        } else if self.habits.has_rendered && !self.is_rendering && beyond_s > beginning.leap_s + longest_s + JITTER_S {
            // Believed, until it lets time pass.
            self.is_rendering = true;
            self.lead_s += beginning.waited_s;
        }
    }

    fn prove_rendering(&mut self) {
        (self.is_rendering, self.has_played, self.beginning) = (true, false, None);
        (self.habits.has_rendered, self.pace, self.given_up_at) = (true, Pace::default(), None);
    }
}
