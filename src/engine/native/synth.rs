//! The grain synthesiser: pitch-synchronous overlap-add of the source's own periods, at any ratio, on a stream.
//!
//! Where the source is voiced, output marks follow from the source's marks alone: the source's phase (one turn per
//! mark) times the ratio, accumulated in 64-bit floats, so pitch is exact and does not drift, and a ratio of 1 puts
//! every output mark on its source mark. Where it is unvoiced, grains stay where they are: noise and plosives are
//! neither moved nor doubled. The windows of neighbouring marks add up to 1.
//!
//! Grains are two source periods long at every ratio. Shorter grains for large ratios and longer or flatter ones for
//! small ratios were measured on synthetic vowels: each helps at some pitches and loses several decibels of accuracy at
//! others.
//!
//! Method: Moulines and Charpentier, "Pitch-synchronous waveform processing techniques for text-to-speech synthesis
//! using diphones", Speech Communication 9 (1990). Runs on the engine's thread; allocates in [`Synth::new`] only.

use super::filter::Response;
use super::grains::{GUARD_LEN, Grain, GrainRenderer, RING_LEN};
use super::marks::MarkTracker;
use super::track::{Pitch, Track};
use crate::engine::HOP_LEN;
use crate::engine::history::History;

/// Longest fade-in of a grain where latency is short, in samples (12 ms).
const MAX_FADE_IN: f64 = 576.0;

/// Latency that a grain can use for its fade-in and the period after its mark, in samples.
const LIVE_REACH: f64 = 1400.0;

/// Shortest fade-in that long periods are left with, in samples.
const MIN_FADE_IN: f64 = 200.0;

/// Latency from which no fade-in has to be shortened, in samples (80 ms).
const ROOMY_LATENCY: usize = 3840;

/// Positions nearer than this are the same position, in samples.
const SAME: f64 = 1e-6;

/// Streaming grain synthesiser. Push a hop of audio and a frame, then render a hop.
pub struct Synth {
    history: History,
    track: Track,
    marks: MarkTracker,
    renderer: GrainRenderer,
    latency_len: usize,
    pitch_delay_len: usize,
    response_delay_len: usize,
    /// Index of the last mark at or before `cursor`.
    interval: usize,
    /// Source position up to which the phase was followed.
    cursor: f64,
    /// Turns of output phase from `cursor` to the next output mark.
    remaining: f64,
    /// Position of the newest output mark.
    newest: f64,
    /// The next output mark, once known.
    pending: Option<f64>,
}

impl Synth {
    /// A synthesiser whose output lies `latency_len` samples behind its input. Pitches and responses lie
    /// `pitch_delay_len` and `response_delay_len` samples behind the end of the hop with which they are pushed: at most
    /// `latency_len`, and whole hops apart.
    pub fn new(latency_len: usize, pitch_delay_len: usize, response_delay_len: usize) -> Self {
        let hop = HOP_LEN as i64;
        let mut synth = Self {
            history: History::new(latency_len + 8192),
            track: Track::new((pitch_delay_len as i64).rem_euclid(hop)),
            marks: MarkTracker::new(),
            renderer: GrainRenderer::new(),
            latency_len,
            pitch_delay_len,
            response_delay_len,
            interval: 0,
            cursor: 0.0,
            remaining: 1.0,
            newest: 0.0,
            pending: None,
        };
        synth.reset();
        synth
    }

    /// Forgets all audio and frames.
    pub fn reset(&mut self) {
        let hop = HOP_LEN as i64;
        self.history.reset();
        // The frame of the first hop lies at `hop - delay = first * hop - delay mod hop`.
        let first = |delay: usize| 1 - (delay as i64).div_euclid(hop);
        self.track.reset(first(self.pitch_delay_len), first(self.response_delay_len));
        let start = -(self.latency_len as i64);
        self.marks.reset(start);
        self.renderer.reset(start);
        self.interval = self.marks.len() - 1;
        self.cursor = self.marks.mark(self.interval).position;
        self.newest = self.cursor;
        self.remaining = 1.0;
        self.pending = None;
    }

    /// Delay of the output, in samples.
    pub fn latency_len(&self) -> usize {
        self.latency_len
    }

    /// Samples after the last input until the output is exactly silent: latency, one grain and its filter's ringing.
    pub fn tail_len(&self) -> usize {
        self.latency_len + RING_LEN + 4096
    }

    /// The audio pushed so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Appends one hop of input.
    pub fn push_audio(&mut self, input: &[f32]) {
        self.history.push(input);
    }

    /// Appends the pitch of the frame `pitch_delay_len` before the end of the audio.
    pub fn push_pitch(&mut self, pitch: Pitch) {
        self.track.push_pitch(pitch);
    }

    /// The response of the frame `response_delay_len` before the end of the audio, to be filled in before
    /// [`Self::render`].
    pub fn push_response(&mut self) -> &mut Response {
        self.track.push_response()
    }

