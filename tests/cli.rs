//! The `coffre` command as scripts use it: exit codes, lengths, formats, JSON, hostile files.

#[path = "cli/files.rs"]
mod files;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coffre::audio_file::{AudioReader, AudioSpec, AudioWriter, Extras, SampleFormat};
use serde_json::Value;

fn coffre(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coffre")).args(arguments).output().expect("the command starts")
}

/// Exit code and standard error.
fn code(output: &Output) -> (i32, String) {
    (output.status.code().expect("no signal"), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error} in {output:?}"))
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).expect("written");
        self.text(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    /// An audio file of sung-like tones.
    fn sing(&self, name: &str, spec: AudioSpec, len: usize) -> String {
        let extras = Extras { len: Some(len as u64), ..Extras::default() };
        let mut writer = AudioWriter::create_with(&self.path(name), spec, &extras).expect("created");
        let rate = spec.rate as f32;
        let tone = |n: usize, channel: usize| {
            let phase = (n as f32 * (180.0 + 30.0 * channel as f32) / rate).fract();
            0.4 * (1.0 - 2.0 * phase) * (n as f32 / rate * 3.0).sin().abs()
        };
        let signal: Vec<f32> = (0..len * spec.channels).map(|i| tone(i / spec.channels, i % spec.channels)).collect();
        writer.write(&signal).expect("written");
        writer.finish().expect("finished");
        self.text(name)
    }
}

const CD: AudioSpec = AudioSpec { rate: 44_100, channels: 1, format: SampleFormat::Int { bits: 16 } };

fn read(path: &Path) -> (AudioSpec, Vec<f32>) {
    let mut reader = AudioReader::open(path).unwrap_or_else(|error| panic!("{error}"));
    let (mut all, mut block) = (Vec::new(), Vec::new());
    while reader.read(&mut block).unwrap_or_else(|error| panic!("{error}")) {
        all.extend_from_slice(&block);
    }
    (reader.spec(), all)
}

/// Converts without a voice, which needs no runtime, and panics if that fails.
fn convert(input: &str, output: &str, more: &[&str]) {
    let arguments = [&["convert", input, "-o", output, "--force", "--voice", "none", "--no-profile"], more].concat();
    let said = coffre(&arguments);
    assert!(said.status.success(), "{arguments:?}: {said:?}");
}

#[test]
fn wrong_usage_is_code_2_and_help_is_0() {
    for arguments in [
        &[][..],
        &["sing"],
        &["convert"],
        &["convert", "a.wav"],
        &["convert", "a.wav", "-o", "b.wav"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--transpose", "25"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--likeness", "101"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--likeness", "NaN"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--formant=-7"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--block", "0"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--mode", "fast"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--morph", "50"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--voice-b", "Quartz"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--voice-b", "Quartz", "--morph", "101"],
        &["verify"],
        &["verify", "a.wav", "--wrong-keys", "-1"],
        &["convert", "a.wav", "-o", "b.wav", "--voice", "none", "--no-profile", "--profile", "x"],
    ] {
        assert_eq!(code(&coffre(arguments)).0, 2, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["convert", "--help"], &["bench", "--help"]] {
        let said = coffre(arguments);
        assert_eq!(code(&said).0, 0, "{arguments:?}");
        assert!(!said.stdout.is_empty());
    }
    assert!(String::from_utf8_lossy(&coffre(&["--help"]).stdout).contains("Exit codes"));
}

#[test]
fn the_input_is_never_replaced() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 500);
    std::fs::hard_link(&input, folder.path("b.wav")).expect("linked");
    let before = std::fs::read(&input).expect("readable");
    for output in [input.clone(), folder.text("b.wav"), folder.text("./a.wav")] {
        let (code, text) = code(&coffre(&["convert", &input, "-o", &output, "--voice", "none"]));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("replace the input"), "{text}");
    }
    assert_eq!(std::fs::read(&input).expect("readable"), before);
}

