//! A corpus of hostile voice files: thousands of deterministic mutations of good ones. Every case is an error or the
//! same voice, never a panic, and takes no more memory than its size explains.

use std::io::{Cursor, Write as _};
use std::panic::catch_unwind;
use std::sync::atomic::Ordering::Relaxed;

mod common;
#[path = "common/container.rs"]
mod container;
#[path = "common/counting.rs"]
mod counting;

use coffre::engine::profile::SourceProfile;
use coffre::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use coffre::voice::package::Package;
use coffre::voice::{
    Adaptation, Bank, BankFrame, Consent, ConsentGround, Extras, Kind, Manifest, MeanShapes, NativeVoice, Portrait,
    Restoration, SHAPE_BANDS, Signer, Voice, VoiceError,
};
use common::Random;
use container::unpack;
use counting::{IN_USE, PEAK};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Memory that opening a small file may take whatever it claims: decompressor, manifest, members and their copies.
const MOST_MEMORY: usize = 16 << 20;

fn good(is_signed: bool) -> Vec<u8> {
    let manifest = Manifest {
        format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
        kind: Kind::Voice,
        engine: ENGINE_NATIVE.to_owned(),
        content_space: "test".to_owned(),
        name: "Fuzz".to_owned(),
        description: "For tests.".to_owned(),
        languages: vec!["en".to_owned()],
        author: "Nobody".to_owned(),
        licence: "CC0-1.0".to_owned(),
        attribution: String::new(),
        consent: Some(Consent {
            ground: ConsentGround::LicensedData,
            statement: "Made up".to_owned(),
            date: Some("2026-01-31".to_owned()),
            recordings_sha256: Some("0".repeat(64)),
        }),
        median_f0_hz: 150.0,
        range_hz: [100.0, 250.0],
        delivery: coffre::voice::Delivery::default(),
        bandwidth_hz: 20_000.0,
        voiced_seconds: 1.0,
        previous_ids: vec!["a".repeat(64)],
        improved_from: Some("b".repeat(64)),
        members: Vec::new(),
    };
    let frame = |i: usize| BankFrame {
        key: std::array::from_fn(|n| ((i * 13 + n * 7) as f32 * 0.37).sin() * 2.0),
        shape: std::array::from_fn(|b| -5.0 + ((i + b) as f32 * 0.21).cos() * 3.0),
        f0_hz: if i.is_multiple_of(4) { 0.0 } else { 150.0 },
    };
    let parts = NativeVoice {
        absolute_share: 0.25,
        adaptation: Adaptation::new("some space", [20, 30], vec![0.01; 600]),
        bank: Bank::quantise(&(0..60).map(frame).collect::<Vec<_>>()),
        shapes: MeanShapes { voiced: [-5.0; SHAPE_BANDS], unvoiced: [-4.0; SHAPE_BANDS] },
        restoration: Restoration { mean: [[-5.0; SHAPE_BANDS]; 2], ratio: [[1.2; SHAPE_BANDS]; 2] },
    };
    let portrait = Portrait::new(vec![0xff, 0xd8, 0xff, 0xe0, 1, 2, 3]).expect("a JPEG by its first bytes");
    let flac = Some(b"fLaC and more".to_vec());
    let extras = Extras { preview: flac.clone(), recordings: flac, portrait: Some(portrait) };
    let signer = is_signed.then(|| Signer::new(&[3; 32]));
    Voice::write_with(manifest, &parts, extras, signer.as_ref()).expect("valid")
}

/// Opens a file in every way that the program does. A panic fails the test with the case's name.
#[track_caller]
fn open(case: &str, bytes: &[u8]) -> Option<Voice> {
    PEAK.store(IN_USE.load(Relaxed), Relaxed);
    let before = IN_USE.load(Relaxed);
    let opened = catch_unwind(|| {
        let _ = Package::peek(bytes);
        let _ = SourceProfile::from_bytes(bytes);
        if let Ok(package) = Package::open(bytes) {
            let _ = Extras::read(&package);
        }
        let voice = Voice::from_bytes(bytes);
        if let Ok(voice) = &voice {
            let _ = voice.describe();
        }
        voice
    });
    let taken = PEAK.load(Relaxed).saturating_sub(before);
    assert!(taken <= MOST_MEMORY, "{case}: {taken} bytes of memory for {} of file", bytes.len());
    let voice = opened.unwrap_or_else(|_| panic!("{case} panics"));
    voice.map_err(|error: VoiceError| assert!(error.to_string().len() > 20, "{case}: {error}")).ok()
}

