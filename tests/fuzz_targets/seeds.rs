//! Writes small good files for every fuzz target to start from: `seeds FOLDER` makes `FOLDER/<target>/*`.

#![allow(dead_code, reason = "the tests share more than is used here")]

#[path = "../common/forge.rs"]
mod forge;

use std::collections::BTreeMap;
use std::path::Path;

use coffre::engine::rvc::net;
use coffre::onnx::model::{Dim, GraphWriter};
use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::{Checkpoint, ImportError};
use serde_json::json;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("a folder");
    let save = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let whole = complete(true);
    let mut small = BTreeMap::from_iter(NEEDED.map(|name| (name.to_owned(), vec![1])));
    small.insert("enc_p.emb_phone.weight".to_owned(), vec![1, 256]);
    small.insert("emb_g.weight".to_owned(), vec![1, 2]);
    for (name, description) in [
        ("whole", description(&whole, true, false)),
        ("whole-plain", description(&complete(false), false, false)),
        ("small", description(&small, true, false)),
        ("notes", description(&small, true, true)),
    ] {
        save("description", name, &description)?;
        save("pth", name, &forge::torch(&description, &[if name.starts_with("whole") { 3_072 } else { 512 }]))?;
    }
    // Other element types, views that are not in order, and files that are no voice.
    let notes = description(&small, true, true);
    for (name, old, new) in [
        ("f32", b"HalfStorage".as_slice(), b"FloatStorage".as_slice()),
        ("f64", b"HalfStorage", b"DoubleStorage"),
        ("bf16", b"HalfStorage", b"BFloat16Storage"),
        ("training", b"\x06\0\0\0weight", b"\x05\0\0\0model"),
        ("strided", b"t(J\x02\0\0\0J\x01\0\0\0t", b"t(J\x01\0\0\0J\x02\0\0\0t"),
        ("parameter", b"tRX", b"tR0ctorch._utils\n_rebuild_parameter\n(h\x02\x89}tRX"),
    ] {
        let changed = replaced(&notes, old, new);
        save("description", name, &changed)?;
        save("pth", name, &forge::torch(&changed, &[1_024]))?;
    }
    save("pth", "large", &wide(forge::torch(&notes, &[512])))?;
    let legacy = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    save("pth", "legacy", legacy)?;
    for (name, index) in [("full", index(1)), ("long", index(12))] {
        let bytes = index.write();
        save("index", name, &bytes)?;
        save("index", &format!("{name}-sparse"), &sparse(&bytes, &index))?;
    }
    for (name, graph) in graphs() {
        save("onnx", name, &graph)?;
    }
    for (name, input) in members(&whole) {
        save("members", &name, &input)?;
        save("coffre", &name, &forge::container(&input))?;
    }
    Ok(())
}

/// Tensors without which no checkpoint is taken for a voice.
const NEEDED: [&str; 4] =
    ["emb_g.weight", "enc_p.emb_phone.weight", "dec.conv_pre.weight", "dec.m_source.l_linear.weight"];

/// The first place of some bytes changed.
fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).expect("what is to be replaced");
    [&bytes[..at], new, &bytes[at + old.len()..]].concat()
}

