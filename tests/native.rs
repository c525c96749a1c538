//! The native engine against synthetic signals whose pitch, level and timing are known.

use std::path::Path;
use std::sync::Arc;

use coffre::engine::native::NativeEngine;
use coffre::engine::native::synth::Synth;
use coffre::engine::native::track::Pitch;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{Engine as _, HOP_LEN, HopParams, HopReport, Mode, RegisterMode};
use coffre::voice::{Manifest, NativeVoice, Voice};

#[path = "native/signals.rs"]
mod signals;
#[path = "native/stages.rs"]
mod stages;

use signals::{median_f0_hz, noise, rms, semitones, snr_db, vowel, vowel_distance_db};

/// A latency like that of live mode; the synthesiser takes any.
const LATENCY: usize = 1464;

/// Runs the synthesiser with a known F0 track (Hz at a sample of the source, 0.0 = unvoiced) and a constant ratio.
/// The output is aligned with the input.
fn shift(input: &[f32], ratio: f32, latency: usize, f0_at: impl Fn(f64) -> f32) -> Vec<f32> {
    let mut synth = Synth::new(latency, LATENCY, LATENCY);
    let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
    for (h, (hop, out)) in input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN)).enumerate() {
        synth.push_audio(hop);
        let centre = ((h + 1) * HOP_LEN) as f64 - LATENCY as f64;
        synth.push_pitch(Pitch { f0_hz: f0_at(centre), ratio });
        synth.push_response().set_flat();
        synth.render(out);
    }
    out.drain(..latency);
    out
}

#[test]
fn an_unvoiced_signal_passes_unchanged_at_exactly_the_latency() {
    let input = noise(48_000, 1);
    for latency in [LATENCY, LATENCY + 7200] {
        let out = shift(&input, 1.5, latency, |_| 0.0);
        let snr = snr_db(&input[..out.len()], &out);
        assert!(snr > 120.0, "SNR {snr} dB");
    }
}

#[test]
fn a_voiced_signal_with_ratio_one_passes_unchanged() {
    for f0 in [60.0, 90.0, 133.0, 220.0, 440.0, 870.0] {
        let input = vowel(48_000, |_| f0);
        for latency in [LATENCY, LATENCY + 7200] {
            let out = shift(&input, 1.0, latency, |_| f0 as f32);
            let snr = snr_db(&input[..out.len()], &out);
            assert!(snr > 100.0, "{f0} Hz: SNR {snr} dB");
        }
    }
}

#[test]
fn the_output_has_the_commanded_pitch() {
    for latency in [LATENCY, LATENCY + 7200] {
        for f0 in [80.0, 131.0, 220.0, 440.0, 1000.0] {
            let input = vowel(48_000, |_| f0);
            for shift_st in [-12.0, -4.0, 0.5, 4.0, 12.0] {
                let ratio = 2.0_f64.powf(shift_st / 12.0);
                let out = shift(&input, ratio as f32, latency, |_| f0 as f32);
                let got = median_f0_hz(&out[6_000..39_000], f0 * ratio);
                let cents = 100.0 * semitones(got / (f0 * ratio));
                let level = 20.0 * (rms(&out[6_000..39_000]) / rms(&input[6_000..39_000])).log10();
                println!("{f0} Hz {shift_st:+} st: {cents:+.2} cents, level {level:+.2} dB");
                assert!(cents.abs() < 5.0, "{f0} Hz {shift_st:+} st: {cents} cents");
            }
        }
    }
}

/// The vowel's harmonics may move by this much (root mean square, up to 5 kHz) when its pitch does. Between the source's
/// harmonics a grain only guesses, so the limit grows with F0.
#[test]
fn a_vowel_stays_the_same_vowel() {
    for (f0, limit_db) in [(80.0, 1.5), (110.0, 2.0), (160.0, 4.0), (220.0, 6.0)] {
        let input = vowel(48_000, |_| f0);
        for shift_st in [-12.0, -8.0, -4.0, 4.0, 8.0, 12.0] {
            let ratio = 2.0_f64.powf(shift_st / 12.0);
            let out = shift(&input, ratio as f32, LATENCY, |_| f0 as f32);
            let distance = vowel_distance_db(&out[6_000..39_000], f0 * ratio);
            println!("{f0} Hz {shift_st:+} st: {distance:.1} dB");
            assert!(distance < limit_db, "{f0} Hz {shift_st:+} st: {distance} dB");
        }
    }
}

