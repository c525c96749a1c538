//! How long the audio thread may wait for the worker: not at all, in a host that plays in real time.
//!
//! Three kinds of host. One plays in real time: any wait would be a drop-out. One says that it renders offline: the
//! worker sets the pace. One renders as fast as it can but claims to play (Ardour's export, DawDreamer): the audio that it
//! asks for runs ahead of the wall clock, and waiting no longer than that lead costs nothing. The samples are the same in
//! all three.

use std::time::{Duration, Instant};

/// Longest wait for one block while rendering: a worker that needs longer hangs.
const RENDER_PATIENCE: Duration = Duration::from_secs(10);

/// Longest wait for voices and graphs while rendering.
const LOAD_PATIENCE: Duration = Duration::from_secs(30);

/// A host this far ahead of the wall clock is rendering. No sound card is served that early.
///
/// The same goes for a host that let itself be kept waiting for so long: only what is ahead can wait. A host that plays
/// ahead of its sound card while the worker is slower than real time looks no different, and stutters then instead of
/// hearing the fallback; an export with the fallback in it would be the greater harm. A host that is no more than a
/// block ahead is never kept waiting.
const RENDERING_LEAD_S: f64 = 0.25;

/// The same for a host that has rendered before: less than what passes before the first sound is due, so that even a
/// worker that gets up late at the very beginning of a render is waited for.
const RENDERING_AGAIN_LEAD_S: f64 = 0.02;

/// Lead that a host may have by its own jitter, besides one block.
const JITTER_S: f64 = 0.005;

/// Share of every block by which the lead is forgotten, so that one late call does not look like a lead for ever.
const FORGETTING: f64 = 0.02;

/// Stretch of audio over which a rendering host is checked for having gone back to real time.
const CHECK_S: f64 = 0.5;

/// Share of its audio time that a host spends outside of our calls when it plays in real time.
const REAL_TIME_SHARE: f64 = 0.8;