/// Opens a mutation; when it opens, it must be the same voice.
#[track_caller]
fn harmless(case: &str, bytes: &[u8], original: &Voice) -> bool {
    let Some(voice) = open(case, bytes) else { return false };
    assert!(voice.native().is_some() && voice.native() == original.native(), "{case} changes the voice");
    assert_eq!(voice.manifest(), original.manifest(), "{case}");
    true
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = [0, 0xff, 0x7f, 0x80][random.below(4)],
        2 => bytes.truncate(at),
        3 => {
            let end = (at + 1 + random.below(64)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let junk: Vec<u8> = (0..1 + random.below(64)).map(|_| random.below(256) as u8).collect();
            bytes.splice(at..at, junk);
        }
        5 => {
            let end = (at + 1 + random.below(200)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        6 => {
            let end = (at + 4).min(bytes.len());
            bytes[at..end].fill(0xff);
        }
        _ => {
            let other = random.below(bytes.len());
            bytes.swap(at, other);
        }
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}

// One test, so that nothing else runs while memory is measured.
#[test]
fn no_mutation_panics_or_takes_memory_or_changes_a_voice() {
    // Panics are caught and told with the case; their own words would drown it.
    std::panic::set_hook(Box::new(|_| ()));
    let mut random = Random(2026);
    for is_signed in [false, true] {
        let bytes = good(is_signed);
        let original = Voice::from_bytes(&bytes).expect("good");
        assert!(harmless("the original", &bytes, &original));
        container(&mut random, &bytes, &original);
        members(&mut random, &bytes, is_signed);
        manifests(&bytes);
    }
    for len in [0, 1, 21, 22, 23, 100, 70_000] {
        let junk: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        assert!(open("noise", &junk).is_none());
        assert!(open("noise after a signature", &[b"PK\x03\x04".as_slice(), &junk].concat()).is_none());
    }
    let _ = std::panic::take_hook();
}

/// Mutations of the zip file's bytes.
fn container(random: &mut Random, bytes: &[u8], original: &Voice) {
    let directory = bytes.len() - 1_500.min(bytes.len());
    let mut refused = 0;
    for case in 0..3_000 {
        let mut mutated = bytes.to_vec();
        for _ in 0..1 + case % 3 {
            mutate(random, &mut mutated);
        }
        refused += usize::from(!harmless(&format!("container {case}"), &mutated, original));
    }
    assert!(refused > 2_500, "{refused} of 3000 are refused");
    // The directory at the end decides what is read: every byte of it, in four ways.
    for at in directory..bytes.len() {
        for value in [0, 0xff, bytes[at] ^ 0x01, bytes[at].wrapping_add(0x10)] {
            let mut mutated = bytes.to_vec();
            mutated[at] = value;
            harmless(&format!("byte {at} = {value}"), &mutated, original);
        }
    }
}

/// Mutations of unpacked members, packed again with the right hashes or without: a forger's work.
fn members(random: &mut Random, bytes: &[u8], is_signed: bool) {
    let members = unpack(bytes);
    for case in 0..1_500 {
        let mut mutated = members.clone();
        let victim = random.below(mutated.len());
        let old = hash(&mutated[victim].1);
        for _ in 0..1 + random.below(4) {
            mutate(random, &mut mutated[victim].1);
        }
        let name = mutated[victim].0.clone();
        let is_rehashed = case % 2 == 0 && name != "manifest.json";
        let is_same = hash(&mutated[victim].1) == old;
        if is_rehashed {
            let new = hash(&mutated[victim].1);
            let text = String::from_utf8(mutated[0].1.clone()).expect("the manifest is JSON");
            mutated[0].1 = text.replace(&old, &new).into_bytes();
        }
        let opened = open(&format!("member {name} {case}"), &pack(&mutated));
        // Digits of the signature may be written in two ways.
        if is_signed && !is_same && name != "manifest.sig" {
            assert!(opened.is_none(), "case {case}: a change of {name} in a signed file is found");
        }
        if !is_rehashed && !is_same && !name.starts_with("manifest.") {
            assert!(opened.is_none(), "case {case}: a change of {name} is found");
        }
    }
}

/// Every number and word of the manifest replaced by what a forger would try.
fn manifests(bytes: &[u8]) {
    let members = unpack(bytes);
    let text = String::from_utf8(members[0].1.clone()).expect("the manifest is JSON");
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let mut places = Vec::new();
    walk(&value, String::new(), &mut places);
    let deep = "[".repeat(100_000);
    let replacements =
        ["0", "-1", "4294967295", "18446744073709551616", "1e39", "\"\"", "\"../x\"", "null", "[]", "{}"];
    for place in &places {
        for replacement in replacements.iter().copied().chain(std::iter::once(deep.as_str())) {
            let mut changed = value.clone();
            let json = match serde_json::from_str(replacement) {
                Ok(new) => {
                    *changed.pointer_mut(place).expect("walked") = new;
                    serde_json::to_vec(&changed).expect("JSON")
                }
                Err(_) => {
                    *changed.pointer_mut(place).expect("walked") = "@here@".into();
                    serde_json::to_string(&changed).expect("JSON").replace("\"@here@\"", replacement).into_bytes()
                }
            };
            let mut mutated = members.clone();
            mutated[0].1 = json;
            open(&format!("{place} = {:.20}", replacement), &pack(&mutated));
        }
    }
    assert!(places.len() > 80, "{} places", places.len());
}

/// Pointers to everything in a JSON value.
fn walk(value: &serde_json::Value, place: String, places: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(key, value)| walk(value, format!("{place}/{key}"), places));
        }
        serde_json::Value::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| walk(value, format!("{place}/{index}"), places));
        }
        _ => {}
    }
    if !place.is_empty() {
        places.push(place);
    }
}

fn hash(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pack(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in members {
        zip.start_file(name.as_str(), options).expect("a new entry");
        zip.write_all(data).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}
