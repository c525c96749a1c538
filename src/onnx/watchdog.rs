//! Stops a run that does not end.
//!
//! A run is slow on a busy computer and endless in a broken graph; the clock on the wall does not tell the two apart. So
//! a run is over its limit only when the process has computed for as long as well, or when [`STILL`] times the limit went
//! by all the same: then it waits for something that does not come.
//!
//! A graph's run is a call into foreign code on a worker thread; the worker cannot interrupt itself. One small thread per
//! loaded graph looks twice a second and tells the runtime to stop a run that has lasted too long. It ends with the graph.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Marks "no run" in [`Stopwatch`].
const IDLE: u64 = 0;

/// So many times its limit may a run last by the clock while the process gets no processor.
pub(super) const STILL: u32 = 10;

/// When the current run began, readable from another thread.
#[derive(Debug)]
pub(super) struct Stopwatch {
    base: Instant,
    /// Milliseconds since `base` plus one, or [`IDLE`].
    started: AtomicU64,
    /// Processor time of the process at that moment, in milliseconds.
    computed: AtomicU64,
}

/// Processor time of all threads of the process, in milliseconds; `None` where the system is not asked.
fn process_ms() -> Option<u64> {
    #[cfg(unix)]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writes, and the clock exists on all Unix systems that are built for.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
        let ms = i128::from(time.tv_sec) * 1_000 + i128::from(time.tv_nsec) / 1_000_000;
        (result == 0).then(|| u64::try_from(ms).ok()).flatten()
    }
    #[cfg(windows)]
    {
        use windows_sys::Win32::Foundation::FILETIME;
        use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetProcessTimes};
        let mut times = [FILETIME::default(); 4];
        let [created, ended, kernel, user] = &mut times;
        // SAFETY: a pseudo handle of this process, and all four are valid for writes.
        let is_known = unsafe { GetProcessTimes(GetCurrentProcess(), created, ended, kernel, user) } != 0;
        // In steps of 100 ns.
        let ms = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime)) / 10_000;
        is_known.then(|| ms(times[2]) + ms(times[3]))
    }
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { base: Instant::now(), started: AtomicU64::new(IDLE), computed: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    pub(super) fn start(&self) {
        // Relaxed: a watchdog that reads one value new and one old decides half a second later.
        self.computed.store(process_ms().unwrap_or(0), Ordering::Relaxed);
        self.started.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn stop(&self) {
        self.started.store(IDLE, Ordering::Relaxed);
    }

    /// Whether the current run has had more than `limit` to come to an end: see the module.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        let started = self.started.load(Ordering::Relaxed);
        if started == IDLE {
            return false;
        }
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let lasted = self.now().saturating_sub(started);
        let computed = process_ms().map_or(lasted, |now| now.saturating_sub(self.computed.load(Ordering::Relaxed)));
        lasted > limit && (computed > limit || lasted > limit.saturating_mul(u64::from(STILL)))
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
        std::thread::sleep(Duration::from_millis(50));
        // It waits too long even for a computer that gives it nothing.
        assert!(watch.is_over(Duration::from_millis(1)));
        watch.stop();
        assert!(!watch.is_over(Duration::ZERO));
    }

    #[test]
    fn a_run_that_got_no_processor_is_not_over() {
        // Processor time counts for the whole process, so the test has one of its own: other tests compute meanwhile.
        const CHILD: &str = "COFFRE_TEST_CHILD";
        if std::env::var_os(CHILD).is_none() {
            let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
            child.args(["--exact", "onnx::watchdog::tests::a_run_that_got_no_processor_is_not_over"]).env(CHILD, "1");
            let output = child.output().expect("it runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            return;
        }
        let (watch, limit) = (Stopwatch::new(), Duration::from_millis(400));
        watch.start();
        // As long as the system lets others run. A machine so busy that this takes ten limits says nothing.
        std::thread::sleep(2 * limit);
        let waited = watch.is_over(limit);
        let begin = Instant::now();
        while process_ms().expect("known here") < watch.computed.load(Ordering::Relaxed) + 500 {
            std::hint::spin_loop();
        }
        assert!(!waited || begin.elapsed() > limit * STILL, "it waited, and had computed nothing");
        assert!(watch.is_over(limit), "it computed for longer than the limit");
    }
}
