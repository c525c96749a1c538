//! Real-time priority of the worker while a host plays, so that a busy machine does not make hops late.
//!
//! Runs on the worker thread. Knows nothing of links or engines. Not used while a host renders: the worker is then always
//! busy, and would keep everything else from running.

use audio_thread_priority::{
    RtPriorityHandle, demote_current_thread_from_real_time, promote_current_thread_to_real_time,
};

use crate::engine::{ENGINE_RATE, HOP_LEN};

/// The priority of the thread that uses it; normal at first.
#[derive(Default)]
pub(super) struct Priority {
    handle: Option<RtPriorityHandle>,
    /// The last request. The system is asked only when it changes: if it refused once it will refuse again.
    is_wanted: bool,
}

impl Priority {
    /// Requests real-time priority, or gives it up. If the system does not grant it (on Linux the user needs a limit for
    /// it, as audio groups have), the priority stays normal. [worker-thread]
    pub(super) fn want(&mut self, is_real_time: bool) {
        if is_real_time == self.is_wanted {
            return;
        }
        self.is_wanted = is_real_time;
        if is_real_time {
            self.handle = promote_current_thread_to_real_time(HOP_LEN as u32, ENGINE_RATE).ok();
        } else if let Some(handle) = self.handle.take() {
            // If demotion fails, ignore it: there is nothing to retry.
            let _ = demote_current_thread_from_real_time(handle);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn policy() -> i32 {
        // SAFETY: plain system call about the calling thread.
        let policy = unsafe { libc::sched_getscheduler(0) };
        // That children do not inherit the priority may stay set.
        policy & !libc::SCHED_RESET_ON_FORK
    }

    #[test]
    fn priority_comes_and_goes() {
        std::thread::spawn(|| {
            let mut priority = Priority::default();
            assert_eq!(policy(), libc::SCHED_OTHER);
            priority.want(true);
            // Without the right to it the policy stays as it was, and nothing breaks.
            let granted = policy();
            assert_eq!(granted != libc::SCHED_OTHER, priority.handle.is_some());
            priority.want(true);
            assert_eq!(policy(), granted);
            priority.want(false);
            assert_eq!(policy(), libc::SCHED_OTHER);
            assert!(priority.handle.is_none());
        })
        .join()
        .expect("no panic");
    }
}
