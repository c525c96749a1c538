//! Processor time and memory of this process, as the system counts them.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

/// Processor time that the calling thread has used, in seconds. Unlike wall time it does not count what other programs
/// took meanwhile.
pub fn thread_seconds() -> f64 {
    system::thread_seconds()
}

/// Resident memory of the process in MB (10^6 bytes); `None` where the system does not tell.
pub fn resident_mb() -> Option<f64> {
    system::resident_bytes().map(|bytes| bytes as f64 / 1e6)
}

/// Value below which `share` of the sorted values lie.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((last as f64) * share).round() as usize).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time_and_sleep_does_not() {
        let start = thread_seconds();
        std::thread::sleep(std::time::Duration::from_millis(30));
        let slept = thread_seconds() - start;
        let start = std::time::Instant::now();
        let mut sum = 0_u64;
        while start.elapsed().as_millis() < 60 {
            sum = std::hint::black_box(sum + 1);
        }
        let worked = thread_seconds() - slept;
        assert!(slept < 0.02, "{slept}");
        assert!(worked > 0.005, "{worked}");
    }

    #[test]
    #[cfg(any(target_os = "linux", windows))]
    fn memory_grows_when_it_is_touched() {
        let before = resident_mb().expect("the system tells");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident_mb().expect("the system tells");
        assert!(after - before > 40.0, "{before} to {after} MB");
        drop(block);
    }

    #[test]
    fn percentiles_by_table() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        for (share, wanted) in [(0.0, 0.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)] {
            assert_eq!(percentile(&values, share), wanted);
        }
        assert!(percentile(&[], 0.5).is_nan());
    }
}
