//! Whose turn it is: one large graph of the process runs at a time, and who needs the result first goes first.
//!
//! Two at a time would take as long for each as both together, so that the more urgent one would be late for nothing. A
//! user asks for one run and waits for it, so a device that stalls finds as many runs waiting as there are users and not
//! one for each hop that passed meanwhile. Called from worker threads, loaders and the command line.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who says no deadline comes after those who do, in the order of asking.
const NO_HURRY: Duration = Duration::from_secs(3_600);

thread_local! {
    /// When this thread needs the result of what it is about to run.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The process's only one.
pub(super) static QUEUE: Queue = Queue::new();

/// Runs `work`, whose large graphs are needed by `deadline`.
pub fn with_deadline<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    /// Takes the deadline back, also when `work` unwinds.
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEADLINE.set(self.0);
        }
    }
    let _restore = Restore(DEADLINE.replace(Some(deadline)));
    work()
}

/// Takes the device for what is no run of a graph, until the result is dropped; `None` when the turn does not come
/// within `patience`.
pub fn turn(patience: Duration) -> Option<impl Sized> {
    QUEUE.enter(patience)
}

#[derive(Debug)]
struct State {
    is_busy: bool,
    /// By whom: deadline and number of the request.
    waiting: Vec<(Instant, u64)>,
    requests: u64,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

/// The right to run; given back when dropped.
#[derive(Debug)]
pub(super) struct Turn<'q>(&'q Queue);

impl Queue {
    pub(super) const fn new() -> Self {
        Self { state: Mutex::new(State { is_busy: false, waiting: Vec::new(), requests: 0 }), changed: Condvar::new() }
    }

    /// Waits for this thread's turn; `None` when it does not come within `patience`.
    pub(super) fn enter(&self, patience: Duration) -> Option<Turn<'_>> {
        let deadline = DEADLINE.get().unwrap_or_else(|| Instant::now() + NO_HURRY);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let me = (deadline, state.requests);
        state.requests += 1;
        state.waiting.push(me);
        let is_turn_of_another = |state: &mut State| state.is_busy || state.waiting.iter().min() != Some(&me);
        let waited = self.changed.wait_timeout_while(state, patience, is_turn_of_another);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let is_mine = !is_turn_of_another(&mut state);
        state.waiting.retain(|other| *other != me);
        state.is_busy |= is_mine;
        drop(state);
        if !is_mine {
            // Somebody may have waited for this request to go.
            self.changed.notify_all();
        }
        is_mine.then_some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).is_busy = false;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn waiting(queue: &Queue) -> usize {
        queue.state.lock().expect("no panic").waiting.len()
    }

    /// Waits until so many wait.
    fn settle(queue: &Queue, count: usize) {
        while waiting(queue) < count {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn who_needs_it_first_goes_first() {
        let (queue, order) = (Queue::new(), Mutex::new(Vec::new()));
        let now = Instant::now();
        std::thread::scope(|scope| {
            let turn = queue.enter(PATIENCE);
            for (place, after_ms) in [Some(300), None, Some(100), None, Some(200)].into_iter().enumerate() {
                let (queue, order) = (&queue, &order);
                scope.spawn(move || {
                    let enter = || {
                        let _turn = queue.enter(PATIENCE).expect("a turn");
                        order.lock().expect("no panic").push(place);
                    };
                    match after_ms {
                        Some(ms) => with_deadline(now + Duration::from_millis(ms), enter),
                        None => enter(),
                    }
                });
                settle(queue, place + 1);
            }
            drop(turn);
        });
        assert_eq!(*order.lock().expect("no panic"), [2, 4, 0, 1, 3]);
        assert_eq!(waiting(&queue), 0);
    }

    #[test]
    fn who_waits_too_long_gives_up_and_keeps_nobody_waiting() {
        let queue = Queue::new();
        let turn = queue.enter(PATIENCE);
        std::thread::scope(|scope| {
            let first = || with_deadline(Instant::now(), || queue.enter(Duration::from_millis(20)).is_none());
            assert!(scope.spawn(first).join().expect("no panic"), "it gave up");
        });
        drop(turn);
        assert!(queue.enter(Duration::ZERO).is_some());
    }

    #[test]
    fn a_stall_of_five_seconds_leaves_one_run_for_each_user_and_no_backlog() {
        let (queue, runs) = (Queue::new(), Mutex::new(Vec::new()));
        let begin = Instant::now();
        let end = begin + Duration::from_millis(5_600);
        let stalled = queue.enter(PATIENCE);
        std::thread::scope(|scope| {
            for user in 0..4 {
                let (queue, runs) = (&queue, &runs);
                scope.spawn(move || {
                    // Like a worker: a hop every 100 ms, the next one only after the last one came back.
                    while Instant::now() < end {
                        let asked = Instant::now();
                        let turn = with_deadline(asked + Duration::from_millis(100), || queue.enter(PATIENCE));
                        std::thread::sleep(Duration::from_millis(2));
                        drop(turn);
                        runs.lock().expect("no panic").push((user, asked, Instant::now()));
                        std::thread::sleep(
                            (asked + Duration::from_millis(100)).saturating_duration_since(Instant::now()),
                        );
                    }
                });
            }
            std::thread::sleep(Duration::from_secs(5));
            assert_eq!(waiting(&queue), 4, "one for each");
            drop(stalled);
            let released = Instant::now();
            while Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
            let runs = runs.lock().expect("no panic");
            let late: Vec<_> = runs.iter().filter(|(_, asked, _)| *asked < released).collect();
            assert_eq!(late.len(), 4, "what was asked during the stall");
            let hop = released + Duration::from_millis(100);
            assert!(late.iter().all(|(.., done)| *done < hop), "all of it is done within a hop");
            let after = runs.iter().filter(|(_, asked, _)| *asked >= released);
            assert!(after.clone().count() >= 8, "and the next hops come");
            let longest = after.map(|(_, asked, done)| *done - *asked).max().unwrap_or_default();
            assert!(longest < Duration::from_millis(100), "{longest:?}");
        });
    }
}
