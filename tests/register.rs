//! The register of the singer against that of the voice: by octaves every note stays in the key of the song.

mod common;
#[path = "native/signals.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod signals;

use std::sync::{Arc, OnceLock};

use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{Engine as _, HOP_LEN, HopParams, HopReport, Mode, RegisterMode};
use coffre::voice::{Delivery, Library, Manifest, NativeVoice, Voice};
use signals::{noise, vowel};

/// Medians of a bass, a tenor, an alto and a soprano, in Hz: notes of C major.
const SINGERS: [f64; 4] = [98.0, 164.81, 261.63, 440.0];

/// Notes of the backing chord, C major, in semitones above C.
const CHORD: [f64; 3] = [0.0, 4.0, 7.0];

/// Frequency of a C, in Hz.
const C_HZ: f64 = 65.406;

const PARAMS: HopParams = HopParams {
    voice_slot: 0,
    voice_b_slot: 1,
    morph: 0.0,
    transpose_st: 0.0,
    register: RegisterMode::Octaves,
    formant_st: 0.0,
    likeness: 0.6,
    gate_db: -100.0,
    is_marked: false,
};

/// How far a pitch is from the nearest note of the chord, in semitones, octaves aside.
fn off_the_chord(hz: f64) -> f64 {
    let note = (12.0 * (hz / C_HZ).log2()).rem_euclid(12.0);
    let distance = |other: f64| ((note - other + 6.0).rem_euclid(12.0) - 6.0).abs();
    CHORD.map(distance).into_iter().fold(12.0, f64::min)
}

/// The note of the chord that is nearest to a pitch.
fn in_the_chord(hz: f64) -> f64 {
    let candidates = (0..60).map(|step| C_HZ * ((12 * (step / 3)) as f64 / 12.0 + CHORD[step % 3] / 12.0).exp2());
    candidates.min_by(|a, b| (a / hz).ln().abs().total_cmp(&(b / hz).ln().abs())).expect("notes")
}

/// Four notes of the chord around a median, half a second each with a breath after each.
fn melody(median_hz: f64) -> Vec<f32> {
    let notes = [-4.0, 0.0, 3.0, 7.0].map(|st: f64| in_the_chord(median_hz * (st / 12.0).exp2()));
    let mut signal = Vec::new();
    for hz in notes {
        let mut note = vowel(24_000, |_| hz);
        for n in 0..960 {
            note[n] *= n as f32 / 960.0;
            note[23_999 - n] *= n as f32 / 960.0;
        }
        signal.extend(note);
        signal.extend(noise(19_200, 7).iter().map(|sample| sample * 0.01));
    }
    signal
}

fn run(engine: &mut NativeEngine, params: impl Fn(usize) -> HopParams, input: &[f32]) -> Vec<HopReport> {
    let mut output = [0.0; HOP_LEN];
    let hops = input.chunks_exact(HOP_LEN).enumerate();
    hops.map(|(hop, input)| engine.process_hop(&params(hop), input, &mut output).expect("no graph")).collect()
}

/// What an engine learns of each of the singers.
fn profiles() -> &'static [Arc<SourceProfile>; 4] {
    static PROFILES: OnceLock<[Arc<SourceProfile>; 4]> = OnceLock::new();
    PROFILES.get_or_init(|| {
        SINGERS.map(|median_hz| {
            let mut engine = NativeEngine::new(Mode::Live, None, SourceProfile::population());
            // A wide melody around the median, without pauses.
            let song = vowel(22 * 48_000, |t| median_hz * (5.0 * (1.3 * t).sin() / 12.0).exp2());
            run(&mut engine, |_| PARAMS, &song);
            let learned = engine.take_learned().expect("22 s of voice were heard");
            let off = 12.0 * (f64::from(learned.median_f0_hz) / median_hz).log2();
            assert!(off.abs() < 1.0, "{} Hz learned of {median_hz}", learned.median_f0_hz);
            Arc::new(learned)
        })
    })
}

fn embedded() -> Vec<Arc<Voice>> {
    let library = Library::scan_folders(&[]);
    library.voices().map(|entry| entry.load().expect("it opens")).collect()
}

fn engine(singer: usize, voices: &[&Arc<Voice>]) -> NativeEngine {
    let mut engine = NativeEngine::new(Mode::Live, None, profiles()[singer].clone());
    voices.iter().enumerate().for_each(|(slot, voice)| engine.set_voice(slot, Some((*voice).clone())));
    engine
}

/// A voice that is said to be at home somewhere.
fn voice_at(voice: &Voice, median_f0_hz: f32, delivery: Delivery) -> Arc<Voice> {
    let body = voice.native().expect("of the native engine");
    let parts = NativeVoice {
        absolute_share: 0.0,
        adaptation: None,
        bank: body.bank.clone(),
        shapes: body.shapes.clone(),
        restoration: body.restoration.clone(),
    };
    let range_hz = [0.7 * median_f0_hz, 1.4 * median_f0_hz];
    let manifest = Manifest { median_f0_hz, range_hz, delivery, ..voice.manifest().clone() };
    Arc::new(Voice::from_bytes(&Voice::write(manifest, &parts).expect("a voice")).expect("it opens"))
}

