//! The program `coffre-standalone`: the plugin in a window of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { coffre::onnx::reporting::switch_off() };
    if coffre::standalone::run(std::env::args()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
