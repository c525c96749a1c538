//! A worker that is late, hangs, fails or panics: what is heard, what is counted, and how soon it recovers.
//!
//! The engine turns the signal upside down, so that converted and dry are told apart. The audio thread is under the
//! allocation check throughout.

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coffre::audio::{Controls, Fallback};
use coffre::bridge::{RunState, Trouble};
use coffre::engine::{EngineId, Mode, Setup};
use coffre::onnx::model::{Dim, GraphWriter};
use coffre::onnx::{Graph, Runtime, Settings, queue};
use fake::Rig;
use nice_assert_no_alloc::assert_no_alloc;

// With `alloccheck` the framework has put it there.
#[cfg(not(all(feature = "alloccheck", debug_assertions)))]
#[global_allocator]
static ALLOCATOR: nice_assert_no_alloc::AllocDisabler = nice_assert_no_alloc::AllocDisabler;

const RATE: u32 = 48_000;
const BLOCK: usize = 256;

/// A hop of the engine at [`RATE`].
const HOP: usize = 480;

/// The fade takes 5 ms; what is heard after that is settled to -120 dB of the step.
const SETTLED: usize = 5_000;

/// Largest step that a fade of 5 ms from one side of 0.5 to the other makes, and a little for its rounding.
const GENTLE: f32 = 1.0 / 240.0 * 1.05;

fn rig() -> Rig {
    let mut rig = Rig::new(RATE, BLOCK);
    rig.behaviour.is_inverting.store(true, Ordering::SeqCst);
    rig.warm_up();
    rig
}

/// Plays `count` blocks of `value` slower than real time, so that a busy machine makes nothing late by itself.
fn play(rig: &mut Rig, count: usize, value: f32, controls: &Controls) -> Vec<f32> {
    play_at(rig, count, value, controls, Duration::from_millis(12))
}

fn play_at(rig: &mut Rig, count: usize, value: f32, controls: &Controls, interval: Duration) -> Vec<f32> {
    let mut output = vec![0.0; count * BLOCK];
    for block in output.chunks_exact_mut(BLOCK) {
        let begin = Instant::now();
        block.fill(value);
        assert_no_alloc(|| rig.processor.process(&mut [block], 1, controls, false));
        std::thread::sleep(interval.saturating_sub(begin.elapsed()));
    }
    output
}

fn render(rig: &mut Rig, input: &[f32], controls: &Controls) -> Vec<f32> {
    let mut output = input.to_vec();
    for block in output.chunks_mut(BLOCK) {
        assert_no_alloc(|| rig.processor.process(&mut [block], 1, controls, true));
    }
    output
}

fn largest_step(samples: &[f32]) -> f32 {
    samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
}

/// Blocks until all that is played now is heard.
fn blocks_of_latency(rig: &Rig) -> usize {
    rig.latency.div_ceil(BLOCK)
}

/// The engine hangs for `blocks` blocks, then is let go. Checks what holds for every length, and returns the output.
fn hang(rig: &mut Rig, blocks: usize, controls: &Controls, fallback: f32) -> Vec<f32> {
    let begin = blocks_of_latency(rig) + 4;
    let mut output = play(rig, begin, 0.5, controls);
    assert_eq!(output.last(), Some(&-0.5), "converted");
    let late = rig.telemetry.late_hops();

    rig.behaviour.is_hanging.store(true, Ordering::SeqCst);
    let gap = play(rig, blocks, 0.5, controls);
    assert_eq!(rig.telemetry.run(), RunState::Late);
    if blocks * BLOCK > rig.latency + SETTLED {
        assert!((gap.last().expect("samples") - fallback).abs() < 1e-4, "the fallback sounds: {:?}", gap.last());
    }
    // The gap begins where the last finished hop ends, at most a hop and a block after its input.
    let missing = gap.iter().filter(|sample| **sample != -0.5).count();
    let counted = (rig.telemetry.late_hops() - late) as usize;
    let by_hops = missing / HOP..=missing / HOP + 2;
    assert!(by_hops.contains(&counted), "{counted} late hops for {missing} missing samples");

    rig.behaviour.is_hanging.store(false, Ordering::SeqCst);
    output.extend(gap);
    output
}

