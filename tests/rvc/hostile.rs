//! Damaged and malicious files: every reader refuses them in words, without a panic and in bounded memory.

use coffre::voice::import::faiss::RetrievalIndex;
use coffre::voice::import::onnx::OnnxOutline;
use coffre::voice::import::pickle::Pickle;
use coffre::voice::import::{Checkpoint, ImportError};
use coffre::voice::rvc::{Dialect, ForeignGraph};
use coffre::voice::tensors::Tensors;

use super::common::Random;
use super::{data, engine};

/// Cases per reader.
const CASES: usize = 3_000;

/// Bytes changed, cut, repeated or put in, near the structure or anywhere.
fn mutate(random: &mut Random, original: &[u8], near: &[usize]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let place = match near.is_empty() || random.below(3) == 0 {
            true => random.below(bytes.len()),
            false => (near[random.below(near.len())] + random.below(120)).min(bytes.len() - 1),
        };
        match random.below(6) {
            0 => bytes[place] ^= 1 << random.below(8),
            1 => bytes[place] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => bytes.truncate(place),
            3 => {
                let value = [u64::MAX, 1 << 62, 1 << 32, 0, 0xffff_ffff][random.below(5)];
                let end = (place + 8).min(bytes.len());
                bytes[place..end].copy_from_slice(&value.to_le_bytes()[..end - place]);
            }
            4 => {
                drop(bytes.drain(place..(place + 1 + random.below(9)).min(original.len()).min(bytes.len()).max(place)))
            }
            _ => {
                let copy: Vec<u8> = bytes[place..].iter().take(1 + random.below(40)).copied().collect();
                bytes.splice(place..place, copy);
            }
        }
    }
    bytes
}

/// Where a zip's directory and a file's beginning lie.
fn structure(bytes: &[u8]) -> Vec<usize> {
    let marks: [&[u8]; 4] = [b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"\x80\x02}"];
    let mut places = vec![0, 100];
    for mark in marks {
        places.extend(bytes.windows(mark.len()).enumerate().filter(|(_, w)| *w == mark).map(|(at, _)| at).take(400));
    }
    places
}

#[test]
fn mutated_files_never_panic() {
    let mut random = Random(11);
    let mut refused = [0; 5];
    let checkpoint = data("rvc_v2_40k.pth");
    let places = structure(&checkpoint);
    for _ in 0..CASES / 3 {
        refused[0] += usize::from(Checkpoint::read(mutate(&mut random, &checkpoint, &places)).is_err());
    }
    // The description alone, where most of the meaning is.
    let start = checkpoint.windows(3).position(|window| window == b"\x80\x02}").expect("a pickle");
    let end = start + checkpoint[start..].windows(4).position(|window| window == b"PK\x07\x08").expect("its end");
    let description = &checkpoint[start..end];
    for _ in 0..CASES {
        refused[1] += usize::from(Pickle::read(&mutate(&mut random, description, &[])).is_err());
    }
    for name in ["rvc_full_lists.index", "rvc_sparse_lists.index"] {
        let index = data(name);
        let lists = index.windows(4).position(|window| window == b"ilar").expect("lists");
        for _ in 0..CASES {
            let bytes = mutate(&mut random, &index, &[0, 60, lists, lists + 20]);
            refused[2] += usize::from(RetrievalIndex::read(&bytes).is_err());
        }
    }
    let whole = engine::export(&[("metadata", "{\"samplingRate\": 40000, \"embChannels\": 768}")]);
    let graph = ForeignGraph::read(whole.clone()).expect("an export");
    assert_eq!((graph.dialect, graph.features, graph.sample_rate), (Dialect::Rvc, 768, Some(40_000)));
    for _ in 0..CASES {
        // Inputs and outputs lie at the end, behind the weights.
        let bytes = mutate(&mut random, &whole, &[0, whole.len() - 400, whole.len() - 200]);
        refused[3] += usize::from(OnnxOutline::read(&bytes).is_err() || ForeignGraph::read(bytes).is_err());
    }
    let table = data("rvc_full_lists.safetensors");
    for _ in 0..CASES {
        refused[4] += usize::from(Tensors::default().read(&mutate(&mut random, &table, &[0, 100])).is_err());
    }
    assert!(refused.iter().all(|count| *count > 0), "{refused:?}");
}

#[test]
fn every_cut_is_noticed() {
    let checkpoint = data("rvc_v1_32k_plain.pth");
    for len in (0..checkpoint.len()).step_by(checkpoint.len() / 100) {
        assert!(Checkpoint::read(checkpoint[..len].to_vec()).is_err(), "{len} bytes");
    }
    let index = data("rvc_full_lists.index");
    for len in (0..index.len()).step_by(97) {
        assert!(RetrievalIndex::read(&index[..len]).is_err(), "{len} bytes");
    }
}

/// A zip with one stored member `x/data.pkl`.
fn archive(pickle: &[u8], method: u16) -> Vec<u8> {
    let name = b"x/data.pkl";
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend([0; 22]);
    zip.extend((name.len() as u16).to_le_bytes());
    zip.extend([0; 2]);
    zip.extend(name);
    zip.extend(pickle);
    let directory = zip.len() as u32;
    zip.extend(b"PK\x01\x02");
    zip.extend([0; 6]);
    zip.extend(method.to_le_bytes());
    zip.extend([0; 8]);
    zip.extend((pickle.len() as u32).to_le_bytes());
    zip.extend((pickle.len() as u32).to_le_bytes());
    zip.extend((name.len() as u16).to_le_bytes());
    zip.extend([0; 16]);
    zip.extend(name);
    let len = zip.len() as u32 - directory;
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    zip.extend(len.to_le_bytes());
    zip.extend(directory.to_le_bytes());
    zip.extend([0; 2]);
    zip
}

#[test]
fn bombs_and_code_are_refused_by_name() {
    let read = |pickle: &[u8], method| Checkpoint::read(archive(pickle, method)).expect_err("refused");
    let error = read(b"\x80\x02cos\nsystem\nX\x04\0\0\0trueq\0\x85q\x01Rq\x02.", 0);
    assert!(matches!(&error, ImportError::Code { name } if name == "os.system"), "{error}");
    assert!(error.to_string().contains("Nothing was run"));
    let error = read(b"\x80\x02}.", 8);
    assert!(matches!(&error, ImportError::Unsupported { reason } if reason.contains("compressed")), "{error}");
    let error = read(b"\x80\x02}X\x05\0\0\0model}s.", 0);
    assert!(error.to_string().contains("training"), "{error}");
    // A million references to one long list: the objects are shared, so memory stays small.
    let mut bomb = b"\x80\x02]q\0(".to_vec();
    bomb.extend(b"h\0".repeat(500_000));
    bomb.extend(b"e.");
    assert!(Checkpoint::read(archive(&bomb, 0)).is_err());
    for nonsense in [&b""[..], b"PK", b"PK\x05\x06", &[0; 100], b"\x80\x02}."] {
        assert!(Checkpoint::read(nonsense.to_vec()).is_err());
    }
}