#[test]
fn bad_inputs_are_code_3_name_the_file_and_leave_no_output() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.sing("whole.wav", CD, 40_000)).expect("readable");
    let flac = std::fs::read(folder.sing("whole.flac", CD, 40_000)).expect("readable");
    let slow = AudioSpec { rate: 900, ..CD };
    let inputs = [
        folder.text("missing.wav"),
        folder.put("empty.wav", b""),
        folder.put("header.wav", &whole[..44]),
        folder.put("text.wav", &b"These are words, and words again. ".repeat(300)),
        folder.put("short.flac", &flac[..flac.len() / 2]),
        folder.put("damaged.flac", &[&flac[..flac.len() / 2], &[0xff; 2000]].concat()),
        folder.sing("slow.wav", slow, 4_000),
    ];
    let output = folder.text("out.wav");
    for input in &inputs {
        let said = coffre(&["convert", input, "-o", &output, "--voice", "none", "--no-profile"]);
        let (code, text) = code(&said);
        assert_eq!(code, 3, "{input}: {text}");
        assert!(text.starts_with("coffre: ") && text.contains(input), "{input}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
    let left: Vec<_> = std::fs::read_dir(folder.0.path()).expect("a folder").flatten().map(|e| e.file_name()).collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().contains("out") && !name.to_string_lossy().contains("part"))
    );
}

#[test]
fn bad_voices_and_profiles_are_code_4() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 2_000);
    let output = folder.text("out.wav");
    let garbage = folder.put("garbage.coffre", &[0x50; 3000]);
    let missing = folder.text("missing.coffre");
    for voice in ["No Such Voice", &garbage, &missing] {
        let (code, text) = code(&coffre(&["convert", &input, "-o", &output, "--voice", voice]));
        assert_eq!(code, 4, "{text}");
        assert!(text.contains(voice), "{text}");
        assert_eq!(self::code(&coffre(&["inspect", voice])).0, 4);
    }
    for profile in [&garbage, &missing] {
        let arguments = ["convert", &input, "-o", &output, "--voice", "none", "--profile", profile];
        assert_eq!(code(&coffre(&arguments)).0, 4);
    }
    assert!(!folder.path("out.wav").exists());
}

#[test]
fn a_missing_runtime_is_code_5_with_the_remedy() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 2_000);
    let output = folder.text("out.wav");
    let garbage = folder.put("libonnxruntime.so", &[0x42; 5000]);
    for runtime in [&folder.text("nowhere.so"), &garbage] {
        let run = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
            command.args(arguments).env("COFFRE_ONNXRUNTIME", runtime).output().expect("the command starts")
        };
        let (code, text) = code(&run(&["doctor"]));
        assert_eq!(code, 5, "{text}");
        assert!(text.contains(runtime), "{text}");
        let report = json(&run(&["doctor", "--json"]));
        assert_eq!((&report["ok"], &report["runtime"]["ok"]), (&Value::Bool(false), &Value::Bool(false)));
        assert!(report["runtime"]["error"].as_str().is_some_and(|text| text.contains(runtime)));
        assert_eq!(self::code(&run(&["bench", "--seconds", "2"])).0, 5);
        // Register and colour need no runtime.
        assert_eq!(self::code(&run(&["convert", "--force", &input, "-o", &output, "--voice", "none"])).0, 0);
    }
}

