//! The converted signal as the audio thread sees it: samples go to the worker, and come back with their positions.
//!
//! Runs on the audio thread. Alignment is by absolute position: a sample that comes too late is dropped, never played
//! late. When the worker falls behind for longer, the stretch is abandoned: nothing more is sent until the worker has
//! dropped what it had. Then it gets the latest input again (which is kept here), and its output is valid at once. So
//! recovery costs one exchange with the worker, and no backlog builds up.

use std::time::{Duration, Instant};

use crate::bridge::link::{AudioEnd, LinkConfig, NoteKind, Span};
use crate::engine::HopParams;

/// Input that an engine needs after starting in the middle of a sound before its output is worth hearing, in seconds.
const WARM_UP_S: f64 = 0.04;

/// Missing output after which a stretch is abandoned, in seconds; the worker catches up with shorter gaps by itself.
const GIVE_UP_S: f64 = 0.1;

/// Looks at the rings before the audio thread of a rendering host sleeps between looks.
const SPINS: u32 = 64;

/// Shortest and longest sleep between looks; between them it is a share of the wait so far, so that waiting takes little
/// from those who are waited for.
const NAP: [Duration; 2] = [Duration::from_micros(50), Duration::from_millis(1)];

/// That share's divisor.
const NAPS_PER_WAIT: u32 = 16;

/// Samples of input that have to be kept to start again: see [`Wet::new`].
pub fn history_len(host_rate: u32, latency: u32, block_len: usize) -> usize {
    latency as usize + (f64::from(host_rate) * WARM_UP_S) as usize + 2 * block_len
}

/// Samples that the rings of a link have to hold.
pub fn ring_len(host_rate: u32, latency: u32, block_len: usize) -> usize {
    history_len(host_rate, latency, block_len) + 2 * give_up_len(host_rate, latency) + 4 * block_len
}

/// With so much slack an engine computes in large portions. After a break the first of them that is heard gets all of
/// the slack: were it due at once, it would be late, and so would all that follow.
fn portion_len(config: &LinkConfig) -> u64 {
    let slack = u64::from(config.slack);
    if slack < (f64::from(config.host_rate) * GIVE_UP_S) as u64 { 0 } else { slack }
}

/// Missing samples after which a stretch is given up. An engine that computes in large portions is late by as much
/// when it is late at all; they are a part of its latency.
fn give_up_len(host_rate: u32, slack: u32) -> usize {
    ((f64::from(host_rate) * GIVE_UP_S) as usize).max(slack as usize)
}

/// Whether a sample of output came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is there.
    There,
    /// The engine failed at it.
    Fault,
    /// It was due and is not there.
    Missing,
}

/// What became of one stretch of output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Samples that were due and not there, the engine's own failures not counted.
    pub late_len: usize,
    /// Whether a gap began in this stretch.
    pub gap_began: bool,
    /// Longest that was waited without success; zero when nothing had to be waited for.
    pub waited_in_vain: Option<Duration>,
}

/// Sends input to the worker and receives its output in place.
#[derive(Debug)]
pub struct Wet {
    link: AudioEnd,
    /// Latency that the host was told, in samples.
    latency: u64,
    warm_up: u64,
    give_up_len: u64,
    history: History,
    params: HopParams,
    sent_params: Option<HopParams>,
    epoch: u32,
    /// Whether the worker is being fed.
    is_feeding: bool,
    /// Whether the worker was ever ready: until then missing output is loading, not lateness.
    was_ready: bool,
    /// Position of the first sample since the last reset.
    begin: u64,
    /// Output position from which samples are due.
    due_from: u64,
    /// Missing samples in a row.
    missing_len: u64,
    /// Whether the last sample that was due is missing.
    is_in_gap: bool,
    span: Option<Span>,
}

impl Wet {
    /// The audio thread's half of a link for a host that was told `latency`. Allocates. [main-thread]
    pub fn new(link: AudioEnd, latency: u32, block_len: usize) -> Self {
        let host_rate = link.config().host_rate;
        let mut wet = Self {
            latency: u64::from(latency),
            warm_up: (f64::from(host_rate) * WARM_UP_S) as u64 + portion_len(link.config()),
            give_up_len: give_up_len(host_rate, link.config().slack) as u64,
            history: History::new(history_len(host_rate, latency, block_len)),
            link,
            params: HopParams::default(),
            sent_params: None,
            epoch: 0,
            is_feeding: false,
            was_ready: false,
            begin: 0,
            due_from: 0,
            missing_len: 0,
            is_in_gap: false,
            span: None,
        };
        wet.reset();
        wet
    }

