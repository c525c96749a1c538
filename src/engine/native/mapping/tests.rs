//! The three modes, their blend, and what they do with profiles and voices that are not what they should be.

use super::*;
use crate::engine::bands::centre_hz;
use crate::engine::native::difference::MAX_DIFFERENCE;
use crate::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use crate::voice::{Bank, BankFrame, Kind, Manifest, MeanShapes, NativeVoice, Restoration, Voice};

const SPACE: &str = "test-space";

/// Numbers of about unit variance, reproducible.
fn noise(seed: &mut u64) -> f32 {
    (0..4)
        .map(|_| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*seed >> 40) as f32 / (1 << 24) as f32 - 0.5
        })
        .sum::<f32>()
        * 1.732
}

/// What "speaker" `who` sounds like when saying "phone" `phone`, loudness 0.
fn spoken(phone: usize, who: f32) -> [f32; ENV_BANDS] {
    let meter = LoudnessMeter::new();
    let formant = 400.0 * (1.0 + 0.5 * phone as f32) * (1.0 + 0.12 * who);
    let shape: [f32; ENV_BANDS] = std::array::from_fn(|band| {
        let hz = centre_hz(band).max(30.0);
        3.0 * (-((hz / formant).ln() / 0.3).powi(2)).exp() - (1.0 + 0.2 * who) * (hz / 500.0).ln()
    });
    let loudness = meter.loudness(&shape);
    shape.map(|value| value - loudness)
}

const PHONES: usize = 6;

fn key_of(phone: usize, seed: &mut u64) -> [f32; KEY_LEN] {
    let mut centre = 1000 + phone as u64;
    std::array::from_fn(|_| 3.0 * noise(&mut centre) + 0.3 * noise(seed))
}

fn bank(who: f32) -> Bank {
    let mut seed = 42 + (who * 10.0) as u64;
    let frames: Vec<BankFrame> = (0..600)
        .map(|i| {
            let phone = i % PHONES;
            let shape = spoken(phone, who).map(|value| value + 0.1 * noise(&mut seed));
            BankFrame { key: key_of(phone, &mut seed), shape, f0_hz: 120.0 }
        })
        .collect();
    Bank::quantise(&frames)
}

fn mean_shapes(who: f32) -> MeanShapes {
    let voiced = std::array::from_fn(|band| (0..PHONES).map(|p| spoken(p, who)[band]).sum::<f32>() / PHONES as f32);
    MeanShapes { voiced, unvoiced: voiced }
}

fn voice_with(who: f32, bandwidth_hz: f32) -> Target {
    voice_of(who, bandwidth_hz, 0.0)
}

fn voice_of(who: f32, bandwidth_hz: f32, absolute_share: f32) -> Target {
    let shapes = mean_shapes(who);
    let manifest = Manifest {
        format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
        kind: Kind::Voice,
        engine: ENGINE_NATIVE.to_owned(),
        content_space: SPACE.to_owned(),
        name: format!("Test {who}"),
        description: String::new(),
        languages: Vec::new(),
        author: String::new(),
        licence: String::new(),
        attribution: String::new(),
        consent: None,
        median_f0_hz: 120.0,
        range_hz: [80.0, 200.0],
        delivery: crate::voice::Delivery::default(),
        bandwidth_hz,
        voiced_seconds: 6.0,
        previous_ids: Vec::new(),
        improved_from: None,
        members: Vec::new(),
    };
    let restoration =
        Restoration { mean: [shapes.voiced, shapes.unvoiced], ratio: [[1.0; ENV_BANDS], [1.0; ENV_BANDS]] };
    let parts = NativeVoice { bank: bank(who), shapes, restoration, absolute_share, adaptation: None };
    let bytes = Voice::write(manifest, &parts).expect("the manifest is valid");
    let voice = Voice::from_bytes(&bytes).expect("what was written can be read");
    Target::of(&Arc::new(voice)).expect("of the native engine")
}

fn voice(who: f32) -> Target {
    voice_with(who, 20_000.0)
}

fn profile(who: f32) -> Arc<SourceProfile> {
    Arc::new(SourceProfile {
        bank: bank(who),
        content_space: SPACE.to_owned(),
        mean_key: [0.5; KEY_LEN],
        median_f0_hz: 120.0,
        range_hz: [80.0, 200.0],
        shapes: mean_shapes(who),
        bandwidth_hz: 20_000.0,
        voiced_seconds: 20.0,
    })
}

