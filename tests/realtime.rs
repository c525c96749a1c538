//! The real-time law in a CLAP host: on the audio thread the plugin neither allocates nor makes system calls, except to
//! wake its worker.
//!
//! With the feature `alloccheck` an allocation in `process()` or `reset()` ends the program; that the check is armed is
//! checked by a host that allocates itself. System calls are forbidden by a filter of the kernel on the audio thread
//! (Linux alone), which also catches every lock that has to wait. Not covered: a lock that happens to be free.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use std::process::{Command, Output};

use host::{Event, Host, Pace, Player};

/// Set in the processes that are meant to end badly.
const CHILD: &str = "COFFRE_TEST_CHILD";

const RATE: u32 = 48_000;

/// Runs one test of this file in a process of its own, as a child that does what must not be survived.
fn run_child(test: &str, role: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, role);
    command.output().expect("it runs")
}

fn is_child(role: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|value| value == role)
}

/// Changes of every kind that a host may send while it plays; the mode alone stays.
fn busy_events(host: &mut Host, len: usize) -> Vec<Event> {
    let mut random = common::Random(3);
    let params: Vec<_> = host.params().into_iter().filter(|(_, name, _)| name != "Latency mode").collect();
    let mut event = |at| {
        let (id, _, largest) = &params[random.below(params.len())];
        let value = f64::from(random.sample().abs()) * largest;
        Event { at, id: *id, value: if *largest > 1.0 { value.round() } else { value } }
    };
    (0..400).map(|turn| event(turn * len / 400)).collect()
}

#[test]
fn nothing_is_allocated_whatever_happens() {
    let input = common::vocal_like(RATE, 96_000);
    let mut host = Host::mono();
    // The very first block, before anything is loaded, on a fresh thread; then blocks while it loads.
    host.activate(RATE, 512);
    host.play_mono(&input, &common::partition(48_000, &[512]), Pace::Timed(4.0), &[]);
    host.activate_ready(RATE, 512);
    let parts = common::random_partition(input.len(), 1_200, 9);
    let events = busy_events(&mut host, input.len());
    host.play_mono(&input, &parts, Pace::Free, &events);
    // Reset in the middle of a sound, and at once again.
    host.reset();
    host.reset();
    host.play_mono(&input, &parts, Pace::Free, &events);
    // A host that asks for more at once than the worker can have ready: gaps.
    for _ in 0..5 {
        host.reset();
        host.play_mono(&input[..8_000], &[8_000], Pace::Free, &[]);
    }
    // Voices come and go behind the slot that sounds.
    let state = host.save();
    for _ in 0..5 {
        assert!(host.load(&state));
        host.play_mono(&input[..20_000], &common::partition(20_000, &[512]), Pace::Timed(1.0), &events);
    }
    let output = host.play_mono(&input, &parts, Pace::Free, &[]);
    assert!(output.iter().all(|sample| sample.is_finite()));
}

#[test]
fn the_allocation_check_is_armed() {
    const NAME: &str = "the_allocation_check_is_armed";
    /// A host that allocates when it is asked for its events.
    struct Careless;
    impl clack_host::events::io::InputEventBuffer for Careless {
        fn len(&self) -> u32 {
            std::hint::black_box(Vec::<u8>::with_capacity(std::hint::black_box(100)));
            0
        }
        fn get(&self, _: u32) -> Option<&clack_host::prelude::UnknownEvent> {
            None
        }
    }
    if is_child("careless") {
        let mut host = Host::mono();
        host.activate(RATE, 64);
        Player::new(1, 1, 64).block_with(
            host.processor(),
            &[&[0.0; 64]],
            &clack_host::prelude::InputEvents::from_buffer(&Careless),
            None,
        );
        return;
    }
    let output = run_child(NAME, "careless");
    let is_armed = cfg!(all(feature = "alloccheck", debug_assertions));
    if !is_armed {
        println!("not checked: allocations count only with the feature `alloccheck` in a debug build");
    }
    assert_eq!(output.status.success(), !is_armed, "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod system_calls {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const NAME: &str = "system_calls::the_audio_thread_asks_the_system_for_nothing_but_to_wake_the_worker";

    /// Kills the process at any system call of this thread but waking a futex, reading the clock and ending.
    fn forbid_system_calls() {
        const NUMBER: u32 = 0;
        const SECOND_ARGUMENT: u32 = 16 + 8;
        let load = |offset| libc::sock_filter { code: 0x20, jt: 0, jf: 0, k: offset };
        let and = |mask| libc::sock_filter { code: 0x54, jt: 0, jf: 0, k: mask };
        let equal = |k: i64, jt, jf| libc::sock_filter { code: 0x15, jt, jf, k: k as u32 };
        let end = |k| libc::sock_filter { code: 0x06, jt: 0, jf: 0, k };
        let mut program = [
            load(NUMBER),
            equal(libc::SYS_clock_gettime, 5, 0),
            equal(libc::SYS_exit_group, 4, 0),
            equal(libc::SYS_futex, 0, 4),
            load(SECOND_ARGUMENT),
            and(0x7f),
            equal(i64::from(libc::FUTEX_WAKE), 0, 1),
            end(libc::SECCOMP_RET_ALLOW),
            end(libc::SECCOMP_RET_KILL_PROCESS),
        ];
        let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
        // SAFETY: the program outlives the call, which copies it; both calls change this thread alone.
        let result = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        assert_eq!(result, 0, "the kernel takes the filter: {}", std::io::Error::last_os_error());
    }

    /// Ends the process at once: the thread may not even give back its stack.
    fn end(code: i32) -> ! {
        // SAFETY: nothing has to be cleaned up in this child.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
        unreachable!("the process has ended");
    }

    /// Plays on a thread that may do nothing else. Two seconds of sound with resets.
    fn play_forbidden(is_guilty: bool) {
        let mut host = Host::mono();
        host.activate_ready(RATE, 256);
        let input = common::vocal_like(RATE, 2 * RATE as usize);
        let mut player = Player::new(1, 1, 4_096);
        let processor = host.processor();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                forbid_system_calls();
                let mut due = std::time::Instant::now();
                let mut heard = 0.0f32;
                for (index, block) in input.chunks_exact(256).enumerate() {
                    // No sleeping here: the pace of a host in real time, by looking at the clock. A late block is not
                    // caught up with, because a host that calls faster for a while may be kept waiting.
                    while std::time::Instant::now() < due {
                        std::hint::spin_loop();
                    }
                    player.block(processor, &[block], None);
                    due = std::time::Instant::now() + std::time::Duration::from_secs_f64(256.0 / f64::from(RATE));
                    heard = heard.max(player.output(0)[128].abs());
                    if index % 100 == 99 {
                        processor.reset();
                    }
                }
                if is_guilty {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                end(if heard > 0.1 { 0 } else { 3 });
            });
        });
    }

    #[test]
    fn the_audio_thread_asks_the_system_for_nothing_but_to_wake_the_worker() {
        if is_child("innocent") || is_child("guilty") {
            play_forbidden(is_child("guilty"));
            return;
        }
        let output = run_child(NAME, "innocent");
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?}: {words}", output.status);
        // The same with a system call at the end: the filter is in force.
        let output = run_child(NAME, "guilty");
        assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{:?}", output.status);
    }
}