fn engine(mode: Mode) -> NativeEngine {
    NativeEngine::new(mode, None, SourceProfile::population())
}

/// Runs an engine over whole hops; neither aligned nor continued into the tail.
fn run(engine: &mut NativeEngine, params: &HopParams, input: &[f32]) -> (Vec<f32>, Vec<HopReport>) {
    let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
    let reports = input
        .chunks_exact(HOP_LEN)
        .zip(out.chunks_exact_mut(HOP_LEN))
        .map(|(hop, out)| engine.process_hop(params, hop, out).expect("there is no graph that could fail"))
        .collect();
    (out, reports)
}

const PLAIN: HopParams = HopParams {
    voice_slot: 0,
    voice_b_slot: 1,
    morph: 0.0,
    transpose_st: 0.0,
    register: RegisterMode::Off,
    formant_st: 0.0,
    likeness: 0.0,
    gate_db: -100.0,
    is_marked: false,
};

/// A sung phrase: half a second of breath, a vowel with vibrato, breath again.
fn phrase() -> Vec<f32> {
    let mut signal: Vec<f32> = noise(24_000, 5).iter().map(|v| v * 0.2).collect();
    let vibrato = |t: f64| 220.0 * 2.0_f64.powf((0.5 * (2.0 * std::f64::consts::PI * 5.5 * t).sin()) / 12.0);
    let mut sung = vowel(96_000, vibrato);
    for n in 0..1000 {
        sung[n] *= n as f32 / 1000.0;
        sung[95_999 - n] *= n as f32 / 1000.0;
    }
    signal.extend(sung);
    signal.extend(noise(24_000, 6).iter().map(|v| v * 0.2));
    signal
}

#[test]
fn a_click_is_heard_after_exactly_the_latency() {
    for mode in [Mode::Live, Mode::Mix] {
        let mut engine = engine(mode);
        let mut input = vec![0.0; 48_000];
        input[12_345] = 0.5;
        let (out, _) = run(&mut engine, &PLAIN, &input);
        let peak = (0..out.len()).max_by(|a, b| out[*a].abs().total_cmp(&out[*b].abs()));
        assert_eq!(peak, Some(12_345 + engine.latency_len()));
        assert!((out[12_345 + engine.latency_len()] - 0.5).abs() < 1e-4);
    }
}

#[test]
fn latency_stays_within_its_promise() {
    let ms = |mode| engine(mode).latency_len() as f32 / 48.0;
    assert!(ms(Mode::Live) < 32.0, "{}", ms(Mode::Live));
    assert!(ms(Mode::Mix) < 265.0, "{}", ms(Mode::Mix));
}

#[test]
fn without_voice_and_shift_the_engine_is_transparent() {
    let input = phrase();
    for mode in [Mode::Live, Mode::Mix] {
        let mut engine = engine(mode);
        let latency = engine.latency_len();
        let (out, _) = run(&mut engine, &PLAIN, &input);
        let snr = snr_db(&input[..out.len() - latency], &out[latency..]);
        assert!(snr > 40.0, "{mode:?}: {snr} dB");
    }
}

#[test]
fn the_engine_finds_the_pitch_and_sings_the_commanded_one() {
    for mode in [Mode::Live, Mode::Mix] {
        for f0 in [98.0, 164.8, 329.6, 659.3] {
            let input = vowel(60_000, |_| f0);
            for transpose_st in [-12.0_f32, -5.0, 7.0, 12.0] {
                let mut engine = engine(mode);
                let latency = engine.latency_len();
                let (out, reports) = run(&mut engine, &HopParams { transpose_st, ..PLAIN }, &input);
                let wanted = f0 * 2.0_f64.powf(f64::from(transpose_st) / 12.0);
                let got = median_f0_hz(&out[latency + 9_600..48_000 + latency.min(11_000)], wanted);
                let cents = 100.0 * semitones(got / wanted);
                assert!(cents.abs() < 5.0, "{mode:?} {f0} Hz {transpose_st:+} st: {cents} cents");
                let told = f64::from(reports[90].f0_output_hz);
                assert!(semitones(told / wanted).abs() < 0.3, "{mode:?} {f0} Hz: reports {told} Hz");
            }
        }
    }
}