fn mapper(mode: Mode, source: f32, target: f32) -> Mapper {
    let mut mapper = Mapper::new(mode, profile(source), SPACE);
    mapper.set_voice(Side::A, Some(voice(target)));
    mapper
}

/// Pushes a held phone and returns the settled difference.
fn held(mapper: &mut Mapper, phone: usize, who: f32, params: &MapParams) -> [f32; ENV_BANDS] {
    let mut seed = 7;
    let mut difference = [0.0; ENV_BANDS];
    let envelope = spoken(phone, who).map(|value| value - 4.0);
    for _ in 0..24 {
        // The encoder's keys still hold the singer's mean.
        let key = key_of(phone, &mut seed).map(|value| value + 0.5);
        let content = Some(MapContent { key: &key, confidence: 1.0 });
        mapper.push(&MapFrame { envelope: &envelope, voicing: 1.0, content, sides: BOTH }, params, &mut difference);
    }
    difference
}

fn distance(a: &[f32; ENV_BANDS], b: &[f32; ENV_BANDS]) -> f32 {
    (a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f32>() / ENV_BANDS as f32).sqrt()
}

const BOTH: [bool; 2] = [true; 2];

const PARAMS: MapParams = MapParams { likeness: 0.6, formant_st: 0.0, morph: 0.0 };

/// The step from source to target that a likeness stands for: averages over neighbours understate real voices, so the
/// map steps beyond what the banks say. These banks are exact, so the step itself can be seen.
fn step_of(likeness: f32) -> f32 {
    match likeness {
        DIFFERENTIAL_LIKENESS => GAIN,
        1.0 => mix(MOST_GAIN, 1.0, MOST_ABSOLUTE),
        _ => 1.0,
    }
}

#[test]
fn every_likeness_steps_as_far_towards_the_target_as_it_should() {
    for mode in [Mode::Live, Mode::Mix] {
        let mut mapper = mapper(mode, 0.0, 1.0);
        for (likeness, bound) in [(0.0, 0.9), (DIFFERENTIAL_LIKENESS, 0.15), (1.0, 0.15)] {
            let (mut before, mut error) = (0.0, 0.0);
            for phone in 0..PHONES {
                let (source, target) = (spoken(phone, 0.0), spoken(phone, 1.0));
                let step = step_of(likeness);
                let wanted: [f32; ENV_BANDS] = std::array::from_fn(|b| source[b] + step * (target[b] - source[b]));
                let loudness = LoudnessMeter::new().loudness(&wanted);
                let wanted = wanted.map(|value| value - loudness);
                let difference = held(&mut mapper, phone, 0.0, &MapParams { likeness, ..PARAMS });
                let converted = std::array::from_fn(|band| source[band] + difference[band]);
                before += distance(&source, &wanted);
                error += distance(&converted, &wanted);
            }
            assert!(error < bound * before, "{mode:?}, likeness {likeness}: {error} of {before}");
        }
    }
}

#[test]
fn a_voice_that_asks_for_it_has_its_own_word_at_the_default() {
    let settle = |absolute_share: f32, likeness: f32| {
        // The singer sounds unlike the profile, as when ill: only the absolute map does not ask about the singer.
        let mut mapper = Mapper::new(Mode::Mix, profile(0.0), SPACE);
        mapper.set_voice(Side::A, Some(voice_of(1.0, 20_000.0, absolute_share)));
        let difference = held(&mut mapper, 2, 0.6, &MapParams { likeness, ..PARAMS });
        let sung = spoken(2, 0.6);
        let said: [f32; ENV_BANDS] = std::array::from_fn(|band| sung[band] + difference[band]);
        distance(&said, &spoken(2, 1.0))
    };
    let [without, some, most] = [0.0, 0.25, 0.5].map(|share| settle(share, DIFFERENTIAL_LIKENESS));
    assert!(most < 0.8 * without && some < without && most < some, "{without} {some} {most}");
    // Neither end of the knob changes.
    for likeness in [0.0, 1.0] {
        assert!((settle(0.0, likeness) - settle(0.5, likeness)).abs() < 1e-4, "{likeness}");
    }
}

