//! Hosts without audio, threads or sleep, to try the clock with.

use super::ledger::DRIFT;
use super::*;

pub(super) const RATE: u32 = 48_000;
pub(super) const PROGRESS: (u32, u64) = (1, 2);

/// Latency of the native engine less its slack, in samples.
pub(super) const LATENCY: usize = 1_944;

/// Time that a call takes by itself, in seconds.
pub(super) const BUSY_S: f64 = 2e-5;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn within(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.next()
    }

    /// Every order of magnitude is as likely.
    pub(super) fn spread(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.next())
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[((self.next() * choices.len() as f64) as usize).min(choices.len() - 1)]
    }

    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.next() < share
    }
}

/// A host of the clock.
pub(super) struct Host {
    pub(super) clock: Clock,
    pub(super) start: Instant,
    pub(super) now_s: f64,
    pub(super) block: usize,
    /// Samples since the last reset.
    pub(super) position: usize,
    pub(super) is_loading: bool,
    /// When the worker has made what was asked for, and its pace against real time.
    pub(super) worker: Option<(f64, f64)>,
    pub(super) longest: Duration,
    pub(super) waited: Duration,
    pub(super) calls: usize,
    pub(super) audio_s: f64,
}

impl Host {
    pub(super) fn new(block: usize) -> Self {
        Self {
            clock: Clock::new(RATE, block),
            start: Instant::now(),
            now_s: 0.0,
            block,
            position: 0,
            is_loading: false,
            worker: None,
            longest: Duration::ZERO,
            waited: Duration::ZERO,
            calls: 0,
            audio_s: 0.0,
        }
    }

    pub(super) fn block_s(&self) -> f64 {
        self.block as f64 / f64::from(RATE)
    }

    pub(super) fn now(&self) -> Instant {
        self.start + Duration::from_secs_f64(self.now_s)
    }

    pub(super) fn need(&self, is_due: bool) -> Need {
        Need { len: self.block, is_loading: self.is_loading, is_due }
    }

    pub(super) fn reset(&mut self) {
        self.clock.reset();
        self.position = 0;
    }

    /// One call, now. Without a worker's pace the worker stands still.
    pub(super) fn call(&mut self) -> Duration {
        self.clock.begin(self.now(), self.block, false);
        self.position += self.block;
        let is_due = self.position > LATENCY + self.block.max(192);
        let allowed = self.clock.patience(self.need(is_due), PROGRESS);
        self.longest = self.longest.max(allowed);
        let waited = match &mut self.worker {
            Some((ready_s, pace)) => {
                let missing_s = if is_due { (*ready_s - self.now_s).max(0.0) } else { 0.0 };
                *ready_s = ready_s.max(self.now_s) + self.block as f64 / f64::from(RATE) / *pace;
                allowed.min(Duration::from_secs_f64(missing_s))
            }
            None => {
                if !allowed.is_zero() {
                    self.clock.waited_in_vain(PROGRESS);
                }
                allowed
            }
        };
        self.now_s += waited.as_secs_f64() + BUSY_S;
        self.waited += waited;
        self.clock.end(self.now(), waited);
        self.calls += 1;
        self.audio_s += self.block_s();
        waited
    }

    /// Calls `bursts` times `burst` blocks with `speed` times the wall clock's pace on the average.
    pub(super) fn hurry(&mut self, bursts: usize, burst: usize, speed: f64) {
        for _ in 0..bursts {
            (0..burst).for_each(|_| {
                self.call();
            });
            self.now_s += (burst as f64 * (self.block_s() / speed - BUSY_S)).max(0.0);
        }
    }

    pub(super) fn play(&mut self, blocks: usize) {
        self.hurry(blocks, 1, 1.0);
    }
}

/// What a host does with the blocks that it missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Missed {
    Dropped,
    AtOnce,
    AtSpeed(f64),
}

/// A host in real time.
#[derive(Debug)]
pub(super) struct RealTime {
    pub(super) block: usize,
    /// Blocks that it calls back to back for each period of its sound card.
    pub(super) burst: usize,
    pub(super) jitter_s: f64,
    /// Pace of the sound card's clock.
    pub(super) speed: f64,
    pub(super) seconds: f64,
    /// When it is stalled, for how long, and what follows.
    pub(super) stalls: Vec<(f64, f64, Missed)>,
    /// When it resets the plugin.
    pub(super) resets: Vec<f64>,
}

