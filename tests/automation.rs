//! Automation in a CLAP host: every change is heard where it was drawn, however the host cuts its blocks.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use coffre::audio::ramp::Ramp;
use coffre::engine::{HopParams, Mode};
use host::{Event, Host, Pace};
use reference::{assert_same, converted, default_params, delayed, largest_step};

const RATE: u32 = 48_000;

/// Length of the ramps of mix and gains.
const RAMP: usize = 480;

/// The values that the tests change.
const DEFAULTS: [(&str, &str); 15] = [
    ("Voice", "1"),
    ("Voice B", "2"),
    ("Morph", "0"),
    ("Transpose", "0"),
    ("Register", "Octaves"),
    ("Formant", "0"),
    ("Likeness", "60"),
    ("Mix", "100"),
    ("Input gain", "0"),
    ("Output gain", "0"),
    ("Gate", "-60"),
    ("Latency mode", "Live"),
    ("When late", "Dry"),
    ("Bypass", "off"),
    ("Watermark", "on"),
];

fn offline() -> (Host, Vec<f32>) {
    let mut host = Host::mono();
    host.set_offline(true);
    host.activate(RATE, 512);
    (host, common::vocal_like(RATE, 24_000))
}

/// Plays from a reset in blocks of several kinds, whose outputs are the same, and returns it.
fn play(host: &mut Host, input: &[f32], events: &[Event]) -> Vec<f32> {
    let partitions = [common::partition(input.len(), &[512]), common::random_partition(input.len(), 2_000, 21)];
    let mut outputs: Vec<Vec<f32>> = Vec::new();
    for parts in &partitions {
        // Back to where the take began: values stay in force over a reset.
        for (name, text) in DEFAULTS {
            host.set(name, text);
        }
        host.reset();
        outputs.push(host.play_mono(input, parts, Pace::Free, events));
    }
    for (index, output) in outputs.iter().enumerate().skip(1) {
        assert_same(output, &outputs[0], &format!("partition {index}"));
    }
    outputs.swap_remove(0)
}

#[test]
fn output_gain_and_mix_are_heard_exactly_latency_after_their_event() {
    let (mut host, input) = offline();
    let latency = host.latency();
    let plain = play(&mut host, &input, &[]);
    let dry = delayed(&input, latency);
    // First and last sample of a block, inside a block, and inside the first one.
    for at in [1, 10_240, 10_751, 15_001] {
        let heard = at + latency;
        let gain = [host.event(at, "Output gain", "-6")];
        let output = play(&mut host, &input, &gain);
        assert_same(&output[..heard], &plain[..heard], &format!("gain at {at}, before"));
        let gain = 10.0f32.powf(-6.0 / 20.0);
        let mut ramp = Ramp::new(RAMP as u32, 1.0);
        ramp.set(gain);
        for n in heard..input.len() {
            assert_eq!(output[n], plain[n] * ramp.step(), "gain at {at}, sample {n}");
        }

        let mix = [host.event(at, "Mix", "0")];
        let output = play(&mut host, &input, &mix);
        assert_same(&output[..heard], &plain[..heard], &format!("mix at {at}, before"));
        let changed = (heard..input.len()).find(|n| output[*n] != plain[*n]);
        let silent = (heard..input.len()).take_while(|n| plain[*n] == dry[*n]).count();
        assert_eq!(changed, Some(heard + silent), "mix at {at}");
        assert_same(&output[heard + RAMP - 1..], &dry[heard + RAMP - 1..], &format!("mix at {at}, after"));
    }
}

#[test]
fn input_gain_acts_on_the_audio_that_enters_with_it() {
    let (mut host, input) = offline();
    let (latency, at) = (host.latency(), 7_777);
    let gain = [host.event(at, "Input gain", "-12")];
    let mut ramp = Ramp::new(RAMP as u32, 1.0);
    let mut quieter = input.clone();
    for (n, sample) in quieter.iter_mut().enumerate() {
        if n == at {
            ramp.set(10.0f32.powf(-12.0 / 20.0));
        }
        *sample *= ramp.step();
    }
    let output = play(&mut host, &input, &gain);
    assert_same(&output, &converted(&quieter, RATE, Mode::Live, latency, &[(0, default_params())]), "converted");

    let both = [host.event(0, "Mix", "0"), gain[0]];
    assert_same(&play(&mut host, &input, &both), &delayed(&quieter, latency), "dry");
}

#[test]
fn voice_and_transpose_act_on_the_audio_that_entered_with_them() {
    let (mut host, input) = offline();
    let latency = host.latency();
    let first = default_params();
    for at in [479, 480, 481, 10_001] {
        let events = [
            host.event(at, "Voice", "3"),
            host.event(at, "Transpose", "+7"),
            host.event(at + 4_801, "Formant", "-2.5"),
            host.event(at + 4_801, "Likeness", "100"),
        ];
        let second = HopParams { voice_slot: 2, transpose_st: 7.0, ..first };
        let third = HopParams { formant_st: -2.5, likeness: 1.0, ..second };
        let wanted = converted(&input, RATE, Mode::Live, latency, &[(0, first), (at, second), (at + 4_801, third)]);
        let output = play(&mut host, &input, &events);
        assert_same(&output, &wanted, &format!("events at {at}"));
    }
}

