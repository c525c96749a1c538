//! What runs RVC voices: said truly, and the same sound from a graphics card as from the processor.
//!
//! Without the WebGPU provider or a card the comparison is skipped with a message. It runs without any card on a software
//! driver: `COFFRE_WEBGPU` names the file of the package onnxruntime-ep-webgpu, `VK_ICD_FILENAMES` the description of
//! SwiftShader (package chromium-common) or lavapipe from Mesa 25, and, since the provider asks `/sys/class/drm` for
//! cards, a mount namespace holds one that is made up (`card0/device/vendor` and `device`).

mod common;
#[path = "common/fake.rs"]
mod fake;
#[path = "rvc/stand_in.rs"]
mod stand_in;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use coffre::audio_file::{AudioSpec, AudioWriter, SampleFormat};
use coffre::bridge::Request;
use coffre::engine::rvc::contentvec::{self, ContentLine, ContentVec};
use coffre::engine::rvc::generator::{Generator, Network, Window};
use coffre::engine::rvc::geometry::Geometry;
use coffre::engine::{EngineId, Mode, Setup};
use coffre::onnx::device::{self, Device};
use coffre::onnx::model::{Dim, GraphWriter};
use coffre::onnx::{Graph, LooseInput, Runtime, Settings};
use coffre::voice::Voice;
use coffre::voice::import::import_rvc;
use fake::Rig;

/// What `doctor` says with these variables, on a computer where nothing was chosen.
fn doctor(variables: &[(&str, &str)]) -> serde_json::Value {
    let nowhere = std::env::temp_dir().join("coffre-no-settings");
    doctor_in(&nowhere, variables)
}

/// What `doctor` says with these variables and this folder of settings.
#[cfg_attr(target_os = "macos", expect(unused_variables, reason = "the folder cannot be named there"))]
fn doctor_in(configuration: &Path, variables: &[(&str, &str)]) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command
        .args(["doctor", "--json"])
        .env_remove("COFFRE_DEVICE")
        .env_remove("COFFRE_WEBGPU")
        .env_remove("COFFRE_CUDA");
    #[cfg(not(target_os = "macos"))]
    command.env("XDG_CONFIG_HOME", configuration).env("APPDATA", configuration);
    let said = command.envs(variables.iter().copied()).output().expect("it starts").stdout;
    let said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    said["rvc_device"].clone()
}

#[test]
fn doctor_says_what_really_runs_and_why() {
    let said = doctor(&[]);
    assert_eq!((&said["chosen"], &said["runs_on"]), (&"cpu".into(), &"cpu".into()));
    assert!(said["trouble"].is_null(), "{said}");
    let said = doctor(&[("COFFRE_DEVICE", "abacus")]);
    assert_eq!(said["runs_on"], "cpu");
    assert!(said["trouble"].as_str().is_some_and(|text| text.contains("abacus")), "{said}");
    for (provider, reason) in
        [("/nowhere/provider.so", "there is no"), (env!("CARGO_BIN_EXE_coffre"), "cannot be used")]
    {
        let said = doctor(&[("COFFRE_DEVICE", "webgpu"), ("COFFRE_WEBGPU", provider)]);
        assert_eq!((&said["chosen"], &said["runs_on"]), (&"webgpu".into(), &"cpu".into()), "{said}");
        assert!(said["trouble"].as_str().is_some_and(|text| text.contains(reason)), "{said}");
    }
}

#[test]
fn devices_that_this_computer_cannot_have_leave_the_processor_and_a_remedy() {
    let said = doctor(&[]);
    assert_eq!(said["known"], serde_json::json!(["cpu", "webgpu", "coreml", "cuda"]));
    let trouble = |variables: &[(&str, &str)]| {
        let said = doctor(variables);
        assert_eq!(
            (&said["chosen"], &said["runs_on"]),
            (&variables[0].1.to_lowercase().into(), &"cpu".into()),
            "{said}"
        );
        said["trouble"].as_str().expect("a reason").to_owned()
    };
    #[cfg(not(target_os = "macos"))]
    {
        assert_eq!(said["offered"], serde_json::json!(["cpu", "webgpu", "cuda"]));
        assert_eq!(trouble(&[("COFFRE_DEVICE", "CoreML")]), "CoreML was chosen, and it is for macOS only");
    }
    // With the runtime that Coffre brings, which is for the processor alone.
    if !cfg!(target_os = "macos") {
        let reason = trouble(&[("COFFRE_DEVICE", "cuda")]);
        assert!(reason.starts_with("CUDA was chosen, and there is no "), "{reason}");
        assert!(reason.contains("onnxruntime-gpu") && reason.contains("COFFRE_ONNXRUNTIME"), "{reason}");
        let reason = trouble(&[("COFFRE_DEVICE", "cuda"), ("COFFRE_CUDA", env!("CARGO_BIN_EXE_coffre"))]);
        assert!(reason.contains("cannot be used"), "{reason}");
        // One that belongs to another runtime would take the process along.
        let folder = tempfile::tempdir().expect("a folder");
        let provider = folder.path().join("libonnxruntime_providers_cuda.so");
        for path in [&provider, &folder.path().join("libonnxruntime_providers_shared.so")] {
            std::fs::write(path, b"").expect("written");
        }
        let reason = trouble(&[("COFFRE_DEVICE", "cuda"), ("COFFRE_CUDA", provider.to_str().expect("UTF-8"))]);
        assert!(reason.contains("fits only the ONNX Runtime beside it"), "{reason}");
    }
}

