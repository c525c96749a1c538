//! What the program does with a file from outside, on bytes in memory: read it, describe it, keep it as a voice, build
//! what the engine needs of it. The fuzz targets call this, and so does the test that replays their corpus.
//!
//! A broken promise panics: an error without words, a voice that cannot be kept, more memory than the file explains.
//! Needs `counting` beside it, in a program with one busy thread. Each reader says whether it accepted the file.

use std::fmt::Display;
use std::sync::atomic::Ordering::Relaxed;

use coffre::engine::profile::SourceProfile;
use coffre::engine::rvc::{net, retrieval};
use coffre::voice::foundation::Foundation;
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::onnx::OnnxOutline;
use coffre::voice::import::rvc_from_bytes;
use coffre::voice::package::Package;
use coffre::voice::rvc::Generator;
use coffre::voice::{Bank, Extras, KEY_LEN, Kind, Voice, extras};

use crate::counting::{IN_USE, PEAK};

/// Memory that reading may take: so many bytes, and so many for each byte of the file.
struct Bound(usize, usize);

/// A description of 3 bytes makes an object of some hundred, in a list that is copied when it grows.
const PTH: Bound = Bound(2 << 20, 400);
const INDEX: Bound = Bound(1 << 20, 64);
const ONNX: Bound = Bound(2 << 20, 64);
/// The decompressor's own, and what deflate packs into a byte at most, in a few copies.
const COFFRE: Bound = Bound(4 << 20, 3 * 1_032);

/// Runs a reader, and compares what it took at most with its bound.
fn bounded<T>(bound: &Bound, file_len: usize, read: impl FnOnce() -> T) -> T {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let result = read();
    let taken = PEAK.load(Relaxed).saturating_sub(before);
    let Bound(base, factor) = bound;
    assert!(taken <= base + factor * file_len, "{taken} bytes of memory for {file_len} of file");
    result
}

/// An error tells in words what is wrong; the words may be shown anywhere.
fn in_words<T>(result: Result<T, impl Display>) -> Option<T> {
    result
        .map_err(|error| {
            let text = error.to_string();
            assert!(text.len() > 20 && text.len() < 4_000, "an error of {} bytes: {text}", text.len());
            assert!(!text.chars().any(char::is_control), "an error that is not one line of text: {text:?}");
        })
        .ok()
}

/// A `.pth` file.
pub fn pth(file: &[u8]) -> bool {
    bounded(&PTH, file.len(), || {
        let voice = in_words(rvc_from_bytes("fuzz", false, file.to_vec(), None));
        voice.is_some_and(|voice| keep(&voice, file))
    })
}

/// A `.index` file.
pub fn index(file: &[u8]) -> bool {
    let Some(index) = bounded(&INDEX, file.len(), || in_words(RetrievalIndex::read(file))) else { return false };
    assert_eq!(RetrievalIndex::read(&index.write()).as_ref(), Ok(&index), "what is written is what was read");
    let mut features = vec![1.0; index.dim];
    retrieval::blend(&index, &mut features, 0.75, &mut Vec::new());
    assert!(features.iter().all(|value| value.is_finite()), "a blend that is no number");
    true
}

/// An `.onnx` file: a generator, or a graph that all RVC voices need.
pub fn onnx(file: &[u8]) -> bool {
    bounded(&ONNX, file.len(), || {
        let outline = in_words(OnnxOutline::read(file));
        let foundation = in_words(Foundation::recognise(file));
        assert!(outline.is_some() || foundation.is_none());
        let voice = in_words(rvc_from_bytes("fuzz", true, file.to_vec(), None));
        foundation.is_some() | voice.is_some_and(|voice| keep(&voice, file))
    })
}

/// A voice or profile in Coffre's container, opened in every way that the program does.
pub fn coffre(file: &[u8]) -> bool {
    bounded(&COFFRE, file.len(), || {
        let peeked = in_words(Package::peek(file));
        let package = in_words(Package::open(file));
        assert!(peeked.is_some() || package.is_none(), "what opens can be looked at");
        let Some((_, manifest)) = peeked else { return false };
        let (has_preview, has_portrait) = Extras::listed(&manifest);
        if has_preview || is_chosen(file) {
            in_words(Extras::peek_preview(file));
        }
        if has_portrait || is_chosen(file) {
            in_words(Extras::peek_portrait(file));
        }
        let Some(package) = package else { return false };
        in_words(Extras::read(&package));
        if is_chosen(file) {
            let copy = in_words(extras::rewrite(file, |manifest| manifest.name = "Copy".to_owned()));
            let copy = in_words(Package::open(&copy.expect("what opens can be renamed"))).expect("the copy opens");
            assert_eq!(copy.manifest.members, package.manifest.members);
        }
        if manifest.kind == Kind::Singer {
            let profile = in_words(SourceProfile::from_bytes(file));
            return profile.inspect(|profile| look_up(&profile.bank)).is_some();
        }
        let voice = in_words(Voice::from_bytes(file));
        if let Some(voice) = &voice {
            described(voice);
            if let Some(body) = voice.native() {
                look_up(&body.bank);
            }
            build(voice);
        }
        voice.is_some()
    })
}

/// A voice is described in lines of text, each of them Coffre's own.
fn described(voice: &Voice) {
    let text = voice.describe();
    assert!(!text.is_empty() && !text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    assert_eq!(text.lines().filter(|line| line.starts_with("  consent ")).count(), 1, "{text}");
}

/// All frames of a bank, as the engine asks for them.
fn look_up(bank: &Bank) {
    assert_eq!((bank.keys().len(), bank.f0_steps().len()), (bank.len() * KEY_LEN, bank.len()));
    for frame in 0..bank.len() {
        assert!(bank.shape(frame).iter().all(|value| value.is_finite()) && bank.f0_hz(frame).is_finite());
    }
}

/// Whether the file goes through the slow steps too: one in eight, so that millions of others get their turn.
fn is_chosen(file: &[u8]) -> bool {
    file.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).is_multiple_of(8)
}

/// Writes an imported voice into a file of Coffre's and opens that.
fn keep(voice: &Voice, file: &[u8]) -> bool {
    build(voice);
    if is_chosen(file) {
        let parts = voice.rvc().expect("imported");
        let file = Voice::write_rvc(voice.manifest().clone(), parts).expect("an imported voice can be kept");
        let kept = Voice::from_bytes(&file).expect("what was kept opens again");
        assert_eq!(kept.rvc().expect("of the same engine").describe(), parts.describe());
        described(&kept);
    }
    true
}

/// Builds the graph of a voice with weights, as the engine does before it asks the runtime.
fn build(voice: &Voice) {
    if let Some(Generator::Weights(checkpoint)) = voice.rvc().map(|parts| &parts.generator) {
        in_words(net::build(checkpoint, 0, net::Probe::Off));
    }
}