#[test]
fn impossible_outputs_are_code_6() {
    let folder = Folder::new();
    let nine = folder.sing("nine.wav", AudioSpec { channels: 9, ..CD }, 500);
    let input = folder.sing("a.wav", CD, 500);
    for (input, name, word) in [
        (&input, "out.mp3", ".wav or .flac"),
        (&input, "none/out.wav", "none/out.wav"),
        (&nine, "out.flac", "channels"),
    ] {
        let output = folder.text(name);
        let (code, text) = code(&coffre(&["convert", input, "-o", &output, "--voice", "none", "--no-profile"]));
        assert_eq!(code, 6, "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn length_rate_channels_and_format_are_those_of_the_input() {
    let folder = Folder::new();
    let float = SampleFormat::Float;
    for (rate, channels, len, format) in [
        (8_000, 1, 1_999, SampleFormat::Int { bits: 16 }),
        (22_050, 2, 5_001, SampleFormat::Int { bits: 24 }),
        (44_100, 1, 1, SampleFormat::Int { bits: 16 }),
        (48_000, 6, 7_003, SampleFormat::Int { bits: 8 }),
        (88_200, 1, 9_000, float),
        (96_000, 2, 12_345, SampleFormat::Int { bits: 32 }),
        (192_000, 1, 24_001, float),
    ] {
        let spec = AudioSpec { rate, channels, format };
        let input = folder.sing("in.wav", spec, len);
        // FLAC is written up to 96 kHz.
        let names: &[&str] = if rate <= 96_000 { &["out.wav", "out.flac"] } else { &["out.wav"] };
        for name in names {
            for mode in ["live", "mix"] {
                convert(&input, &folder.text(name), &["--mode", mode]);
                let (found, samples) = read(&folder.path(name));
                assert_eq!((found.rate, found.channels, samples.len() / channels), (rate, channels, len), "{name}");
                if *name == "out.wav" {
                    assert_eq!(found.format, format);
                }
            }
        }
    }
}

#[test]
fn without_converted_sound_the_output_is_the_input() {
    let folder = Folder::new();
    let input = folder.sing("in.wav", AudioSpec { channels: 2, ..CD }, 30_000);
    convert(&input, &folder.text("out.wav"), &["--mix", "0"]);
    assert_eq!(std::fs::read(&input).expect("readable"), std::fs::read(folder.path("out.wav")).expect("readable"));
    convert(&input, &folder.text("half.wav"), &["--mix", "0", "--output-gain=-6.0206"]);
    let (whole, half) = (read(Path::new(&input)).1, read(&folder.path("half.wav")).1);
    assert!(whole.iter().zip(&half).all(|(whole, half)| (whole / 2.0 - half).abs() < 1e-4));
}

#[test]
fn every_partition_into_blocks_gives_the_same_file() {
    let folder = Folder::new();
    for rate in [44_100, 48_000] {
        let input = folder.sing("in.wav", AudioSpec { rate, format: SampleFormat::Float, ..CD }, 60_000);
        for mode in ["live", "mix"] {
            let out = |block: &str| {
                let name = format!("out-{block}.wav");
                convert(&input, &folder.text(&name), &["--mode", mode, "--block", block]);
                std::fs::read(folder.path(&name)).expect("readable")
            };
            let whole = out("1000000");
            for block in ["1", "441", "480", "4096"] {
                assert!(out(block) == whole, "{rate} Hz, {mode}, blocks of {block}");
            }
        }
    }
}

#[test]
fn samples_that_are_no_numbers_do_no_harm() {
    let folder = Folder::new();
    let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Float };
    let mut bytes = std::fs::read(folder.sing("a.wav", spec, 48_000)).expect("readable");
    let data = bytes.len() - 4 * 48_000;
    for (at, value) in [
        (100, f32::NAN),
        (20_000, f32::INFINITY),
        (30_000, f32::NEG_INFINITY),
        (40_000, 1000.0),
        (40_001, -1000.0),
        (45_000, 1e-42),
    ] {
        bytes[data + 4 * at..][..4].copy_from_slice(&value.to_le_bytes());
    }
    let input = folder.put("odd.wav", &bytes);
    let said =
        coffre(&["convert", "--force", &input, "-o", &folder.text("out.wav"), "--voice", "none", "--no-profile"]);
    let (code, text) = code(&said);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("3 samples"), "{text}");
    let (_, samples) = read(&folder.path("out.wav"));
    assert!(samples.len() == 48_000 && samples.iter().all(|x| x.is_finite() && x.abs() < 100.0));
}

#[test]
fn inspect_describes_audio_files() {
    let folder = Folder::new();
    let input = folder.sing("a.flac", AudioSpec { channels: 2, ..CD }, 44_100);
    let report = json(&coffre(&["inspect", &input, "--json"]));
    assert_eq!(report["rate"], 44_100);
    assert_eq!(report["channels"], 2);
    assert_eq!(report["samples"], 44_100);
    assert_eq!(report["seconds"], 1.0);
    assert_eq!(report["bad_samples"], 0);
    assert!(report["peak_db"].as_f64().is_some_and(|peak| (-12.0..-3.0).contains(&peak)), "{report}");
    assert!(String::from_utf8_lossy(&coffre(&["inspect", &input]).stdout).contains("44100 Hz, 2 channels, 16-bit"));
}

