//! The program `coffre-standalone`: the plugin in a window of its own.

// A program with a window: without this, Windows opens a console beside it.
#![cfg_attr(windows, windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { coffre::onnx::reporting::switch_off() };
    #[cfg(windows)]
    use_callers_console();
    if coffre::standalone::run(std::env::args()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes into the console from which the program was called, as `--help` needs it; from an icon there is none.
#[cfg(windows)]
fn use_callers_console() {
    use windows_sys::Win32::System::Console::{ATTACH_PARENT_PROCESS, AttachConsole};
    // SAFETY: a system call without pointers; where there is no console it fails and changes nothing.
    unsafe { AttachConsole(ATTACH_PARENT_PROCESS) };
}