#[test]
fn loudness_follows_the_source() {
    let input = phrase();
    for transpose_st in [-12.0_f32, -4.0, 4.0, 12.0] {
        for formant_st in [-3.0, 0.0, 3.0] {
            let mut engine = engine(Mode::Live);
            let latency = engine.latency_len();
            let (out, _) = run(&mut engine, &HopParams { transpose_st, formant_st, ..PLAIN }, &input);
            let range = 40_000..100_000;
            let level = 20.0 * (rms(&out[range.start + latency..range.end + latency]) / rms(&input[range])).log10();
            assert!(level.abs() < 3.0, "{transpose_st:+} st, formants {formant_st:+} st: {level} dB");
        }
    }
}

#[test]
fn silence_gives_silence_and_sound_dies_out_completely() {
    for gate_db in [-100.0, -60.0] {
        for mode in [Mode::Live, Mode::Mix] {
            let params = HopParams { transpose_st: 5.0, formant_st: 2.0, gate_db, ..PLAIN };
            let mut engine = engine(mode);
            let (out, _) = run(&mut engine, &params, &[0.0; 24_000]);
            assert!(out.iter().all(|v| *v == 0.0));
            run(&mut engine, &params, &phrase());
            let silence = vec![0.0; engine.tail_len().next_multiple_of(HOP_LEN) + 9600];
            let (out, _) = run(&mut engine, &params, &silence);
            assert!(out[engine.tail_len()..].iter().all(|v| *v == 0.0), "{mode:?}");
        }
    }
}

#[test]
fn hostile_input_gives_finite_output_and_leaves_no_trace_after_reset() {
    let params = HopParams { transpose_st: 7.0, formant_st: -2.0, ..PLAIN };
    let phrase = phrase();
    for mode in [Mode::Live, Mode::Mix] {
        let mut engine = engine(mode);
        let (wanted, _) = run(&mut engine, &params, &phrase);
        for junk in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1000.0, -1000.0, f32::MIN_POSITIVE / 2.0, f32::MAX] {
            let mut input = phrase[20_000..44_000].to_vec();
            input.iter_mut().step_by(7).for_each(|v| *v = junk);
            let (out, _) = run(&mut engine, &params, &input);
            assert!(out.iter().all(|v| v.is_finite() && v.abs() < 1000.0), "{mode:?}, {junk}");
        }
        let odd = HopParams { transpose_st: f32::NAN, formant_st: f32::INFINITY, likeness: f32::NAN, ..params };
        let odd = HopParams { voice_b_slot: usize::MAX, morph: f32::NAN, ..odd };
        let (out, _) = run(&mut engine, &HopParams { voice_slot: usize::MAX, gate_db: f32::NAN, ..odd }, &phrase);
        assert!(out.iter().all(|v| v.is_finite()));
        engine.reset();
        let (again, _) = run(&mut engine, &params, &phrase);
        assert!(wanted.iter().zip(&again).all(|(a, b)| a.to_bits() == b.to_bits()), "{mode:?}");
    }
}

#[test]
fn the_gate_opens_and_closes_without_a_click() {
    // Steady noise 6 dB above the threshold, then 20 dB below it: no step of the output may exceed the noise's own.
    let loud: Vec<f32> = noise(48_000, 9).iter().map(|v| v * 0.03).collect();
    let quiet: Vec<f32> = noise(48_000, 10).iter().map(|v| v * 0.001).collect();
    let input = [quiet.clone(), loud, quiet].concat();
    let mut engine = engine(Mode::Live);
    let latency = engine.latency_len();
    let (out, _) = run(&mut engine, &HopParams { gate_db: -62.0, ..PLAIN }, &input);
    let steepest = |signal: &[f32]| signal.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steepest(&out) <= steepest(&input) * 1.001);
    assert!(out[..48_000].iter().all(|v| *v == 0.0));
    assert!(out[130_000..].iter().all(|v| *v == 0.0));
    let middle = latency + 50_000..latency + 94_000;
    assert!(snr_db(&input[middle.start - latency..middle.end - latency], &out[middle]) > 100.0);
}