/// The archive with the numbers of its directory in 64 bits, as those beyond 4 GB have to be. APPNOTE.TXT 4.3.14.
fn wide(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.split_off(file.len() - 22);
    let number = |at: usize| u64::from(u32::from_le_bytes(end[at..at + 4].try_into().expect("four bytes")));
    let (count, len, start) = (u64::from(end[10]), number(12), number(16));
    // The last member too: its lengths and its place.
    let last = file.windows(4).rposition(|window| window == b"PK\x01\x02").expect("a directory");
    let four = |at: usize| u64::from(u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes")));
    let field = [four(last + 24), four(last + 20), four(last + 42)].map(u64::to_le_bytes).concat();
    for at in [last + 20, last + 24, last + 42] {
        file[at..at + 4].fill(0xff);
    }
    file[last + 30] = 28;
    file.extend([&[1, 0, 24, 0], field.as_slice()].concat());
    let record = file.len() as u64;
    file.extend([b"PK\x06\x06".as_slice(), &44_u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat());
    file.extend([count, count, len + 28, start].map(u64::to_le_bytes).concat());
    file.extend([b"PK\x06\x07\0\0\0\0", record.to_le_bytes().as_slice(), &[1, 0, 0, 0], &end].concat());
    file
}

/// Names and shapes of all tensors of the smallest voice, as its graph asks for them.
fn complete(has_f0: bool) -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::from_iter(NEEDED.map(|name| (name.to_owned(), vec![0])));
    tensors.insert("emb_g.weight".to_owned(), vec![1, 2]);
    tensors.insert("enc_p.emb_phone.weight".to_owned(), vec![2, if has_f0 { 768 } else { 256 }]);
    loop {
        let file = forge::torch(&description(&tensors, has_f0, false), &forge::STORAGES);
        let checkpoint = Checkpoint::read(file).expect("a voice");
        match net::build(&checkpoint, 0, net::Probe::Off) {
            Ok(_) => return tensors,
            Err(ImportError::MissingTensor { name }) => drop(tensors.insert(name, vec![0])),
            Err(ImportError::Shape { name, expected, .. }) => drop(tensors.insert(name, expected)),
            Err(other) => panic!("{other}"),
        }
    }
}

/// The description of a checkpoint, all of whose tensors lie at the beginning of one storage.
fn description(tensors: &BTreeMap<String, Vec<usize>>, has_f0: bool, has_notes: bool) -> Vec<u8> {
    let text = |text: &str| [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let int = |value: usize| [b"J", (value as u32).to_le_bytes().as_slice()].concat();
    let tuple =
        |values: &[usize]| [b"(", values.iter().flat_map(|v| int(*v)).collect::<Vec<_>>().as_slice(), b"t"].concat();
    let list =
        |values: &[usize]| [b"](", values.iter().flat_map(|v| int(*v)).collect::<Vec<_>>().as_slice(), b"e"].concat();
    let is_v2 = tensors["enc_p.emb_phone.weight"][1] == 768;
    let version = if is_v2 { "v2" } else { "v1" };
    let mut out = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x010".to_vec();
    out.extend(
        [b"(", text("storage").as_slice(), b"ctorch\nHalfStorage\n", &text("0"), &text("cpu"), &int(9)].concat(),
    );
    out.extend(b"tQq\x020}(");
    out.extend([text("weight").as_slice(), b"ccollections\nOrderedDict\n)R("].concat());
    for (name, shape) in tensors {
        let strides: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        let view = [b"h\x01(h\x02K\0", tuple(shape).as_slice(), &tuple(&strides), b"\x89}tR"].concat();
        out.extend([text(name), view].concat());
    }
    out.extend([b"u".as_slice(), &text("config"), b"]("].concat());
    [513, 32, 2, 2, 2, 1, 1, 3].iter().for_each(|&size| out.extend(int(size)));
    out.extend([b"G\0\0\0\0\0\0\0\0".as_slice(), &text("1"), &list(&[3]), b"](", &list(&[1]), b"e"].concat());
    out.extend([list(&[10, 8]), int(4), list(&[10, 8]), int(1), int(2), int(8_000), b"e".to_vec()].concat());
    out.extend([text("version"), text(version), text("f0"), int(usize::from(has_f0))].concat());
    if has_notes {
        out.extend([text("author"), text("Nobody"), text("epoch"), int(20), text("sr"), text("8k")].concat());
        out.extend([text("info").as_slice(), b"G\x40\x09\x21\xfb\x54\x44\x2d\x18", &text("vocoder")].concat());
        out.extend(text("HiFi-GAN"));
    }
    out.extend(b"u.");
    out
}

/// An index of two lists, `rows` vectors in each.
fn index(rows: usize) -> RetrievalIndex {
    let values = |count: usize| (0..count).map(|n| (n as f32 * 0.7).sin()).collect();
    RetrievalIndex {
        dim: 2,
        centroids: values(4),
        starts: vec![0, rows, 2 * rows],
        vectors: values(4 * rows),
        ids: (0..2 * rows as u32).collect(),
    }
}

/// The same with the lengths of the lists as pairs, and with a table from ids to rows.
fn sparse(bytes: &[u8], index: &RetrievalIndex) -> Vec<u8> {
    let find = |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).expect("written");
    let (lists, full) = (find(b"ilar"), find(b"full"));
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let rows = index.starts[1] as u64;
    let table = [&[2_u8], words(&[1, 7, 1, 3, 4]).as_slice()].concat();
    let lengths = [b"sprs".as_slice(), &words(&[4, 0, rows, 1, rows])].concat();
    let after = full + 4 + 8 + 8 * (index.starts.len() - 1);
    [&bytes[..lists - 9], &table, &bytes[lists..full], &lengths, &bytes[after..]].concat()
}

/// Graphs of every kind that is recognised.
fn graphs() -> Vec<(&'static str, Vec<u8>)> {
    let (one, open) = (Dim::Fixed(1), Dim::Open("n"));
    let graph = |inputs: &[(&str, &[Dim])], outputs: &[(&str, &[Dim])], metadata: &[(&str, &str)]| {
        let mut graph = GraphWriter::new();
        let edges: Vec<_> = inputs.iter().map(|(name, shape)| graph.input(name, shape)).collect();
        let weight = graph.floats(&[1], &[0.5]);
        let sum = graph.node("Mul", &[&edges[0], &weight], &[]);
        outputs.iter().for_each(|(name, shape)| graph.output(&sum, name, shape));
        graph.finish("seed", metadata)
    };
    let said = [("metadata", "{\"samplingRate\": 40000, \"embChannels\": 256, \"f0\": 1}")];
    let features = |size| [one, open, Dim::Fixed(size)];
    let sound = [one, open];
    let unknown = [one, open, open];
    vec![
        (
            "rvc",
            graph(
                &[("phone", &features(768)), ("pitchf", &sound), ("rnd", &unknown), ("ds", &[one])],
                &[("audio", &unknown)],
                &[],
            ),
        ),
        ("wokada", graph(&[("feats", &unknown), ("p_len", &[one]), ("sid", &[one])], &[("audio", &unknown)], &said)),
        ("contentvec", graph(&[("audio", &sound)], &[("unit9", &features(256)), ("unit12", &features(768))], &[])),
        ("contentvec-768", graph(&[("audio", &sound)], &[("last_hidden_state", &unknown)], &[])),
        ("contentvec-256", graph(&[("audio", &sound)], &[("out", &features(256))], &[])),
        ("rmvpe", graph(&[("mel", &[one, Dim::Fixed(128), open])], &[("out", &features(360))], &[])),
    ]
}

/// Inputs of [`forge::container`]: voices of both engines and a profile, plain, signed and with extras.
fn members(tensors: &BTreeMap<String, Vec<usize>>) -> Vec<(String, Vec<u8>)> {
    let place = |path: &str| forge::MEMBERS.iter().position(|member| member.0 == path).expect("a member") as u8;
    let record = |path: &str, flags: u8, data: &[u8]| {
        [&[place(path), flags], (data.len() as u16).to_le_bytes().as_slice(), data].concat()
    };
    let filled = |path: &str, data: &[u8]| record(path, forge::FILLED | 1, data);
    let float = |path: &str, value: f32| filled(path, &value.to_le_bytes());
    let stats = [float("stats/shapes", -5.0), float("stats/retrieved_mean", -5.0), float("stats/variance_ratio", 1.2)];
    let bank = [
        filled("bank/keys", &[3, 250]),
        filled("bank/shapes", &[7]),
        filled("bank/f0", &[8, 9]),
        float("bank/key_scale", 2.0),
        float("bank/shape_range", 1.0),
    ];
    let native = [bank.concat(), stats.concat(), float("stats/absolute_share", 0.25)].concat();
    let extras = [
        record("preview.flac", 0, b"fLaC and more"),
        record("enrolment/recordings.flac", 1, b"fLaC and more"),
        record("portrait.png", 0, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02"),
    ];
    let profile = [bank.concat(), stats[0].clone(), float("stats/mean_key", 0.5)].concat();
    let checkpoint =
        Checkpoint::read(forge::torch(&description(tensors, true, true), &forge::STORAGES)).expect("a voice");
    let part = |names: &[&str]| checkpoint.weights.to_bytes(|name| names.iter().any(|start| name.starts_with(start)));
    let config = json!({ "network": checkpoint.config, "notes": checkpoint.notes }).to_string();
    let weights = [
        record("rvc/config.json", 1, config.as_bytes()),
        record("rvc/encoder.safetensors", 0, &part(&["enc_p.", "emb_g."])),
        record("rvc/flow.safetensors", 0, &part(&["flow."])),
        record("rvc/decoder.safetensors", 0, &part(&["dec."])),
    ];
    let graph = [record("rvc/config.json", 0, b"{}"), record("rvc/generator.onnx", 0, &graphs()[1].1)];
    let mut long = index(1);
    (long.dim, long.starts, long.ids) = (256, vec![0, 1], vec![0]);
    (long.centroids, long.vectors) = (vec![0.5; 256], vec![0.25; 256]);
    let other = br#"{"method":"other","key":"00","signature":"00"}"#;
    let indexed = [graph.concat(), record("rvc/retrieval.index", 0, &long.write())];
    let kinds = [
        ("native", "voice", native.clone()),
        ("averages", "voice", stats.concat()),
        ("extras", "voice", [native, extras.concat()].concat()),
        ("profile", "singer", profile),
        ("weights", "voice", weights.concat()),
        ("graph", "voice", graph.concat()),
        ("indexed", "voice", indexed.concat()),
        ("photo", "voice", [stats.concat(), record("portrait.jpg", 1, b"\xff\xd8\xff\xe0")].concat()),
        ("method", "voice", [stats.concat(), record("manifest.sig", 0, other)].concat()),
        ("misfit", "voice", [graph.concat(), record("rvc/retrieval.index", 0, &index(1).write())].concat()),
    ];
    let mut all = Vec::new();
    // Members as the maker wants them listed: one without a hash, and paths that lead elsewhere.
    let listed = json!([
        { "path": "preview.flac", "dtype": "u8", "shape": [4], "sha256": "0".repeat(64) },
        { "path": "../x", "dtype": "i8", "shape": [1, 2, 3, 4], "sha256": "a".repeat(64) },
        { "path": "preview.flac", "dtype": "u16", "shape": [], "sha256": "0" },
    ]);
    let bare = json!({
        "format": { "major": 1, "minor": 2 }, "kind": "voice", "engine": "native", "content_space": "", "name": "Bare",
        "median_f0_hz": 150.0, "range_hz": [100.0, 250.0], "bandwidth_hz": 20000.0, "members": [listed[0]],
    });
    let mut wrong = bare.clone();
    wrong["members"] = listed;
    for (name, manifest) in [("bare", bare), ("wrong", wrong)] {
        let start = [&[forge::BARE], manifest.to_string().as_bytes(), b"\0"].concat();
        all.push((name.to_owned(), [start, record("preview.flac", 0, b"fLaC")].concat()));
    }
    for (name, kind, records) in kinds {
        let is_rvc = ["weights", "graph", "indexed", "misfit"].contains(&name);
        let manifest = json!({
            "format": { "major": 1, "minor": 2 }, "kind": kind, "engine": if is_rvc { "rvc" } else { "native" },
            "content_space": "x", "name": "Seed", "description": "d", "languages": ["en"], "author": "a",
            "licence": "CC0-1.0", "attribution": "b", "median_f0_hz": 150.0, "range_hz": [100.0, 250.0],
            "bandwidth_hz": 20000.0, "voiced_seconds": 1.0, "previous_ids": ["a".repeat(64)],
            "improved_from": "b".repeat(64), "consent": {
                "ground": "licensed_data", "statement": "s", "date": "2026-01-31", "recordings_sha256": "0".repeat(64),
            },
        });
        let manifest = manifest.to_string();
        for (suffix, flags) in [("", 0), ("-signed", forge::SIGNED)] {
            let input = [&[flags], manifest.as_bytes(), b"\0", &records].concat();
            all.push((format!("{name}{suffix}"), input));
        }
    }
    all
}
