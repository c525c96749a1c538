//! Whatever the host's blocks and whatever its clock, the output is the same, bit for bit.

mod common;
#[path = "common/fake.rs"]
mod fake;

use coffre::audio::Controls;
use coffre::engine::stream::HostStream;
use coffre::engine::{HopParams, IdentityEngine};
use fake::{Pace, Rig};

/// What the engine's stream gives alone, without threads: the reference.
fn reference(input: &[f32], host_rate: u32, latency: usize) -> Vec<f32> {
    let mut stream = HostStream::new(Box::new(IdentityEngine::new(fake::ENGINE_LATENCY)), host_rate).expect("a rate");
    stream.push(input);
    while stream.run_hop().is_some() {}
    let mut all = vec![0.0; stream.available()];
    stream.read(&mut all);
    let mut output = vec![0.0; latency];
    output.extend(&all[stream.latency_len()..]);
    output.truncate(input.len());
    output
}

fn assert_same(output: &[f32], wanted: &[f32], what: &str) {
    for (n, (a, b)) in output.iter().zip(wanted).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "{what}: sample {n} is {a}, not {b}");
    }
    assert_eq!(output.len(), wanted.len());
}

#[test]
fn any_partition_gives_the_output_of_the_stream_offline() {
    for (host_rate, block_len) in [(48_000, 256), (44_100, 512), (96_000, 2_048), (22_050, 64), (44_101, 1)] {
        let input = common::vocal_like(host_rate, host_rate as usize / 2);
        let mut rig = Rig::new(host_rate, block_len);
        let wanted = reference(&input, host_rate, rig.latency);
        let partitions = [
            common::partition(input.len(), &[block_len]),
            common::partition(input.len(), &[1, 0, 17, 480, 3, 479, 1_021]),
            common::partition(input.len(), &[8_192]),
            common::random_partition(input.len(), 3 * block_len, 1),
        ];
        for (turn, parts) in partitions.iter().enumerate() {
            rig.processor.reset();
            let output = rig.play(&input, parts, Pace::Offline, &Controls::default());
            assert_same(&output, &wanted, &format!("{host_rate} Hz, partition {turn}"));
        }
        assert_eq!(rig.telemetry.late_hops(), 0);
    }
}

#[test]
fn blocks_of_one_sample_are_the_same_too() {
    let input = common::vocal_like(48_000, 9_600);
    let mut rig = Rig::new(48_000, 512);
    let wanted = reference(&input, 48_000, rig.latency);
    let output = rig.play(&input, &vec![1; input.len()], Pace::Offline, &Controls::default());
    assert_same(&output, &wanted, "single samples");
}

#[test]
fn playing_and_rendering_unannounced_give_the_same_samples() {
    let input = common::vocal_like(48_000, 72_000);
    for block_len in [256, 512] {
        let mut rig = Rig::new(48_000, block_len);
        // A hop costs something, so that a host which does not wait would be early.
        rig.behaviour.hop_us.store(1_500, std::sync::atomic::Ordering::SeqCst);
        let wanted = reference(&input, 48_000, rig.latency);
        for pace in [Pace::RealTime, Pace::Freewheel, Pace::Offline] {
            // In real time a busy machine can make a hop late, and the fallback is heard then: such a take says nothing.
            let takes = if pace == Pace::RealTime { 6 } else { 1 };
            let is_in_time = (0..takes).any(|_| {
                rig.reactivate(48_000, block_len, coffre::engine::Mode::Live);
                rig.warm_up();
                let late = rig.telemetry.late_hops();
                let parts = common::partition(input.len(), &[block_len]);
                let output = rig.play(&input, &parts, pace, &Controls::default());
                let is_in_time = rig.telemetry.late_hops() == late;
                if is_in_time {
                    assert_same(&output, &wanted, &format!("{pace:?}, blocks of {block_len}"));
                }
                is_in_time
            });
            assert!(is_in_time, "{pace:?}, blocks of {block_len}: late in every take");
        }
    }
}

