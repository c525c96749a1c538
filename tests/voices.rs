//! Hostile voice files: every one gives an error that says what is wrong, none a panic or unbounded memory.

#[path = "voices/format_page.rs"]
mod format_page;

use std::io::{Cursor, Write as _};

use coffre::voice::library::Library;
use coffre::voice::manifest::{ENGINE_NATIVE, FORMAT_MAJOR, FORMAT_MINOR, FormatVersion};
use coffre::voice::{
    Bank, BankFrame, Kind, Manifest, MeanShapes, NativeVoice, Origin, Restoration, SHAPE_BANDS, Voice, VoiceError,
    VoiceId,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

fn manifest(name: &str) -> Manifest {
    Manifest {
        format: FormatVersion { major: FORMAT_MAJOR, minor: FORMAT_MINOR },
        kind: Kind::Voice,
        engine: ENGINE_NATIVE.to_owned(),
        content_space: "test".to_owned(),
        name: name.to_owned(),
        description: "For tests.".to_owned(),
        languages: vec!["en".to_owned()],
        author: "Nobody".to_owned(),
        licence: "CC0-1.0".to_owned(),
        attribution: String::new(),
        consent: None,
        median_f0_hz: 150.0,
        range_hz: [100.0, 250.0],
        delivery: coffre::voice::Delivery::default(),
        bandwidth_hz: 20_000.0,
        voiced_seconds: 1.0,
        previous_ids: Vec::new(),
        improved_from: None,
        members: Vec::new(),
    }
}

fn parts() -> NativeVoice {
    let frame = |i: usize| BankFrame {
        key: std::array::from_fn(|n| ((i * 13 + n * 7) as f32 * 0.37).sin() * 2.0),
        shape: std::array::from_fn(|b| -5.0 + ((i + b) as f32 * 0.21).cos() * 3.0),
        f0_hz: if i.is_multiple_of(4) { 0.0 } else { 150.0 },
    };
    NativeVoice {
        absolute_share: 0.0,
        adaptation: None,
        bank: Bank::quantise(&(0..120).map(frame).collect::<Vec<_>>()),
        shapes: MeanShapes { voiced: [-5.0; SHAPE_BANDS], unvoiced: [-4.0; SHAPE_BANDS] },
        restoration: Restoration { mean: [[-5.0; SHAPE_BANDS]; 2], ratio: [[1.2; SHAPE_BANDS]; 2] },
    }
}

fn good() -> Vec<u8> {
    Voice::write(manifest("Test"), &parts()).expect("the manifest is valid")
}

/// Members of a container, unpacked, to be tampered with.
fn unpack(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).expect("a zip");
    (0..archive.len())
        .map(|index| {
            let mut entry = archive.by_index(index).expect("an entry");
            let mut data = Vec::new();
            std::io::copy(&mut entry, &mut data).expect("readable");
            (entry.name().expect("a name").into_owned(), data)
        })
        .collect()
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

fn member_mut<'a>(members: &'a mut [(String, Vec<u8>)], name: &str) -> &'a mut Vec<u8> {
    &mut members.iter_mut().find(|(path, _)| path == name).expect("the member exists").1
}

/// A voice whose manifest was edited as JSON.
fn with_manifest(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut members = unpack(&good());
    let json = member_mut(&mut members, "manifest.json");
    let mut value: Value = serde_json::from_slice(json).expect("JSON");
    edit(&mut value);
    *json = serde_json::to_vec(&value).expect("JSON");
    pack(&members)
}

/// A voice with another content of one member, its hash (and shape, when given) set right again.
fn with_member(name: &str, data: Vec<u8>, shape: Option<Value>) -> Vec<u8> {
    let mut members = unpack(&good());
    let hash: String = Sha256::digest(&data).iter().map(|byte| format!("{byte:02x}")).collect();
    *member_mut(&mut members, name) = data;
    let json = member_mut(&mut members, "manifest.json");
    let mut value: Value = serde_json::from_slice(json).expect("JSON");
    let list = value["members"].as_array_mut().expect("a list");
    let entry = list.iter_mut().find(|entry| entry["path"] == name).expect("listed");
    entry["sha256"] = json!(hash);
    if let Some(shape) = shape {
        entry["shape"] = shape;
    }
    *json = serde_json::to_vec(&value).expect("JSON");
    pack(&members)
}

