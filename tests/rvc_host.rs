//! RVC voices in the plugin, in a CLAP host: delay, block lengths, the command line's sound, and both engines by turns.
//!
//! Run with the feature `alloccheck`, an allocation in `process()` or `reset()` ends the program.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;
#[path = "rvc/rmvpe_stand_in.rs"]
mod rmvpe_stand_in;
#[path = "rvc/stand_in.rs"]
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use coffre::audio_file::{AudioReader, AudioSpec, AudioWriter, SampleFormat};
use coffre::engine::Mode;
use coffre::engine::rvc::geometry::Geometry;
use coffre::onnx::model::{Attribute, Dim, GraphWriter};
use coffre::voice::import::import_rvc;
use coffre::voice::{Manifest, Voice, VoiceId};
use host::{Host, Pace};
use reference::{assert_same, delayed, rms};
use serde_json::{Value, json};

const RATE: u32 = 48_000;
const CONTENTVEC: &str = "contentvec-768.onnx";

/// Voices and models of this process, for one test at a time: some take things away.
struct Place {
    _turn: MutexGuard<'static, ()>,
    folder: PathBuf,
}

impl Place {
    fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = FOLDER.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder").keep();
            for (name, variable) in [("voices", "COFFRE_VOICES"), ("models", "COFFRE_MODELS")] {
                std::fs::create_dir(folder.join(name)).expect("a folder");
                // SAFETY: nothing of this process reads the environment before this, because every test begins here.
                unsafe { std::env::set_var(variable, folder.join(name)) };
            }
            folder
        });
        let place = Self { _turn: turn, folder: folder.clone() };
        place.set_contentvec(Some(stand_in::stand_in()));
        // What is not there need not go.
        let _ = std::fs::remove_file(place.rmvpe());
        place
    }

    fn rmvpe(&self) -> PathBuf {
        self.folder.join("models/rmvpe.onnx")
    }

    fn set_contentvec(&self, graph: Option<&[u8]>) {
        let path = self.folder.join("models").join(CONTENTVEC);
        match graph {
            Some(graph) => std::fs::write(path, graph).expect("written"),
            None => std::fs::remove_file(path).expect("removed"),
        }
    }

    /// Puts a voice into the library; gives its file and what a slot's state says about it.
    fn voice(&self, name: &str, source: &Path) -> (PathBuf, Value) {
        let voice = import_rvc(source, None).expect("a voice");
        let manifest = Manifest { name: name.to_owned(), ..voice.manifest().clone() };
        let bytes = Voice::write_rvc(manifest, voice.rvc().expect("of RVC")).expect("writable");
        let path = self.folder.join("voices").join(format!("{name}.coffre"));
        std::fs::write(&path, &bytes).expect("written");
        (path, json!({ "name": name, "id": VoiceId::of(&bytes).to_string(), "engine": "rvc" }))
    }

    fn small(&self) -> (PathBuf, Value) {
        self.voice("Small", &Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v2_40k.pth"))
    }
}

