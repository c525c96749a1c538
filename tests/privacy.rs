//! No network, no trace: neither the plugin nor the command opens a socket or leaves a file that nobody asked for.
//!
//! ONNX Runtime 1.29 and later report to their maker, but keep quiet on build servers; so every process here runs as on
//! a user's machine (`common/no_network.rs`). With such a runtime in the shipped one's place, files appear at once and
//! name look-ups after some ten seconds.
#![cfg(all(feature = "plugin", target_os = "linux"))]

mod common;
#[path = "common/host.rs"]
mod host;
#[path = "common/no_network.rs"]
mod no_network;
#[path = "common/reference.rs"]
mod reference;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use coffre::onnx::locate::{OVERRIDE_VARIABLE, Places};
use coffre::onnx::{Runtime, RuntimeError, reporting};
use host::{Host, Pace};
use no_network::{confine, everything_below};

/// Set in child processes; says what the child does.
const CHILD: &str = "COFFRE_TEST_CHILD";

const RATE: u32 = 48_000;

/// A runtime that reports asks the name service for the first time after about ten seconds.
const LIFE: Duration = Duration::from_secs(14);

/// The runtime of this machine, which a child with an empty home folder cannot find by itself.
fn runtime() -> PathBuf {
    Places::current().candidates().into_iter().next().expect("ONNX Runtime is installed (`cargo xtask setup`)")
}

/// What lies in a home folder besides the index of voices, which the guide names.
fn unasked(home: &Path) -> Vec<PathBuf> {
    let named = [".cache", ".cache/coffre", ".cache/coffre/voices.index"].map(PathBuf::from);
    everything_below(home).into_iter().filter(|path| !named.contains(path)).collect()
}

/// Runs one test of this file as a confined child.
fn child(test: &str, role: &str, home: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(CHILD, role);
    command.env(OVERRIDE_VARIABLE, runtime());
    confine(&mut command, home);
    command.output().expect("it runs")
}

fn is_child(role: &str) -> bool {
    std::env::var_os(CHILD).is_some_and(|value| value == role)
}

#[test]
fn the_plugin_opens_no_socket_and_leaves_no_file() {
    const NAME: &str = "the_plugin_opens_no_socket_and_leaves_no_file";
    if is_child("plugin") {
        let begin = Instant::now();
        let mut host = Host::mono();
        host.activate_ready(RATE, 512);
        let input = common::vocal_like(RATE, RATE as usize);
        let output = host.play_mono(&input, &common::partition(input.len(), &[512]), Pace::Timed(1.0), &[]);
        assert!(output.iter().any(|sample| sample.abs() > 0.01), "it sounds");
        let version = Runtime::get().expect("loaded").version().to_owned();
        println!("ONNX Runtime {version}");
        std::thread::sleep(LIFE.saturating_sub(begin.elapsed()));
        return;
    }
    if is_child("guilty") {
        let _ = std::net::UdpSocket::bind("127.0.0.1:0");
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let output = child(NAME, "plugin", home.path());
    let words = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{:?}: {words}", output.status);
    assert_eq!(unasked(home.path()), Vec::<PathBuf>::new(), "{words}");
    // The filter is in force.
    let output = child(NAME, "guilty", home.path());
    assert_eq!(output.status.signal(), Some(libc::SIGSYS), "{:?}", output.status);
}

#[test]
fn no_command_opens_a_socket_or_leaves_a_file() {
    let home = tempfile::tempdir().expect("a folder");
    let vocal = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vocal.flac");
    let vocal = vocal.to_str().expect("a name");
    let commands: &[&[&str]] = &[
        &["doctor"],
        &["voices"],
        &["models", "list"],
        &["inspect", vocal],
        &["convert", vocal, "-o", "out.wav", "--voice", "Quartz", "--mode", "mix"],
        &["verify", "out.wav"],
        &["clone", vocal, "--name", "Somebody", "--consent", "own", "-o", "somebody.coffre"],
        &["bench", "--seconds", "2"],
    ];
    for arguments in commands {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.args(*arguments).env(OVERRIDE_VARIABLE, runtime());
        confine(&mut command, home.path());
        let output = command.output().expect("it runs");
        // A command may refuse its input; it may not die of a socket.
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.signal(), None, "{arguments:?}: {words}");
        assert!(output.status.success(), "{arguments:?}: {words}");
    }
    let asked_for = [PathBuf::from("out.wav"), PathBuf::from("somebody.coffre")];
    assert_eq!(unasked(home.path()), asked_for);
}

/// Builds a library that leaves a file when it is loaded, and that holds `text`.
fn library(dir: &Path, name: &str, text: &str) -> PathBuf {
    let (code, file) = (dir.join(format!("{name}.rs")), dir.join(format!("lib{name}.so")));
    let trace = dir.join(format!("{name}.loaded"));
    let source = format!(
        r#"
        #[used]
        static TEXT: &str = {text:?};
        #[used]
        #[unsafe(link_section = ".init_array")]
        static LOADED: extern "C" fn() = loaded;
        extern "C" fn loaded() {{ let _ = std::fs::write({trace:?}, TEXT); }}
        "#
    );
    std::fs::write(&code, source).expect("a source file");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--crate-type=cdylib", "--edition=2024", "-Cpanic=abort", "-o"]).arg(&file).arg(&code);
    assert!(rustc.current_dir(dir).status().expect("rustc runs").success());
    file
}

#[test]
fn a_library_that_reports_is_not_even_loaded() {
    const NAME: &str = "a_library_that_reports_is_not_even_loaded";
    let get = |file: &Path| Runtime::get_from(&[file.to_path_buf()]).expect_err("no runtime");
    if let Some(file) = std::env::var_os("COFFRE_TEST_FILE").map(PathBuf::from) {
        let error = get(&file);
        if is_child("switched off") {
            // It is no ONNX Runtime, but that was found out by loading it.
            assert_eq!(error, RuntimeError::NotOnnxRuntime { path: file });
        } else {
            assert!(matches!(&error, RuntimeError::Reports { path, .. } if *path == file), "{error:?}");
            assert!(error.to_string().contains(reporting::SWITCH) == is_child("switchable"), "{error}");
        }
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let switchable = library(dir.path(), "switchable", "… ORT_DISABLE_TELEMETRY …");
    let stubborn = library(dir.path(), "stubborn", "… events.data.microsoft.com …");
    for (role, file, switch, is_loaded) in [
        ("switchable", &switchable, None, false),
        ("switchable", &switchable, Some("0"), false),
        ("stubborn", &stubborn, Some("1"), false),
        ("switched off", &switchable, Some("1"), true),
    ] {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", NAME, "--nocapture"]).env(CHILD, role).env("COFFRE_TEST_FILE", file);
        command.env_remove(reporting::SWITCH).envs(switch.map(|value| (reporting::SWITCH, value)));
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{role}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(dir.path().join("switchable.loaded").exists(), is_loaded, "{role} {switch:?}");
        assert!(!dir.path().join("stubborn.loaded").exists());
    }
}