impl RealTime {
    pub(super) fn random(random: &mut Random) -> Self {
        let block = random.one_of(&[16, 64, 128, 256, 441, 480, 512, 1_024, 2_048]);
        let burst = if random.chance(0.4) { random.within(4.0, 9.0) as usize } else { 1 };
        let block_s = block as f64 / f64::from(RATE);
        let jitter_s = if random.chance(0.6) { random.within(0.0, block_s + 0.004) } else { 0.0 };
        let missed = |random: &mut Random| {
            random.one_of(&[
                Missed::Dropped,
                Missed::AtOnce,
                Missed::AtOnce,
                Missed::AtSpeed(2.0),
                Missed::AtSpeed(1.3),
            ])
        };
        let mut stalls = Vec::new();
        for _ in 0..random.within(0.0, 4.0) as usize {
            let (at, length) = (random.within(0.5, 25.0), random.spread(0.005, 5.0));
            stalls.push((at, length, missed(random)));
        }
        if random.chance(0.5) {
            let (at, length, missed) = (random.within(0.5, 25.0), random.within(0.005, 0.08), missed(random));
            stalls.extend((0..3).map(|turn| (at + 0.3 * f64::from(turn), length, missed)));
        }
        stalls.sort_by(|a, b| a.0.total_cmp(&b.0));
        let resets = (0..random.within(0.0, 4.0) as usize).map(|_| random.within(3.0, 28.0)).collect();
        Self { block, burst, jitter_s, speed: random.within(0.995, 1.005), seconds: 30.0, stalls, resets }
    }

    /// Plays, on time with the first call. A reset may come at any time, but not before the host was seen to play while it
    /// is late.
    pub(super) fn play(&self, host: &mut Host, random: &mut Random) {
        let begin_s = host.now_s;
        let period_s = self.burst as f64 * host.block_s() / self.speed;
        let (mut due_s, mut stalls, mut missed) = (0.0, self.stalls.iter().peekable(), Missed::AtOnce);
        let mut resets = self.resets.clone();
        let mut last_s = f64::NEG_INFINITY;
        while due_s < self.seconds {
            let jitter_s = if host.calls == 0 { 0.0 } else { self.jitter_s * random.next() };
            let on_time_s = due_s + jitter_s;
            let mut at_s = on_time_s.max(host.now_s - begin_s);
            if let Missed::AtSpeed(speed) = missed {
                at_s = at_s.max(last_s + period_s / speed);
            }
            if let Some((_, length, then)) = stalls.next_if(|stall| stall.0 <= at_s) {
                at_s += length;
                missed = *then;
            }
            let late_s = at_s - on_time_s;
            if missed == Missed::Dropped && late_s > period_s {
                due_s += late_s;
            }
            if (at_s < due_s + 0.001 || host.clock.has_played) && resets.iter().any(|reset| *reset <= at_s) {
                resets.retain(|reset| *reset > at_s);
                host.reset();
            }
            (host.now_s, last_s) = (begin_s + at_s, at_s);
            // With the very first burst a host may as well be filling its buffers: see below.
            host.is_loading = host.calls < self.burst;
            (0..self.burst).for_each(|_| {
                host.call();
            });
            due_s += period_s;
        }
    }
}

/// A render at `speed` in bursts.
#[derive(Debug)]
pub(super) struct Render {
    pub(super) block: usize,
    pub(super) burst: usize,
    pub(super) speed: f64,
    /// Pace of the worker against real time.
    pub(super) worker: f64,
}

impl Render {
    pub(super) fn random(random: &mut Random) -> Self {
        let block = random.one_of(&[64, 128, 256, 441, 512, 1_024, 2_048]);
        let burst = if random.chance(0.4) { random.within(2.0, 17.0) as usize } else { 1 };
        Self { block, burst, speed: random.spread(2.0, 100.0), worker: random.spread(0.2, 50.0) }
    }

    /// Renders `seconds` of audio and returns after how much of it that was recognised.
    pub(super) fn play(&self, host: &mut Host, seconds: f64) -> Option<f64> {
        let (begin_s, mut found) = (host.audio_s, None);
        host.worker = Some((host.now_s, self.worker));
        while host.audio_s - begin_s < seconds {
            let gap_s = (self.burst as f64 * (host.block_s() / self.speed - BUSY_S)).max(0.0);
            for _ in 0..self.burst {
                host.call();
                if found.is_none() && !host.clock.is_real_time() {
                    found = Some(host.audio_s - begin_s);
                }
            }
            host.now_s += gap_s;
        }
        host.worker = None;
        found
    }

    /// The bound that the module's head states.
    pub(super) fn bound_s(&self, owed_s: f64, is_waiting: bool) -> f64 {
        let block_s = self.block as f64 / f64::from(RATE);
        let lead_s = owed_s + RENDERING_LEAD_S + (RENDERING_LEAD_BLOCKS + 1.0) * block_s;
        // What a call costs, and what the line follows; a burst may have to be begun.
        let pace = 1.0 / self.speed.min(block_s / BUSY_S) + 2.0 * DRIFT;
        let audio_s = lead_s / (1.0 - pace);
        // At worst one half of what is gained is waited for and the other half is lead.
        (if is_waiting { 2.0 } else { 1.0 }) * audio_s + (self.burst + 1) as f64 * block_s
    }
}
