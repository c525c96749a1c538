//! The handler at the end of the process. See the parent.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::super::Flags;

/// Longest time that the end of the process may take; a graph that hangs is ended by its watchdog before that.
const PATIENCE: Duration = Duration::from_secs(3);

static INSTANCES: Mutex<Vec<Weak<Flags>>> = Mutex::new(Vec::new());

/// Remembers the threads of an instance.
pub(in super::super) fn register(flags: &Arc<Flags>) {
    let mut instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    instances.retain(|flags| flags.strong_count() > 0);
    instances.push(Arc::downgrade(flags));
}

/// Registers the handler.
pub(super) fn install() {
    // SAFETY: `at_exit` takes nothing, returns nothing, does not unwind and, the module being pinned, stays mapped.
    unsafe {
        libc::atexit(at_exit);
    }
}

extern "C" fn at_exit() {
    // A thread that holds the lock while the process ends will not give it back in every case: do not wait for it.
    let Ok(instances) = INSTANCES.try_lock() else { return };
    end(&instances, PATIENCE);
}

/// Stops the threads of these instances and waits for them; returns whether all ended.
fn end(instances: &[Weak<Flags>], patience: Duration) -> bool {
    let running: Vec<Arc<Flags>> = instances.iter().filter_map(Weak::upgrade).collect();
    running.iter().for_each(|flags| flags.stop.store(true, Ordering::Release));
    let deadline = Instant::now() + patience;
    let has_ended =
        |flags: &Flags| flags.loader_done.load(Ordering::Acquire) && flags.worker_done.load(Ordering::Acquire);
    loop {
        if running.iter().all(|flags| has_ended(flags)) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_stops_the_threads_and_waits_for_them() {
        let flags = Arc::new(Flags::default());
        let thread = std::thread::spawn({
            let flags = flags.clone();
            move || {
                while !flags.stop.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                flags.loader_done.store(true, Ordering::Release);
                flags.worker_done.store(true, Ordering::Release);
            }
        });
        assert!(end(&[Arc::downgrade(&flags), Weak::new()], Duration::from_secs(10)));
        thread.join().expect("the thread ends");
    }

    #[test]
    fn the_end_does_not_wait_for_ever() {
        let flags = Arc::new(Flags::default());
        assert!(!end(&[Arc::downgrade(&flags)], Duration::from_millis(5)));
    }
}