    /// Renders the output that ends `latency_len` samples before the end of the input.
    pub fn render(&mut self, output: &mut [f32]) {
        let end = (self.history.end() - self.latency_len as i64) as f64;
        while self.find_next(end) {
            let Some(position) = self.pending else { break };
            let source = self.source_mark(position);
            let fade_in = self.fade_in_before(source);
            if position - fade_in - GUARD_LEN as f64 >= end {
                break;
            }
            self.render_grain(source, position, fade_in);
            self.newest = position;
            self.pending = None;
        }
        self.renderer.take(output);
    }

    /// Makes `pending` the next output mark. Returns false while it certainly lies too late for output before `end`.
    fn find_next(&mut self, end: f64) -> bool {
        while self.pending.is_none() {
            let a = self.marks.mark(self.interval);
            if self.interval + 1 == self.marks.len() {
                // Any further output mark starts after this: wait for more audio before placing the next mark.
                let reach = if a.voiced { self.fade_in_before(self.interval) } else { 0.0 };
                if a.position - reach - GUARD_LEN as f64 >= end {
                    return false;
                }
                self.place_mark();
            }
            let b = self.marks.mark(self.interval + 1);
            let period = b.position - a.position;
            if a.voiced && b.voiced {
                let ratio = self.track.ratio_at(self.cursor);
                let available = ratio * (b.position - self.cursor) / period;
                if self.remaining <= available + 1e-9 {
                    let position = self.cursor + self.remaining * period / ratio;
                    if (position - b.position).abs() < SAME {
                        self.land_on(b.position);
                    } else {
                        self.cursor = position;
                        self.remaining = 1.0;
                        self.pending = Some(position);
                    }
                } else {
                    self.remaining -= available;
                    self.interval += 1;
                    self.cursor = b.position;
                }
                continue;
            }
            if a.voiced && self.newest < a.position - SAME {
                // The last period of a voiced stretch would be lost if the output went to the unvoiced mark now.
                let last = (a.position - self.marks.mark(self.interval - 1).position).min(period);
                let position = a.position + self.remaining * last / self.track.ratio_at(a.position);
                if position < b.position - 0.3 * last {
                    self.cursor = position;
                    self.pending = Some(position);
                    continue;
                }
            }
            self.land_on(b.position);
        }
        true
    }

    /// Puts the next output mark on the next source mark.
    fn land_on(&mut self, position: f64) {
        self.interval += 1;
        self.cursor = position;
        self.remaining = 1.0;
        self.pending = Some(position);
    }

    /// Which source mark is heard at an output mark in the current interval.
    fn source_mark(&self, position: f64) -> usize {
        let a = self.marks.mark(self.interval);
        if position <= a.position || self.interval + 1 >= self.marks.len() {
            return self.interval;
        }
        let b = self.marks.mark(self.interval + 1);
        let period = b.position - a.position;
        // Nearest is best. Where latency is short, long periods must be there already: prefer the earlier one.
        let threshold = match period {
            _ if self.is_roomy() => 0.5,
            p if p < 288.0 => 0.5,
            p if p < 576.0 => 0.75,
            _ => 1.0,
        };
        if b.voiced && (position - a.position) / period >= threshold { self.interval + 1 } else { self.interval }
    }

    fn render_grain(&mut self, source: usize, position: f64, fade_in: f64) {
        while source + 1 >= self.marks.len() {
            self.place_mark();
        }
        let mark = self.marks.mark(source);
        let right = self.marks.mark(source + 1).position - mark.position;
        let ratio = self.track.ratio_at(position);
        // A grain cannot begin in output that was taken: shorten its fade-in instead of cutting it.
        let fade_in = fade_in.min(position - self.renderer.taken() as f64).max(1.0);
        let grain = Grain {
            source: mark.position,
            output: position,
            fade_in,
            right,
            fade_out: self.fade_in(right),
            ratio: mark.voiced.then_some(ratio as f32),
        };
        self.renderer.add(&self.history, &grain, self.track.responses_at(position));
    }

    fn place_mark(&mut self) {
        let track = &self.track;
        self.marks.place_next(&self.history, |position| track.f0_at(position));
    }

    /// Fade-in of the grain at a mark: the distance to the mark before, as far as latency allows.
    fn fade_in_before(&self, mark: usize) -> f64 {
        self.fade_in(self.marks.mark(mark).position - self.marks.mark(mark.saturating_sub(1)).position)
    }

    fn fade_in(&self, distance: f64) -> f64 {
        if self.is_roomy() { distance } else { distance.min(MAX_FADE_IN).min((LIVE_REACH - distance).max(MIN_FADE_IN)) }
    }

    fn is_roomy(&self) -> bool {
        self.latency_len >= ROOMY_LATENCY
    }
}