#[test]
fn parameters_act_on_the_audio_that_entered_with_them() {
    // Transpose changes at sample 72 000; before it reaches the output nothing may differ.
    let input = vowel(96_000, |_| 200.0);
    for mode in [Mode::Live, Mode::Mix] {
        let (mut a, mut b) = (engine(mode), engine(mode));
        let up = HopParams { transpose_st: 5.0, ..PLAIN };
        let (head_a, _) = run(&mut a, &PLAIN, &input[..72_000]);
        let (head_b, _) = run(&mut b, &PLAIN, &input[..72_000]);
        assert!(head_a == head_b);
        let (tail_a, _) = run(&mut a, &PLAIN, &input[72_000..]);
        let (tail_b, _) = run(&mut b, &up, &input[72_000..]);
        let first = tail_a.iter().zip(&tail_b).position(|(x, y)| x != y).expect("the change is heard");
        // The grain around the change begins up to a fade-in earlier, and frames are interpolated over one hop.
        let expected = a.latency_len();
        assert!(first + HOP_LEN + 600 >= expected, "{mode:?}: {first} is before {expected}");
        assert!(first <= expected + 2 * HOP_LEN, "{mode:?}: {first} is after {expected}");
    }
}

fn shipped_voice(name: &str) -> Arc<Voice> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voices").join(name);
    Arc::new(Voice::open(&path).expect("a voice of the tree opens"))
}

/// A vowel sung at 110 Hz, long enough to teach the engine its singer.
fn singer() -> Vec<f32> {
    vowel(22 * 48_000, |t| 110.0 * 2.0_f64.powf((2.0 * (1.3 * t).sin()) / 12.0))
}

#[test]
fn a_voice_brings_its_register_in_whole_semitones() {
    let voice = shipped_voice("quartz.coffre");
    let input = vowel(60_000, |_| 130.0);
    let mut engine = engine(Mode::Live);
    engine.set_voice(3, Some(voice.clone()));
    let expected = (12.0 * (voice.median_f0_hz() / engine.profile().median_f0_hz).log2()).round();
    let params = HopParams { voice_slot: 3, register: RegisterMode::Semitones, likeness: 0.6, ..PLAIN };
    let latency = engine.latency_len();
    let (out, _) = run(&mut engine, &params, &input);
    let wanted = 130.0 * 2.0_f64.powf(f64::from(expected) / 12.0);
    let got = median_f0_hz(&out[latency + 9_600..], wanted);
    assert!(semitones(got / wanted).abs() < 0.05, "{got} Hz instead of {wanted} Hz");
}

#[test]
fn a_change_of_voice_makes_no_click() {
    let input = vowel(96_000, |_| 150.0);
    // A click is a step of the second difference; the reference is what each voice alone does.
    let roughest = |signal: &[f32]| signal.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).fold(0.0_f32, f32::max);
    let voices = ["quartz.coffre", "basalt.coffre"].map(shipped_voice);
    for mode in [Mode::Live, Mode::Mix] {
        let params = |slot| HopParams { voice_slot: slot, register: RegisterMode::Semitones, likeness: 0.6, ..PLAIN };
        let fresh = || {
            let mut engine = engine(mode);
            voices.iter().enumerate().for_each(|(slot, voice)| engine.set_voice(slot, Some(voice.clone())));
            engine
        };
        let alone = [0, 1].map(|slot| roughest(&run(&mut fresh(), &params(slot), &input).0[24_000..]));
        let mut engine = fresh();
        run(&mut engine, &params(0), &input[..48_000]);
        let (tail, _) = run(&mut engine, &params(1), &input[48_000..]);
        let limit = 1.5 * alone[0].max(alone[1]);
        let got = roughest(&tail);
        assert!(got <= limit, "{mode:?}: {got} over {limit}");
    }
}

/// A voice of the tree that is at home somewhere else.
fn voice_at(name: &str, median_f0_hz: f32) -> Arc<Voice> {
    let voice = shipped_voice(name);
    let body = voice.native().expect("of the native engine");
    let parts = NativeVoice {
        absolute_share: 0.0,
        adaptation: None,
        bank: body.bank.clone(),
        shapes: body.shapes.clone(),
        restoration: body.restoration.clone(),
    };
    let range_hz = [0.7 * median_f0_hz, 1.4 * median_f0_hz];
    let manifest = Manifest { median_f0_hz, range_hz, ..voice.manifest().clone() };
    let bytes = Voice::write(manifest, &parts).expect("a voice");
    Arc::new(Voice::from_bytes(&bytes).expect("it opens"))
}

