//! The plugin without a usable ONNX Runtime: it says so, and sounds all the same.
//!
//! A process has one runtime for good, so every case runs in a process of its own.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/reference.rs"]
mod reference;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffre::bridge::{Session, Telemetry, Trouble};
use coffre::onnx::locate::{OVERRIDE_VARIABLE, Places};
use coffre::worker::Instance;
use coffre::worker::backend::NativeBackend;
use host::{Host, Pace};
use reference::{assert_same, delayed, rms};

/// Set in the processes that have no runtime; its value is what the message must contain.
const CHILD: &str = "COFFRE_TEST_CHILD";

const RATE: u32 = 48_000;

const NAME: &str = "without_a_runtime_the_plugin_says_so_and_sounds";

/// A library that says it is ONNX Runtime 1.17.
const OLD: &str = r#"
use std::ffi::{c_char, c_void};
#[repr(C)]
pub struct Base { get: extern "C" fn(u32) -> *const c_void, version: extern "C" fn() -> *const c_char }
extern "C" fn get(_: u32) -> *const c_void { std::ptr::null() }
extern "C" fn version() -> *const c_char { c"1.17.1".as_ptr() }
static BASE: Base = Base { get, version };
#[unsafe(no_mangle)]
pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
"#;

fn old_library(dir: &Path) -> PathBuf {
    let (code, file) = (dir.join("old.rs"), dir.join("libold.so"));
    std::fs::write(&code, OLD).expect("a source file");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--crate-type=cdylib", "--edition=2024", "-Cpanic=abort", "-o"]).arg(&file).arg(&code);
    assert!(rustc.current_dir(dir).status().expect("rustc runs").success());
    file
}

/// What the editor is told.
fn message() -> String {
    let (session, telemetry) = (Arc::new(Session::default()), Arc::new(Telemetry::default()));
    let backend = Box::new(NativeBackend::with_folders(Vec::new()));
    let instance = Instance::start(backend, session, telemetry.clone()).expect("threads");
    let slack = 512;
    let delays = instance.delays(coffre::engine::Mode::Live.into());
    let latency = coffre::engine::latency::Latency::new(RATE, delays.latency_len, slack);
    let _link = instance.attach(coffre::bridge::link::LinkConfig {
        host_rate: RATE,
        setup: coffre::engine::Mode::Live.into(),
        stream_latency: latency.stream(),
        slack,
        ring_len: 10_000,
    });
    let begin = Instant::now();
    loop {
        let reason = telemetry.troubles().into_iter().find_map(|trouble| match trouble {
            Trouble::Runtime { reason } => Some(reason),
            _ => None,
        });
        if let Some(reason) = reason {
            assert_eq!(telemetry.device(), "", "no device is claimed");
            return reason;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "no message: {:?}", telemetry.troubles());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn check_plugin(part: &str) {
    let mut host = Host::mono();
    host.set_offline(true);
    let input = common::vocal_like(RATE, 48_000);
    let parts = common::partition(input.len(), &[512]);
    for mode in ["Live", "Mix"] {
        host.set("Latency mode", mode);
        host.set("Mix", "100");
        host.set("Voice", "1");
        host.activate(RATE, 512);
        let latency = host.latency();
        let output = host.play_mono(&input, &parts, Pace::Free, &[]);
        assert!(output[..latency].iter().all(|sample| *sample == 0.0), "{mode}: nothing before the latency");
        assert!(output.iter().all(|sample| sample.is_finite() && sample.abs() < 10.0));
        let (heard, sent) = (rms(&output[latency + 9_600..]), rms(&input[9_600..input.len() - latency]));
        assert!(heard > 0.2 * sent && heard < 5.0 * sent, "{mode}: {heard} beside {sent}");
        host.set("Mix", "0");
        host.reset();
        let output = host.play_mono(&input, &parts, Pace::Free, &[]);
        assert_same(&output, &delayed(&input, latency), &format!("{mode}, dry"));
    }
    // States and voices work without a runtime.
    let state = host.save();
    assert!(host.load(&state));
    let message = message();
    assert!(message.contains(part), "{message:?} does not say {part:?}");
    assert!(message.contains("cargo xtask setup") || message.contains("COFFRE_ONNXRUNTIME"), "no remedy: {message}");
}

#[test]
fn without_a_runtime_the_plugin_says_so_and_sounds() {
    if let Ok(part) = std::env::var(CHILD) {
        check_plugin(&part);
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let garbage = dir.path().join("garbage.so");
    std::fs::write(&garbage, [0x42; 5_000]).expect("a file");
    let truncated = dir.path().join("truncated.so");
    let good = Places::current().candidates();
    let good = good.first().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    std::fs::write(&truncated, &std::fs::read(good).expect("readable")[..100_000]).expect("a file");
    let cases = [
        (dir.path().join("nowhere.so"), "there is no file at"),
        (garbage, "cannot be loaded"),
        (truncated, "cannot be loaded"),
        (old_library(dir.path()), "ONNX Runtime 1.17.1"),
    ];
    for (file, part) in cases {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", NAME, "--nocapture"]).env(CHILD, part).env(OVERRIDE_VARIABLE, &file);
        let output = child.output().expect("it runs");
        let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {words}", file.display());
    }
}