    /// Begins a new stretch: nothing that entered before will be heard. [audio-thread]
    pub fn reset(&mut self) {
        self.history.clear();
        self.begin = self.history.end;
        self.due_from = self.begin + self.latency;
        self.break_off();
    }

    /// Whether voices and graphs are still being loaded.
    pub fn is_loading(&self) -> bool {
        !self.was_ready && !self.link.is_stopped()
    }

    /// Tells the worker whether the wall clock drives the host.
    pub fn set_real_time(&self, is_real_time: bool) {
        self.link.set_real_time(is_real_time);
    }

    /// Whether there is no engine and none will come.
    pub fn is_stopped(&self) -> bool {
        self.link.is_stopped()
    }

    /// Whether samples that were due are missing.
    pub fn is_in_gap(&self) -> bool {
        self.is_in_gap
    }

    /// Changes whenever the worker does something.
    pub fn progress(&self) -> (u32, u64) {
        self.link.progress()
    }

    /// Sends `input`, which enters with `params`, and fills `output` with the samples that are due now; `presence`
    /// tells which of them came. Waits up to `patience` for them and takes what it waited off it. [audio-thread]
    pub fn process(
        &mut self,
        input: &[f32],
        params: &HopParams,
        output: &mut [f32],
        presence: &mut [Presence],
        patience: &mut Duration,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let from = self.history.end;
        self.params = *params;
        self.feed(input);
        if !self.is_feeding && !patience.is_zero() {
            let is_ready = self.wait(patience, &mut outcome, |wet| wet.link.is_ready(wet.epoch));
            if is_ready {
                self.resume();
            }
        }
        let until = self.history.end;
        if self.is_feeding && until > self.due_from && !patience.is_zero() {
            self.wait(patience, &mut outcome, |wet| wet.link.published(wet.epoch).is_some_and(|end| end >= until));
        }
        self.receive(from, output, presence, &mut outcome);
        outcome
    }

    fn feed(&mut self, input: &[f32]) {
        if self.is_feeding && (!self.link.is_ready(self.epoch) || self.link.vacant_len() < input.len()) {
            self.break_off();
        }
        if self.is_feeding {
            self.send_params();
            self.history.push(input);
            self.link.send(input);
        } else {
            self.history.push(input);
            self.resume();
        }
    }

    /// Abandons what is in flight and asks the worker to drop it too.
    fn break_off(&mut self) {
        self.is_feeding = false;
        // 0 means "none" to the link.
        self.epoch = self.epoch.wrapping_add(1).max(1);
        self.link.want_epoch(self.epoch);
        self.missing_len = 0;
    }

    /// Begins a stretch with the input that is kept, if the worker is ready for it.
    fn resume(&mut self) {
        if !self.link.is_ready(self.epoch) || self.history.len() == 0 {
            return;
        }
        let position = self.history.start();
        let is_restart = position > self.begin;
        let due_from = position + self.latency + if is_restart { self.warm_up } else { 0 };
        // Nothing is left out at a beginning, so that it is the same as offline.
        let unheard = if is_restart { due_from - position - u64::from(self.link.config().slack) } else { 0 };
        if self.link.vacant_len() < self.history.len()
            || !self.link.note(NoteKind::Start { position, epoch: self.epoch, unheard })
        {
            return;
        }
        self.sent_params = None;
        self.send_params();
        let (older, newer) = self.history.slices();
        self.link.send(older);
        self.link.send(newer);
        (self.is_feeding, self.was_ready, self.missing_len) = (true, true, 0);
        self.due_from = due_from;
    }

    fn send_params(&mut self) {
        if self.sent_params != Some(self.params) && self.link.note(NoteKind::Params(self.params)) {
            self.sent_params = Some(self.params);
        }
    }

    /// Looks until `is_done` or the patience is at an end.
    fn wait(&self, patience: &mut Duration, outcome: &mut Outcome, is_done: impl Fn(&Self) -> bool) -> bool {
        if is_done(self) {
            return true;
        }
        let begin = Instant::now();
        for look in 0.. {
            // Without an engine, or with one that was lost on the way, nothing will come.
            let is_hopeless = self.link.is_stopped() || self.is_feeding && !self.link.is_ready(self.epoch);
            if is_done(self) {
                break;
            }
            let gone = begin.elapsed();
            if is_hopeless || gone >= *patience {
                outcome.waited_in_vain = (!is_hopeless).then_some(*patience);
                *patience = Duration::ZERO;
                return false;
            }
            if look < SPINS {
                std::thread::yield_now()
            } else {
                std::thread::sleep((gone / NAPS_PER_WAIT).clamp(NAP[0], NAP[1]))
            }
        }
        *patience = patience.saturating_sub(begin.elapsed());
        true
    }

