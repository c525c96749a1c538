//! Thousands of schedules against the clock: jitter, bursts, stalls, catching up, renders.

use super::ledger::{DRIFT, FLAT_WINDOWS, MEMORY_S};
use super::model::*;
use super::*;

#[test]
fn no_host_in_real_time_is_ever_kept_waiting() {
    let (mut stalled, mut bursts) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random(seed);
        let schedule = RealTime::random(&mut random);
        let mut host = Host::new(schedule.block);
        schedule.play(&mut host, &mut random);
        assert_eq!(host.longest, Duration::ZERO, "seed {seed}: {schedule:?}");
        assert!(host.clock.is_real_time() && !host.clock.habits().has_rendered, "seed {seed}: {schedule:?}");
        stalled += schedule.stalls.len();
        bursts += usize::from(schedule.burst > 1);
    }
    assert!(stalled > 6_000 && bursts > 1_000, "{stalled} stalls, {bursts} hosts with bursts");
}

#[test]
fn forty_milliseconds_three_times_within_a_second_are_caught_up_with_for_ever() {
    for missed in [Missed::AtOnce, Missed::AtSpeed(2.0), Missed::Dropped] {
        for (block, burst) in [(64, 1), (256, 1), (512, 1), (512, 8), (1_024, 4)] {
            let stalls = (1..90).map(|turn| (f64::from(turn) / 3.0, 0.04, missed)).collect();
            let schedule =
                RealTime { block, burst, jitter_s: 0.002, speed: 1.0, seconds: 30.0, stalls, resets: Vec::new() };
            let mut host = Host::new(block);
            schedule.play(&mut host, &mut Random(1));
            assert_eq!(host.longest, Duration::ZERO, "{burst} times {block}, {missed:?}");
        }
    }
}

#[test]
fn a_render_is_recognised_within_the_bound_and_stays_so() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let render = Render::random(&mut random);
        let mut host = Host::new(render.block);
        let owed_s = if random.chance(0.5) {
            // It was played in real time before, and has been late or paused.
            host.play(200 + random.within(0.0, 400.0) as usize);
            let pause_s = random.spread(0.001, 10.0);
            host.now_s += pause_s;
            if random.chance(0.3) {
                host.reset();
            }
            pause_s + DRIFT * host.audio_s + host.block_s()
        } else {
            0.0
        };
        let found = render.play(&mut host, render.bound_s(owed_s, true) + 5.0);
        let bound_s = render.bound_s(owed_s, !host.waited.is_zero());
        assert!(found.is_some_and(|found| found <= bound_s), "seed {seed}: {found:?} > {bound_s}, {render:?}");
        assert!(!host.clock.is_real_time(), "seed {seed}: {render:?} is left again");
    }
}

#[test]
fn rendering_ends_with_the_wall_clocks_pace() {
    for seed in 0..500 {
        let mut random = Random(seed);
        let render = Render::random(&mut random);
        let mut host = Host::new(render.block);
        render.play(&mut host, 6.0);
        assert!(!host.clock.is_real_time());
        let begin_s = host.audio_s;
        while !host.clock.is_real_time() {
            host.worker = Some((host.now_s, 50.0));
            host.play(1);
            let window_s = 0.1 + (RENDERING_LEAD_BLOCKS + 1.0) * host.block_s();
            let longest_s = f64::from(FLAT_WINDOWS + 2) * window_s;
            assert!(host.audio_s - begin_s < longest_s, "seed {seed}: {render:?}");
        }
        // From here on it is a host like any other, stalls and all.
        (host.worker, host.longest) = (None, Duration::ZERO);
        for _ in 0..30 {
            host.play(20);
            host.now_s += 0.04;
            host.hurry(1, (0.04 / host.block_s()) as usize, 1e9);
        }
        assert_eq!(host.longest, Duration::ZERO, "seed {seed}: {render:?}");
    }
}