#[test]
fn a_singer_converted_to_the_own_voice_stays() {
    for likeness in [0.0, 0.3, 0.6] {
        let difference = held(&mut mapper(Mode::Mix, 1.0, 1.0), 2, 1.0, &MapParams { likeness, ..PARAMS });
        assert!(difference.iter().all(|value| value.abs() < 0.12), "{likeness}: {difference:?}");
    }
}

#[test]
fn loudness_stays_the_singers() {
    let meter = LoudnessMeter::new();
    let mut mapper = mapper(Mode::Live, 0.0, 1.0);
    for likeness in [0.0, 0.6, 1.0] {
        for formant_st in [-4.0, 0.0, 4.0] {
            let difference = held(&mut mapper, 3, 0.0, &MapParams { likeness, formant_st, morph: 0.0 });
            let source = spoken(3, 0.0).map(|value| value - 4.0);
            let converted = std::array::from_fn(|band| source[band] + difference[band]);
            // 0.02 in natural-log power is 0.09 dB.
            assert!((meter.loudness(&converted) - meter.loudness(&source)).abs() < 0.02);
        }
    }
}

#[test]
fn likeness_is_one_continuous_knob() {
    let mut previous: Option<[f32; ENV_BANDS]> = None;
    let mut mapper = mapper(Mode::Live, 0.0, 1.0);
    for step in 0..=100 {
        let params = MapParams { likeness: step as f32 / 100.0, ..PARAMS };
        let difference = held(&mut mapper, 1, 0.0, &params);
        if let Some(previous) = previous {
            assert!(distance(&previous, &difference) < 0.1, "at {step} %");
        }
        previous = Some(difference);
    }
}

#[test]
fn doubt_and_missing_content_fall_back_to_formants() {
    let envelope = spoken(1, 0.0);
    let key = [9.0; KEY_LEN];
    let run = |content: Option<MapContent<'_>>, likeness: f32| {
        let mut mapper = mapper(Mode::Live, 0.0, 1.0);
        let mut difference = [0.0; ENV_BANDS];
        for _ in 0..12 {
            let params = MapParams { likeness, ..PARAMS };
            mapper.push(
                &MapFrame { envelope: &envelope, voicing: 1.0, content, sides: BOTH },
                &params,
                &mut difference,
            );
        }
        difference
    };
    let formants_only = run(Some(MapContent { key: &key, confidence: 1.0 }), 0.0);
    assert_eq!(run(None, 1.0), formants_only);
    assert!(distance(&run(Some(MapContent { key: &key, confidence: 0.0 }), 1.0), &formants_only) < 1e-5);
    assert!(distance(&run(Some(MapContent { key: &key, confidence: 1.0 }), 1.0), &formants_only) > 0.1);
}

#[test]
fn banks_of_another_content_space_are_not_asked() {
    let envelope = spoken(1, 0.0);
    let key = [0.3; KEY_LEN];
    let run = |space: &str| {
        let mut mapper = Mapper::new(Mode::Live, profile(0.0), space);
        mapper.set_voice(Side::A, Some(voice(1.0)));
        let mut difference = [0.0; ENV_BANDS];
        let content = Some(MapContent { key: &key, confidence: 1.0 });
        for _ in 0..8 {
            mapper.push(
                &MapFrame { envelope: &envelope, voicing: 1.0, content, sides: BOTH },
                &PARAMS,
                &mut difference,
            );
        }
        difference
    };
    assert!(distance(&run("another"), &run("")) < 1e-6);
    assert!(distance(&run(SPACE), &run("")) > 0.05);
}

#[test]
fn mix_output_belongs_to_the_frame_lag_frames_earlier() {
    let mut mapper = mapper(Mode::Mix, 0.0, 1.0);
    let lag = mapper.lag_frames();
    assert!(lag > 0);
    let (quiet, loud) = (spoken(0, 0.0), spoken(4, 0.0));
    let mut outputs = Vec::new();
    for index in 0..40 {
        let envelope = if index == 20 { &loud } else { &quiet };
        let mut difference = [0.0; ENV_BANDS];
        let params = MapParams { likeness: 0.0, formant_st: 3.0, ..PARAMS };
        mapper.push(&MapFrame { envelope, voicing: 1.0, content: None, sides: BOTH }, &params, &mut difference);
        outputs.push(difference);
    }
    let odd: Vec<usize> = (lag + 1..40).filter(|&i| distance(&outputs[i], &outputs[15]) > 0.05).collect();
    assert_eq!(odd, [20 + lag]);
}

