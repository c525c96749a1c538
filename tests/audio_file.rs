//! Audio files in every common format, round trips, and hostile ones.

use std::path::{Path, PathBuf};

use coffre::audio_file::{AudioFileError, AudioReader, AudioSpec, AudioWriter, Extras, SampleFormat, read_mono};

/// A WAV file by hand. `tag` is the format tag: 1 integers, 3 floating point, 6 A-law, 7 µ-law.
struct Wav {
    tag: u16,
    bits: u16,
    channels: u16,
    rate: u32,
    extensible: bool,
    /// What the file and its data chunk claim as their lengths; the true ones when `None`.
    claimed: Option<u32>,
    /// A chunk of another kind before the data.
    extra: bool,
}

const PLAIN: Wav = Wav { tag: 1, bits: 16, channels: 1, rate: 48_000, extensible: false, claimed: None, extra: false };

impl Wav {
    fn bytes(&self, data: &[u8]) -> Vec<u8> {
        let block = self.channels * self.bits.div_ceil(8);
        let mut format = Vec::new();
        format.extend((if self.extensible { 0xfffe } else { self.tag }).to_le_bytes());
        format.extend(self.channels.to_le_bytes());
        format.extend(self.rate.to_le_bytes());
        format.extend((self.rate * u32::from(block)).to_le_bytes());
        format.extend(block.to_le_bytes());
        format.extend(self.bits.to_le_bytes());
        if self.extensible {
            format.extend(22u16.to_le_bytes());
            format.extend(self.bits.to_le_bytes());
            format.extend(((1u32 << self.channels) - 1).to_le_bytes());
            format.extend(self.tag.to_le_bytes());
            format.extend(b"\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
        }
        if !self.extensible && ![1, 3].contains(&self.tag) {
            format.extend(0u16.to_le_bytes());
        }
        let mut body = b"WAVEfmt ".to_vec();
        body.extend((format.len() as u32).to_le_bytes());
        body.extend(format);
        if self.extra {
            body.extend(b"bext\x05\0\0\0hello\0");
        }
        body.extend(b"data");
        body.extend(self.claimed.unwrap_or(data.len() as u32).to_le_bytes());
        body.extend(data);
        let mut file = b"RIFF".to_vec();
        file.extend(self.claimed.unwrap_or(body.len() as u32).to_le_bytes());
        file.extend(body);
        file
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn put(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn read_all(path: &Path) -> Result<(AudioSpec, Vec<f32>), AudioFileError> {
    let mut reader = AudioReader::open(path)?;
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.read(&mut block)? {
        all.extend_from_slice(&block);
    }
    Ok((reader.spec(), all))
}

/// A test signal: values in ±0.9 that are exact in 8 bits.
fn signal(len: usize) -> Vec<f32> {
    (0..len).map(|n| ((n * 37 % 230) as f32 - 115.0) / 128.0).collect()
}

fn encode(signal: &[f32], tag: u16, bits: u16) -> Vec<u8> {
    let one = |&x: &f32| -> Vec<u8> {
        match (tag, bits) {
            (1, 8) => vec![(x * 128.0 + 128.0) as u8],
            (1, 16) => ((x * 32768.0) as i16).to_le_bytes().to_vec(),
            (1, 24) => ((x * 8_388_608.0) as i32).to_le_bytes()[..3].to_vec(),
            (1, 32) => ((f64::from(x) * 2_147_483_648.0) as i32).to_le_bytes().to_vec(),
            (3, 32) => x.to_le_bytes().to_vec(),
            (3, 64) => f64::from(x).to_le_bytes().to_vec(),
            other => panic!("{other:?}"),
        }
    };
    signal.iter().flat_map(one).collect()
}

#[test]
fn reads_every_width_with_plain_and_extensible_headers() {
    let folder = folder();
    for (tag, bits) in [(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)] {
        for (channels, rate, extensible) in [(1, 8_000, false), (2, 44_100, true), (6, 192_000, true)] {
            let signal = signal(600 * usize::from(channels));
            let wav = Wav { tag, bits, channels, rate, extensible, extra: true, ..PLAIN };
            let path = put(&folder, "a.wav", &wav.bytes(&encode(&signal, tag, bits)));
            let (spec, read) = read_all(&path).unwrap_or_else(|error| panic!("{tag}/{bits}/{channels}: {error}"));
            let format = if tag == 3 { SampleFormat::Float } else { SampleFormat::Int { bits } };
            assert_eq!(spec, AudioSpec { rate, channels: usize::from(channels), format });
            assert_eq!(read, signal, "{tag}/{bits}/{channels}");
        }
    }
}

#[test]
fn reads_companded_telephone_audio() {
    let folder = folder();
    for tag in [6, 7] {
        let path = put(&folder, "a.wav", &Wav { tag, bits: 8, rate: 8_000, ..PLAIN }.bytes(&[0x55; 800]));
        let (spec, read) = read_all(&path).expect("it is common");
        assert_eq!((spec.rate, spec.format, read.len()), (8_000, SampleFormat::Int { bits: 16 }, 800));
    }
}

#[test]
fn a_length_that_was_never_filled_in_means_up_to_the_end() {
    let folder = folder();
    let signal = signal(5000);
    for extra in [false, true] {
        let wav = Wav { claimed: Some(u32::MAX), extra, ..PLAIN };
        let path = put(&folder, "a.wav", &wav.bytes(&encode(&signal, 1, 16)));
        assert_eq!(read_all(&path).expect("a streamed file").1, signal);
    }
}

#[test]
fn round_trips_are_exact_in_both_formats() {
    let folder = folder();
    for name in ["a.wav", "a.flac", "a.FLAC"] {
        for bits in [8, 16, 24] {
            for (channels, rate, len) in [(1, 22_050, 1), (2, 48_000, 4096), (5, 96_000, 10_001), (2, 44_100, 17)] {
                let spec = AudioSpec { rate, channels, format: SampleFormat::Int { bits } };
                let signal = signal(len * channels);
                let path = folder.path().join(name);
                let mut writer = AudioWriter::create(&path, spec).expect("created");
                for block in signal.chunks(channels * 777) {
                    writer.write(block).expect("written");
                }
                assert_eq!(writer.clipped(), 0);
                writer.finish().expect("finished");
                let (found, read) = read_all(&path).unwrap_or_else(|error| panic!("{name}/{bits}/{len}: {error}"));
                assert_eq!(found, spec, "{name}");
                assert!(read == signal, "{name}, {bits} bits, {channels} channels, {len} samples");
            }
        }
    }
    // Floating point keeps what integers cannot; FLAC has none and says so.
    let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Float };
    let loud = [0.1, -1.5, 3.0e-9, 1000.0];
    for (name, format) in [("f.wav", SampleFormat::Float), ("f.flac", SampleFormat::Int { bits: 24 })] {
        let path = folder.path().join(name);
        let mut writer = AudioWriter::create(&path, spec).expect("created");
        writer.write(&loud).expect("written");
        assert_eq!((writer.format(), writer.clipped()), (format, if name == "f.wav" { 0 } else { 2 }));
        writer.finish().expect("finished");
        let (_, read) = read_all(&path).expect("readable");
        match format {
            SampleFormat::Float => assert_eq!(read, loud),
            SampleFormat::Int { .. } => assert!((read[1] + 1.0).abs() < 1e-6 && (read[3] - 1.0).abs() < 1e-6),
        }
    }
}

#[test]
fn truncated_files_are_told_from_whole_ones() {
    let folder = folder();
    let signal = signal(20_000);
    let wav = PLAIN.bytes(&encode(&signal, 1, 16));
    let flac = {
        let path = folder.path().join("whole.flac");
        let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Int { bits: 16 } };
        let mut writer = AudioWriter::create(&path, spec).expect("created");
        writer.write(&signal).expect("written");
        writer.finish().expect("finished");
        std::fs::read(&path).expect("readable")
    };
    for (name, whole, header) in [("a.wav", &wav, 44), ("a.flac", &flac, 42)] {
        for len in [1, 3, 12, 30, header - 1] {
            let error = read_all(&put(&folder, name, &whole[..len])).expect_err("no header");
            assert!(matches!(error, AudioFileError::Unsupported { .. }), "{name} cut to {len}: {error:?}");
            let text = error.to_string();
            assert!(!text.contains("probe") && !text.contains("core"), "plain words: {text}");
        }
    }
    for len in [42 + 60, flac.len() / 3, flac.len() / 2 + 1, flac.len() - 2] {
        let error = read_all(&put(&folder, "a.flac", &flac[..len])).expect_err("cut");
        assert!(
            matches!(error, AudioFileError::Truncated { promised: 20_000, .. } | AudioFileError::Damaged { .. }),
            "cut to {len}: {error:?}"
        );
    }
    // A recorder that lost power writes no more: what is there is read, and it is told.
    for len in [44 + 60, wav.len() / 3, wav.len() / 2 + 1, wav.len() - 2] {
        let (read, remark) = read_with_remark(&put(&folder, "a.wav", &wav[..len]));
        assert_eq!(read, signal[..(len - 44) / 2], "cut to {len}");
        assert!(remark.expect("told").contains("wrong length"), "cut to {len}");
    }
}

fn read_with_remark(path: &Path) -> (Vec<f32>, Option<String>) {
    let mut reader = AudioReader::open(path).unwrap_or_else(|error| panic!("{error}"));
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.read(&mut block).unwrap_or_else(|error| panic!("{error}")) {
        all.extend_from_slice(&block);
    }
    (all, reader.remark())
}

#[test]
fn a_header_with_a_wrong_length_is_read_to_the_end_and_told() {
    let folder = folder();
    let signal = signal(8_000);
    let data = encode(&signal, 1, 16);
    for claimed in [0, 4_000, 0x7fff_ffff, 0x7fff_ffff - 36, u32::MAX] {
        let wav = Wav { claimed: Some(claimed), ..PLAIN }.bytes(&data);
        let (read, remark) = read_with_remark(&put(&folder, "a.wav", &wav));
        assert_eq!(read, signal, "{claimed}");
        assert!(remark.is_some(), "{claimed}");
    }
    // A tag of another program behind the sound is none of it, and no reason to speak.
    let mut tagged = PLAIN.bytes(&data);
    tagged.extend(b"TAG");
    tagged.extend([b'x'; 125]);
    let mut pictured = PLAIN.bytes(&data);
    pictured.extend(b"ID3\x04\0\0");
    pictured.extend([b'x'; 60_000]);
    let mut before = b"ID3\x04\0\0\0\0\x01\0".to_vec();
    before.extend([0; 128]);
    before.extend(PLAIN.bytes(&data));
    for (what, bytes) in [("behind", tagged), ("a picture behind", pictured), ("before", before)] {
        let (read, remark) = read_with_remark(&put(&folder, "a.wav", &bytes));
        assert_eq!((read == signal, remark), (true, None), "{what}");
    }
}

#[test]
fn chunks_of_other_programs_reach_the_new_file() {
    let folder = folder();
    let mut bytes = PLAIN.bytes(&encode(&signal(500), 1, 16));
    let time = 171_050_880_u64.to_le_bytes();
    let bext = [vec![0; 338], time.to_vec(), vec![0; 256]].concat();
    let kept: [(&[u8; 4], &[u8]); 3] = [(b"bext", &bext), (b"iXML", b"<BWFXML/>"), (b"cue ", b"\0\0\0\0")];
    for (id, content) in kept.into_iter().chain([(b"PEAK", &b"old"[..])]) {
        bytes.extend(id);
        bytes.extend((content.len() as u32).to_le_bytes());
        bytes.extend(content);
        bytes.extend(&[0][..content.len() % 2]);
    }
    let reader = AudioReader::open(&put(&folder, "a.wav", &bytes)).expect("a WAV");
    let path = folder.path().join("b.wav");
    let extras = Extras { chunks: reader.chunks().to_vec(), len: None };
    let spec = AudioSpec { format: SampleFormat::Float, ..reader.spec() };
    let mut writer = AudioWriter::create_with(&path, spec, &extras).expect("created");
    writer.write(&signal(501)).expect("written");
    writer.finish().expect("finished");
    let again = AudioReader::open(&path).expect("a WAV");
    let found: Vec<_> = again.chunks().iter().map(|chunk| (&chunk.id, chunk.bytes.as_slice())).collect();
    assert_eq!(found, kept);
    assert_eq!(read_with_remark(&path), (signal(501), None));
    let fact = std::fs::read(&path).expect("readable");
    let at = fact.windows(4).position(|id| id == b"fact").expect("of floating point") + 8;
    assert_eq!(fact[at..at + 4], 501_u32.to_le_bytes());
}

#[test]
fn files_that_are_no_audio_are_called_what_they_are() {
    let folder = folder();
    for (bytes, word) in [
        (&b"\x00\x05\x16\x07\0\x02\0\0Mac OS X        "[..], "Mac"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
        (b"MThd\0\0\0\x06\0\x01", "MIDI"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04aaaaaaaaaaaaaaaa", "ZIP"),
        (b"hello, this is not audio at all", "does not know"),
    ] {
        let error = read_all(&put(&folder, "take.wav", bytes)).expect_err("no audio").to_string();
        assert!(error.contains(word) && error.contains("take.wav"), "{error}");
    }
}

#[test]
fn hostile_files_are_errors_with_their_name() {
    let folder = folder();
    let error = read_all(&folder.path().join("none.wav")).expect_err("missing");
    assert!(matches!(error, AudioFileError::Unreadable { .. }) && error.to_string().contains("none.wav"), "{error}");
    assert!(matches!(read_all(folder.path()), Err(AudioFileError::Unreadable { .. })));
    assert!(matches!(read_all(&put(&folder, "a.wav", b"")), Err(AudioFileError::Empty { .. })));
    assert!(matches!(read_all(&put(&folder, "a.wav", &PLAIN.bytes(&[]))), Err(AudioFileError::Empty { .. })));
    let text = put(&folder, "a.wav", "not audio at all, but long enough to be probed ".repeat(100).as_bytes());
    assert!(matches!(read_all(&text), Err(AudioFileError::Unsupported { .. })));
    let data = vec![0; 4000];
    for odd in [
        Wav { channels: 0, ..PLAIN },
        Wav { rate: 0, ..PLAIN },
        Wav { bits: 0, ..PLAIN },
        Wav { bits: 7, ..PLAIN },
        Wav { bits: 12, ..PLAIN },
        Wav { bits: 64, ..PLAIN },
        Wav { tag: 3, bits: 16, ..PLAIN },
        Wav { tag: 0x55, bits: 0, ..PLAIN },
        Wav { tag: 0x1234, ..PLAIN },
        Wav { channels: 0xffff, bits: 8, rate: 1, ..PLAIN },
    ] {
        let path = put(&folder, "odd.wav", &odd.bytes(&data));
        match read_all(&path) {
            Ok((spec, samples)) => assert!(spec.channels > 0 && spec.rate > 0 && samples.len() <= data.len()),
            Err(error) => assert!(error.to_string().contains("odd.wav"), "{error}"),
        }
    }
}

#[test]
fn any_changed_byte_gives_samples_or_an_error_and_never_a_crash() {
    let folder = folder();
    let spec = AudioSpec { rate: 48_000, channels: 2, format: SampleFormat::Int { bits: 16 } };
    for name in ["a.wav", "a.flac"] {
        let path = folder.path().join(name);
        let mut writer = AudioWriter::create(&path, spec).expect("created");
        writer.write(&signal(9000)).expect("written");
        writer.finish().expect("finished");
        let whole = std::fs::read(&path).expect("readable");
        let places = (0..whole.len().min(120)).chain((120..whole.len()).step_by(997));
        for at in places {
            for value in [0x00, 0xff, whole[at] ^ 0x80] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                if let Ok((spec, samples)) = read_all(&put(&folder, name, &bytes)) {
                    assert!(samples.len() <= 100_000 && samples.iter().all(|x| x.is_finite()), "{spec:?}");
                }
            }
        }
    }
}

#[test]
fn values_that_are_not_finite_become_zero_and_are_counted() {
    let folder = folder();
    let data = encode(&[0.5, f32::NAN, f32::INFINITY, -0.5, f32::NEG_INFINITY, 1000.0], 3, 32);
    let path = put(&folder, "a.wav", &Wav { tag: 3, bits: 32, ..PLAIN }.bytes(&data));
    let mut reader = AudioReader::open(&path).expect("it is a WAV");
    let mut block = Vec::new();
    assert!(reader.read(&mut block).expect("samples"));
    assert_eq!(block, [0.5, 0.0, 0.0, -0.5, 0.0, 1000.0]);
    assert_eq!(reader.bad_samples(), 3);
}

#[test]
fn writing_is_all_or_nothing() {
    let folder = folder();
    let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Int { bits: 16 } };
    let path = put(&folder, "a.wav", b"precious");
    let mut writer = AudioWriter::create(&path, spec).expect("created");
    writer.write(&signal(100)).expect("written");
    drop(writer);
    assert_eq!(std::fs::read(&path).expect("still there"), b"precious");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left behind");

    assert!(matches!(AudioWriter::create(Path::new("a.mp3"), spec), Err(AudioFileError::UnknownExtension { .. })));
    assert!(matches!(AudioWriter::create(Path::new("wav"), spec), Err(AudioFileError::UnknownExtension { .. })));
    let nowhere = folder.path().join("none/a.wav");
    assert!(matches!(AudioWriter::create(&nowhere, spec), Err(AudioFileError::Unwritable { .. })));
    let nine = AudioSpec { channels: 9, ..spec };
    let error = AudioWriter::create(&folder.path().join("b.flac"), nine).expect_err("FLAC has at most 8");
    assert!(error.to_string().contains(".wav"), "the remedy: {error}");
}

#[test]
fn mono_is_the_mean_and_length_is_bounded() {
    let folder = folder();
    let path = put(&folder, "a.wav", &Wav { channels: 2, ..PLAIN }.bytes(&encode(&[0.5, 0.25, -0.5, 0.5], 1, 16)));
    assert_eq!(read_mono(&path, 1.0).expect("two samples"), (vec![0.375, 0.0], 48_000));
    assert!(read_mono(&path, 1e-5).is_err());
}