#[test]
fn a_block_longer_than_announced_is_served_in_full() {
    let input = common::vocal_like(48_000, 48_000);
    let mut rig = Rig::new(48_000, 512);
    let wanted = reference(&input, 48_000, rig.latency);
    rig.warm_up();
    let output = rig.play(&input, &common::partition(input.len(), &[4_096]), Pace::RealTime, &Controls::default());
    assert_same(&output, &wanted, "long blocks in real time");
}

#[test]
fn the_dry_signal_is_delayed_by_the_reported_latency() {
    let input = common::vocal_like(44_100, 20_000);
    let mut rig = Rig::new(44_100, 300);
    let controls = Controls { mix: 0.0, ..Controls::default() };
    let output = rig.play(&input, &common::random_partition(input.len(), 700, 3), Pace::Offline, &controls);
    let latency = rig.latency;
    assert!(output[..latency].iter().all(|sample| *sample == 0.0));
    assert_same(&output[latency..], &input[..input.len() - latency], "dry");
}

#[test]
fn mix_and_gains_act_exactly_latency_after_their_event() {
    let mut rig = Rig::new(48_000, 512);
    let input = vec![0.5f32; 12_000];
    let mut output = input.clone();
    let event = 5_001;
    let (early, late) = output.split_at_mut(event);
    let quiet = Controls { output_gain: 0.0, ..Controls::default() };
    rig.processor.process(&mut [early], 1, &Controls::default(), true);
    rig.processor.process(&mut [late], 1, &quiet, true);
    let heard = event + rig.latency;
    assert_eq!(output[heard - 1], 0.5);
    assert!(output[heard] < 0.5, "the change is heard at {heard}: {}", output[heard]);
    assert_eq!(output[heard + 480], 0.0);

    // The input gain acts at the entry, on converted and dry alike: the same place.
    for mix in [0.0, 1.0] {
        rig.processor.reset();
        let mut output = input.clone();
        let (early, late) = output.split_at_mut(event);
        let before = Controls { mix, ..Controls::default() };
        rig.processor.process(&mut [early], 1, &before, true);
        rig.processor.process(&mut [late], 1, &Controls { input_gain: 0.0, ..before }, true);
        assert_eq!(output[heard - 1], 0.5);
        assert!(output[heard] < 0.5 && output[heard + 480] == 0.0);
    }
}

#[test]
fn stereo_keeps_its_dry_sides_and_sends_the_sum_to_the_engine() {
    let mut rig = Rig::new(48_000, 512);
    let latency = rig.latency;
    let (left, right) = (common::vocal_like(48_000, 9_000), vec![0.25f32; 9_000]);
    let mut outputs = [left.clone(), right.clone()];
    let [a, b] = &mut outputs;
    rig.processor.process(&mut [a, b], 2, &Controls { mix: 0.0, ..Controls::default() }, true);
    assert_same(&outputs[0][latency..], &left[..9_000 - latency], "left");
    assert_same(&outputs[1][latency..], &right[..9_000 - latency], "right");

    rig.processor.reset();
    let mut outputs = [left.clone(), right.clone()];
    let [a, b] = &mut outputs;
    rig.processor.process(&mut [a, b], 2, &Controls::default(), true);
    assert_eq!(outputs[0], outputs[1]);
    let sum: Vec<f32> = left.iter().zip(&right).map(|(l, r)| (l + r) * 0.5).collect();
    assert_same(&outputs[0][latency..], &sum[..9_000 - latency], "sum");

    // One input, two outputs: both hear it, dry and converted.
    rig.processor.reset();
    let mut outputs = [left.clone(), vec![9.0; 9_000]];
    let [a, b] = &mut outputs;
    rig.processor.process(&mut [a, b], 1, &Controls { mix: 0.5, ..Controls::default() }, true);
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn a_bypassed_instance_passes_the_untouched_input() {
    let mut rig = Rig::new(48_000, 512);
    let input = common::vocal_like(48_000, 9_000);
    let controls = Controls {
        is_bypassed: true,
        input_gain: 3.0,
        output_gain: 0.1,
        hop: HopParams::default(),
        ..Controls::default()
    };
    let output = rig.play(&input, &common::partition(9_000, &[512]), Pace::Offline, &controls);
    assert_same(&output[rig.latency..], &input[..9_000 - rig.latency], "bypass");
}
