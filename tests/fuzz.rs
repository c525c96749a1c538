//! Fuzzes the readers of foreign files with mutated input.
//!
//! A few thousand executions in every test run; `COFFRE_FUZZ_SECONDS=3600 cargo test --test fuzz -- --nocapture` runs
//! longer and counts. Inputs with a new error message become seeds, so that the search gets deeper than the first check.
//! A panic or more memory than allowed ends it with the input in hexadecimal.

mod common;
#[path = "common/container.rs"]
mod container;
#[path = "common/counting.rs"]
mod counting;

use std::collections::HashSet;
use std::io::{Cursor, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use coffre::onnx::model::{Dim, GraphWriter};
use coffre::voice::Voice;
use coffre::voice::foundation::Foundation;
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::onnx::OnnxOutline;
use coffre::voice::import::pickle::Pickle;
use coffre::voice::import::{Checkpoint, import_rvc};
use coffre::voice::rvc::ForeignGraph;
use common::Random;
use container::unpack;
use counting::{IN_USE, PEAK};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Executions per reader when no time is given.
const FEW: u64 = 3_000;

/// Seeds that are kept per reader.
const MOST_SEEDS: usize = 400;

/// Memory that reading a small file may take.
const MOST_MEMORY: usize = 64 << 20;

/// Reads a file; gives what it said, or `None` when it was taken.
type Reader = fn(&[u8]) -> Option<String>;

struct Target {
    name: &'static str,
    read: Reader,
    seeds: Vec<Vec<u8>>,
    said: HashSet<String>,
    executions: u64,
    taken: u64,
}

impl Target {
    fn new(name: &'static str, read: Reader, seed: Vec<u8>) -> Self {
        assert_eq!(read(&seed), None, "{name}: the seed is good");
        Self { name, read, seeds: vec![seed], said: HashSet::new(), executions: 0, taken: 0 }
    }

    fn execute(&mut self, random: &mut Random) {
        let mut bytes = self.seeds[random.below(self.seeds.len())].clone();
        (0..=random.below(4)).for_each(|_| mutate(random, &mut bytes));
        let before = IN_USE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let said = catch_unwind(AssertUnwindSafe(|| (self.read)(&bytes)));
        let memory = PEAK.load(Relaxed).saturating_sub(before);
        let hex = || bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let said = said.unwrap_or_else(|_| panic!("{} panics on {}", self.name, hex()));
        assert!(memory <= MOST_MEMORY, "{}: {memory} bytes of memory for {}", self.name, hex());
        self.executions += 1;
        match said {
            None => self.taken += 1,
            Some(words) => {
                // Numbers and names from the file make no new case.
                let case = words.chars().filter(|c| c.is_ascii_alphabetic()).take(60).collect();
                if self.seeds.len() < MOST_SEEDS && self.said.insert(case) {
                    self.seeds.push(bytes);
                }
            }
        }
    }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        bytes.push(0);
    }
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(40)).min(bytes.len());
    match random.below(9) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
        3 => bytes[at] = random.below(256) as u8,
        4 => {
            let value = [u64::MAX, 1 << 63, 1 << 32, 0, 0xffff_ffff, 1][random.below(6)].to_le_bytes();
            let len = [2, 4, 8][random.below(3)].min(bytes.len() - at);
            bytes[at..at + len].copy_from_slice(&value[..len]);
        }
        5 if random.below(4) == 0 => bytes.truncate(at),
        5 | 6 => drop(bytes.drain(at..end)),
        7 => {
            let (copy, to) = (bytes[at..end].to_vec(), random.below(bytes.len()));
            bytes.splice(to..to, copy);
        }
        _ => {
            let (copy, to) = (bytes[at..end].to_vec(), random.below(bytes.len()));
            let len = copy.len().min(bytes.len() - to);
            bytes[to..to + len].copy_from_slice(&copy[..len]);
        }
    }
}

fn words<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<String> {
    result.err().map(|error| error.to_string())
}

fn pth() -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v1_32k_plain.pth");
    std::fs::read(path).expect("a fixture")
}

/// The description of a checkpoint.
fn description() -> Vec<u8> {
    unpack(&pth()).into_iter().find(|(name, _)| name.ends_with("data.pkl")).expect("a description").1
}

/// A checkpoint with this description and the fixture's numbers, packed anew so that all checksums are right.
fn with_description(description: &[u8]) -> Vec<u8> {
    static REST: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
    let rest = REST.get_or_init(|| unpack(&pth()));
    let members = rest.iter().map(|(name, data)| match name.ends_with("data.pkl") {
        true => (name.as_str(), description),
        false => (name.as_str(), data.as_slice()),
    });
    pack(members, CompressionMethod::Stored)
}

fn index() -> Vec<u8> {
    let count = |n: usize| (0..n).map(|n| (n as f32 * 0.37).sin()).collect::<Vec<_>>();
    let (dim, lists, rows) = (4, 3, 12);
    let starts = vec![0, 5, 5, rows];
    let ids = (0..).take(rows).collect();
    RetrievalIndex { dim, centroids: count(lists * dim), starts, vectors: count(rows * dim), ids }.write()
}

