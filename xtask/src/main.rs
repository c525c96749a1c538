//! Project tasks: `cargo xtask <command>`. One file per command; each does the set-up that it needs.

mod bench;
mod bundle;
mod cross;
mod debian;
mod demo;
mod docs;
mod eval;
mod install;
mod notices;
mod packages;
mod paths;
mod pe;
mod python;
mod runtime;
mod setup;
mod stage;
mod target;
mod test;
mod wave;
mod windows;
mod wine;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Project tasks of Coffre", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what building and testing need: system packages, ONNX Runtime, the Python hosts
    Setup(setup::Options),
    /// Build the VST3 and CLAP bundles, the standalone program and the `coffre` command
    Bundle(bundle::Options),
    /// Put the bundles and the command where hosts and shells look
    Install(install::Options),
    /// Convert a vocal in a real host and with the `coffre` command, and compare the two
    Demo(demo::Options),
    /// Run every test: Rust, CLAP and VST3 hosts, a DAW's export
    Test(test::Options),
    /// Measure cost, latency and memory
    Bench(bench::Options),
    /// Measure the quality of conversions of held-out speakers
    Eval(eval::Options),
    /// Make the picture and the clips of README.md and docs/ anew
    Docs(docs::Options),
    /// Write the list of crates in THIRD-PARTY-NOTICES.md anew, or check it
    Notices(notices::Options),
}

fn main() -> std::process::ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(options) => setup::run(&options),
        Command::Bundle(options) => bundle::run(&options).map(drop),
        Command::Install(options) => install::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Eval(options) => eval::run(&options),
        Command::Docs(options) => docs::run(&options),
        Command::Notices(options) => notices::run(&options),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
