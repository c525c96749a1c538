//! Stops the framework's background thread from running.
//!
//! On Linux nice-plug 0.4.2 hands every parameter change of a VST3 host with a closed editor to a thread that all
//! instances share. There it looks at the editor's cell, and panics when the host's thread is just opening or closing
//! the editor, or has opened it since. The thread also ends when a task outlives its instance, and whenever it has
//! ended, the last instance that goes aborts the host. Nothing that Coffre needs runs there: the editor reads the
//! parameters itself, and [`super::restart`] reaches the host.
//!
//! So the thread is ended once, in the one way that does no harm (a task of an instance that is gone), and one instance that
//! no host ever sees keeps the last owner alive. Tasks sent to it are dropped by the channel: no lock, no allocation. Runs on the thread that creates instances.

use std::sync::{Mutex, Once, PoisonError};

use nice_plug::prelude::AsyncExecutor;
use nice_plug::wrapper::vst3::Wrapper;

use super::Coffre;

/// Held until the thread may go on.
static GATE: Mutex<()> = Mutex::new(());

/// Filled by an instance that is created while its executor is waited for.
static EXECUTOR: Mutex<Wish> = Mutex::new(Wish::None);

enum Wish {
    None,
    Wanted,
    Given(AsyncExecutor<Coffre>),
}

/// Shows the executor of an instance that is being created. [main-thread]
pub fn show(executor: AsyncExecutor<Coffre>) {
    let mut wish = EXECUTOR.lock().unwrap_or_else(PoisonError::into_inner);
    if matches!(*wish, Wish::Wanted) {
        *wish = Wish::Given(executor);
    }
}

/// Ends the framework's thread permanently. Call before a host gets its first instance. [main-thread]
pub fn still() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        still_now();
    });
}

/// Returns the executor of the instance that stays, for which nothing is executed any more.
fn still_now() -> Option<AsyncExecutor<Coffre>> {
    let (keeper, executor) = instance();
    // The thread belongs to this instance from here on. If it did not end in that way, it must not be ended at all.
    std::mem::forget(keeper);
    let executor = executor?;
    let gate = GATE.lock().unwrap_or_else(PoisonError::into_inner);
    executor.execute_background(|| drop(GATE.lock().unwrap_or_else(PoisonError::into_inner)));
    let (passing, passing_executor) = instance();
    if let Some(passing_executor) = passing_executor {
        passing_executor.execute_background(|| ());
    }
    drop(passing);
    drop(gate);
    Some(executor)
}

fn instance() -> (Wrapper<Coffre>, Option<AsyncExecutor<Coffre>>) {
    let take = |wish| std::mem::replace(&mut *EXECUTOR.lock().unwrap_or_else(PoisonError::into_inner), wish);
    take(Wish::Wanted);
    let wrapper = Wrapper::new();
    let executor = match take(Wish::None) {
        Wish::Given(executor) => Some(executor),
        Wish::None | Wish::Wanted => None,
    };
    (wrapper, executor)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_runs_on_the_thread_any_more() {
        static HAS_RUN: AtomicBool = AtomicBool::new(false);
        let mark: fn() = || HAS_RUN.store(true, Ordering::Release);
        let wait = || std::thread::sleep(Duration::from_millis(200));

        let (first, executor) = instance();
        executor.expect("an instance has an editor").execute_background(mark);
        wait();
        assert!(HAS_RUN.swap(false, Ordering::AcqRel), "the mark is never seen");
        drop(first);

        let kept = still_now().expect("an instance has an editor");
        kept.execute_background(mark);
        let (later, executor) = instance();
        executor.expect("an instance has an editor").execute_background(mark);
        wait();
        assert!(!HAS_RUN.load(Ordering::Acquire));
        // Without the instance that stays this aborts.
        drop(later);
    }
}
