//! A host in real time that is late and catches up is never kept waiting, whatever the worker does; one that renders is.
//!
//! What sleeps gives up the processor of its own accord, which the kernel counts (Linux alone). Elsewhere the clock's own
//! tests have to do.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use coffre::audio::Controls;
use fake::Rig;

const RATE: u32 = 48_000;
const BLOCK: usize = 512;
const BLOCK_TIME: Duration = Duration::from_nanos(BLOCK as u64 * 1_000_000_000 / RATE as u64);

/// How often this thread has slept or waited for something so far.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("this thread's status");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.expect("its switches").trim().parse().expect("a number")
}

/// A host with a sound card.
struct Host {
    rig: Rig,
    /// When the next block is due.
    due: Instant,
    sleeps: u64,
}

impl Host {
    fn new() -> Self {
        let mut rig = Rig::new(RATE, BLOCK);
        rig.warm_up();
        Self { rig, due: Instant::now(), sleeps: 0 }
    }

    fn call(&mut self) {
        let before = sleeps();
        self.rig.processor.process(&mut [&mut [0.5; BLOCK]], 1, &Controls::default(), false);
        self.sleeps += sleeps() - before;
        self.due += BLOCK_TIME;
    }

    /// Plays `count` blocks, those at once that are overdue.
    fn play(&mut self, count: usize) {
        for _ in 0..count {
            std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
            self.call();
        }
    }
}

#[test]
fn a_host_that_is_late_and_catches_up_is_never_kept_waiting() {
    for stall_ms in [40, 400] {
        for is_hanging in [false, true] {
            let mut host = Host::new();
            host.play(20);
            host.rig.behaviour.is_hanging.store(is_hanging, Ordering::SeqCst);
            for turn in 0..9 {
                if turn == 4 {
                    host.rig.processor.reset();
                }
                std::thread::sleep(Duration::from_millis(stall_ms));
                host.play(31);
                assert!(host.rig.processor.is_real_time(), "{stall_ms} ms, turn {turn}");
            }
            assert_eq!(host.sleeps, 0, "{stall_ms} ms, the worker hangs: {is_hanging}");
            host.rig.behaviour.is_hanging.store(false, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_host_that_renders_after_it_played_is_found_out_and_served() {
    let mut host = Host::new();
    host.rig.behaviour.is_inverting.store(true, Ordering::SeqCst);
    host.rig.behaviour.hop_us.store(3_000, Ordering::SeqCst);
    host.play(100);
    assert_eq!(host.sleeps, 0);
    // As fast as it can: a quarter of a second, eight blocks, and what a busy machine made it owe.
    let owed = Instant::now().saturating_duration_since(host.due);
    let bound = (Duration::from_millis(260) + 10 * BLOCK_TIME + owed).as_secs_f64() * 1.1;
    let mut audio = Duration::ZERO;
    while host.rig.processor.is_real_time() {
        let begin = Instant::now();
        host.call();
        audio += BLOCK_TIME.saturating_sub(begin.elapsed());
        assert!(audio.as_secs_f64() < bound, "{audio:?} of lead");
    }
    // From there on nothing is missing, once what was given up before is back.
    for _ in 0..20 {
        host.call();
    }
    let late = host.rig.telemetry.late_hops();
    for _ in 0..200 {
        let mut block = [0.5; BLOCK];
        host.rig.processor.process(&mut [&mut block], 1, &Controls::default(), false);
        assert_eq!(block, [-0.5; BLOCK]);
    }
    assert_eq!(host.rig.telemetry.late_hops(), late);
}