#[test]
fn a_drawn_morph_is_the_same_in_any_blocks_and_makes_no_step() {
    let (mut host, input) = offline();
    let latency = host.latency();
    let first = default_params();
    // From voice A to another one and back, off the grid of the hops, then a jump.
    let mut points: Vec<(usize, usize, f32)> = (0..20).map(|turn| (1_001 + 311 * turn, 3, 5.0 * turn as f32)).collect();
    points.extend((0..20).map(|turn| (8_003 + 173 * turn, 3, 100.0 - 5.0 * turn as f32)));
    points.extend([(13_007, 3, 100.0), (18_011, 3, 0.0)]);
    let mut events = Vec::new();
    let mut wanted = vec![(0, first)];
    for (at, slot, percent) in points {
        events.push(host.event(at, "Voice B", &slot.to_string()));
        events.push(host.event(at, "Morph", &percent.to_string()));
        wanted.push((at, HopParams { voice_b_slot: slot - 1, morph: percent / 100.0, ..first }));
    }
    let output = play(&mut host, &input, &events);
    assert_same(&output, &converted(&input, RATE, Mode::Live, latency, &wanted), "the morph");

    let mut own = 0.0_f32;
    for voice in ["1", "3"] {
        let events = [host.event(0, "Voice", voice)];
        let steady = play(&mut host, &input, &events);
        assert!(steady != output);
        own = own.max(largest_step(&steady));
    }
    let peak = output.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let limit = own + 2.0 * peak / RAMP as f32;
    assert!(largest_step(&output) <= limit, "a step of {} beside {own}", largest_step(&output));
}

#[test]
fn bypass_crossfades_to_the_untouched_input_where_it_was_drawn() {
    let (mut host, input) = offline();
    let (latency, at) = (host.latency(), 12_003);
    let events = [host.event(at, "Bypass", "on")];
    let plain = play(&mut host, &input, &[]);
    let output = play(&mut host, &input, &events);
    let (heard, dry) = (at + latency, delayed(&input, latency));
    assert_same(&output[..heard], &plain[..heard], "before");
    assert_same(&output[heard + RAMP - 1..], &dry[heard + RAMP - 1..], "after");
    let own = largest_step(&plain[heard..]).max(largest_step(&dry[heard..]));
    let step = largest_step(&output[heard - 1..heard + RAMP]);
    assert!(step < own + 1.0 / RAMP as f32, "a step of {step} beside {own}");
}

#[test]
fn switching_voices_while_playing_makes_no_step_larger_than_the_signals_own() {
    let (mut host, input) = offline();
    let mut own = 0.0f32;
    let mut peak = 0.0f32;
    let mut steady = Vec::new();
    for voice in ["1", "2", "3", "4", "16"] {
        let events = [host.event(0, "Voice", voice)];
        let output = play(&mut host, &input, &events);
        own = own.max(largest_step(&output));
        peak = output.iter().fold(peak, |peak, sample| peak.max(sample.abs()));
        steady.push(output);
    }
    assert!(peak > 0.1 && steady[0] != steady[1], "the voices differ and are heard");
    // Every 70 ms another one, off the grid of the hops.
    let voices = ["2", "3", "4", "16", "1"];
    let switches: Vec<Event> =
        (1..7).map(|turn| host.event(turn * 3_361, "Voice", voices[turn % voices.len()])).collect();
    let output = play(&mut host, &input, &switches);
    // A crossfade over one hop adds at most the difference of both signals over its length.
    let limit = own + 2.0 * peak / RAMP as f32;
    assert!(largest_step(&output) <= limit, "a step of {} beside {own}", largest_step(&output));
}

#[test]
fn events_of_any_value_for_any_parameter_do_no_harm() {
    let (mut host, input) = offline();
    let plain = play(&mut host, &input, &[]);
    let params = host.params();
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1e300, 1e300, -1.0, 2.0, 1e-320, -0.0, 0.5, 17.0];
    for seed in 0..4 {
        let mut random = common::Random(seed);
        let mut events: Vec<Event> = (0..300)
            .map(|_| {
                let (id, _, largest) = &params[random.below(params.len())];
                let value = match random.below(3) {
                    0 => values[random.below(values.len())],
                    1 => f64::from(random.sample()) * largest * 3.0,
                    _ => f64::from(random.sample().abs()) * largest,
                };
                Event { at: random.below(input.len()), id: *id, value }
            })
            .collect();
        events.sort_by_key(|event| event.at);
        let output = host.play_mono(&input, &common::random_partition(input.len(), 900, seed), Pace::Free, &events);
        // +24 dB at both ends of a signal below 0.7, and what the engine makes of it.
        let peak = output.iter().map(|sample| sample.abs()).fold(0.0, f32::max);
        assert!(output.iter().all(|sample| sample.is_finite()) && peak < 1_000.0, "seed {seed}: {peak}");
        for (id, name, largest) in &params {
            let value = host.value(name);
            assert!((0.0..=*largest).contains(&value), "{name} ({id:?}) is {value}");
        }
    }
    // And nothing of it stays.
    assert_same(&play(&mut host, &input, &[]), &plain, "as before");
}