#[test]
fn a_conversion_for_a_device_that_is_not_there_runs_on_the_processor_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let models = folder.path().join("models");
    std::fs::create_dir(&models).expect("a folder");
    std::fs::write(models.join("contentvec-768.onnx"), stand_in::stand_in()).expect("written");
    let [voice, take, result] = ["voice.coffre", "take.wav", "result.wav"].map(|name| folder.path().join(name));
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v2_40k.pth");
    let imported = import_rvc(&source, None).expect("a voice");
    let bytes = Voice::write_rvc(imported.manifest().clone(), imported.rvc().expect("of RVC")).expect("writable");
    std::fs::write(&voice, bytes).expect("written");
    let spec = AudioSpec { rate: 48_000, channels: 1, format: SampleFormat::Float };
    let mut writer = AudioWriter::create(&take, spec).expect("created");
    writer.write(&common::vocal_like(48_000, 24_000)).expect("written");
    writer.finish().expect("finished");
    let convert = |device: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command
            .arg("convert")
            .arg("--force")
            .arg(&take)
            .arg("-o")
            .arg(&result)
            .arg("--voice")
            .arg(&voice)
            .args(["--mode", "live"]);
        command.env("COFFRE_MODELS", &models).env("COFFRE_DEVICE", device).env_remove("COFFRE_CUDA");
        let said = command.env_remove("COFFRE_WEBGPU").output().expect("it starts");
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success(), "{device}: {words}");
        let sound = std::fs::read(&result).expect("a result");
        std::fs::remove_file(&result).expect("removed");
        (sound, words)
    };
    let (wanted, words) = convert("cpu");
    assert!(!words.contains("runs on"), "{words}");
    for (device, name) in [("webgpu", "WebGPU"), ("cuda", "CUDA"), ("coreml", "CoreML")] {
        // A Mac may well have it.
        if device == "coreml" && cfg!(target_os = "macos") {
            continue;
        }
        let (sound, words) = convert(device);
        assert!(sound == wanted, "{device}: the same sound");
        assert!(words.contains(&format!("{name} was chosen, and ")), "{words}");
        assert!(words.contains("The voice runs on: CPU"), "{words}");
    }
}

#[cfg(not(any(target_os = "macos", windows)))]
#[test]
fn what_was_chosen_on_this_computer_counts_unless_the_variable_says_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("coffre/settings.json");
    let provider = ("COFFRE_WEBGPU", "/nowhere/provider.so");
    let said = doctor_in(folder.path(), &[provider]);
    assert_eq!((&said["chosen"], &said["stored"]), (&"cpu".into(), &serde_json::Value::Null));
    assert_eq!(said["settings"], file.to_str().expect("UTF-8"));

    coffre::settings::store_device(&file, Device::WebGpu).expect("written");
    let said = doctor_in(folder.path(), &[provider]);
    assert_eq!(
        (&said["chosen"], &said["stored"], &said["runs_on"]),
        (&"webgpu".into(), &"webgpu".into(), &"cpu".into())
    );
    assert!(said["trouble"].as_str().is_some_and(|text| text.contains("there is no")), "{said}");

    let said = doctor_in(folder.path(), &[provider, ("COFFRE_DEVICE", "cpu")]);
    assert_eq!((&said["chosen"], &said["stored"], &said["runs_on"]), (&"cpu".into(), &"webgpu".into(), &"cpu".into()));
    assert!(said["trouble"].is_null(), "{said}");
    // An empty variable says nothing.
    let said = doctor_in(folder.path(), &[provider, ("COFFRE_DEVICE", " ")]);
    assert_eq!(said["chosen"], "webgpu");

    std::fs::write(&file, b"{ no settings").expect("written");
    let said = doctor_in(folder.path(), &[]);
    assert_eq!((&said["chosen"], &said["stored"]), (&"cpu".into(), &serde_json::Value::Null));
    assert!(said["settings_trouble"].as_str().is_some_and(|text| text.contains("is ignored")), "{said}");
}

