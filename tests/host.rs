//! The plugin in a CLAP host: delay, block lengths, clocks, channel layouts.
//!
//! Run with the feature `alloccheck`, an allocation in `process()` or `reset()` ends the program.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use std::sync::atomic::Ordering;

use coffre::engine::Mode;
use host::{Host, Pace};
use reference::{assert_same, converted, default_params, delayed};

const RATES: [u32; 3] = [44_100, 48_000, 96_000];

/// A tenth of the pace, so that a busy machine has little say in it; to the plugin it is a host in real time, which must
/// never wait.
const PLAYING: Pace = Pace::Timed(0.1);

/// Takes of a host that plays, of which one has to be right: on a machine that gives the worker less than ten times its
/// time at a wrong moment, late hops are what has to be heard.
const TAKES: usize = 4;

/// A take of singing, not longer than the engine needs to do all it can.
fn vocal(rate: u32) -> Vec<f32> {
    common::vocal_like(rate, rate as usize * 3 / 5)
}

fn offline(rate: u32, longest_block: u32) -> Host {
    let mut host = Host::mono();
    host.set_offline(true);
    host.activate(rate, longest_block);
    host
}

#[test]
fn the_raw_delay_is_the_reported_latency() {
    for mode in [Mode::Live, Mode::Mix] {
        for rate in RATES {
            let (mut host, input) = (offline(rate, 512), vocal(rate));
            if mode == Mode::Mix {
                host.set("Latency mode", "Mix");
                host.activate(rate, 512);
            }
            let latency = host.latency();
            let what = format!("{mode:?}, {rate} Hz");
            let limit_ms = if mode == Mode::Live { 60 } else { 300 };
            assert!(latency * 1_000 <= limit_ms * rate as usize, "{what}: {latency} samples");

            let parts = common::partition(input.len(), &[512]);
            let output = host.play_mono(&input, &parts, Pace::Free, &[]);
            let wanted = converted(&input, rate, mode, latency, &[(0, default_params())]);
            assert_same(&output, &wanted, &format!("{what}, converted"));

            for (name, text) in [("Mix", "0"), ("Bypass", "on")] {
                host.set(name, text);
                host.reset();
                let output = host.play_mono(&input, &parts, Pace::Free, &[]);
                assert_same(&output, &delayed(&input, latency), &format!("{what}, {name} {text}"));
            }
            assert_eq!(host.latency(), latency, "{what}: constant while active");
        }
    }
}

#[test]
fn without_voice_and_shift_the_converted_signal_is_the_input_at_exactly_the_latency() {
    // The engine's own delay, not only that of the stream around it: with an empty slot and no shift it passes what it
    // gets, so the difference to the delayed input is small at the right delay and nowhere else.
    for rate in RATES {
        let (mut host, input) = (offline(rate, 512), vocal(rate));
        host.set("Voice", "16");
        host.set("Register", "Off");
        host.activate(rate, 512);
        let latency = host.latency();
        let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Free, &[]);
        let from = rate as usize / 3;
        let error = |delay: usize| -> f64 {
            (from..input.len()).map(|n| f64::from(output[n] - input[n - delay]).powi(2)).sum()
        };
        let (best, around) = (error(latency), [error(latency - 1), error(latency + 1)]);
        let power: f64 = input[from..].iter().map(|sample| f64::from(*sample).powi(2)).sum();
        assert!(best < 0.01 * power, "{rate} Hz: {best} of {power}");
        assert!(around.iter().all(|other| *other > best), "{rate} Hz: {around:?} beside {best}");
    }
}

#[test]
fn another_mode_asks_for_a_restart_once_and_changes_nothing_before() {
    let mut host = offline(48_000, 512);
    let input = vocal(48_000);
    let latency = host.latency();
    // The framework asks for one of its own after each activation that changed the latency.
    let asked = host.asked.restarts.load(Ordering::SeqCst);
    let mode = host.event(20_000, "Latency mode", "Mix");
    let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Free, &[mode]);
    assert_eq!(host.asked.restarts.load(Ordering::SeqCst), asked + 1, "one request, however many blocks follow");
    assert_eq!(host.latency(), latency);
    let wanted = converted(&input, 48_000, Mode::Live, latency, &[(0, default_params())]);
    assert_same(&output, &wanted, "played on in live mode");

    host.activate(48_000, 512);
    assert!(host.latency() > latency);
    let asked = host.asked.restarts.load(Ordering::SeqCst);
    host.play_mono(&input[..4_096], &[4_096], Pace::Free, &[]);
    assert_eq!(host.asked.restarts.load(Ordering::SeqCst), asked, "the mode is the one that is asked for");
}