/// A graph with the outside of an exported voice.
fn graph() -> Vec<u8> {
    let mut graph = GraphWriter::new();
    let (one, frames) = (Dim::Fixed(1), Dim::Open("frames"));
    let phone = graph.input("phone", &[one, frames, Dim::Fixed(768)]);
    graph.input("phone_lengths", &[one]);
    graph.input("pitch", &[one, frames]);
    graph.input("pitchf", &[one, frames]);
    graph.input("ds", &[one]);
    graph.input("rnd", &[one, Dim::Fixed(192), frames]);
    let weights = graph.floats(&[4], &[1.0, 2.0, 3.0, 4.0]);
    let sum = graph.node("Mul", &[&phone, &weights], &[]);
    graph.output(&sum, "audio", &[one, one, Dim::Open("samples")]);
    graph.finish("voice", &[("metadata", "{\"samplingRate\": 40000, \"f0\": 1, \"embChannels\": 768}")])
}

fn content_graph() -> Vec<u8> {
    let mut graph = GraphWriter::new();
    let sound = graph.input("source", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
    graph.output(&sound, "embed", &[Dim::Fixed(1), Dim::Fixed(768), Dim::Open("frames")]);
    graph.finish("contentvec", &[])
}

/// A small voice file.
fn voice() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let (graph_file, index_file) = (folder.path().join("voice.onnx"), folder.path().join("voice.index"));
    std::fs::write(&graph_file, graph()).expect("written");
    let dim = 768;
    let vectors = (0..9 * dim).map(|n| (n as f32 * 0.37).sin()).collect();
    let ids = (0..9).collect();
    let index = RetrievalIndex { dim, centroids: vec![0.0; dim], starts: vec![0, 9], vectors, ids };
    std::fs::write(&index_file, index.write()).expect("written");
    let voice = import_rvc(&graph_file, Some(&index_file)).expect("a voice");
    Voice::write_rvc(voice.manifest().clone(), voice.rvc().expect("of RVC")).expect("writable")
}

/// The voice file with another manifest, packed anew.
fn with_manifest(manifest: &[u8]) -> Vec<u8> {
    static REST: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
    let rest = REST.get_or_init(|| unpack(&voice()));
    let members = rest.iter().map(|(name, data)| match name == "manifest.json" {
        true => (name.as_str(), manifest),
        false => (name.as_str(), data.as_slice()),
    });
    pack(members, CompressionMethod::Stored)
}

fn targets() -> Vec<Target> {
    let manifest = unpack(&voice()).into_iter().find(|(name, _)| name == "manifest.json").expect("a manifest").1;
    vec![
        Target::new(".pth description", |bytes| words(Pickle::read(bytes)), description()),
        Target::new(".pth checkpoint", |bytes| words(Checkpoint::read(with_description(bytes))), description()),
        Target::new(".pth file", |bytes| words(Checkpoint::read(bytes.to_vec())), pth()),
        Target::new(".index", |bytes| words(RetrievalIndex::read(bytes)), index()),
        Target::new(".onnx outline", |bytes| words(OnnxOutline::read(bytes)), graph()),
        Target::new(".onnx voice", |bytes| words(ForeignGraph::read(bytes.to_vec())), graph()),
        Target::new(".onnx foundation", |bytes| words(Foundation::recognise(bytes)), content_graph()),
        Target::new(".coffre file", |bytes| words(Voice::from_bytes(bytes)), voice()),
        Target::new(".coffre manifest", |bytes| words(Voice::from_bytes(&with_manifest(bytes))), manifest),
    ]
}

// One test, so that nothing else runs while memory is measured.
#[test]
fn no_reader_panics_or_takes_memory() {
    let seconds = std::env::var("COFFRE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut targets = targets();
    // Another beginning for each long run; the short one is always the same.
    let seed = end.and_then(|_| std::time::SystemTime::UNIX_EPOCH.elapsed().ok()).map_or(1, |now| now.as_secs());
    let mut random = Random(seed);
    let mut told = Instant::now();
    loop {
        for target in &mut targets {
            // Each gets the same time, not the same number: some are a thousand times as fast.
            let turn = Instant::now() + Duration::from_millis(100);
            let few = if target.name == ".pth file" || target.name == ".pth checkpoint" { FEW / 10 } else { FEW };
            while if end.is_some() { Instant::now() < turn } else { target.executions < few } {
                target.execute(&mut random);
            }
        }
        let is_over = end.is_none_or(|end| Instant::now() >= end);
        if is_over || told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            for target in &targets {
                let Target { name, executions, taken, seeds, .. } = target;
                println!("{name:<18} {executions:>10} executions, {taken} taken, {} seeds", seeds.len());
            }
        }
        if is_over {
            break;
        }
    }
    assert!(targets.iter().all(|target| target.executions > target.taken), "something was refused everywhere");
}

fn pack<'a>(members: impl Iterator<Item = (&'a str, &'a [u8])>, method: CompressionMethod) -> Vec<u8> {
    let options = SimpleFileOptions::default().compression_method(method);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, data) in members {
        zip.start_file(name, options).expect("a new entry");
        zip.write_all(data).expect("memory");
    }
    zip.finish().expect("memory").into_inner()
}
