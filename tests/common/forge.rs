//! Whole files around a short input, with right lengths, checksums, hashes and signatures, so that what lies behind those
//! checks is reached: a PyTorch archive around a description, a container of Coffre's around a manifest and members.

use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Bytes of the storages in the archive of a description.
pub const STORAGES: [usize; 2] = [3_072, 256];

/// An archive as PyTorch writes it: the description, and storages of so many bytes, called by their places.
pub fn torch(description: &[u8], storages: &[usize]) -> Vec<u8> {
    let mut zip = Zip::default();
    zip.add("x/data.pkl", Packing::Stored, description);
    zip.add("x/byteorder", Packing::Stored, b"little");
    for (place, len) in storages.iter().enumerate() {
        // A small number in any element type.
        zip.add(&format!("x/data/{place}"), Packing::Stored, &vec![0x30; *len]);
    }
    zip.finish()
}

/// The members that some reader asks for: path, element type, bytes of an element, sizes after the first, and what the
/// whole is filled up to.
pub const MEMBERS: [(&str, &str, usize, &[usize], usize); 21] = [
    ("bank/keys", "i8", 1, &[64], 64),
    ("bank/shapes", "i8", 1, &[86], 86),
    ("bank/f0", "u16", 2, &[], 2),
    ("bank/key_scale", "f32", 4, &[], 4),
    ("bank/shape_range", "f32", 4, &[86], 688),
    ("stats/shapes", "f32", 4, &[86], 688),
    ("stats/retrieved_mean", "f32", 4, &[86], 688),
    ("stats/variance_ratio", "f32", 4, &[86], 688),
    ("stats/absolute_share", "f32", 4, &[], 4),
    ("stats/mean_key", "f32", 4, &[], 256),
    ("preview.flac", "u8", 1, &[], 0),
    ("enrolment/recordings.flac", "u8", 1, &[], 0),
    ("portrait.png", "u8", 1, &[], 0),
    ("portrait.jpg", "u8", 1, &[], 0),
    ("rvc/config.json", "u8", 1, &[], 0),
    ("rvc/generator.onnx", "u8", 1, &[], 0),
    ("rvc/retrieval.index", "u8", 1, &[], 0),
    ("rvc/encoder.safetensors", "u8", 1, &[], 0),
    ("rvc/flow.safetensors", "u8", 1, &[], 0),
    ("rvc/decoder.safetensors", "u8", 1, &[], 0),
    ("manifest.sig", "u8", 1, &[], 0),
];

/// In the first byte of [`container`]'s input: the manifest gets a valid signature.
pub const SIGNED: u8 = 1;
/// In the first byte: the manifest stays as it is, without the members that follow.
pub const BARE: u8 = 2;

/// In the second byte of a record, how the member is packed: 1 = deflate without packing, 2 = the data is what deflate
/// made, anything else = stored.
const PACKING: u8 = 0b0000_0011;
/// How the shape is told: 0 = as it is, 1 = with one size, 2 = with two more, 3 = as other elements.
const SHAPE: u8 = 0b0000_1100;
/// The manifest does not list the member.
const STRAY: u8 = 0b0001_0000;
/// The data is repeated up to the usual length.
pub const FILLED: u8 = 0b0010_0000;