#[test]
fn a_late_hop_becomes_the_fallback_without_a_click_and_the_next_ones_are_in_place() {
    for (fallback, level) in [(Fallback::Dry, 0.5), (Fallback::Silence, 0.0)] {
        let mut rig = rig();
        let controls = Controls { fallback, ..Controls::default() };
        // 60 ms: longer than the latency has room for, shorter than what is given up.
        let mut output = hang(&mut rig, 12, &controls, level);
        std::thread::sleep(Duration::from_millis(50));
        let after = play(&mut rig, 8, 0.5, &controls);
        assert_eq!(rig.telemetry.run(), RunState::Converting);
        // The worker had caught up, so the first block after that is converted, from its first sample on.
        let fade = RATE as usize / 200;
        assert!((after[fade + 1..]).iter().all(|sample| (sample + 0.5).abs() < 0.05), "converted after the fade");
        assert_eq!(after.last(), Some(&-0.5));
        let from = rig.latency + 1;
        output.extend(after);
        assert!(largest_step(&output[from..]) < GENTLE, "{fallback:?}: a step of {}", largest_step(&output[from..]));
    }
}

#[test]
fn after_a_long_hang_alignment_is_back_within_a_hop_and_there_is_no_backlog() {
    let mut rig = rig();
    let controls = Controls::default();
    // A second of sound: far more than any ring holds.
    hang(&mut rig, 190, &controls, 0.5);
    let hops = rig.behaviour.hops.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(50));
    // One exchange: this block sends what is kept, the next ones are converted. Their input tells their place.
    let mut input: Vec<f32> = common::vocal_like(RATE, 40 * BLOCK);
    let wanted = input.clone();
    for (index, block) in input.chunks_exact_mut(BLOCK).enumerate() {
        assert_no_alloc(|| rig.processor.process(&mut [block], 1, &controls, false));
        std::thread::sleep(Duration::from_millis(20));
        if index == 0 {
            let count = rig.behaviour.hops.load(Ordering::SeqCst) - hops;
            let kept = rig.latency + RATE as usize / 25 + 2 * BLOCK;
            assert!(count as usize <= kept / HOP + 2, "{count} hops to catch up");
        }
        if index == 1 {
            assert_eq!(rig.telemetry.run(), RunState::Converting, "two blocks are {} samples", 2 * BLOCK);
        }
    }
    // Once the fade is over, every sample is the input of `latency` ago, upside down.
    let from = rig.latency + 2 * BLOCK;
    for n in from..input.len() {
        assert_eq!(input[n], -wanted[n - rig.latency], "sample {n}");
    }
}