/// Tells the three kinds of host apart.
#[derive(Debug)]
pub struct Clock {
    host_rate: f64,
    /// The block length for which the slack was chosen, in samples.
    block_len: usize,
    is_offline: bool,
    is_rendering: bool,
    /// Whether the host has ever rendered while it claimed to play.
    has_rendered: bool,
    /// Audio asked for minus wall time gone by, in seconds, at `last_call`.
    lead_s: f64,
    /// What our own waits took off the lead lately, in seconds. A worker slower than real time uses the lead up as
    /// fast as the host gains it, and the host would never be recognised by its lead.
    waited_s: f64,
    last_call: Option<Instant>,
    last_end: Option<Instant>,
    checked_audio_s: f64,
    checked_outside_s: f64,
    /// The worker's progress when a full wait brought nothing: no more waits until it changes.
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
            has_rendered: false,
            lead_s: 0.0,
            waited_s: 0.0,
            last_call: None,
            last_end: None,
            checked_audio_s: 0.0,
            checked_outside_s: 0.0,
            given_up_at: None,
        }
    }

    /// Takes over from an earlier activation that the host has rendered.
    pub fn expect_rendering(&mut self) {
        self.has_rendered = true;
    }

    /// Whether the host has rendered while it claimed to play.
    pub fn has_rendered(&self) -> bool {
        self.has_rendered
    }

    /// Starts again, keeping what is known about the host. [audio-thread]
    pub fn reset(&mut self) {
        (self.last_call, self.last_end, self.given_up_at) = (None, None, None);
        (self.lead_s, self.waited_s) = (0.0, 0.0);
    }

    /// Whether the host plays in real time as far as is known. [audio-thread]
    pub fn is_real_time(&self) -> bool {
        !self.is_offline && !self.is_rendering
    }

    /// A block of `len` samples begins `now`. [audio-thread]
    pub fn begin(&mut self, now: Instant, len: usize, is_offline: bool) {
        self.is_offline = is_offline;
        let block_s = len as f64 / self.host_rate;
        if let Some(last) = self.last_call {
            self.lead_s -= (now - last).as_secs_f64();
        }
        self.last_call = Some(now);
        // Behind the wall clock: the host paused or was late itself. Nothing to catch up with.
        self.lead_s = self.lead_s.max(0.0) + block_s * (1.0 - FORGETTING);
        self.waited_s = (self.waited_s - block_s * FORGETTING).max(0.0);
        let promised_s = self.block_len as f64 / self.host_rate;
        let longest_lead_s =
            if self.has_rendered { RENDERING_AGAIN_LEAD_S + promised_s } else { RENDERING_LEAD_S + 2.0 * promised_s };
        if self.lead_s > longest_lead_s || self.waited_s > RENDERING_LEAD_S {
            (self.is_rendering, self.has_rendered) = (true, true);
        }
        self.check_rendering(now, block_s);
    }

    /// The block has been served after a wait of that length. [audio-thread]
    pub fn end(&mut self, now: Instant, waited: Duration) {
        self.last_end = Some(now);
        self.waited_s += waited.as_secs_f64();
    }

    /// How long this block may wait, given the worker's progress. `block_len` is what the host asked for in this call;
    /// `is_loading` while voices and graphs are under way. [audio-thread]
    pub fn patience(&self, asked_len: usize, is_loading: bool, progress: (u32, u64)) -> Duration {
        if self.given_up_at == Some(progress) {
            return Duration::ZERO;
        }
        if !self.is_real_time() {
            return if is_loading { LOAD_PATIENCE } else { RENDER_PATIENCE };
        }
        // A lead over the wall clock can be waited for without being late.
        let slack_s = asked_len.max(self.block_len) as f64 / self.host_rate + JITTER_S;
        let mut patience_s = self.lead_s - slack_s;
        // Longer blocks than the latency was chosen for cannot be served without a wait: half of what such a block
        // lasts. The host is asked for a restart at the same time.
        if asked_len > self.block_len && !is_loading {
            patience_s = patience_s.max(0.5 * asked_len as f64 / self.host_rate);
        }
        Duration::from_secs_f64(patience_s.clamp(0.0, RENDERING_LEAD_S))
    }

    /// A wait of that length ended without what was waited for. [audio-thread]
    pub fn waited_in_vain(&mut self, patience: Duration, progress: (u32, u64)) {
        if patience >= RENDER_PATIENCE {
            self.given_up_at = Some(progress);
        }
    }

    fn check_rendering(&mut self, now: Instant, block_s: f64) {
        if !self.is_rendering {
            return;
        }
        self.checked_audio_s += block_s;
        self.checked_outside_s += self.last_end.map_or(0.0, |end| (now - end).as_secs_f64());
        if self.checked_audio_s >= CHECK_S {
            if self.checked_outside_s >= REAL_TIME_SHARE * self.checked_audio_s {
                self.is_rendering = false;
                (self.lead_s, self.waited_s) = (0.0, 0.0);
            }
            (self.checked_audio_s, self.checked_outside_s) = (0.0, 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;
    const BLOCK: usize = 480;
    const PROGRESS: (u32, u64) = (1, 2);

    /// Calls blocks with `interval` between their beginnings and `busy` inside, and returns the longest patience.
    fn play(clock: &mut Clock, now: &mut Instant, blocks: usize, interval: Duration, busy: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..blocks {
            clock.begin(*now, BLOCK, false);
            longest = longest.max(clock.patience(BLOCK, false, PROGRESS));
            clock.end(*now + busy, Duration::ZERO);
            *now += interval.max(busy);
        }
        longest
    }

    #[test]
    fn a_real_time_host_is_never_kept_waiting() {
        let (mut clock, mut now) = (Clock::new(RATE, BLOCK), Instant::now());
        let ten_ms = Duration::from_millis(10);
        assert_eq!(play(&mut clock, &mut now, 500, ten_ms, ten_ms / 3), Duration::ZERO);
        // A pause of the host, then back in time.
        now += Duration::from_secs(3);
        assert_eq!(play(&mut clock, &mut now, 500, ten_ms, ten_ms / 3), Duration::ZERO);
        // Jitter: every other call 4 ms late.
        for _ in 0..100 {
            assert_eq!(play(&mut clock, &mut now, 1, Duration::from_millis(14), ten_ms / 3), Duration::ZERO);
            assert_eq!(play(&mut clock, &mut now, 1, Duration::from_millis(6), ten_ms / 3), Duration::ZERO);
        }
        assert!(clock.is_real_time());
    }

    #[test]
    fn a_rendering_host_may_wait_before_its_first_sound_is_due() {
        let (mut clock, mut now) = (Clock::new(RATE, BLOCK), Instant::now());
        // 46 ms of latency are asked for before anything has to be there.
        play(&mut clock, &mut now, 4, Duration::from_micros(50), Duration::from_micros(20));
        clock.begin(now, BLOCK, false);
        let patience = clock.patience(BLOCK, false, PROGRESS);
        assert!(patience > Duration::from_millis(30) && patience < Duration::from_millis(50), "{patience:?}");
    }

    #[test]
    fn rendering_is_recognised_and_left_again() {
        let (mut clock, mut now) = (Clock::new(RATE, BLOCK), Instant::now());
        let quick = Duration::from_micros(100);
        assert!(play(&mut clock, &mut now, 40, quick, quick / 2) >= RENDER_PATIENCE);
        // A worker slower than real time does not look like a host in real time.
        let slow = Duration::from_millis(30);
        assert!(play(&mut clock, &mut now, 200, slow, slow) >= RENDER_PATIENCE);
        let ten_ms = Duration::from_millis(10);
        play(&mut clock, &mut now, 120, ten_ms, ten_ms / 10);
        assert!(clock.is_real_time());
        assert_eq!(play(&mut clock, &mut now, 50, ten_ms, ten_ms / 10), Duration::ZERO);
    }

    #[test]
    fn a_second_render_is_recognised_before_its_first_sound_is_due() {
        let (mut clock, mut now) = (Clock::new(RATE, BLOCK), Instant::now());
        clock.expect_rendering();
        let quick = Duration::from_micros(100);
        assert!(play(&mut clock, &mut now, 4, quick, quick / 2) >= RENDER_PATIENCE);
        // Played for real after the export, it is not kept waiting.
        let mut clock = Clock::new(RATE, BLOCK);
        clock.expect_rendering();
        let ten_ms = Duration::from_millis(10);
        for _ in 0..200 {
            assert_eq!(play(&mut clock, &mut now, 1, Duration::from_millis(14), ten_ms / 3), Duration::ZERO);
            assert_eq!(play(&mut clock, &mut now, 1, Duration::from_millis(6), ten_ms / 3), Duration::ZERO);
        }
        assert!(clock.is_real_time());
    }

    /// Calls blocks of a host that is `ahead` of its sound card, or renders when `ahead` is `None`. The worker needs
    /// `pace` times the length of a block for each and has until the next one; then it is waited for. Returns the
    /// seconds until that looked like rendering.
    fn play_with_slow_worker(pace: f64, ahead: Option<f64>) -> Option<f64> {
        let (mut clock, start) = (Clock::new(RATE, BLOCK), Instant::now());
        let (block_s, latency_s) = (BLOCK as f64 / f64::from(RATE), 0.05);
        let (mut now_s, mut worker_s) = (0.0f64, 0.0f64);
        for block in 0..1_000 {
            let begin_s = block as f64 * block_s;
            now_s = ahead.map_or(now_s, |ahead| now_s.max(begin_s - ahead)) + 1e-4;
            clock.begin(start + Duration::from_secs_f64(now_s), BLOCK, false);
            if !clock.is_real_time() {
                return Some(begin_s);
            }
            let is_due = begin_s > latency_s;
            let missing_s = if is_due { (worker_s - now_s).max(0.0) } else { 0.0 };
            let waited = clock.patience(BLOCK, false, PROGRESS).min(Duration::from_secs_f64(missing_s));
            worker_s = worker_s.max(now_s) + pace * block_s;
            now_s += waited.as_secs_f64();
            clock.end(start + Duration::from_secs_f64(now_s), waited);
        }
        None
    }

    #[test]
    fn rendering_is_recognised_with_a_worker_slower_than_real_time() {
        for pace in [0.5, 0.9, 1.0, 1.1, 2.0, 10.0] {
            let found = play_with_slow_worker(pace, None);
            assert!(found.is_some_and(|seconds| seconds < 0.6), "{pace}: {found:?}");
        }
    }

    #[test]
    fn a_slow_worker_does_not_make_a_host_look_as_if_it_rendered() {
        for pace in [0.5, 0.9, 1.0, 1.5, 10.0] {
            for ahead in [0.0, 0.005, 0.01] {
                assert_eq!(play_with_slow_worker(pace, Some(ahead)), None, "{ahead} s ahead, worker at {pace}");
            }
        }
        // Some hosts call up to 200 ms ahead of their sound card.
        for ahead in [0.05, 0.2] {
            assert_eq!(play_with_slow_worker(0.5, Some(ahead)), None, "{ahead} s ahead");
        }
    }

    #[test]
    fn a_hanging_worker_is_waited_for_once() {
        let mut clock = Clock::new(RATE, BLOCK);
        clock.begin(Instant::now(), BLOCK, true);
        let patience = clock.patience(BLOCK, false, PROGRESS);
        assert_eq!(patience, RENDER_PATIENCE);
        clock.waited_in_vain(patience, PROGRESS);
        assert_eq!(clock.patience(BLOCK, false, PROGRESS), Duration::ZERO);
        assert_eq!(clock.patience(BLOCK, false, (1, 3)), RENDER_PATIENCE, "it moves again");
    }

    #[test]
    fn a_longer_block_than_promised_may_wait_half_its_length() {
        let mut clock = Clock::new(RATE, BLOCK);
        clock.begin(Instant::now(), 9_600, false);
        let patience = clock.patience(9_600, false, PROGRESS);
        assert!(patience > Duration::from_millis(99) && patience < Duration::from_millis(101), "{patience:?}");
        assert_eq!(Clock::new(RATE, BLOCK).patience(9_600, true, PROGRESS), Duration::ZERO, "not for loading");
    }
}
