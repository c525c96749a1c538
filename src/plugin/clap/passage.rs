//! Tells a start that goes on where the last block ended from a jump. Runs on the audio thread.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Starts with one block each, in a row, after which a host without a steady time is believed to start for every block.
const SINGLES: u32 = 3;

/// After so long nobody hears what came before as going on, whatever the host counts.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// Steady time of a host that has none.
const NO_TIME: i64 = -1;

/// Where the last block ended. Atomic only because the host is trusted with nothing.
#[derive(Debug)]
pub struct Passage {
    origin: Instant,
    has_started: AtomicBool,
    /// Steady time after the last block.
    next: AtomicI64,
    /// When it was there, in milliseconds since `origin`.
    served_ms: AtomicU64,
    /// Blocks since the start.
    blocks: AtomicU32,
    /// Starts with a single block, in a row.
    singles: AtomicU32,
}

impl Passage {
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            has_started: AtomicBool::new(false),
            next: AtomicI64::new(NO_TIME),
            served_ms: AtomicU64::new(0),
            blocks: AtomicU32::new(0),
            singles: AtomicU32::new(0),
        }
    }

    /// An activation. [main-thread]
    pub fn begin(&self) {
        self.has_started.store(false, Relaxed);
        self.next.store(NO_TIME, Relaxed);
        self.blocks.store(0, Relaxed);
        self.singles.store(0, Relaxed);
    }

    /// [audio-thread]
    pub fn start(&self) {
        self.has_started.store(true, Relaxed);
    }

    /// [audio-thread]
    pub fn stop(&self) {
        let singles = if self.blocks.swap(0, Relaxed) == 1 { self.singles.load(Relaxed).saturating_add(1) } else { 0 };
        self.singles.store(singles, Relaxed);
    }

    /// Whether a block comes with a start and does not go on where the last one ended. [audio-thread]
    pub fn is_jump(&self, steady_time: i64, len: u32, now: Instant) -> bool {
        let gap_ms = self.ms(now).saturating_sub(self.served_ms.load(Relaxed));
        let has_time = steady_time > NO_TIME;
        let next = if has_time { steady_time.saturating_add(i64::from(len)) } else { NO_TIME };
        let expected = self.next.swap(next, Relaxed);
        self.blocks.store(self.blocks.load(Relaxed).saturating_add(1), Relaxed);
        let goes_on = if has_time { steady_time == expected } else { self.singles.load(Relaxed) >= SINGLES };
        self.has_started.swap(false, Relaxed) && !(goes_on && gap_ms < LONGEST_GAP.as_millis() as u64)
    }

    /// The block is there; while rendering that may take long. [audio-thread]
    pub fn end(&self, now: Instant) {
        self.served_ms.store(self.ms(now), Relaxed);
    }

    fn ms(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A start, a block, a stop.
    fn bracket(passage: &Passage, steady_time: i64, now: Instant) -> bool {
        passage.start();
        let is_jump = passage.is_jump(steady_time, 64, now);
        passage.end(now);
        passage.stop();
        is_jump
    }

    #[test]
    fn a_start_without_a_gap_in_steady_time_is_no_jump() {
        let now = Instant::now();
        let passage = Passage::new(now);
        assert!(bracket(&passage, 0, now), "the first");
        assert!(!bracket(&passage, 64, now));
        assert!(!bracket(&passage, 128, now));
        assert!(bracket(&passage, 193, now), "a gap");
        assert!(bracket(&passage, 0, now), "back");
        assert!(!bracket(&passage, 64, now));
        assert!(bracket(&passage, 128, now + Duration::from_secs(2)), "long after");
        passage.begin();
        let later = now + Duration::from_secs(2);
        assert!(bracket(&passage, 192, later), "another activation");
        // However long the block took.
        passage.end(later + Duration::from_secs(5));
        assert!(!bracket(&passage, 256, later + Duration::from_secs(5)));
        assert!(!passage.is_jump(0, 64, now), "without a start");
    }

    #[test]
    fn without_a_steady_time_a_host_shows_that_it_starts_for_every_block() {
        let now = Instant::now();
        let passage = Passage::new(now);
        let jumps: Vec<bool> = (0..6).map(|_| bracket(&passage, -1, now)).collect();
        assert_eq!(jumps, [true, true, true, false, false, false]);
        // Two blocks after one start: it is another kind of host.
        passage.start();
        passage.is_jump(-1, 64, now);
        passage.is_jump(-1, 64, now);
        passage.stop();
        assert!(bracket(&passage, -1, now));
    }
}