fn error(bytes: &[u8]) -> VoiceError {
    let error = Voice::from_bytes(bytes).expect_err("a hostile file");
    assert!(error.to_string().len() > 20, "the message says something: {error}");
    error
}

#[test]
fn a_written_voice_reads_back_and_is_described() {
    let bytes = good();
    let voice = Voice::from_bytes(&bytes).expect("good");
    assert_eq!(voice.id(), VoiceId::of(&bytes));
    let body = voice.native().expect("of the native engine");
    assert_eq!(body.bank, parts().bank);
    assert_eq!(body.shapes, parts().shapes);
    assert_eq!(body.restoration, parts().restoration);
    assert_eq!(bytes, good(), "writing is deterministic");
    let text = voice.describe();
    for part in ["Test", "150 Hz", "120 frames", "CC0-1.0", "origin unknown", &voice.id().to_string()] {
        assert!(text.contains(part), "`{part}` in {text}");
    }
    assert_eq!(voice.id().to_string().parse::<VoiceId>(), Ok(voice.id()));
}

#[test]
fn truncation_anywhere_is_an_error() {
    let bytes = good();
    for len in (0..bytes.len()).step_by(bytes.len() / 400 + 1).chain([bytes.len() - 1]) {
        error(&bytes[..len]);
    }
}

#[test]
fn a_changed_byte_anywhere_is_an_error_or_changes_nothing() {
    let bytes = good();
    let voice = Voice::from_bytes(&bytes).expect("good");
    for at in (0..bytes.len()).step_by(bytes.len() / 900 + 1) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        // Some bytes of a zip mean nothing (times, attributes). The content is never different.
        if let Ok(read) = Voice::from_bytes(&changed) {
            assert_eq!(read.native(), voice.native(), "byte {at}");
            assert_eq!(read.manifest(), voice.manifest(), "byte {at}");
        }
    }
}