#[test]
fn a_host_that_plays_after_a_render_and_a_reset_is_never_kept_waiting() {
    for seed in 0..1_000 {
        let mut random = Random(seed);
        let render = Render::random(&mut random);
        let mut host = Host::new(render.block);
        render.play(&mut host, 6.0);
        assert!(!host.clock.is_real_time());
        host.now_s += random.spread(1e-5, 1.0);
        host.reset();
        (host.worker, host.longest) = (None, Duration::ZERO);
        let seconds = 5.0;
        let stalls = (1..40).map(|turn| (f64::from(turn) / 8.0, random.within(0.0, 0.1), Missed::AtOnce)).collect();
        let jitter_s = random.within(0.0, 0.004);
        let schedule =
            RealTime { block: render.block, burst: 1, jitter_s, speed: 1.0, seconds, stalls, resets: Vec::new() };
        // On time with its first call.
        host.calls = 0;
        schedule.play(&mut host, &mut random);
        assert_eq!(host.longest, Duration::ZERO, "seed {seed}: {render:?}, {schedule:?}");
    }
}

/// Renders, and asserts that all that is due is waited for.
fn assert_all_is_waited_for(mut host: Host, speed: f64, pace: f64, what: &str) {
    let mut worker_s = host.now_s;
    for call in 0..2_000 {
        host.clock.begin(host.now(), host.block, false);
        host.position += host.block;
        let is_due = host.position > LATENCY + host.block.max(192);
        let allowed_s = host.clock.patience(host.need(is_due), PROGRESS).as_secs_f64();
        // What is due came with an earlier block: the slack is a block and 4 ms at least.
        let missing_s = if is_due { (worker_s - host.now_s).max(0.0) } else { 0.0 };
        worker_s = worker_s.max(host.now_s) + host.block_s() / pace;
        assert!(missing_s <= allowed_s, "{what}, call {call}: {missing_s} s are missing, {allowed_s} s allowed");
        host.now_s += missing_s + BUSY_S;
        host.clock.end(host.now(), Duration::from_secs_f64(missing_s));
        host.now_s += (host.block_s() / speed - BUSY_S).max(0.0);
    }
}

#[test]
fn a_render_is_waited_for_from_its_first_sound_on() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let block = random.one_of(&[64, 128, 256, 441, 512, 1_024, 2_048]);
        let (speed, pace) = (random.spread(2.0, 100.0), random.spread(4.0, 50.0));
        let what = format!("seed {seed}: {block} at {speed}, worker at {pace}");
        assert_all_is_waited_for(Host::new(block), speed, pace, &what);
    }
}

#[test]
fn a_second_render_is_waited_for_with_any_worker() {
    for seed in 0..2_000 {
        let mut random = Random(seed);
        let block = random.one_of(&[64, 128, 256, 441, 512, 1_024]);
        let (speed, pace) = (random.spread(3.0, 100.0), random.spread(0.1, 50.0));
        let mut host = Host::new(block);
        if random.chance(0.5) {
            host.clock.set_habits(Habits { has_rendered: true, burst_s: 0.0 });
        } else {
            Render { block, burst: 1, speed, worker: 10.0 }.play(&mut host, 3.0);
            host.now_s += random.spread(1e-5, 10.0);
            host.reset();
        }
        assert_all_is_waited_for(host, speed, pace, &format!("seed {seed}: {block} at {speed}, worker at {pace}"));
    }
    // Seen to play since, it is not believed any more.
    let mut host = Host::new(480);
    host.clock.set_habits(Habits { has_rendered: true, burst_s: 0.0 });
    host.play(100);
    assert!(!host.clock.habits().has_rendered);
    host.reset();
    host.hurry(20, 1, 1e9);
    assert!(host.clock.is_real_time());
}

#[test]
fn rendering_is_recognised_with_a_worker_slower_than_real_time() {
    for worker in [2.0, 1.1, 1.0, 0.9, 0.5, 0.1] {
        let render = Render { block: 480, burst: 1, speed: 100.0, worker };
        let found = render.play(&mut Host::new(480), 2.0);
        assert!(found.is_some_and(|seconds| seconds < render.bound_s(0.0, true)), "{worker}: {found:?}");
    }
}