#[test]
fn half_way_between_two_voices_lies_the_middle_of_their_registers() {
    let voices = [voice_at("quartz.coffre", 233.0), voice_at("basalt.coffre", 98.0)];
    let input = vowel(60_000, |_| 130.0);
    let mut shifts = Vec::new();
    for morph in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let mut engine = engine(Mode::Live);
        voices.iter().enumerate().for_each(|(slot, voice)| engine.set_voice(slot, Some(voice.clone())));
        let params = HopParams { register: RegisterMode::Semitones, likeness: 0.6, morph, ..PLAIN };
        let (_, reports) = run(&mut engine, &params, &input);
        let median = engine.profile().median_f0_hz;
        let [a, b] = voices.each_ref().map(|voice| 12.0 * (voice.median_f0_hz() / median).log2());
        let shift = 12.0 * (reports[100].f0_output_hz / reports[100].f0_source_hz).log2();
        assert!((shift - shift.round()).abs() < 1e-3, "{shift} is in the key");
        assert!((shift - (a + morph * (b - a))).abs() <= 0.501, "{shift} between {a} and {b} at {morph}");
        shifts.push(shift);
    }
    assert!(shifts[0] - shifts[4] > 12.0, "the registers differ: {shifts:?}");
}

#[test]
fn morphing_makes_no_click() {
    let input = vowel(96_000, |_| 150.0);
    let roughest = |signal: &[f32]| signal.windows(3).map(|w| (w[2] - 2.0 * w[1] + w[0]).abs()).fold(0.0_f32, f32::max);
    let voices = [voice_at("quartz.coffre", 233.0), voice_at("basalt.coffre", 98.0)];
    // Steady places, then a ramp of 10 % per hop to and fro, then jumps every 50 ms.
    let ramp = |hop: usize| (hop % 20).min(20 - hop % 20) as f32 / 10.0;
    let jump = |hop: usize| (hop / 5 % 2) as f32;
    for mode in [Mode::Live, Mode::Mix] {
        for register in [RegisterMode::Off, RegisterMode::Semitones, RegisterMode::Octaves] {
            let play = |morph: &dyn Fn(usize) -> f32| {
                let mut engine = engine(mode);
                voices.iter().enumerate().for_each(|(slot, voice)| engine.set_voice(slot, Some(voice.clone())));
                let mut out = vec![0.0; input.len()];
                for (hop, (input, out)) in input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN)).enumerate() {
                    let params = HopParams { register, likeness: 0.6, morph: morph(hop), ..PLAIN };
                    engine.process_hop(&params, input, out).expect("there is no graph that could fail");
                }
                roughest(&out[24_000..])
            };
            let steady = [0.0, 0.5, 1.0].map(|morph| play(&|_| morph)).into_iter().fold(0.0, f32::max);
            for (what, moving) in [("ramp", play(&ramp)), ("jumps", play(&jump))] {
                assert!(moving <= 1.5 * steady, "{mode:?}, {what}: {moving} beside {steady}");
            }
        }
    }
}

#[test]
fn learning_changes_nothing_until_the_profile_is_put_in() {
    let input = singer();
    let params = HopParams { register: RegisterMode::Semitones, likeness: 0.6, ..PLAIN };
    let voice = shipped_voice("quartz.coffre");
    let (mut learning, mut other) = (engine(Mode::Live), engine(Mode::Live));
    other.stop_learning();
    learning.set_voice(0, Some(voice.clone()));
    other.set_voice(0, Some(voice));
    let (a, reports) = run(&mut learning, &params, &input);
    let (b, _) = run(&mut other, &params, &input);
    assert!(a == b);
    assert!(reports[20].profile_progress < 0.1 && reports.last().is_some_and(|r| r.profile_progress == 1.0));

    let profile = learning.take_learned().expect("22 s of voice were heard");
    assert!(semitones(f64::from(profile.median_f0_hz) / 110.0).abs() < 0.5, "{} Hz", profile.median_f0_hz);
    assert!(learning.take_learned().is_none());
    learning.set_profile(Arc::new(profile));
    let (a, _) = run(&mut learning, &params, &input[..96_000]);
    let (b, _) = run(&mut other, &params, &input[..96_000]);
    assert!(a != b);
}