#[test]
fn every_note_of_every_singer_is_in_the_key_with_every_embedded_voice() {
    let voices = embedded();
    assert_eq!(voices.len(), 8);
    let mut octaves_by_singer = Vec::new();
    let mut out_of_key = 0;
    for (singer, median_hz) in SINGERS.into_iter().enumerate() {
        let input = melody(median_hz);
        for voice in &voices {
            let reports = run(&mut engine(singer, &[voice]), |_| PARAMS, &input);
            let sung: Vec<_> = reports.iter().filter(|report| report.f0_output_hz > 0.0).collect();
            assert!(sung.len() > 150, "{} frames", sung.len());
            // Onsets are read from half a period; the middle half of the notes counts.
            let off = |report: &&&HopReport| off_the_chord(f64::from(report.f0_output_hz)) < 0.1;
            let in_key = sung.iter().filter(off).count() as f32 / sung.len() as f32;
            assert!(in_key > 0.9, "{median_hz} Hz to {}: {in_key} in the key", voice.name());
            let shift = sung[sung.len() / 2].register_st;
            assert!(shift % 12.0 == 0.0 && shift.abs() <= 24.0, "{shift}");
            octaves_by_singer.push((singer, shift));
            // As near as octaves allow: within half an octave of what the voice sings.
            let (from, spoken) = (f64::from(profiles()[singer].median_f0_hz), f64::from(voice.median_f0_hz()));
            let place = 12.0 * (from / spoken).log2() + f64::from(shift);
            assert!((-2.0..=18.0).contains(&place), "{median_hz} Hz to {}: {place} st above its speech", voice.name());
            // By semitones most songs leave their key: the fault that octaves mend.
            let semitones = |_| HopParams { register: RegisterMode::Semitones, ..PARAMS };
            let moved = run(&mut engine(singer, &[voice]), semitones, &input[..48_000]);
            out_of_key += usize::from(moved[20].register_st % 12.0 != 0.0);
        }
    }
    assert!(octaves_by_singer.iter().any(|(_, shift)| *shift == 0.0));
    assert!(octaves_by_singer.iter().any(|(_, shift)| *shift != 0.0));
    assert!(out_of_key > 24, "{out_of_key} of 32 out of key by semitones");
}

#[test]
fn who_was_not_learned_stays_where_the_song_is() {
    let voice = &embedded()[0];
    let mut engine = NativeEngine::new(Mode::Live, None, SourceProfile::population());
    engine.set_voice(0, Some(voice_at(voice, 700.0, Delivery::Sung)));
    let reports = run(&mut engine, |_| PARAMS, &melody(110.0));
    assert!(reports.iter().all(|report| report.register_st == 0.0));
}

#[test]
fn a_voice_known_from_song_is_met_where_it_sang() {
    let voice = &embedded()[0];
    // A tenor around 165 Hz: close to where somebody sings who sings at 200 Hz, far below where somebody does who speaks
    // there.
    for (delivery, st) in [(Delivery::Sung, 0.0), (Delivery::Spoken, 12.0)] {
        let voice = voice_at(voice, 200.0, delivery);
        assert_eq!(voice.manifest().is_sung(), delivery == Delivery::Sung);
        let reports = run(&mut engine(1, &[&voice]), |_| PARAMS, &melody(SINGERS[1])[..48_000]);
        assert_eq!(reports[50].register_st, st, "{delivery:?}");
    }
}

#[test]
fn a_morph_changes_the_octave_in_a_pause_and_never_within_a_phrase() {
    let voice = &embedded()[0];
    let (low, high) = (voice_at(voice, 110.0, Delivery::Sung), voice_at(voice, 440.0, Delivery::Sung));
    // Two phrases of 2 s, half a second of breath between them; the morph moves all the time.
    let mut input = vowel(96_000, |_| 98.0);
    input.extend(noise(24_000, 3).iter().map(|sample| sample * 0.01));
    input.extend(vowel(96_000, |_| 98.0));
    let params = |hop: usize| HopParams { morph: (hop as f32 / 200.0).min(1.0), ..PARAMS };
    let reports = run(&mut engine(0, &[&low, &high]), params, &input);
    let phrases: [Vec<f32>; 2] = [&reports[10..190], &reports[260..440]]
        .map(|part| part.iter().filter(|r| r.f0_source_hz > 0.0).map(|report| report.register_st).collect());
    assert!(phrases[0].len() > 150 && phrases[1].len() > 150);
    assert!(phrases[0].iter().all(|st| *st == 0.0), "{:?}", phrases[0]);
    assert!(phrases[1].iter().all(|st| *st == 24.0), "{:?}", phrases[1]);
    // A voice that is chosen by hand or by automation comes with its octave at once.
    let params = |hop: usize| HopParams { voice_slot: usize::from(hop >= 100), ..PARAMS };
    let reports = run(&mut engine(0, &[&low, &high]), params, &input[..96_000]);
    assert_eq!((reports[90].register_st, reports[120].register_st), (0.0, 24.0));
}

#[test]
fn a_profile_that_comes_in_the_midst_of_a_phrase_waits_for_its_end() {
    let voice = &embedded()[0];
    let voice = voice_at(voice, 440.0, Delivery::Sung);
    let mut engine = NativeEngine::new(Mode::Live, None, SourceProfile::population());
    engine.set_voice(0, Some(voice));
    let mut input = vowel(96_000, |_| 98.0);
    input.extend(noise(24_000, 3).iter().map(|sample| sample * 0.01));
    input.extend(vowel(48_000, |_| 98.0));
    let before = run(&mut engine, |_| PARAMS, &input[..48_000]);
    NativeEngine::set_profile(&mut engine, profiles()[0].clone());
    let after = run(&mut engine, |_| PARAMS, &input[48_000..]);
    assert!(before.iter().chain(&after[..95]).all(|report| report.register_st == 0.0));
    assert!(after[170..].iter().all(|report| report.register_st == 24.0));
}