#[test]
fn a_morph_is_reported_and_marked_with_the_voice_that_has_more_of_it() {
    let folder = Folder::new();
    let input = folder.sing("in.wav", CD, 12 * 44_100);
    let morphed = |name: &str, percent: &str| {
        let output = folder.text(name);
        let voices = ["--voice", "Quartz", "--voice-b", "Basalt", "--morph", percent];
        let more = ["--no-profile", "--no-content", "--json"];
        let report = json(&coffre(&[&["convert", "--force", &input, "-o", &output], &voices[..], &more].concat()));
        assert_eq!((&report["voice"], &report["voice_b"]), (&"Quartz".into(), &"Basalt".into()), "{report}");
        let finding = json(&coffre(&["verify", &output, "--json"]))["findings"][0].clone();
        (report["morph"].as_f64(), finding["voice_hash"].as_u64().expect("a hash"), output)
    };
    let [little, much, all] = ["30", "70", "100"].map(|percent| morphed(&format!("{percent}.flac"), percent));
    assert_eq!([little.0, much.0, all.0], [Some(30.0), Some(70.0), Some(100.0)]);
    assert!(little.1 != much.1 && much.1 == all.1);
    let alone = folder.text("alone.flac");
    let said =
        coffre(&["convert", "--force", &input, "-o", &alone, "--voice", "Basalt", "--no-profile", "--no-content"]);
    assert!(said.status.success(), "{said:?}");
    assert!(std::fs::read(&alone).expect("written") == std::fs::read(&all.2).expect("written"), "100 % is voice B");
}

#[test]
fn verify_finds_what_convert_marks_and_says_so_in_words_and_json() {
    let folder = Folder::new();
    let input = folder.sing("in.wav", CD, 12 * 44_100);
    let (marked, plain) = (folder.text("marked.flac"), folder.text("plain.flac"));
    convert(&input, &marked, &["--no-content"]);
    convert(&input, &plain, &["--no-content", "--no-watermark"]);

    let report = json(&coffre(&["verify", &marked, "--json", "--wrong-keys", "2"]));
    assert_eq!(report["is_marked"], true, "{report}");
    let finding = &report["findings"][0];
    assert_eq!((&finding["engine"], &finding["voice_hash"]), (&"native".into(), &0.into()), "{report}");
    assert!(finding["end_s"].as_f64().expect("a number") > 9.0, "{report}");
    assert!(report["chance"]["windows"].as_u64() == Some(4) && report["chance"]["alarms"] == 0, "{report}");
    let said = String::from_utf8_lossy(&coffre(&["verify", &marked]).stdout).into_owned();
    assert!(said.contains("native engine") && said.contains("only register and colour"), "{said}");

    for unmarked in [&plain, &input] {
        let report = json(&coffre(&["verify", unmarked, "--json"]));
        assert_eq!(report["is_marked"], false, "{report}");
        let said = coffre(&["verify", unmarked]);
        assert_eq!(code(&said).0, 0);
        assert!(String::from_utf8_lossy(&said.stdout).contains("A missing mark proves nothing"));
    }
}

#[test]
fn verify_names_bad_files_and_says_when_a_file_is_too_short() {
    let folder = Folder::new();
    let whole = std::fs::read(folder.sing("whole.wav", CD, 40_000)).expect("readable");
    for bad in [
        folder.text("missing.wav"),
        folder.put("empty.wav", b""),
        folder.put("text.wav", &b"These are words, and words again. ".repeat(300)),
    ] {
        let (code, text) = code(&coffre(&["verify", &bad]));
        assert!(code == 3 && text.contains(&bad), "{code}: {text}");
    }
    let short = folder.put("short.wav", &whole[..whole.len() / 2]);
    for command in ["verify", "inspect"] {
        let (code, text) = code(&coffre(&[command, &short]));
        assert!(code == 0 && text.contains("wrong length") && text.contains(&short), "{code}: {text}");
    }
    let said = coffre(&["verify", &folder.text("whole.wav")]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("shorter than"), "{said:?}");
}

#[test]
fn voices_are_listed_and_bad_files_named() {
    let folder = Folder::new();
    folder.put("bad.coffre", b"not a voice");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    let said = command.args(["voices", "--json"]).env("COFFRE_VOICES", folder.0.path()).output().expect("starts");
    assert_eq!(code(&said).0, 0);
    let list = json(&said);
    let list = list.as_array().expect("an array");
    let bad = list.iter().find(|entry| entry["name"] == "bad").expect("the bad file is listed");
    assert!(bad["error"].is_string() && bad["id"].is_null());
    for entry in list {
        for key in ["name", "id", "origin", "path", "description", "median_f0_hz", "licence", "attribution", "error"] {
            assert!(entry.get(key).is_some(), "{key} in {entry}");
        }
    }
}