#[test]
fn formant_shift_moves_a_peak_without_a_voice() {
    let mut mapper = Mapper::new(Mode::Live, profile(0.0), "");
    let peak = |shift: usize| {
        std::array::from_fn::<f32, ENV_BANDS, _>(|b| 3.0 * (-((b as f32 - (25 + shift) as f32) / 3.0).powi(2)).exp())
    };
    let envelope = peak(0);
    let mut difference = [0.0; ENV_BANDS];
    let params = MapParams { likeness: 1.0, formant_st: 4.0, ..PARAMS };
    mapper.push(&MapFrame { envelope: &envelope, voicing: 1.0, content: None, sides: BOTH }, &params, &mut difference);
    let converted: [f32; ENV_BANDS] = std::array::from_fn(|band| envelope[band] + difference[band]);
    let top = (0..ENV_BANDS).max_by(|&a, &b| converted[a].total_cmp(&converted[b])).expect("bands");
    let factor = centre_hz(top) / centre_hz(25);
    // Four semitones, to the width of a band.
    assert!((factor / (4.0_f32 / 12.0).exp2() - 1.0).abs() < 0.05, "{factor}");
}

#[test]
fn above_the_voices_band_the_difference_is_held() {
    let mut mapper = Mapper::new(Mode::Live, profile(0.0), SPACE);
    mapper.set_voice(Side::A, Some(voice_with(1.0, 7_000.0)));
    for likeness in [0.0, 0.6, 1.0] {
        let difference = held(&mut mapper, 2, 0.0, &MapParams { likeness, ..PARAMS });
        let above: Vec<f32> = (0..ENV_BANDS).filter(|&b| centre_hz(b) > 7_000.0).map(|b| difference[b]).collect();
        assert!(above.len() > 20 && above.windows(2).all(|pair| (pair[0] - pair[1]).abs() < 1e-5));
    }
}

#[test]
fn changing_the_voice_while_sounding_makes_no_jump() {
    let mut mapper = mapper(Mode::Live, 0.0, 1.0);
    let before = held(&mut mapper, 2, 0.0, &PARAMS);
    let envelope = spoken(2, 0.0).map(|value| value - 4.0);
    let mut seed = 3;
    mapper.set_voice(Side::A, Some(voice(-1.0)));
    let mut previous = before;
    let mut travelled = 0.0;
    for _ in 0..20 {
        let key = key_of(2, &mut seed).map(|value| value + 0.5);
        let content = Some(MapContent { key: &key, confidence: 1.0 });
        let mut difference = [0.0; ENV_BANDS];
        mapper.push(&MapFrame { envelope: &envelope, voicing: 1.0, content, sides: BOTH }, &PARAMS, &mut difference);
        let step = distance(&previous, &difference);
        travelled += step;
        previous = difference;
    }
    let total = distance(&before, &previous);
    assert!(total > 0.3, "the voices differ");
    assert!(travelled < 2.0 * total, "{travelled} for {total}");
}

/// A mapper with two voices.
fn morphing(mode: Mode) -> Mapper {
    let mut mapper = mapper(mode, 0.0, -1.0);
    mapper.set_voice(Side::B, Some(voice(1.0)));
    mapper
}

#[test]
fn the_ends_of_a_morph_are_the_voices_alone() {
    for mode in [Mode::Live, Mode::Mix] {
        for likeness in [0.0, 0.6, 1.0] {
            for (morph, who) in [(0.0, -1.0), (1.0, 1.0)] {
                let alone = held(&mut mapper(mode, 0.0, who), 2, 0.0, &MapParams { likeness, ..PARAMS });
                let params = MapParams { likeness, morph, ..PARAMS };
                assert_eq!(held(&mut morphing(mode), 2, 0.0, &params), alone, "{mode:?} {likeness} {morph}");
            }
        }
    }
}

