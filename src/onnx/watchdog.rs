//! Stops a run that does not end.
//!
//! A graph's run is a call into foreign code on a worker thread; the worker cannot interrupt itself. One small thread per
//! loaded graph looks twice a second and tells the runtime to stop a run that has lasted too long. It ends with the graph.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Marks "no run" in [`Stopwatch`].
const IDLE: u64 = 0;

/// When the current run began, readable from another thread.
#[derive(Debug)]
pub(super) struct Stopwatch {
    base: Instant,
    /// Milliseconds since `base` plus one, or [`IDLE`].
    started: AtomicU64,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), started: AtomicU64::new(IDLE) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    pub(super) fn start(&self) {
        // Relaxed: the value stands for itself, no other memory is published with it.
        self.started.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.started.store(IDLE, Ordering::Relaxed);
    }

    /// Whether the current run has lasted longer than `limit`.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        match self.started.load(Ordering::Relaxed) {
            IDLE => false,
            started => u128::from(self.now().saturating_sub(started)) > limit.as_millis(),
        }
    }
}

/// What the watchdog needs of the thing it watches.
pub(super) trait Watched: Send + Sync + 'static {
    /// Called from the watchdog's thread, every `period`.
    fn check(&self);
}

/// Calls `check` every `period` until the watched thing is gone. Without a thread to spare there is no watch, and runs
/// that do not end stay unnoticed; nothing else changes.
pub(super) fn watch<T: Watched>(watched: Weak<T>, period: Duration) {
    let work = move || {
        loop {
            std::thread::sleep(period);
            match watched.upgrade() {
                Some(watched) => watched.check(),
                None => return,
            }
        }
    };
    let _ = std::thread::Builder::new().name("coffre-watchdog".into()).stack_size(64 * 1024).spawn(work);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_run_is_over() {
        let watch = Stopwatch::new();
        assert!(!watch.is_over(Duration::ZERO));
        watch.start();
        assert!(!watch.is_over(Duration::from_secs(60)));
        std::thread::sleep(Duration::from_millis(5));
        assert!(watch.is_over(Duration::from_millis(1)));
        watch.stop();
        assert!(!watch.is_over(Duration::ZERO));
    }
}