#[test]
fn a_host_ahead_of_its_sound_card_is_not_taken_for_rendering_whatever_the_worker_does() {
    // A worker barely faster than real time uses up all that it is given, so that a host further ahead than a block and
    // jitter looks like one that renders.
    for (worker, far) in
        [(2.0, [0.05, 0.2]), (1.1, [0.0, 0.0]), (1.0, [0.0, 0.0]), (0.7, [0.0, 0.0]), (0.1, [0.0, 0.0])]
    {
        for ahead_s in [0.005, 0.01, far[0], far[1]] {
            let mut host = Host::new(480);
            host.worker = Some((0.0, worker));
            for call in 0..3_000 {
                host.now_s = host.now_s.max(f64::from(call) * host.block_s() - ahead_s);
                host.call();
                assert!(host.clock.is_real_time(), "{ahead_s} s ahead, worker at {worker}, call {call}");
            }
            // Filling its buffers it may be kept waiting, by less than it is ahead.
            assert!(host.waited.as_secs_f64() <= (ahead_s - 0.005).max(0.0), "{ahead_s}, {worker}: {:?}", host.waited);
        }
    }
}

#[test]
fn what_is_ambiguous_costs_one_wait_less_than_the_lead() {
    // Right after an activation, with a worker that stands still: eight blocks for a period, or 300 and 200 ms at once.
    for (block, count) in [(512, 8), (1_024, 8), (512, 28), (64, 150)] {
        let mut host = Host::new(block);
        for _ in 0..20 {
            let waited = host.waited;
            (0..count).for_each(|_| {
                host.call();
            });
            host.now_s += f64::from(count) * host.block_s() - (host.waited - waited).as_secs_f64();
        }
        let lead_s = f64::from(count) * host.block_s();
        assert!(host.waited.as_secs_f64() < lead_s - host.block_s(), "{:?} of {lead_s}", host.waited);
        assert!(host.waited <= Duration::from_millis(60), "{count} of {block}: {:?}", host.waited);
    }
}

#[test]
fn a_reset_while_a_host_catches_up_is_no_render() {
    for stall_s in [0.04, 0.3, 3.0] {
        for block in [64, 512, 2_048] {
            let mut host = Host::new(block);
            host.play(300.max(96_000 / block));
            for _ in 0..3 {
                host.now_s += stall_s;
                host.reset();
                host.hurry(1, (stall_s / host.block_s()) as usize, 1e9);
                host.play(10);
            }
            assert!(host.clock.is_real_time());
            assert_eq!(host.waited, Duration::ZERO, "{stall_s} s, {block}");
        }
    }
}

#[test]
fn a_hanging_worker_is_waited_for_once() {
    let mut host = Host::new(480);
    host.clock.begin(host.now(), 480, true);
    assert_eq!(host.clock.patience(host.need(true), PROGRESS), RENDER_PATIENCE);
    host.clock.waited_in_vain(PROGRESS);
    assert_eq!(host.clock.patience(host.need(true), PROGRESS), Duration::ZERO);
    assert_eq!(host.clock.patience(host.need(true), (1, 3)), RENDER_PATIENCE, "it moves again");

    let mut host = Host::new(480);
    host.hurry(400, 1, 1e9);
    assert!(!host.clock.is_real_time());
    assert!(host.waited <= RENDER_PATIENCE + Duration::from_millis(60), "{:?}", host.waited);
}

#[test]
fn what_a_host_never_asks_for_is_forgotten() {
    let mut host = Host::new(480);
    host.play(300);
    host.now_s += 5.0;
    host.play((2.1 * MEMORY_S / host.block_s()) as usize);
    let render = Render { block: 480, burst: 1, speed: 100.0, worker: 10.0 };
    let found = render.play(&mut host, 2.0).expect("recognised");
    assert!(found < render.bound_s(0.0, true), "{found}");
}

#[test]
fn a_longer_block_than_promised_may_wait_half_its_length_if_it_is_on_time() {
    let long = Need { len: 9_600, is_loading: false, is_due: true };
    let mut host = Host::new(480);
    host.clock.begin(host.now(), long.len, false);
    let patience = host.clock.patience(long, PROGRESS);
    assert!(patience > Duration::from_millis(99) && patience < Duration::from_millis(101), "{patience:?}");
    assert_eq!(host.clock.patience(Need { is_loading: true, ..long }, PROGRESS), Duration::ZERO, "not for loading");

    // One that catches up with a long block has no time for that.
    for late_s in [0.0, 0.19, 0.3] {
        let mut host = Host::new(480);
        host.play(300);
        host.now_s += late_s;
        host.clock.begin(host.now(), long.len, false);
        assert_eq!(host.clock.patience(long, PROGRESS) > Duration::ZERO, late_s == 0.0, "{late_s} s late");
    }
}
