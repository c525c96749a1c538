//! RVC voices on the command line: import, models, convert.

use std::process::{Command, Output};

use coffre::audio_file::{AudioReader, AudioSpec, AudioWriter, SampleFormat};

use super::{common, engine, fixture};

struct Place(tempfile::TempDir);

impl Place {
    fn text(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn coffre(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.args(arguments).env("COFFRE_MODELS", self.text("models")).output().expect("the command starts")
    }

    #[track_caller]
    fn expect(&self, exit_code: i32, arguments: &[&str]) -> (String, String) {
        let output = self.coffre(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(exit_code), "{arguments:?}: {out}{err}");
        (out, err)
    }
}

#[test]
fn a_register_is_told_only_where_it_was_stated() {
    let place = Place(tempfile::tempdir().expect("a folder"));
    let checkpoint = fixture("rvc_v2_40k.pth").display().to_string();
    let (unknown, stated) = (place.text("unknown.coffre"), place.text("stated.coffre"));
    place.expect(0, &["import", &checkpoint, "-o", &unknown]);
    place.expect(0, &["import", &checkpoint, "-o", &stated, "--range", "100-400"]);
    let median = |file: &str| -> serde_json::Value {
        let (out, _) = place.expect(0, &["inspect", file, "--json"]);
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON")["median_f0_hz"].clone()
    };
    assert_eq!(median(&unknown), serde_json::Value::Null);
    assert_eq!(median(&stated), 200.0);
}

#[test]
fn import_models_and_convert_work_together() {
    let place = Place(tempfile::tempdir().expect("a folder"));
    let checkpoint = fixture("rvc_v2_40k.pth").display().to_string();
    let (voice, song, result) = (place.text("voice.coffre"), place.text("song.wav"), place.text("result.wav"));

    let (out, _) = place.expect(0, &["import", &checkpoint, "-o", &voice, "--name", "Small"]);
    assert!(out.contains("RVC v2, 40 kHz, with F0"), "{out}");
    let (out, _) = place.expect(0, &["inspect", &voice]);
    assert!(out.contains("Small") && out.contains("speakers     3"), "{out}");
    let (out, _) = place.expect(0, &["inspect", &checkpoint]);
    assert!(out.contains("RVC v2"), "{out}");

    let spec = AudioSpec { rate: 44_100, channels: 1, format: SampleFormat::Int { bits: 16 } };
    let len = 30_000;
    let mut writer = AudioWriter::create(song.as_ref(), spec).expect("created");
    writer.write(&common::vocal_like(44_100, len)).expect("written");
    writer.finish().expect("finished");

    // Without ContentVec nothing is faked: the way out is said.
    let convert = ["convert", "--force", &song, "-o", &result, "--voice", &voice];
    let (_, err) = place.expect(5, &convert);
    assert!(err.contains("ContentVec") && err.contains("coffre models add"), "{err}");
    assert!(!std::path::Path::new(&result).exists());

    let graph = place.text("some.onnx");
    std::fs::write(&graph, engine::stand_in()).expect("written");
    place.expect(4, &["models", "add", &song]);
    let (out, _) = place.expect(0, &["models", "add", &graph]);
    assert!(out.contains("contentvec-768.onnx"), "{out}");
    let (out, _) = place.expect(0, &["models", "list"]);
    assert!(out.contains("there"), "{out}");

    for voice in [&voice, &checkpoint] {
        place.expect(0, &["convert", "--force", &song, "-o", &result, "--voice", voice]);
        let mut reader = AudioReader::open(result.as_ref()).expect("a result");
        let (mut block, mut sound) = (Vec::new(), Vec::new());
        while reader.read(&mut block).expect("readable") {
            sound.extend_from_slice(&block);
        }
        assert_eq!(sound.len(), len);
        assert!(sound.iter().any(|v| v.abs() > 1e-3));
        std::fs::remove_file(&result).expect("removed");
    }
    place.expect(4, &["import", &song.replace("song.wav", "some.onnx"), "-o", &place.text("no.coffre")]);
}
