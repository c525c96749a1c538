//! What Windows counts. See the parent.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, GetCurrentThread, GetThreadTimes};
use windows_sys::Win32::System::WindowsProgramming::QueryThreadCycleTime;

/// How long one try at the rate of the cycle counter takes, and how many there are.
const TRY: Duration = Duration::from_millis(2);
const TRIES: usize = 5;

/// The thread's cycles, by the processor's counter of constant rate. Its times come in steps of the system's tick, some
/// 16 ms, which is longer than a hop.
pub(super) fn thread_seconds() -> f64 {
    static RATE: OnceLock<Option<f64>> = OnceLock::new();
    match RATE.get_or_init(cycles_per_second).and_then(|rate| Some(cycles()? as f64 / rate)) {
        Some(seconds) => seconds,
        None => thread_times(),
    }
}

/// Cycles that the calling thread has used; `None` where the system does not count them.
fn cycles() -> Option<u64> {
    let mut cycles = 0;
    // SAFETY: a pseudo handle of the calling thread, and `cycles` is valid for writes.
    let is_known = unsafe { QueryThreadCycleTime(GetCurrentThread(), &raw mut cycles) } != 0;
    (is_known && cycles != 0).then_some(cycles)
}

/// The counter's rate: the best of some tries, for others may take the processor during one.
fn cycles_per_second() -> Option<f64> {
    let mut best = 0.0_f64;
    for _ in 0..TRIES {
        let (begin, before) = (Instant::now(), cycles()?);
        while begin.elapsed() < TRY {
            std::hint::spin_loop();
        }
        let used = cycles()?.checked_sub(before)?;
        best = best.max(used as f64 / begin.elapsed().as_secs_f64());
    }
    (best > 1e6).then_some(best)
}

fn thread_times() -> f64 {
    let mut times = [FILETIME::default(); 4];
    let [created, ended, kernel, user] = &mut times;
    // SAFETY: a pseudo handle of the calling thread, and all four are valid for writes.
    unsafe { GetThreadTimes(GetCurrentThread(), created, ended, kernel, user) };
    // In steps of 100 ns.
    let seconds = |time: FILETIME| (u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime)) as f64 * 1e-7;
    seconds(times[2]) + seconds(times[3])
}

pub(super) fn resident_bytes() -> Option<u64> {
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).ok()?;
    let mut counters = PROCESS_MEMORY_COUNTERS { cb: size, ..Default::default() };
    // SAFETY: a pseudo handle of this process, and `counters` is valid for writes of the size that is told.
    let is_known = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), &raw mut counters, size) } != 0;
    is_known.then_some(counters.WorkingSetSize as u64)
}