    /// Fills `output`, whose first sample has position `from`, and judges what is missing.
    fn receive(&mut self, from: u64, output: &mut [f32], presence: &mut [Presence], outcome: &mut Outcome) {
        output.fill(0.0);
        presence.fill(Presence::Missing);
        self.copy_spans(from, output, presence);

        let is_fresh = self.due_from == self.begin + self.latency;
        for (index, (sample, presence)) in output.iter_mut().zip(presence.iter_mut()).enumerate() {
            if from + (index as u64) < self.due_from {
                // Nothing can be heard before the first sample is due, so silence is what is due. After a break in the
                // middle of a sound the engine is still warming up: the gap goes on.
                *sample = 0.0;
                *presence = if is_fresh { Presence::There } else { Presence::Missing };
            }
            match *presence {
                Presence::There => (self.missing_len, self.is_in_gap) = (0, false),
                Presence::Fault => self.missing_len = 0,
                Presence::Missing if self.was_ready && !self.link.is_stopped() => {
                    outcome.late_len += 1;
                    outcome.gap_began |= !self.is_in_gap;
                    self.is_in_gap = true;
                    self.missing_len += 1;
                }
                Presence::Missing => {}
            }
        }
        if self.is_feeding && self.missing_len > self.give_up_len {
            self.break_off();
        }
    }

    /// Copies what the worker published for this stretch and drops anything older.
    fn copy_spans(&mut self, from: u64, output: &mut [f32], presence: &mut [Presence]) {
        let until = from + output.len() as u64;
        loop {
            let Some(span) = self.span.take().or_else(|| self.link.next_span()) else { return };
            let end = span.start + u64::from(span.len);
            if span.epoch != self.epoch || end <= from {
                self.skip(&span, u64::from(span.len));
                continue;
            }
            if span.start >= until {
                self.span = Some(span);
                return;
            }
            let (first, last) = (span.start.max(from), end.min(until));
            self.skip(&span, first - span.start);
            let range = (first - from) as usize..(last - from) as usize;
            if span.is_fault {
                presence[range].fill(Presence::Fault);
            } else {
                self.link.receive(&mut output[range.clone()]);
                presence[range].fill(Presence::There);
            }
            if last < end {
                self.span = Some(Span { start: last, len: (end - last) as u32, ..span });
                return;
            }
        }
    }

    fn skip(&mut self, span: &Span, count: u64) {
        if !span.is_fault {
            self.link.skip(count as usize);
        }
    }
}

/// The last samples of the input, by absolute position.
#[derive(Debug)]
struct History {
    samples: Vec<f32>,
    /// Where the next sample goes.
    next: usize,
    len: usize,
    /// Absolute position after the newest sample.
    end: u64,
}

impl History {
    fn new(capacity: usize) -> Self {
        Self { samples: vec![0.0; capacity.max(1)], next: 0, len: 0, end: 0 }
    }

    fn clear(&mut self) {
        (self.next, self.len) = (0, 0);
    }

    fn len(&self) -> usize {
        self.len
    }

    fn start(&self) -> u64 {
        self.end - self.len as u64
    }

    fn push(&mut self, input: &[f32]) {
        let capacity = self.samples.len();
        self.end += input.len() as u64;
        let input = &input[input.len().saturating_sub(capacity)..];
        let head = input.len().min(capacity - self.next);
        self.samples[self.next..self.next + head].copy_from_slice(&input[..head]);
        self.samples[..input.len() - head].copy_from_slice(&input[head..]);
        self.next = (self.next + input.len()) % capacity;
        self.len = (self.len + input.len()).min(capacity);
    }

    /// Older and newer half.
    fn slices(&self) -> (&[f32], &[f32]) {
        let capacity = self.samples.len();
        let start = (self.next + capacity - self.len) % capacity;
        let head = self.len.min(capacity - start);
        (&self.samples[start..start + head], &self.samples[..self.len - head])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_keeps_the_newest_samples_in_order() {
        let mut history = History::new(10);
        let mut sent = 0u32;
        for len in [0, 3, 4, 5, 1, 10, 25, 2] {
            let input: Vec<f32> = (sent..sent + len).map(|n| n as f32).collect();
            history.push(&input);
            sent += len;
            let (older, newer) = history.slices();
            let kept: Vec<f32> = older.iter().chain(newer).copied().collect();
            let wanted: Vec<f32> = (sent.saturating_sub(10)..sent).map(|n| n as f32).collect();
            assert_eq!(kept, wanted);
            assert_eq!(history.start(), u64::from(sent.saturating_sub(10)));
        }
        history.clear();
        assert_eq!((history.len(), history.start()), (0, u64::from(sent)));
    }
}