#[test]
fn other_files_are_refused() {
    error(b"");
    error(b"hello");
    error(&[0; 100_000]);
    error(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    assert!(matches!(error(&pack(&[])), VoiceError::MissingMember { .. } | VoiceError::Container { .. }));
    assert!(matches!(error(&pack(&[("a".to_owned(), vec![1])])), VoiceError::MissingMember { .. }));
}

#[test]
fn future_and_unknown_formats_say_update() {
    let future = error(&with_manifest(|m| m["format"]["major"] = json!(FORMAT_MAJOR + 1)));
    assert_eq!(future, VoiceError::FutureVersion { found: FORMAT_MAJOR + 1, supported: FORMAT_MAJOR });
    assert!(future.to_string().contains("Update"));
    // A future manifest may look entirely different.
    let alien = with_manifest(|m| *m = json!({"format": {"major": 9, "minor": 0}, "anything": []}));
    assert!(matches!(error(&alien), VoiceError::FutureVersion { found: 9, .. }));
    assert!(matches!(error(&with_manifest(|m| m["engine"] = json!("x"))), VoiceError::UnknownEngine { .. }));
    assert!(matches!(error(&with_manifest(|m| m["kind"] = json!("singer"))), VoiceError::WrongKind { .. }));
    // A newer minor version with more fields is read.
    let newer = with_manifest(|m| {
        m["format"]["minor"] = json!(7);
        m["portrait"] = json!("later");
    });
    Voice::from_bytes(&newer).expect("minor versions only add");
}

#[test]
fn impossible_manifests_are_refused() {
    let edits: [fn(&mut Value); 14] = [
        |m| m["name"] = json!(""),
        |m| m["name"] = json!("x".repeat(5_000)),
        |m| m["name"] = json!("a\u{7}b"),
        |m| m["median_f0_hz"] = json!(0.0),
        |m| m["median_f0_hz"] = json!(1e30),
        |m| m["range_hz"] = json!([1.0]),
        |m| m["bandwidth_hz"] = json!(-1.0),
        |m| m["members"] = json!([]),
        |m| m["members"] = json!(null),
        |m| m["members"][0]["path"] = json!("../../etc/passwd"),
        |m| m["members"][0]["path"] = json!("manifest.json"),
        |m| m["members"][0]["sha256"] = json!("00"),
        |m| m["members"][0]["dtype"] = json!("f64"),
        |m| m["format"] = json!("1.0"),
    ];
    for (index, edit) in edits.into_iter().enumerate() {
        let refused = error(&with_manifest(edit));
        let fits = matches!(
            refused,
            VoiceError::Manifest { .. } | VoiceError::Container { .. } | VoiceError::MissingMember { .. }
        );
        assert!(fits, "edit {index}: {refused}");
    }
    let mut members = unpack(&good());
    *member_mut(&mut members, "manifest.json") = b"{\"format\":".to_vec();
    assert!(matches!(error(&pack(&members)), VoiceError::Manifest { .. }));
    *member_mut(&mut members, "manifest.json") = vec![b'['; 900_000];
    assert!(matches!(error(&pack(&members)), VoiceError::Manifest { .. }));
    *member_mut(&mut members, "manifest.json") = vec![b' '; 3_000_000];
    error(&pack(&members));
}

#[test]
fn claimed_sizes_are_checked_before_memory_is_taken() {
    let huge: [Value; 5] = [
        json!([4_294_967_295_u32, 4_294_967_295_u32, 4_294_967_295_u32]),
        json!([4_294_967_295_u32, 64]),
        json!([70_000, 64]),
        json!([119, 64]),
        json!([120]),
    ];
    for shape in huge {
        let bytes = with_manifest(|m| {
            let list = m["members"].as_array_mut().expect("a list");
            list.iter_mut().find(|entry| entry["path"] == "bank/keys").expect("listed")["shape"] = shape;
        });
        assert!(matches!(error(&bytes), VoiceError::Manifest { .. } | VoiceError::Shape { .. }));
    }
}

#[test]
fn a_zip_bomb_is_not_unpacked() {
    // 60 MB of zeros in 60 kB: refused by its length, or by the shape it must have.
    let bomb = vec![0_u8; 60_000_000];
    assert!(matches!(error(&with_member("bank/f0", bomb.clone(), None)), VoiceError::Shape { .. }));
    let shape = Some(json!([30_000_000_u32]));
    assert!(matches!(error(&with_member("bank/f0", bomb.clone(), shape)), VoiceError::Shape { .. }));
    // Fourteen of them together exceed the total.
    let bytes = with_manifest(|m| {
        for number in 0..14 {
            let entry =
                json!({"path": format!("m{number}"), "dtype": "u8", "shape": [60_000_000], "sha256": "0".repeat(64)});
            m["members"].as_array_mut().expect("a list").push(entry);
        }
    });
    assert!(matches!(error(&bytes), VoiceError::Manifest { .. }));
}

#[test]
fn a_directory_with_many_entries_is_refused_before_it_is_read() {
    let many: Vec<(String, Vec<u8>)> = (0..2_000).map(|i| (format!("m{i}"), vec![])).collect();
    assert!(matches!(error(&pack(&many)), VoiceError::Container { .. }));
    // A claim of many entries without them.
    let mut bytes = good();
    let end = bytes.len() - 22;
    bytes[end + 8..end + 12].copy_from_slice(&[0xff; 4]);
    assert!(matches!(error(&bytes), VoiceError::Container { .. }));
}

#[test]
fn tampering_is_named() {
    let mut members = unpack(&good());
    member_mut(&mut members, "bank/shapes")[100] ^= 1;
    assert_eq!(error(&pack(&members)), VoiceError::HashMismatch { member: "bank/shapes".to_owned() });
    let mut members = unpack(&good());
    members.retain(|(name, _)| name != "stats/shapes");
    assert_eq!(error(&pack(&members)), VoiceError::MissingMember { member: "stats/shapes".to_owned() });
    let mut members = unpack(&good());
    members.push(("../evil".to_owned(), vec![1]));
    assert!(matches!(error(&pack(&members)), VoiceError::Container { .. }));
}

#[test]
fn values_that_are_no_numbers_are_named() {
    for (member, len) in
        [("stats/shapes", 172), ("stats/variance_ratio", 172), ("stats/retrieved_mean", 172), ("bank/shape_range", 172)]
    {
        for bad in [f32::NAN, f32::INFINITY, 1e20] {
            let mut values = vec![1.0_f32; len];
            values[7] = bad;
            let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            assert_eq!(
                error(&with_member(member, data, None)),
                VoiceError::Value { member: member.to_owned(), position: 7 }
            );
        }
    }
    let zero = 0.0_f32.to_le_bytes().to_vec();
    assert!(matches!(error(&with_member("bank/key_scale", zero, None)), VoiceError::Value { .. }));
}

#[test]
fn members_of_another_shape_are_named() {
    for (member, data, shape) in [
        ("bank/keys", vec![0; 120 * 32], json!([120, 32])),
        ("bank/keys", vec![0; 64 * 60], json!([60, 64])),
        ("bank/shapes", vec![0; 120 * 64], json!([120, 64])),
        ("bank/f0", vec![0; 238], json!([119])),
        ("stats/shapes", vec![0; 4], json!([1])),
        ("stats/shapes", vec![0; 172 * 4], json!([172])),
    ] {
        assert!(matches!(error(&with_member(member, data, Some(shape))), VoiceError::Shape { .. }), "{member}");
    }
}

#[test]
fn files_that_are_too_large_or_no_files_are_refused_unread() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big.coffre");
    // Sparse: takes no space on disk.
    std::fs::File::create(&path)
        .and_then(|file| file.set_len(coffre::voice::package::MAX_FILE_BYTES + 1))
        .expect("a sparse file");
    assert!(matches!(Voice::open(&path), Err(VoiceError::TooLarge { .. })));
    assert!(matches!(Voice::open(folder.path()), Err(VoiceError::Unreadable { .. })));
    assert!(matches!(Voice::open(&folder.path().join("absent.coffre")), Err(VoiceError::Unreadable { .. })));
}

