//! The `coffre` command: parse, call, map the error to an exit code.

mod cli;

fn main() -> std::process::ExitCode {
    // SAFETY: nothing has started a thread yet.
    unsafe { coffre::onnx::reporting::switch_off() };
    cli::main()
}
