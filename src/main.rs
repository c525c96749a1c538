//! The `coffre` command: parse, call, map the error to an exit code.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
