//! Starting, stopping and ending in a CLAP host, in any order and at any moment.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use std::time::{Duration, Instant};

use clack_host::events::event_types::{TransportEvent, TransportFlags};
use clack_host::events::{EventFlags, EventHeader};
use clack_host::utils::{BeatTime, SecondsTime};
use coffre::engine::{HopParams, Mode};
use host::{Host, Pace, Player};
use reference::{assert_same, converted, default_params};

const RATE: u32 = 48_000;

/// Longest time that an instance may take to go: the bound of the worker's end, and a busy machine.
const GONE: Duration = Duration::from_millis(1_500);

/// Threads of the plugin in this process.
#[cfg(target_os = "linux")]
fn plugin_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("coffre-")).count()
}

/// Waits until the plugin has exactly so many threads.
#[cfg(target_os = "linux")]
fn wait_for_threads(count: usize) {
    let begin = Instant::now();
    while plugin_threads() != count {
        assert!(begin.elapsed() < Duration::from_secs(10), "{} threads, not {count}", plugin_threads());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn drop_timed(host: Host, what: &str) {
    let begin = Instant::now();
    drop(host);
    assert!(begin.elapsed() < GONE, "{what}: {:?} to go", begin.elapsed());
}

/// One legal walk through the states of a plugin, ending wherever it happens to be.
fn walk(seed: u64, input: &[f32]) {
    let mut random = common::Random(seed);
    let mut host = Host::mono();
    let (mut is_active, mut is_started) = (false, false);
    let mut state = host.save();
    for _ in 0..random.below(14) {
        match (random.below(9), is_active, is_started) {
            (0 | 1, _, _) => {
                let rate = [22_050, 44_100, 48_000, 96_000, 192_000][random.below(5)];
                host.try_activate(rate, [1, 64, 512, 8_192][random.below(4)]).expect("an activation");
                (is_active, is_started) = (true, false);
            }
            (2 | 3, true, false) => {
                host.start();
                is_started = true;
            }
            (4, true, true) => {
                host.stop();
                is_started = false;
            }
            (5, true, _) => host.reset(),
            (6, true, _) => {
                host.deactivate();
                (is_active, is_started) = (false, false);
            }
            (7, _, _) => state = host.save(),
            (8, _, _) => assert!(host.load(&state)),
            (_, true, true) => {
                let len = random.below(3_000);
                let output = host.play_mono(&input[..len], &common::random_partition(len, 700, seed), Pace::Free, &[]);
                assert!(output.iter().all(|sample| sample.is_finite()));
            }
            (_, _, _) => {
                host.set_offline(random.below(2) == 0);
                host.idle();
            }
        }
    }
    drop_timed(host, &format!("walk {seed}"));
}

#[test]
fn a_hundred_lives_in_any_order_end_well() {
    let input = common::vocal_like(RATE, 3_000);
    for seed in 0..100 {
        walk(seed, &input);
    }
}

#[test]
fn an_instance_goes_at_once_whatever_it_is_doing() {
    let input = common::vocal_like(RATE, 24_000);
    for turn in 0..20 {
        // While it loads.
        let mut host = Host::mono();
        host.activate(RATE, 512);
        std::thread::sleep(Duration::from_millis(turn * 3));
        drop_timed(host, "loading");
        // While the worker has everything to do.
        let mut host = Host::mono();
        host.activate_ready(RATE, 512);
        host.play_mono(&input, &[24_000 - 777, 777], Pace::Free, &[]);
        drop_timed(host, "busy");
    }
    // Never activated, and activated but never started.
    drop_timed(Host::new(), "new");
    let mut host = Host::new();
    host.try_activate(RATE, 512).expect("an activation");
    drop_timed(host, "activated");
}

#[cfg(target_os = "linux")]
#[test]
fn no_thread_stays_behind() {
    // Other tests run in this process: count in one of its own.
    const CHILD: &str = "COFFRE_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
        let output = child.args(["--exact", "no_thread_stays_behind", "--nocapture"]).env(CHILD, "1").output();
        let output = output.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    for _ in 0..10 {
        let mut hosts: Vec<Host> = (0..3).map(|_| Host::mono()).collect();
        assert_eq!(plugin_threads(), 0, "an instance that is only looked at has no thread");
        hosts.iter_mut().for_each(|host| host.activate(RATE, 512));
        // A thread takes its name itself, when it runs.
        wait_for_threads(6);
        drop(hosts);
        // The end of an instance is bounded: a loader that needs longer on a busy machine ends by itself.
        wait_for_threads(0);
    }
}

#[test]
fn several_instances_play_at_once_and_each_its_own() {
    let input = common::vocal_like(RATE, 24_000);
    std::thread::scope(|scope| {
        for slot in 0..4usize {
            let input = &input;
            scope.spawn(move || {
                let mut host = Host::mono();
                host.set_offline(true);
                host.set("Voice", &(slot + 1).to_string());
                host.set("Transpose", &(slot as i32 * 3 - 4).to_string());
                host.activate(RATE, 512);
                let latency = host.latency();
                let parts = common::random_partition(input.len(), 900, slot as u64);
                let output = host.play_mono(input, &parts, Pace::Free, &[]);
                let params = HopParams { voice_slot: slot, transpose_st: slot as f32 * 3.0 - 4.0, ..default_params() };
                let wanted = converted(input, RATE, Mode::Live, latency, &[(0, params)]);
                assert_same(&output, &wanted, &format!("instance {slot}"));
            });
        }
    });
}

#[test]
fn a_reset_in_the_middle_of_a_sound_leaves_nothing_of_it() {
    let (input, silence) = (common::vocal_like(RATE, 24_000), vec![0.0; 12_000]);
    let mut host = Host::mono();
    host.set_offline(true);
    host.activate(RATE, 512);
    let wanted = converted(&input, RATE, Mode::Live, host.latency(), &[(0, default_params())]);
    for len in [1, 500, 2_222, 9_999, 20_000] {
        host.play_mono(&input[..len], &common::partition(len, &[512]), Pace::Free, &[]);
        host.reset();
        let output = host.play_mono(&silence, &common::partition(12_000, &[512]), Pace::Free, &[]);
        assert!(output.iter().all(|sample| *sample == 0.0), "silence after {len} samples and a reset");
        host.play_mono(&input[..len], &common::partition(len, &[512]), Pace::Free, &[]);
        host.stop();
        host.start();
        let output = host.play_mono(&input, &common::partition(24_000, &[512]), Pace::Free, &[]);
        assert_same(&output, &wanted, &format!("as if new after {len} samples"));
    }
    // In real time too, at once after the reset.
    host.activate_ready(RATE, 512);
    for _ in 0..5 {
        host.play_mono(&input, &common::partition(24_000, &[512]), Pace::Timed(2.0), &[]);
        host.reset();
        let output = host.play_mono(&silence, &common::partition(12_000, &[512]), Pace::Timed(1.0), &[]);
        assert!(output.iter().all(|sample| *sample == 0.0));
    }
}

/// A transport that plays at `seconds`.
fn transport(seconds: f64) -> TransportEvent {
    TransportEvent {
        header: EventHeader::new_core(0, EventFlags::empty()),
        flags: TransportFlags::IS_PLAYING | TransportFlags::HAS_SECONDS_TIMELINE | TransportFlags::HAS_TEMPO,
        song_pos_beats: BeatTime::from_float(2.0 * seconds),
        song_pos_seconds: SecondsTime::from_float(seconds),
        tempo: 120.0,
        tempo_inc: 0.0,
        loop_start_beats: BeatTime::from_float(0.0),
        loop_end_beats: BeatTime::from_float(0.0),
        loop_start_seconds: SecondsTime::from_float(0.0),
        loop_end_seconds: SecondsTime::from_float(0.0),
        bar_start: BeatTime::from_float(0.0),
        bar_number: 0,
        time_signature_numerator: 4,
        time_signature_denominator: 4,
    }
}

#[test]
fn a_jumping_transport_changes_no_sample() {
    let input = common::vocal_like(RATE, 24_000);
    let mut host = Host::mono();
    host.set_offline(true);
    host.activate(RATE, 512);
    let wanted = converted(&input, RATE, Mode::Live, host.latency(), &[(0, default_params())]);
    let (mut player, mut random, mut output) = (Player::new(1, 1, 480), common::Random(1), Vec::new());
    for block in input.chunks_exact(480) {
        let jump = transport(f64::from(random.sample()) * 1e4);
        player.block(host.processor(), &[block], Some(&jump));
        output.extend_from_slice(&player.output(0)[..480]);
    }
    assert_same(&output, &wanted, "jumps");
}

#[test]
fn every_rate_of_a_host_is_played_and_others_are_refused() {
    for rate in [22_050, 32_000, 44_100, 47_952, 48_000, 64_000, 88_200, 96_000, 176_400, 192_000] {
        let mut host = Host::mono();
        host.set_offline(true);
        host.activate(rate, 512);
        let latency = host.latency();
        // Besides the room for the host's blocks.
        assert!((latency - 512) * 1_000 < 50 * rate as usize, "{rate} Hz: {latency} samples");
        let input = common::vocal_like(rate, rate as usize / 2);
        let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Free, &[]);
        let wanted = converted(&input, rate, Mode::Live, latency, &[(0, default_params())]);
        assert_same(&output, &wanted, &format!("{rate} Hz"));
    }
    let mut host = Host::mono();
    for rate in [1, 999, 1_536_001, 4_000_000_000] {
        assert!(host.try_activate(rate, 512).is_err(), "{rate} Hz");
    }
    host.activate(RATE, 512);
}

#[test]
fn a_thread_of_its_own_for_every_block_is_the_same() {
    let input = common::vocal_like(RATE, 12_000);
    let mut host = Host::mono();
    host.set_offline(true);
    host.activate(RATE, 512);
    let wanted = converted(&input, RATE, Mode::Live, host.latency(), &[(0, default_params())]);
    let output: Vec<f32> =
        input.chunks(100).flat_map(|block| host.play_mono(block, &[block.len()], Pace::Free, &[])).collect();
    assert_same(&output, &wanted, "threads");
}