/// A container of Coffre's.
///
/// The input is a byte of flags, a manifest without `members` up to a zero byte, and records: place in [`MEMBERS`], a byte
/// of flags, the length in two bytes (little endian), the data.
pub fn container(input: &[u8]) -> Vec<u8> {
    let Some((&flags, rest)) = input.split_first() else { return Vec::new() };
    let len = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
    let (head, mut rest) = (rest[..len].to_vec(), rest.get(len + 1..).unwrap_or_default());
    let (mut listed, mut packed) = (Vec::new(), Vec::new());
    while let [place, flags, low, high, more @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(more.len());
        let (data, more) = more.split_at(len);
        rest = more;
        let (path, dtype, size, inner, usual) = MEMBERS[usize::from(*place) % MEMBERS.len()];
        let data: Vec<u8> = match flags & FILLED != 0 && !data.is_empty() {
            true => data.iter().copied().cycle().take(usual.max(data.len())).collect(),
            false => data.to_vec(),
        };
        let rows = data.len() / (size * inner.iter().product::<usize>());
        let (dtype, shape) = match (flags & SHAPE) >> 2 {
            0 => (dtype, [&[rows], inner].concat()),
            1 => (dtype, vec![data.len() / size]),
            2 => (dtype, [&[1, rows], inner, &[1]].concat()),
            _ => ("u8", vec![data.len()]),
        };
        if flags & STRAY == 0 && path != "manifest.sig" {
            listed.push(json!({ "path": path, "dtype": dtype, "shape": shape, "sha256": hash(&data) }));
        }
        let packing = match flags & PACKING {
            1 => Packing::Blocks,
            2 => Packing::Deflated,
            _ => Packing::Stored,
        };
        packed.push((path, packing, data));
    }
    let manifest = match head.strip_suffix(b"}") {
        Some(open) if flags & BARE == 0 => {
            [open, b",\"members\":", json!(listed).to_string().as_bytes(), b"}"].concat()
        }
        _ => head,
    };
    let mut zip = Zip::default();
    zip.add("manifest.json", Packing::Stored, &manifest);
    if flags & SIGNED != 0 {
        zip.add("manifest.sig", Packing::Stored, &sign(&manifest));
    }
    for (path, packing, data) in packed {
        zip.add(path, packing, &data);
    }
    zip.finish()
}

/// The signature member for a manifest, by a key that everybody has.
fn sign(manifest: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = SigningKey::from_bytes(&[3; 32]);
    let bits = key.sign(&[b"coffre voice manifest 1\0", manifest].concat());
    let file = json!({
        "method": "ed25519",
        "key": hex(key.verifying_key().as_bytes()),
        "signature": hex(&bits.to_bytes()),
    });
    file.to_string().into_bytes()
}

fn hash(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a member lies in an archive.
#[derive(Clone, Copy)]
enum Packing {
    /// As it is.
    Stored,
    /// In deflate's blocks without packing.
    Blocks,
    /// The data is what deflate made of something; checksum and length are those of the data.
    Deflated,
}

/// Writes an archive. Layout: APPNOTE.TXT 4.3.
#[derive(Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    count: u16,
}

impl Zip {
    fn add(&mut self, name: &str, packing: Packing, data: &[u8]) {
        let packed = match packing {
            Packing::Stored | Packing::Deflated => data.to_vec(),
            Packing::Blocks => {
                let mut blocks = Vec::new();
                for block in data.chunks(usize::from(u16::MAX)) {
                    let len = block.len() as u16;
                    blocks.push(0);
                    blocks.extend(len.to_le_bytes().into_iter().chain((!len).to_le_bytes()));
                    blocks.extend_from_slice(block);
                }
                // RFC 1951, 3.2.4: an empty block that is the last.
                blocks.extend([1, 0, 0, 0xff, 0xff]);
                blocks
            }
        };
        let method = if matches!(packing, Packing::Stored) { 0_u16 } else { 8 };
        // Version, flags, method, time, date, checksum, both lengths, length of the name and of what follows it.
        let mut common = [20_u16, 0, method, 0, 0x21].map(u16::to_le_bytes).concat();
        common.extend([crc32(data), packed.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat());
        common.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        let start = self.bytes.len() as u32;
        self.bytes.extend([b"PK\x03\x04", common.as_slice(), name.as_bytes(), &packed].concat());
        self.directory.extend([b"PK\x01\x02\x14\0", common.as_slice(), &[0; 10]].concat());
        self.directory.extend([&start.to_le_bytes(), name.as_bytes()].concat());
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let (start, len) = (self.bytes.len() as u32, self.directory.len() as u32);
        self.bytes.extend(self.directory);
        self.bytes.extend(b"PK\x05\x06\0\0\0\0");
        self.bytes.extend([self.count, self.count].map(u16::to_le_bytes).concat());
        self.bytes.extend([len, start].map(u32::to_le_bytes).concat());
        self.bytes.extend([0; 2]);
        self.bytes
    }
}

/// The checksum of zip files: ISO 3309.
pub fn crc32(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut n = 0;
        while n < 256 {
            let (mut sum, mut bit) = (n as u32, 0);
            while bit < 8 {
                sum = if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
                bit += 1;
            }
            table[n] = sum;
            n += 1;
        }
        table
    };
    !data.iter().fold(u32::MAX, |sum, &byte| TABLE[usize::from(sum.to_le_bytes()[0] ^ byte)] ^ sum >> 8)
}