#[test]
fn the_report_of_a_conversion_has_its_keys() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 22_050);
    let output = folder.text("out.wav");
    let report =
        json(&coffre(&["convert", "--force", &input, "-o", &output, "--voice", "none", "--mode", "live", "--json"]));
    assert_eq!(report["output"], output);
    assert_eq!(report["rate"], 44_100);
    assert_eq!(report["seconds"], 0.5);
    assert!(report["latency_ms"].as_f64().is_some_and(|ms| (20.0..60.0).contains(&ms)), "{report}");
    for key in ["input", "voice", "format", "rtf", "latency_samples", "profile_seconds", "clipped_samples"] {
        assert!(report.get(key).is_some(), "{key}");
    }
    let quiet = coffre(&["convert", "--force", &input, "-o", &output, "--voice", "none", "--quiet"]);
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty());
}

/// The sentence that ships with the sources, 5 s at 48 kHz.
fn vocal() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vocal.flac").to_owned()
}

fn names_of_embedded_voices() -> Vec<String> {
    let list = json(&coffre(&["voices", "--json"]));
    let list = list.as_array().expect("an array");
    let embedded = list.iter().filter(|entry| entry["origin"] == "embedded");
    embedded.map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|x| f64::from(x * x)).sum::<f64>() / samples.len() as f64
}

#[test]
fn every_embedded_voice_sings_aligned_with_the_input() {
    let folder = Folder::new();
    let (_, input) = read(Path::new(&vocal()));
    let names = names_of_embedded_voices();
    assert_eq!(names.len(), 8);
    let mut outputs = Vec::new();
    for name in &names {
        let said = coffre(&["convert", "--force", &vocal(), "-o", &folder.text("out.wav"), "--voice", name]);
        assert!(said.status.success(), "{said:?}");
        let (_, output) = read(&folder.path("out.wav"));
        assert_eq!(output.len(), input.len());
        // Loudness follows the source, second by second: the same words at the same time.
        for (second, (input, output)) in input.chunks(24_000).zip(output.chunks(24_000)).enumerate() {
            let (input_db, output_db) = (10.0 * power(input).log10(), 10.0 * power(output).log10());
            if input_db > -45.0 {
                assert!(
                    (output_db - input_db).abs() < 6.0,
                    "{name}, half-second {second}: {input_db} to {output_db} dB"
                );
            }
        }
        outputs.push(output);
    }
    for (index, output) in outputs.iter().enumerate() {
        for other in outputs[..index].iter().chain([&input]) {
            let difference: Vec<f32> = output.iter().zip(other).map(|(x, y)| x - y).collect();
            assert!(power(&difference) > 0.01 * power(&input), "voice {index} is hardly another one");
        }
    }
}

#[test]
fn with_a_voice_too_every_partition_gives_the_same_file() {
    let folder = Folder::new();
    let voice = &names_of_embedded_voices()[0];
    for mode in ["live", "mix"] {
        let out = |block: &str| {
            let output = folder.text("out.wav");
            let more = ["--mode", mode, "--block", block, "--likeness", "100", "--no-profile"];
            let said =
                coffre(&[&["convert", "--force", &vocal(), "-o", &output, "--voice", voice], &more[..]].concat());
            assert!(said.status.success(), "{said:?}");
            std::fs::read(output).expect("readable")
        };
        let whole = out("1000000");
        assert!(out("1") == whole && out("1021") == whole, "{mode}");
    }
}

#[test]
fn a_saved_profile_renders_as_the_learned_one() {
    let folder = Folder::new();
    let voice = &names_of_embedded_voices()[1];
    let profile = folder.text("singer.profile");
    let run = |name: &str, more: &[&str]| {
        let output = folder.text(name);
        let said = coffre(&[&["convert", "--force", &vocal(), "-o", &output, "--voice", voice], more].concat());
        assert!(said.status.success(), "{said:?}");
        std::fs::read(output).expect("readable")
    };
    let learned = run("a.wav", &["--save-profile", &profile]);
    assert!(run("b.wav", &["--profile", &profile]) == learned);
    assert!(run("c.wav", &["--no-profile"]) != learned, "the profile matters");
    let report = json(&coffre(&["inspect", &profile, "--json"]));
    assert_eq!((&report["kind"], &report["name"]), (&Value::from("singer"), &Value::from("singer")));
    assert!(report["median_f0_hz"].as_f64().is_some_and(|hz| (100.0..300.0).contains(&hz)), "{report}");

    // Half a second of tone is too little to learn from.
    let short = folder.sing("short.wav", CD, 20_000);
    let arguments = ["convert", &short, "-o", &folder.text("d.wav"), "--voice", voice, "--save-profile", &profile];
    assert_eq!(code(&coffre(&arguments)).0, 2);
}