/// A host that renders, with these voices in its slots behind one that is native.
fn host_with(voices: &[&Value]) -> Host {
    let mut host = Host::mono();
    let state = host.save();
    let mut state: Value = serde_json::from_slice(&state[8..]).expect("JSON");
    let native: Vec<Value> = serde_json::from_str(state["fields"]["voices"].as_str().expect("a field")).expect("JSON");
    let slots: Vec<&Value> = native[..1].iter().chain(voices.iter().copied()).collect();
    state["fields"]["voices"] = Value::String(json!(slots).to_string());
    let json = state.to_string();
    assert!(host.load(&[&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()));
    host.set_offline(true);
    host
}

fn restarts(host: &Host) -> usize {
    host.asked.restarts.load(Ordering::SeqCst)
}

/// Half a second of silence, then singing.
fn song(len: usize) -> Vec<f32> {
    let mut song = common::vocal_like(RATE, len);
    song[..len.min(24_000)].fill(0.0);
    song
}

fn play(host: &mut Host, input: &[f32]) -> Vec<f32> {
    host.play_mono(input, &common::partition(input.len(), &[512]), Pace::Free, &[])
}

/// What `coffre convert` makes of `input`: as long as it, without delay.
fn command_line(place: &Place, voice: &Path, input: &[f32]) -> Vec<f32> {
    command_line_in(place, voice, input, "live")
}

fn command_line_in(place: &Place, voice: &Path, input: &[f32], mode: &str) -> Vec<f32> {
    let (song, result) = (place.folder.join("song.wav"), place.folder.join("result.wav"));
    let spec = AudioSpec { rate: RATE, channels: 1, format: SampleFormat::Float };
    let mut writer = AudioWriter::create(&song, spec).expect("created");
    writer.write(input).expect("written");
    writer.finish().expect("finished");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command
        .arg("convert")
        .arg("--force")
        .arg(&song)
        .arg("-o")
        .arg(&result)
        .arg("--voice")
        .arg(voice)
        .args(["--mode", mode]);
    let said = command.output().expect("it starts");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut reader = AudioReader::open(&result).expect("a result");
    let (mut block, mut sound) = (Vec::new(), Vec::new());
    while reader.read(&mut block).expect("readable") {
        sound.extend_from_slice(&block);
    }
    sound
}

#[test]
fn the_plugin_renders_what_the_command_line_does_at_exactly_the_reported_delay() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(60_000);
    let wanted = command_line(&place, &path, &input);
    assert!(rms(&wanted[30_000..]) > 1e-3, "there is sound");

    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    host.activate(RATE, 512);
    let latency = host.latency();
    let geometry = Geometry::of(Mode::Live);
    assert_eq!(
        latency,
        480 + geometry.latency_len() + 5_120,
        "a hop, the engine, a block of time in whole host blocks"
    );

    let mut longer = input.clone();
    longer.extend(vec![0.0; latency]);
    for parts in [
        common::partition(longer.len(), &[512]),
        common::partition(longer.len(), &[1, 0, 17, 480, 3, 479, 9_000]),
        common::random_partition(longer.len(), 3_000, 11),
    ] {
        host.reset();
        let output = host.play_mono(&longer, &parts, Pace::Free, &[]);
        assert!(output[..latency].iter().all(|sample| *sample == 0.0));
        assert_same(&output[latency..], &wanted, "plugin beside command line");
    }
    assert_eq!(host.latency(), latency, "constant while active");

    // The same for a host that renders while it says that it plays.
    host.set_offline(false);
    host.activate(RATE, 512);
    play(&mut host, &vec![0.0; 96_000]);
    host.reset();
    assert_same(&play(&mut host, &longer)[latency..], &wanted, "freewheeling");
}

#[test]
fn in_a_mix_too_the_plugin_renders_what_the_command_line_does() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(120_000);
    let wanted = command_line_in(&place, &path, &input, "mix");
    assert!(rms(&wanted[30_000..]) > 1e-3, "there is sound");
    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    host.set("Latency mode", "Mix");
    host.activate(RATE, 512);
    let latency = host.latency();
    let mut longer = input.clone();
    longer.extend(vec![0.0; latency]);
    for parts in [common::partition(longer.len(), &[512]), common::random_partition(longer.len(), 3_000, 12)] {
        host.reset();
        let output = host.play_mono(&longer, &parts, Pace::Free, &[]);
        assert_same(&output[latency..], &wanted, "plugin beside command line, in a mix");
    }
}

#[test]
fn an_empty_slot_shows_the_delay_sample_by_sample() {
    let place = Place::take();
    let (_, voice) = place.small();
    let input = common::vocal_like(RATE, 150_000);
    for (mode, text) in [(Mode::Live, "Live"), (Mode::Mix, "Mix")] {
        let mut host = host_with(&[&voice]);
        host.set("Voice", "2");
        host.set("Latency mode", text);
        host.set("Gate", "-100");
        host.activate(RATE, 256);
        let latency = host.latency();
        let geometry = Geometry::of(mode);
        let slack = (geometry.block * 480).div_ceil(256) * 256;
        assert_eq!(latency, 480 + geometry.latency_len() + slack, "{mode:?}");
        host.set("Voice", "16");
        let asked = restarts(&host);
        let output = play(&mut host, &input);
        let (heard, sent) = (&output[latency + 4_800..], &input[4_800..input.len() - latency]);
        assert!(heard.iter().zip(sent).all(|(a, b)| (a - b).abs() < 1e-5), "{mode:?}");
        assert_eq!(restarts(&host), asked, "an empty slot needs no other engine");
        assert_eq!(host.latency(), latency);
    }
}