#[test]
fn a_worker_slower_than_its_host_never_piles_up_work() {
    let mut rig = rig();
    rig.behaviour.hop_us.store(25_000, Ordering::SeqCst);
    // 150 blocks of 5.3 ms in 12 ms each: the worker gets through half of the hops.
    let output = play(&mut rig, 150, 0.5, &Controls::default());
    assert!(rig.telemetry.late_hops() > 10, "{} late hops", rig.telemetry.late_hops());
    let from = rig.latency + 1;
    assert!(largest_step(&output[from..]) < GENTLE, "a step of {}", largest_step(&output[from..]));
    rig.behaviour.hop_us.store(0, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    let after = play(&mut rig, 4, 0.5, &Controls::default());
    assert_eq!(rig.telemetry.run(), RunState::Converting);
    assert!((after[3 * BLOCK] + 0.5).abs() < 0.05, "converted again: {}", after[3 * BLOCK]);
}

#[test]
fn an_engine_that_computes_ten_hops_at_once_is_back_within_them_after_a_stall() {
    judged(ten_hops_at_once_after_a_stall);
}

#[test]
fn a_shared_device_that_stalls_for_five_seconds_leaves_every_instance_its_nominal_delay_and_no_backlog() {
    judged(three_instances_after_a_stall_of_their_device);
}

/// Does what plays against the wall clock with little to spare, so that a machine that takes the processor away for
/// longer than that fails it through no fault of Coffre: one take of eight has to go well.
#[track_caller]
fn judged(take: fn()) {
    for _ in 0..8 {
        let lateness = Lateness::watch();
        let take = std::panic::catch_unwind(take);
        let lateness = lateness.longest();
        match take {
            Ok(()) => return,
            // Half of the time that the ten hops have to spare: whoever sleeps gets up late, the engine's fault or not.
            Err(_) if lateness > Duration::from_millis(45) => println!("not judged: threads get up {lateness:?} late"),
            Err(fault) => std::panic::resume_unwind(fault),
        }
    }
    panic!("the machine has no time: no take can be judged");
}

/// How late threads get up that only sleep.
struct Lateness(Arc<AtomicBool>, Vec<std::thread::JoinHandle<Duration>>);

impl Lateness {
    fn watch() -> Self {
        const NAP: Duration = Duration::from_millis(5);
        let has_ended = Arc::new(AtomicBool::new(false));
        let count = std::thread::available_parallelism().map_or(2, usize::from);
        let watch = || {
            let has_ended = has_ended.clone();
            std::thread::spawn(move || {
                let mut longest = Duration::ZERO;
                while !has_ended.load(Ordering::SeqCst) {
                    let begin = Instant::now();
                    std::thread::sleep(NAP);
                    longest = longest.max(begin.elapsed().saturating_sub(NAP));
                }
                longest
            })
        };
        let threads = (0..count).map(|_| watch()).collect();
        Self(has_ended, threads)
    }

    fn longest(self) -> Duration {
        self.0.store(true, Ordering::SeqCst);
        self.1.into_iter().map(|thread| thread.join().expect("it only sleeps")).max().unwrap_or_default()
    }
}

fn ten_hops_at_once_after_a_stall() {
    let mut rig = rig();
    rig.reactivate(RATE, BLOCK, Setup { engine: EngineId::Rvc, mode: Mode::Live });
    rig.warm_up();
    let controls = Controls::default();
    // Blocks of 5.3 ms in 12 ms each: the ten hops have 225 ms.
    let portion = 10 * HOP / BLOCK + 1;
    rig.behaviour.burst_us.store(130_000, Ordering::SeqCst);
    let until_heard = blocks_of_latency(&rig);
    let output = play(&mut rig, until_heard + 3 * portion, 0.5, &controls);
    assert_eq!((output.last(), rig.telemetry.late_hops()), (Some(&-0.5), 0), "it keeps up");

    rig.behaviour.stall_us.store(3_000_000, Ordering::SeqCst);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(3_050) {
        play(&mut rig, 1, 0.5, &controls);
    }
    assert!(rig.telemetry.late_hops() > 50, "{} late hops", rig.telemetry.late_hops());
    // What nobody hears is left out, so that the portion that is heard first has all of the time.
    let after = play(&mut rig, portion + 8, 0.5, &controls);
    assert_eq!((after.last(), rig.telemetry.run()), (Some(&-0.5), RunState::Converting), "within ten hops");
    let late = rig.telemetry.late_hops();
    let after = play(&mut rig, 3 * portion, 0.5, &controls);
    assert!(after.iter().all(|sample| *sample == -0.5) && rig.telemetry.late_hops() == late, "and it stays");

    // Slower than its host for good: never a backlog, and well again within ten hops.
    rig.behaviour.burst_us.store(400_000, Ordering::SeqCst);
    play(&mut rig, 8 * portion, 0.5, &controls);
    assert!(rig.telemetry.late_hops() > late + 20, "{} late hops", rig.telemetry.late_hops() - late);
    rig.behaviour.burst_us.store(0, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(450));
    let after = play(&mut rig, portion + 8, 0.5, &controls);
    assert_eq!((after.last(), rig.telemetry.run()), (Some(&-0.5), RunState::Converting));
}

fn three_instances_after_a_stall_of_their_device() {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    let mut writer = GraphWriter::new();
    let x = writer.input("x", &[Dim::Fixed(2)]);
    let y = writer.node("Add", &[&x, &x], &[]);
    writer.output(&y, "y", &[Dim::Fixed(2)]);
    let bytes = writer.finish("quick", &[]);
    let settings = Settings { threads: 1, ..Settings::large() };
    let graph = Graph::open_built(runtime, "quick", [0x57; 32], settings, || Ok(bytes.into())).expect("it loads");
    let mut rigs: Vec<Rig> = (0..3).map(|_| rig()).collect();
    for rig in &mut rigs {
        rig.behaviour.graph.set(graph.clone()).expect("only once");
        rig.reactivate(RATE, BLOCK, Setup { engine: EngineId::Rvc, mode: Mode::Live });
        rig.warm_up();
    }
    let (controls, latency) = (Controls::default(), rigs[0].latency);
    let song = common::vocal_like(RATE, 1_000 * BLOCK);
    let mut heard = vec![Vec::new(); rigs.len()];
    let play_all = |rigs: &mut [Rig], heard: &mut [Vec<f32>], blocks: usize| {
        for _ in 0..blocks {
            let begin = Instant::now();
            for (rig, heard) in rigs.iter_mut().zip(heard.iter_mut()) {
                let mut block = song[heard.len()..heard.len() + BLOCK].to_vec();
                assert_no_alloc(|| rig.processor.process(&mut [&mut block], 1, &controls, false));
                heard.extend(block);
            }
            std::thread::sleep(Duration::from_millis(12).saturating_sub(begin.elapsed()));
        }
    };
    let is_nominal = |heard: &[f32], from: usize| (from..heard.len()).all(|n| heard[n] == -song[n - latency]);
    let late = |rigs: &[Rig]| rigs.iter().map(|rig| rig.telemetry.late_hops()).collect::<Vec<_>>();
    let runs =
        |rigs: &[Rig]| rigs.iter().map(|rig| rig.behaviour.graph_runs.load(Ordering::SeqCst)).collect::<Vec<_>>();

    let portion = 10 * HOP / BLOCK + 1;
    let settled = blocks_of_latency(&rigs[0]) + 1;
    play_all(&mut rigs, &mut heard, settled + 3 * portion);
    assert!(heard.iter().all(|heard| is_nominal(heard, settled * BLOCK)), "it keeps up");
    assert_eq!(late(&rigs), [0; 3]);

    let before = runs(&rigs);
    assert!(before.iter().all(|runs| *runs >= 3), "the device is used: {before:?}");
    let stalled = queue::turn(Duration::from_secs(60)).expect("a turn");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        play_all(&mut rigs, &mut heard, 1);
    }
    assert!(late(&rigs).iter().all(|late| *late > 100), "{:?}", late(&rigs));
    assert!(rigs.iter().all(|rig| rig.telemetry.run() == RunState::Late));
    let during = runs(&rigs);
    assert!(during.iter().zip(&before).all(|(now, before)| now - before <= 1), "{before:?} {during:?}");
    drop(stalled);

    // The ten hops that are a portion, and the fade.
    play_all(&mut rigs, &mut heard, portion + 8);
    assert!(rigs.iter().all(|rig| rig.telemetry.run() == RunState::Converting));
    // 22 would have been asked for meanwhile.
    let after = runs(&rigs);
    assert!(after.iter().zip(&during).all(|(now, during)| now - during <= 4), "{during:?} {after:?}");
    let (from, lost) = (heard[0].len() - 1, late(&rigs));
    play_all(&mut rigs, &mut heard, 4 * portion);
    assert!(heard.iter().all(|heard| is_nominal(heard, from)), "the delay is nominal, to the sample");
    assert_eq!(late(&rigs), lost, "and stays so");
}