#[test]
fn the_library_lists_bad_files_beside_good_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("writable");
    put("one.coffre", &Voice::write(manifest("First"), &parts()).expect("valid"));
    put("two.COFFRE", &Voice::write(manifest("Second"), &parts()).expect("valid"));
    put("two-copy.coffre", &Voice::write(manifest("Second"), &parts()).expect("valid"));
    put("broken.coffre", b"not a voice");
    put("readme.txt", b"ignored");
    let absent = folder.path().join("absent");
    let folders = [(Origin::User, folder.path().to_owned()), (Origin::System, absent)];
    let library = Library::scan_folders(&folders);
    let found: Vec<&str> =
        library.entries().iter().filter(|e| e.origin == Origin::User).map(|e| e.name.as_str()).collect();
    assert_eq!(found, ["broken", "First", "Second"]);
    let broken = library.entries().iter().find(|entry| entry.name == "broken").expect("listed");
    assert!(broken.manifest.is_err() && broken.load().is_err());

    let second = library.find_by_word("second").expect("names ignore case");
    let id = second.id.expect("a good file has an id");
    let voice = second.load().expect("a good file");
    assert_eq!(voice.id(), id);
    assert!(std::sync::Arc::ptr_eq(&voice, &second.load().expect("again")), "one copy per process");
    assert_eq!(library.find(Some(id), "renamed").expect("by id").name, "Second");
    assert_eq!(library.find(Some(VoiceId::of(b"gone")), "First").expect("by name").name, "First");
    assert_eq!(library.find_by_word(&id.to_string()[..10]).expect("by digits").name, "Second");
    let missing = library.find_by_word("nobody").expect_err("absent");
    assert!(missing.to_string().contains("First"), "{missing}");
}

#[test]
fn deleted_files_are_an_error_when_loaded_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gone.coffre");
    std::fs::write(&path, Voice::write(manifest("Gone soon"), &parts()).expect("valid")).expect("writable");
    let library = Library::scan_folders(&[(Origin::User, folder.path().to_owned())]);
    std::fs::remove_file(&path).expect("removable");
    let entry = library.find(None, "Gone soon").expect("listed");
    assert!(matches!(entry.load(), Err(VoiceError::Unreadable { .. })));
}

#[test]
fn every_embedded_voice_opens() {
    let library = Library::scan_folders(&[]);
    for entry in library.entries() {
        let voice = entry.load().unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        assert!(voice.native().is_some_and(|body| !body.bank.is_empty()), "{}", entry.name);
        assert!(voice.manifest().consent.is_some(), "{}", entry.name);
    }
}