#[test]
fn half_way_lies_between_the_voices() {
    // The voices' formants lie 12 % below and above the singer's, who is therefore half way.
    let mut mapper = morphing(Mode::Mix);
    for likeness in [0.0, 0.6, 1.0] {
        for phone in 0..PHONES {
            let at = |morph| held(&mut mapper, phone, 0.0, &MapParams { likeness, morph, ..PARAMS });
            let [a, half, b] = [0.0, 0.5, 1.0].map(at);
            let whole = distance(&a, &b);
            let parts = [distance(&a, &half), distance(&half, &b)];
            assert!(
                parts.iter().all(|part| *part < 0.75 * whole && *part > 0.25 * whole),
                "{phone}: {parts:?} of {whole}"
            );
            assert!(distance(&half, &[0.0; ENV_BANDS]) < 0.5 * whole, "{likeness}, {phone}: half way is the singer");
        }
    }
}

#[test]
fn a_jump_of_the_morph_is_walked() {
    let mut mapper = morphing(Mode::Live);
    let mut previous = held(&mut mapper, 2, 0.0, &PARAMS);
    let end = held(&mut morphing(Mode::Live), 2, 0.0, &MapParams { morph: 1.0, ..PARAMS });
    let whole = distance(&previous, &end);
    let envelope = spoken(2, 0.0).map(|value| value - 4.0);
    let mut seed = 3;
    let params = MapParams { morph: 1.0, ..PARAMS };
    for _ in 0..20 {
        let key = key_of(2, &mut seed).map(|value| value + 0.5);
        let content = Some(MapContent { key: &key, confidence: 1.0 });
        let mut difference = [0.0; ENV_BANDS];
        let frame = MapFrame { envelope: &envelope, voicing: 1.0, content, sides: BOTH };
        mapper.push(&frame, &params, &mut difference);
        let step = distance(&previous, &difference);
        assert!(step < 0.4 * whole, "{step} of {whole}");
        previous = difference;
    }
    assert!(distance(&previous, &end) < 0.1 * whole);
}

#[test]
fn without_a_second_voice_there_is_no_morph() {
    let plain = held(&mut mapper(Mode::Live, 0.0, 1.0), 2, 0.0, &PARAMS);
    let params = MapParams { morph: 0.7, ..PARAMS };
    assert_eq!(held(&mut mapper(Mode::Live, 0.0, 1.0), 2, 0.0, &params), plain);
    // And one that goes while it sounds is crossfaded away.
    let mut mapper = morphing(Mode::Live);
    let before = held(&mut mapper, 2, 0.0, &params);
    mapper.set_voice(Side::B, None);
    assert_eq!(mapper.heard_sides(), [true, false]);
    let after = held(&mut mapper, 2, 0.0, &params);
    let a = held(&mut morphing(Mode::Live), 2, 0.0, &PARAMS);
    assert!(distance(&after, &a) < 0.2 * distance(&before, &a));
}

#[test]
fn junk_in_gives_finite_differences() {
    let mut mapper = mapper(Mode::Live, 0.0, 1.0);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, -1e30, 0.0] {
        let envelope = [value; ENV_BANDS];
        let key = [value; KEY_LEN];
        let content = Some(MapContent { key: &key, confidence: value });
        let params = MapParams { likeness: value, formant_st: value, morph: value };
        let mut difference = [f32::NAN; ENV_BANDS];
        mapper.push(&MapFrame { envelope: &envelope, voicing: value, content, sides: BOTH }, &params, &mut difference);
        assert!(difference.iter().all(|d| d.is_finite() && d.abs() <= MAX_DIFFERENCE), "{value}");
    }
}

#[test]
fn after_a_reset_the_same_input_gives_the_same_output() {
    let mut mapper = mapper(Mode::Mix, 0.0, 1.0);
    let first = held(&mut mapper, 2, 0.0, &PARAMS);
    held(&mut mapper, 5, 1.0, &PARAMS);
    mapper.reset();
    assert_eq!(held(&mut mapper, 2, 0.0, &PARAMS), first);
}

#[test]
fn confidence_is_low_for_silence_and_for_flat_posteriors() {
    let mut sure = [-20.0_f32; 40];
    (sure[7], sure[9]) = (0.6_f32.ln(), 0.3_f32.ln());
    assert_eq!(confidence_from_logp(&sure), 1.0);
    let mut pause = [-20.0_f32; 40];
    pause[0] = -0.01;
    assert_eq!(confidence_from_logp(&pause), 0.0);
    assert_eq!(confidence_from_logp(&[(1.0_f32 / 40.0).ln(); 40]), 0.0);
}