#[test]
fn native_rvc_native_each_with_its_own_delay_and_the_fallback_between() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(60_000);
    let rvc = command_line(&place, &path, &input);
    let mut host = host_with(&[&voice]);
    host.activate(RATE, 512);
    let native_latency = host.latency();
    let native = play(&mut host, &input);
    let asked = restarts(&host);

    // In the middle of a take the other kind is chosen: the same delay, the fallback, one request.
    host.reset();
    let at = 40_000;
    let chosen = host.event(at, "Voice", "2");
    let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Free, &[chosen]);
    assert_eq!(restarts(&host), asked + 1, "one request, however many blocks follow");
    assert_eq!(host.latency(), native_latency);
    let dry = delayed(&input, native_latency);
    let (from, settled) = (at + native_latency, at + native_latency + 5_000);
    assert_same(&output[..from], &native[..from], "before the change is heard");
    assert_same(&output[settled..], &dry[settled..], "after it");
    host.set("When late", "Silence");
    host.reset();
    assert!(play(&mut host, &input).iter().all(|sample| *sample == 0.0), "silence as the fallback");
    host.set("When late", "Dry");

    host.activate(RATE, 512);
    let latency = host.latency();
    assert!(latency > native_latency);
    let output = play(&mut host, &input);
    assert_same(&output[latency..], &rvc[..input.len() - latency], "RVC after the restart");
    let asked = restarts(&host);
    play(&mut host, &input[..4_096]);
    assert_eq!(restarts(&host), asked, "nothing more is asked for");

    host.set("Voice", "1");
    host.reset();
    let output = play(&mut host, &input);
    assert_eq!(restarts(&host), asked + 1);
    assert_same(&output[2_400..], &delayed(&input, latency)[2_400..], "dry, still with the delay of RVC");
    host.activate(RATE, 512);
    assert_eq!(host.latency(), native_latency);
    assert_same(&play(&mut host, &input), &native, "native again");
}

#[test]
fn a_restored_session_has_its_delay_at_once_and_sounds_the_same() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(50_000);
    let wanted = command_line(&place, &path, &input);
    let mut first = host_with(&[&voice]);
    first.set("Voice", "2");
    let state = first.save();
    let mut second = Host::mono();
    assert!(second.load(&state));
    second.set_offline(true);
    second.activate(RATE, 512);
    let latency = second.latency();
    let asked = restarts(&second);
    let output = play(&mut second, &input);
    assert_same(&output[latency..], &wanted[..input.len() - latency], "restored");
    assert_eq!(restarts(&second), asked);
    assert_eq!(second.save(), state, "saving again gives the same bytes");

    // A state that is wrong about the kind is put right by the file, with a restart.
    let mut lie = voice.clone();
    lie["engine"] = json!("native");
    let mut third = host_with(&[&lie]);
    third.set("Voice", "2");
    third.activate(RATE, 512);
    assert!(third.latency() < latency);
    let asked = restarts(&third);
    play(&mut third, &input);
    assert_eq!(restarts(&third), asked + 1);
    third.activate(RATE, 512);
    assert_eq!(third.latency(), latency);
    assert_same(&play(&mut third, &input), &output, "put right");
}

/// Plays `input` and checks that nothing but the delayed input is heard, with the delay of RVC.
#[track_caller]
fn assert_fallback(host: &mut Host, input: &[f32], what: &str) {
    host.set_offline(true);
    host.activate(RATE, 512);
    let latency = host.latency();
    assert_eq!(latency, 480 + Geometry::of(Mode::Live).latency_len() + 5_120, "{what}: the alignment stays");
    let output = play(host, input);
    let from = latency + 2_400;
    assert_same(&output[from..], &delayed(input, latency)[from..], what);
}

#[test]
fn without_contentvec_or_the_voice_the_fallback_sounds_and_nothing_is_lost() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(50_000);
    let wanted = command_line(&place, &path, &input);

    place.set_contentvec(None);
    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    assert_fallback(&mut host, &input, "no ContentVec");
    place.set_contentvec(Some(b"no graph at all"));
    assert_fallback(&mut host, &input, "a damaged ContentVec");
    place.set_contentvec(Some(stand_in::stand_in()));
    host.deactivate();
    // Whoever looks again finds it, and so does the next instance.
    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    host.activate(RATE, 512);
    let latency = host.latency();
    assert_same(&play(&mut host, &input)[latency..], &wanted[..input.len() - latency], "with it");
    let state = host.save();
    host.deactivate();

    std::fs::remove_file(path).expect("removed");
    let mut host = Host::mono();
    assert!(host.load(&state));
    assert_fallback(&mut host, &input, "the voice was deleted");
    assert!(String::from_utf8_lossy(&host.save()).contains("Small"), "its name is kept");
}