#[test]
fn failing_hops_sound_as_the_fallback_for_exactly_their_length() {
    let mut rig = rig();
    let controls = Controls { fallback: Fallback::Silence, ..Controls::default() };
    let input = vec![0.5; 24_000];
    rig.processor.reset();
    let wanted = render(&mut rig, &input, &controls);
    rig.processor.reset();
    rig.behaviour.failing_hops.store(5, Ordering::SeqCst);
    let output = render(&mut rig, &input, &controls);
    // The first five hops fail; the first sample is heard at the latency, and the fifth hop ends five hops after the
    // stream began, which is one hop of input and the engine's delay before that.
    let end = rig.latency + 5 * HOP - fake::ENGINE_LATENCY;
    assert!(output[rig.latency..end].iter().all(|sample| *sample == 0.0), "silence while it fails");
    assert!(output[end] != 0.0 || output[end + 1] != 0.0, "and no longer");
    let settled = end + RATE as usize / 200 + 1;
    assert_eq!(output[settled..], wanted[settled..]);
    assert!(largest_step(&output[end - 10..]) < GENTLE);
    assert_eq!(rig.telemetry.late_hops(), 0, "failing is not being late");
    assert_eq!(rig.behaviour.builds.load(Ordering::SeqCst), 1, "the engine goes on");
}