/// Waits until something is so; `false` after a long while.
fn comes(is_so: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !is_so() {
        if begin.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

#[test]
fn another_device_loads_rvc_voices_again_in_every_instance() {
    let mut rig = Rig::new(48_000, 512);
    rig.reactivate(48_000, 512, Setup { engine: EngineId::Rvc, mode: Mode::Live });
    rig.warm_up();
    let count = |of: &AtomicU64| of.load(Ordering::SeqCst);
    let builds = count(&rig.behaviour.builds);
    rig.session.ask(Request::ChooseDevice("any".to_owned()));
    assert!(comes(|| count(&rig.behaviour.builds) == builds + 1), "the engine is built anew");
    assert!(comes(|| rig.telemetry.device_choice().chosen == "1"), "and the editor is told");
    // Chosen by another instance: seen when this one looks next.
    rig.behaviour.device_choices.fetch_add(1, Ordering::SeqCst);
    assert!(comes(|| count(&rig.behaviour.builds) == builds + 2));
    rig.warm_up();
    // The native engine runs on the processor whatever is chosen.
    rig.reactivate(48_000, 512, Mode::Live);
    rig.warm_up();
    let builds = count(&rig.behaviour.builds);
    rig.session.ask(Request::ChooseDevice("any".to_owned()));
    assert!(comes(|| rig.telemetry.device_choice().chosen == "3"));
    assert_eq!(count(&rig.behaviour.builds), builds);
}

/// Content features and sound of one window.
fn window(device: Device) -> (Vec<f32>, Vec<f32>) {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    device::choose(Some(device));
    let geometry = Geometry::of(Mode::Live);
    let bytes = stand_in::stand_in();
    let graph = Graph::open_built(runtime, contentvec::NAME, [7; 32], Settings::large(), || Ok(bytes.into()));
    let graph = graph.expect("it loads");
    assert_eq!(graph.device(), device);
    let mut content = ContentLine::new(ContentVec::new(graph, 768).expect("it fits"), geometry);
    let low = common::vocal_like(16_000, 160 * 400);
    content.update(&low, 400).expect("it runs");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/rvc_v2_40k.pth");
    let voice = import_rvc(&path, None).expect("a voice");
    let network = Network::new(runtime, &voice, 0).expect("it loads");
    let f0_hz = vec![220.0; geometry.window()];
    let phone = content.phone().to_vec();
    // Said truly by whoever looks at the open graphs.
    let said = device::running().expect("graphs are open");
    assert!(said == device.title() || (device != Device::Cpu && said == device::partly(device)), "{said}");
    let window = Window { start: 182, phone: &phone, f0_hz: &f0_hz, phase: 0.0, formant: 1.0 };
    let sound = Generator::new(network, geometry).run(&window).expect("it runs");
    (phone, sound)
}

fn a_graph_that_fits_in_part_is_not_said_to_run_there(runtime: &Runtime) {
    let mut writer = GraphWriter::new();
    let x = writer.input("x", &[Dim::Fixed(2), Dim::Fixed(2)]);
    let y = writer.node("MatMul", &[&x, &x], &[]);
    // Nobody computes determinants on a card.
    let y = writer.node("Det", &[&y], &[]);
    writer.output(&y, "y", &[]);
    let bytes = writer.finish("part", &[]);
    let graph = Graph::open_built(runtime, "part", [8; 32], Settings::large(), || Ok(bytes.into())).expect("it loads");
    let outputs = graph.run_loose(&[LooseInput { name: "x", shape: &[2, 2], values: &[1.0, 2.0, 3.0, 4.0] }]);
    let found = outputs.expect("it runs")[0].values[0];
    assert!((found - 4.0).abs() < 1e-3, "{found}");
    assert_eq!(graph.device(), Device::WebGpu);
    assert_eq!(device::running(), Some(device::partly(Device::WebGpu)));
}

#[test]
fn a_graphics_card_gives_what_the_processor_gives() {
    let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    device::choose(Some(Device::WebGpu));
    if device::usable(runtime) != Device::WebGpu {
        println!("SKIPPED: {}", device::trouble().unwrap_or_default());
        return;
    }
    a_graph_that_fits_in_part_is_not_said_to_run_there(runtime);
    let (card, processor) = (window(Device::WebGpu), window(Device::Cpu));
    assert_eq!(device::trouble(), None);
    for (what, card, processor) in [("content", card.0, processor.0), ("sound", card.1, processor.1)] {
        let level = (processor.iter().map(|v| v * v).sum::<f32>() / processor.len() as f32).sqrt();
        let worst = card.iter().zip(&processor).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / level;
        println!("{what}: {worst:.1e} of the level");
        assert!(worst < 2e-3 && level > 1e-4, "{what}: {worst} of {level}");
    }
}