#[test]
fn rmvpe_in_the_models_folder_is_used_and_a_damaged_one_is_not_passed_over() {
    let place = Place::take();
    let (path, voice) = place.small();
    let input = song(50_000);
    let own = command_line(&place, &path, &input);
    std::fs::write(place.rmvpe(), rmvpe_stand_in::rmvpe_stand_in(0.5)).expect("written");
    let wanted = command_line(&place, &path, &input);
    assert!(own != wanted, "another F0 sounds otherwise");

    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    host.activate(RATE, 512);
    let latency = host.latency();
    assert_same(&play(&mut host, &input)[latency..], &wanted[..input.len() - latency], "plugin with RMVPE");
    host.deactivate();

    std::fs::write(place.rmvpe(), b"no graph at all").expect("written");
    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    assert_fallback(&mut host, &input, "a damaged RMVPE");
    std::fs::remove_file(place.rmvpe()).expect("removed");
}

/// An export like [`reference`]'s that makes no numbers of F0 above 250 Hz.
fn failing_export() -> Vec<u8> {
    let mut graph = GraphWriter::new();
    let frames = Dim::Open("frames");
    let phone = graph.input("phone", &[Dim::Fixed(1), frames, Dim::Fixed(768)]);
    graph.input("phone_lengths", &[Dim::Fixed(1)]);
    let f0_hz = graph.input("pitchf", &[Dim::Fixed(1), frames]);
    let noise = graph.input("rnd", &[Dim::Fixed(1), Dim::Fixed(16), frames]);
    let weights: Vec<f32> = (0..16 * 400).map(|n| 0.1 * (n as f32 * 0.7).sin()).collect();
    let weights = graph.floats(&[16, 1, 400], &weights);
    let audio = graph.node("ConvTranspose", &[&noise, &weights], &[("strides", Attribute::Ints(&[400]))]);
    let highest = graph.node("ReduceMax", &[&f0_hz], &[("keepdims", Attribute::Int(1))]);
    let (limit, zero) = (graph.floats(&[1], &[250.0]), graph.floats(&[1], &[0.0]));
    let room = graph.node("Sub", &[&limit, &highest], &[]);
    let poison = graph.node("Log", &[&room], &[]);
    let poison = graph.node("Mul", &[&poison, &zero], &[]);
    let audio = graph.node("Add", &[&audio, &poison], &[]);
    graph.output(&phone, "unused", &[Dim::Fixed(1), frames, Dim::Fixed(768)]);
    graph.output(&audio, "audio", &[Dim::Fixed(1), Dim::Fixed(1), Dim::Open("samples")]);
    graph.finish("export", &[])
}

#[test]
fn a_graph_that_fails_while_it_runs_leaves_the_fallback_and_is_tried_again() {
    let place = Place::take();
    let source = place.folder.join("failing.onnx");
    std::fs::write(&source, failing_export()).expect("written");
    let (_, voice) = place.voice("Failing", &source);
    let input = song(100_000);
    let mut host = host_with(&[&voice]);
    host.set("Voice", "2");
    host.set("Register", "Off");
    host.activate(RATE, 512);
    let latency = host.latency();
    let dry = delayed(&input, latency);
    let good = play(&mut host, &input);
    assert!(rms(&good[latency + 24_000..]) > 1e-3);
    assert!((latency + 30_000..input.len()).any(|n| good[n] != dry[n]), "converted");

    host.set("Transpose", "12");
    host.reset();
    let output = play(&mut host, &input);
    // The window's context still holds what was too high after it is over; before, it has only silence.
    let from = latency + 24_000 + 9_600;
    assert_same(&output[from..], &dry[from..], "the fallback");

    host.set("Transpose", "0");
    host.reset();
    assert_same(&play(&mut host, &input), &good, "it works again");
}