/// Waits until the loader has said what the worker told it.
fn wait_for(what: &str, is_true: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{what} does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn reasons(rig: &Rig) -> Vec<String> {
    let troubles = rig.telemetry.troubles();
    let reason = |trouble: &Trouble| match trouble {
        Trouble::Stopped { reason } => Some(reason.clone()),
        _ => None,
    };
    troubles.iter().filter_map(reason).collect()
}

#[test]
fn a_failing_engine_is_named_while_it_fails() {
    let mut rig = rig();
    rig.behaviour.failing_hops.store(1_000_000, Ordering::SeqCst);
    render(&mut rig, &[0.5; 9_600], &Controls::default());
    wait_for("the reason", || reasons(&rig).iter().any(|reason| reason.contains("as it was told")));
    rig.behaviour.failing_hops.store(0, Ordering::SeqCst);
    let output = render(&mut rig, &[0.5; 9_600], &Controls::default());
    assert_eq!(output.last(), Some(&-0.5));
    wait_for("the end of the trouble", || reasons(&rig).is_empty());
}

#[test]
fn an_engine_that_does_less_than_it_could_is_named_while_it_does() {
    let degraded = |rig: &Rig| {
        rig.telemetry.troubles().into_iter().find_map(|trouble| match trouble {
            Trouble::Degraded { reason } => Some(reason),
            _ => None,
        })
    };
    let mut rig = rig();
    rig.behaviour.is_degraded.store(true, Ordering::SeqCst);
    let output = render(&mut rig, &[0.5; 9_600], &Controls::default());
    assert_eq!(output.last(), Some(&-0.5), "it goes on");
    wait_for("the reason", || degraded(&rig).is_some_and(|reason| reason.contains("half of it is gone")));
    rig.behaviour.is_degraded.store(false, Ordering::SeqCst);
    render(&mut rig, &[0.5; 9_600], &Controls::default());
    wait_for("the end of the trouble", || degraded(&rig).is_none());
}

#[test]
fn a_track_that_sends_no_numbers_is_told_so() {
    let mut rig = rig();
    let mut input = [0.5; 9_600];
    input[100..105].fill(f32::NAN);
    render(&mut rig, &input, &Controls::default());
    wait_for("the count", || rig.telemetry.troubles().contains(&Trouble::BadInput { samples: 5 }));
    // Gone at the next look without new ones.
    wait_for("the end of the trouble", || rig.telemetry.troubles().is_empty());
}

#[test]
fn a_panicking_engine_is_replaced_three_times_and_then_stopped() {
    let mut rig = rig();
    for turn in 1..=3 {
        rig.behaviour.panics.store(1, Ordering::SeqCst);
        let output = play(&mut rig, 40, 0.5, &Controls::default());
        assert!(largest_step(&output[rig.latency..]) < GENTLE || turn == 1);
        wait_for("another engine", || rig.behaviour.builds.load(Ordering::SeqCst) == 1 + turn);
        std::thread::sleep(Duration::from_millis(50));
        let output = play(&mut rig, 30, 0.5, &Controls::default());
        assert_eq!((output.last(), rig.telemetry.run()), (Some(&-0.5), RunState::Converting), "after panic {turn}");
        assert!(reasons(&rig).iter().any(|reason| reason.contains("panics as it was told")), "{:?}", reasons(&rig));
    }
    rig.behaviour.panics.store(1, Ordering::SeqCst);
    let output = play(&mut rig, 100, 0.5, &Controls::default());
    assert_eq!(rig.telemetry.run(), RunState::Stopped);
    assert!((output.last().expect("samples") - 0.5).abs() < 1e-4, "the dry signal sounds");
    assert_eq!(rig.behaviour.builds.load(Ordering::SeqCst), 4, "no fifth engine");
    // A host that renders does not wait for what will not come.
    let begin = Instant::now();
    render(&mut rig, &[0.5; 9_600], &Controls::default());
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());

    // The user starts again, and so does the engine.
    rig.reactivate(RATE, BLOCK, Mode::Live);
    rig.warm_up();
    let output = play(&mut rig, 20, 0.5, &Controls::default());
    assert_eq!((output.last(), rig.telemetry.run()), (Some(&-0.5), RunState::Converting));
    wait_for("the end of the trouble", || reasons(&rig).is_empty());
}

#[test]
fn an_engine_that_cannot_be_built_leaves_the_dry_signal_and_a_reason() {
    let behaviour = std::sync::Arc::new(fake::Behaviour::default());
    behaviour.failing_builds.store(1, Ordering::SeqCst);
    let mut rig = Rig::with(behaviour, RATE, BLOCK);
    wait_for("the reason", || !reasons(&rig).is_empty());
    let input = common::vocal_like(RATE, 12_000);
    let output = render(&mut rig, &input, &Controls::default());
    assert_eq!(output[rig.latency + SETTLED..], input[SETTLED..input.len() - rig.latency]);
    assert_eq!(rig.telemetry.run(), RunState::Stopped);
}

#[test]
fn a_reset_forgets_a_gap_and_what_was_sounding() {
    let mut rig = rig();
    hang(&mut rig, 30, &Controls::default(), 0.5);
    std::thread::sleep(Duration::from_millis(50));
    assert_no_alloc(|| rig.processor.reset());
    let output = play(&mut rig, 20, 0.0, &Controls::default());
    assert!(output.iter().all(|sample| *sample == 0.0), "nothing of the past is heard");
    assert_eq!(rig.telemetry.run(), RunState::Converting);
}
