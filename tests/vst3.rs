//! The plugin in a VST3 host, with threads, restarts and an editor that opens and closes.
#![cfg(all(feature = "plugin", target_os = "linux"))]

#[path = "common/vst3_host.rs"]
mod vst3_host;

use std::ffi::c_void;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nice_plug::wrapper::vst3::vst3::Steinberg::*;
use vst3_host::Plugin;
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{ConnectionExt as _, CreateWindowAux, WindowClass};

/// Set in the process that a test starts of its own program.
const CHILD: &str = "COFFRE_TEST_CHILD";

/// Waits for something that happens on another thread.
fn within(limit: Duration, mut is_done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if is_done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    is_done()
}

#[test]
fn another_latency_mode_restarts_once_without_an_editor() {
    let plugin = Plugin::new();
    let mode = plugin.parameter("Latency mode");
    let before = plugin.latency();
    // The framework announces the latency of an activation from within it.
    let told = || plugin.handler.0.load(Ordering::SeqCst);
    let first = told();
    // On a thread of its own, as hosts play; the framework's way to the host is closed there.
    std::thread::scope(|scope| {
        scope.spawn(|| plugin.play(&[(mode, 1.0)]));
    });
    assert!(within(Duration::from_secs(5), || told() == first + 1), "the host is not asked");
    plugin.activate();
    assert!(plugin.latency() > before, "{before} samples before, {} after", plugin.latency());
    assert_eq!(told(), first + 2);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..50).for_each(|_| plugin.play(&[])));
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(told(), first + 2);
}

/// An X server of the test's own, ended with it.
struct Display(Child, String);

impl Display {
    fn start() -> Self {
        let mut child = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb starts: cargo xtask setup installs it");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("the server says its number");
        Self(child, format!(":{}", line.trim()))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Parameters are drawn while a user opens and closes the editor, and other instances come and go.
///
/// In a process of its own, as what is to be seen is an abort.
fn open_and_close_under_automation() {
    let (connection, screen) = x11rb::connect(None).expect("the display of the test");
    let root = connection.setup().roots[screen].root;
    let has_ended = AtomicBool::new(false);
    let plugin = Plugin::new();
    let ids = ["Mix", "Transpose", "Likeness", "Output gain"].map(|name| plugin.parameter(name));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut value = 0.0;
            while !has_ended.load(Ordering::Acquire) {
                value = (value + 0.137) % 1.0;
                plugin.play(&ids.map(|id| (id, value)));
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        for round in 0..12 {
            drop(Plugin::new());
            let window = connection.generate_id().expect("an id");
            connection
                .create_window(
                    0,
                    window,
                    root,
                    0,
                    0,
                    900,
                    640,
                    0,
                    WindowClass::INPUT_OUTPUT,
                    0,
                    &CreateWindowAux::new(),
                )
                .and_then(|_| connection.map_window(window))
                .expect("a window");
            connection.sync_window(window);
            let view = plugin.view();
            // SAFETY: the view is attached to a window that lives until it was removed.
            unsafe {
                let attached = view.attached(window as usize as *mut c_void, c"X11EmbedWindowID".as_ptr());
                assert_eq!(attached, kResultOk, "round {round}");
                std::thread::sleep(Duration::from_millis(60));
                assert_eq!(view.removed(), kResultOk, "round {round}");
            }
            connection.destroy_window(window).expect("it is there");
        }
        has_ended.store(true, Ordering::Release);
    });
}

trait SyncWindow {
    fn sync_window(&self, window: u32);
}

impl<C: x11rb::connection::Connection> SyncWindow for C {
    fn sync_window(&self, window: u32) {
        let answer = self.get_geometry(window).expect("a connection").reply();
        assert!(answer.is_ok(), "{answer:?}");
    }
}

#[test]
fn the_editor_opens_and_closes_under_automation() {
    if std::env::var_os(CHILD).is_some() {
        return open_and_close_under_automation();
    }
    let display = Display::start();
    let output = Command::new(std::env::current_exe().expect("a test has an executable"))
        .args(["--exact", "the_editor_opens_and_closes_under_automation", "--nocapture"])
        .env(CHILD, "1")
        .env("DISPLAY", &display.1)
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .output()
        .expect("the test's own program starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{text}", output.status);
    assert!(!text.contains("panicked"), "{text}");
}