#[test]
fn a_voice_is_found_by_file_id_and_any_case() {
    let folder = Folder::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/models/voices/quartz.coffre");
    let by_file = json(&coffre(&["inspect", file, "--json"]));
    assert_eq!(by_file["name"], "Quartz");
    let id = by_file["id"].as_str().expect("an id");
    for word in ["Quartz", "quartz", id, &id[..12]] {
        assert_eq!(json(&coffre(&["inspect", word, "--json"]))["id"], by_file["id"], "{word}");
    }
    let whole = std::fs::read(file).expect("readable");
    for (name, bytes) in [("cut.coffre", &whole[..whole.len() / 2]), ("empty.coffre", &[][..])] {
        let (code, text) = code(&coffre(&["inspect", &folder.put(name, bytes)]));
        assert!(code == 4 && text.contains(name), "{text}");
    }
}

#[test]
fn doctor_and_bench_give_their_keys() {
    let report = json(&coffre(&["doctor", "--json"]));
    assert_eq!(report["ok"], true, "{report}");
    assert!(report["runtime"]["version"].as_str().is_some_and(|version| version.starts_with("1.")));
    for key in ["version", "runtime", "content", "devices", "voices", "voice_folders", "plugins"] {
        assert!(report.get(key).is_some(), "{key}");
    }
    let figures = json(&coffre(&["bench", "--seconds", "2", "--json"]));
    for (key, most) in [
        ("native_live_rtf", 1.0),
        ("native_live_latency_ms", 60.0),
        ("native_live_worst_hop", f64::INFINITY),
        ("native_mix_rtf", 1.0),
        ("native_mix_latency_ms", 300.0),
        ("resident_mb", 200.0),
    ] {
        assert!(figures[key].as_f64().is_some_and(|value| value > 0.0 && value <= most), "{key} in {figures}");
    }
    assert!(figures["voice"].is_string());
}

/// File names of a Unix file system are bytes; JSON holds Unicode.
#[test]
#[cfg(target_os = "linux")]
fn names_that_are_no_unicode_are_no_reason_to_end() {
    use std::os::unix::ffi::OsStrExt as _;

    let folder = Folder::new();
    let dir = folder.path("").join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    std::fs::create_dir(&dir).expect("a file system of bytes");
    let (input, output) = (dir.join("in.wav"), dir.join("out.wav"));
    std::fs::copy(folder.sing("in.wav", CD, 44_100), &input).expect("copied");
    let quartz = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/voices/quartz.coffre");
    std::fs::copy(quartz, dir.join("voice.coffre")).expect("copied");
    std::fs::write(dir.join("broken.coffre"), "no voice").expect("written");
    let run = |command: &mut Command| {
        let output = command.env("COFFRE_VOICES", &dir).output().expect("it starts");
        assert!(output.status.success(), "{command:?}: {output:?}");
        json(&output)
    };
    let command = || Command::new(env!("CARGO_BIN_EXE_coffre"));
    let convert = ["--voice", "none", "--no-profile", "--json"];
    let said = run(command().arg("convert").arg(&input).arg("-o").arg(&output).args(convert));
    assert!(said["output"].as_str().is_some_and(|path| path.ends_with("caf\u{fffd}/out.wav")), "{said}");
    run(command().arg("verify").arg(&output).arg("--json"));
    let said = run(command().args(["voices", "--json"]));
    assert!(said.to_string().contains("caf\u{fffd}/broken.coffre"), "{said}");
    run(command().args(["doctor", "--json"]));
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_printed_is_said_and_a_reader_that_leaves_is_no_error() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    let output = command.arg("voices").stdout(full()).output().expect("it starts");
    let (exit_code, words) = code(&output);
    assert_eq!(exit_code, 6, "{words}");
    assert!(words.contains("not all could be printed"), "{words}");
    // Nobody hears anything: neither words nor a panic.
    for arguments in [&["doctor"][..], &["voices"], &["inspect", "/nowhere"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.args(arguments).stdout(writer.try_clone().expect("a pipe")).stderr(writer);
        let status = command.status().expect("it starts");
        assert!(status.code().is_some_and(|exit_code| exit_code != 101), "{arguments:?}: {status}");
    }
}