#[test]
fn any_partition_gives_the_same_samples() {
    let rate = 48_000;
    let (mut host, input) = (offline(rate, 4_096), vocal(rate));
    let wanted = converted(&input, rate, Mode::Live, host.latency(), &[(0, default_params())]);
    let mut partitions = vec![common::random_partition(input.len(), 5_000, 11)];
    partitions.push(common::partition(input.len(), &[1, 0, 17, 0, 0, 480, 3, 479, 1_021]));
    for len in [17, 64, 441, 480, 1_024, 4_096, 9_000] {
        partitions.push(common::partition(input.len(), &[len]));
    }
    for parts in &partitions {
        host.reset();
        let output = host.play_mono(&input, parts, Pace::Free, &[]);
        assert_same(&output, &wanted, &format!("blocks of {:?}", &parts[..4]));
    }
    // A fifth of a second in single samples: the sound begins after 50 ms.
    host.reset();
    let len = rate as usize / 5;
    let output = host.play_mono(&input[..len], &vec![1; len], Pace::Free, &[]);
    assert_same(&output, &wanted[..len], "single samples");
}

#[test]
fn announced_lengths_change_the_latency_and_not_the_sound() {
    let (rate, input) = (48_000, vocal(48_000));
    let begin = |output: &[f32], latency: usize| output[latency..].to_vec();
    let mut sounds = Vec::new();
    for announced in [1, 64, 480, 2_048, 8_192] {
        let mut host = offline(rate, announced);
        let latency = host.latency();
        let output = host.play_mono(&input, &common::partition(input.len(), &[480]), Pace::Free, &[]);
        sounds.push((announced, begin(&output, latency)));
    }
    for (announced, sound) in &sounds[1..] {
        let len = sound.len().min(sounds[0].1.len());
        assert_same(&sound[..len], &sounds[0].1[..len], &format!("{announced} samples announced"));
    }
}

#[test]
fn playing_rendering_and_freewheeling_are_the_same() {
    let (rate, input) = (48_000, common::vocal_like(48_000, 12_000));
    let mut host = Host::mono();
    for block in [480, 2_048] {
        let parts = common::partition(input.len(), &[block as usize]);
        host.activate_ready(rate, block);
        let wanted = converted(&input, rate, Mode::Live, host.latency(), &[(0, default_params())]);
        let mut take = || {
            host.activate_ready(rate, block);
            host.play_mono(&input, &parts, PLAYING, &[])
        };
        if !(1..TAKES).any(|_| take() == wanted) {
            assert_same(&take(), &wanted, &format!("playing, blocks of {block}"));
        }
        // As fast as it can, saying that it plays. It is known for that after a moment.
        host.activate_ready(rate, block);
        let silence = vec![0.0; 96_000];
        host.play_mono(&silence, &common::partition(96_000, &[block as usize]), Pace::Free, &[]);
        host.reset();
        let output = host.play_mono(&input, &parts, Pace::Free, &[]);
        assert_same(&output, &wanted, &format!("freewheeling, blocks of {block}"));
    }
}

#[test]
fn a_host_with_longer_blocks_than_it_announced_is_asked_to_restart() {
    // What is heard of such blocks is tested where they are rendered, and with an engine that costs nothing.
    let (rate, input) = (48_000, common::vocal_like(48_000, 24_576));
    let mut host = Host::mono();
    host.activate_ready(rate, 256);
    let before = host.latency();
    let asked = host.asked.restarts.load(Ordering::SeqCst);
    let output = host.play_mono(&input, &common::partition(input.len(), &[4_096]), PLAYING, &[]);
    assert!(output.iter().all(|sample| sample.is_finite()));
    assert_eq!(host.asked.restarts.load(Ordering::SeqCst), asked + 1);
    assert_eq!(host.latency(), before, "constant while active");
    host.activate(rate, 256);
    assert!(host.latency() >= before - 256 + 4_096, "room for what was seen: {}", host.latency());
}

#[test]
fn every_layout_carries_its_channels() {
    let (rate, left) = (48_000, vocal(48_000));
    let right: Vec<f32> = left.iter().rev().map(|sample| 0.5 * sample).collect();
    let sum: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) * 0.5).collect();
    let parts = common::random_partition(left.len(), 1_500, 5);
    for (index, channels) in [(0, (2, 2)), (1, (1, 2)), (2, (1, 1))] {
        let mut host = Host::new();
        host.select_layout(index, channels);
        host.set_offline(true);
        host.activate(rate, 512);
        let (latency, what) = (host.latency(), format!("{channels:?}"));
        let output = host.play(&[&left, &right], &parts, Pace::Free, &[]);
        assert_eq!(output.len(), channels.1);
        let heard = if channels.0 == 2 { &sum } else { &left };
        let wanted = converted(heard, rate, Mode::Live, latency, &[(0, default_params())]);
        for channel in &output {
            assert_same(channel, &wanted, &format!("{what}, converted"));
        }
        host.set("Mix", "0");
        host.reset();
        let output = host.play(&[&left, &right], &parts, Pace::Free, &[]);
        assert_same(&output[0], &delayed(&left, latency), &format!("{what}, dry left"));
        let second = if channels.0 == 2 { &right } else { &left };
        if channels.1 == 2 {
            assert_same(&output[1], &delayed(second, latency), &format!("{what}, dry right"));
        }
    }
}
