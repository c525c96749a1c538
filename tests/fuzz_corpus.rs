//! Reads the corpus from coverage-guided fuzzing again: no panic, no broken promise, bounded memory. Also files that are
//! made to exhaust memory, which are too large for a fuzzer to find.
//!
//! The corpora lie in `data/fuzz`, one archive per target; `fuzz_targets/README.md` says how they are made.

use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[path = "common/container.rs"]
mod container;
#[path = "common/counting.rs"]
mod counting;
#[path = "common/forge.rs"]
mod forge;
#[path = "common/readers.rs"]
mod readers;

use coffre::voice::import::rvc_from_bytes;
use coffre::voice::manifest::ElementType;
use coffre::voice::package::{Package, PackageWriter};
use coffre::voice::{Manifest, Voice};
use container::unpack;
use counting::{IN_USE, PEAK};
use serde_json::json;

/// Nothing else may run while memory is measured.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A target: its corpus, what it does with an input, how many inputs there are at least and how many are good files.
type Target = (&'static str, fn(&[u8]) -> bool, usize, usize);

#[test]
fn the_corpora_are_read_without_a_panic_and_in_bounded_memory() {
    let _alone = alone();
    let targets: [Target; 6] = [
        ("pth", readers::pth, 50, 10),
        ("description", |input| readers::pth(&forge::torch(input, &forge::STORAGES)), 140, 9),
        ("index", readers::index, 60, 4),
        ("onnx", readers::onnx, 110, 25),
        ("coffre", readers::coffre, 40, 12),
        ("members", |input| readers::coffre(&forge::container(input)), 200, 9),
    ];
    for (name, read, least, good) in targets {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(format!("{name}.zip"));
        let inputs = unpack(&std::fs::read(corpus).expect("a corpus"));
        let mut accepted = 0;
        for (case, input) in &inputs {
            let outcome = catch_unwind(|| read(input));
            accepted += usize::from(outcome.unwrap_or_else(|_| panic!("{name}/{case}: see the panic above")));
        }
        assert!(inputs.len() >= least, "{name}: {} inputs", inputs.len());
        assert!(accepted >= good, "{name}: {accepted} of {} inputs are accepted", inputs.len());
    }
}

/// Most bytes that were taken while `read` ran.
fn taken<T>(read: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read();
    (result, PEAK.load(Relaxed).saturating_sub(before))
}

#[test]
fn descriptions_made_of_many_small_things_take_little_memory() {
    let _alone = alone();
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let place =
        [b"(", text("storage").as_slice(), b"ctorch\nHalfStorage\n", &text(&"9".repeat(32)), b"tq\x06"].concat();
    let sizes = [b"(".as_slice(), &b"K\x01".repeat(8), b"tq\x03"].concat();
    let arguments = b"(h\x02K\0h\x03h\x03tq\x04".as_slice();
    let call = b"ctorch._utils\n_rebuild_tensor_v2\nq\x05".as_slice();
    let tensor = [call, &place, b"Qq\x02", &sizes, arguments].concat();
    let names = [text(&"m".repeat(100)), b"q\0".to_vec(), text(&"n".repeat(100)), b"q\x01".to_vec()].concat();
    for (what, start, repeated) in [
        ("notes", b"N".as_slice(), b"\x94".as_slice()),
        ("copies", b"N", b"2"),
        ("marks", b"N", b"("),
        ("objects", b"N", b"N"),
        ("lists", b"N", b"]"),
        ("names", &names, b"h\0h\x01\x93"),
        ("storages", &place, b"h\x06Q"),
        ("tensors", &tensor, b"h\x05h\x04R"),
    ] {
        let count = ((8 << 20) - start.len() - 3) / repeated.len();
        let description = [b"\x80\x02", start, &repeated.repeat(count), b"."].concat();
        let file = forge::torch(&description, &[]);
        let (voice, taken) = taken(|| rvc_from_bytes("bomb", false, file, None));
        assert!(voice.is_err(), "{what}");
        assert!(taken < 128 << 20, "{what}: {taken} bytes");
    }
}

#[test]
fn tensors_over_the_same_bytes_do_not_make_a_small_file_large() {
    let _alone = alone();
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let mut description = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x01(".to_vec();
    description.extend([text("storage").as_slice(), b"ctorch\nHalfStorage\n", &text("0"), b"tQq\x02}("].concat());
    description.extend([text("weight").as_slice(), b"}("].concat());
    for n in 0..2_000 {
        let view = b"h\x01(h\x02K\0(J\0\0\x01\0t(K\x01ttR";
        description.extend([text(&format!("dec.{n}")).as_slice(), view].concat());
    }
    // Sizes as those of a voice: only the tensors are wrong.
    let size = |value: u32| [b"J", value.to_le_bytes().as_slice()].concat();
    description.extend([b"u".as_slice(), &text("config"), b"]("].concat());
    [513, 32, 2, 2, 2, 1, 1, 3, 0, 1].iter().for_each(|&value| description.extend(size(value)));
    description.extend(b"](K\x03e](](K\x01ee](K\x0aK\x08eK\x04](K\x0aK\x08eK\x01K\x02M\x40\x1feu.");
    let file = forge::torch(&description, &[131_072]);
    let len = file.len();
    let (voice, taken) = taken(|| rvc_from_bytes("bomb", false, file, None).map(|_| ()));
    let error = voice.expect_err("refused");
    assert!(error.to_string().contains("larger than the file"), "{error}");
    assert!(taken < 4 << 20, "{taken} bytes for {len} of file");
}

/// A manifest that lists one member of so many bytes.
fn manifest_of(path: &str, len: usize) -> Vec<u8> {
    let member = json!({ "path": path, "dtype": "u8", "shape": [len], "sha256": "0".repeat(64) });
    let manifest = json!({
        "format": { "major": 1, "minor": 2 }, "kind": "voice", "engine": "native", "content_space": "", "name": "Claim",
        "median_f0_hz": 150.0, "range_hz": [100.0, 250.0], "bandwidth_hz": 20000.0, "members": [member],
    });
    manifest.to_string().into_bytes()
}

#[test]
fn a_member_cannot_claim_memory_that_the_file_does_not_hold() {
    let _alone = alone();
    let claimed = 400_000_000_u32;
    let path = "preview.flac";
    let record = forge::MEMBERS.iter().position(|member| member.0 == path).expect("listed") as u8;
    for packing in [0, 1] {
        let start = [&[forge::BARE], manifest_of(path, claimed as usize).as_slice(), b"\0"].concat();
        let mut file = forge::container(&[start.as_slice(), &[record, packing, 4, 0], b"fLaC"].concat());
        let entry = file.windows(4).rposition(|window| window == b"PK\x01\x02").expect("a directory");
        file[entry + 24..entry + 28].copy_from_slice(&claimed.to_le_bytes());
        let (opened, taken) = taken(|| (Package::open(&file).map(|_| ()), Voice::from_bytes(&file).map(|_| ())));
        assert!(opened.0.is_err() && opened.1.is_err());
        assert!(taken < 1 << 20, "{taken} bytes for {} of file", file.len());
    }
    // What packs as well as anything can still opens.
    let mut writer = PackageWriter::new(Manifest::from_json(&manifest_of(path, 1)).expect("valid"));
    writer.push(path, ElementType::U8, &[32 << 20], vec![0; 32 << 20]);
    let file = writer.finish().expect("written");
    assert!(file.len() < 40_000, "{} bytes", file.len());
    let package = Package::open(&file).expect("all zeros");
    assert_eq!(package.bytes(path).expect("listed").map(<[u8]>::len), Ok(32 << 20));
}
