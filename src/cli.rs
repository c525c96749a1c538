//! The commands, their options, and what scripts can rely on: exit codes, JSON on standard output, messages on standard
//! error.

mod bench;
mod clone;
mod consent;
mod convert;
mod doctor;
mod error;
mod force;
mod import;
mod improve;
mod inspect;
mod measure;
mod models;
mod output;
mod rvc;
mod same_file;
mod session;
mod signal;
mod spool;
mod stream;
mod verify;
mod voices;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use coffre::{new_file, settings};

pub use error::CliError;

/// A vocal goes in, the same performance comes out in another voice
#[derive(Debug, Parser)]
#[command(name = "coffre", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 something unexpected, 2 wrong usage, 3 the input file, 4 the voice or \
                          profile, 5 ONNX Runtime or a graph, 6 the output file, 130 stopped by Ctrl-C.";

/// Exit code after Ctrl-C: 128 and the number of the signal, as shells have it.
const INTERRUPTED: i32 = 130;

#[derive(Debug, Subcommand)]
enum Command {
    /// Convert audio files
    Convert(convert::Options),
    /// Make a voice from recordings, in seconds
    Clone(Box<clone::Options>),
    /// Make a voice sound more like its speaker; the old one stays
    Improve(improve::Options),
    /// List the voices on this machine; import, export, rename or delete them
    Voices(voices::Options),
    /// Turn an RVC voice into a Coffre voice
    Import(import::Options),
    /// List, add or download the graphs that RVC voices need
    Models(models::Options),
    /// Describe a voice, a profile or an audio file
    Inspect(inspect::Options),
    /// Look for Coffre's watermark in an audio file: which voice made it, and where it is
    Verify(verify::Options),
    /// Check the runtime, the voices and the plugin folders, and say what to do
    Doctor(doctor::Options),
    /// Measure speed, latency and memory on this machine
    Bench(bench::Options),
}

/// Runs the command named by the arguments.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version count as errors of the parser, but go to standard output with code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // A program without the handler works too, and leaves its parts behind.
    let _ = ctrlc::set_handler(|| {
        new_file::remove_begun();
        std::process::exit(INTERRUPTED);
    });
    // What was chosen on this computer; `doctor` says what is wrong with it.
    settings::applied();
    let result = match cli.command {
        Command::Convert(options) => convert::run(&options),
        Command::Clone(options) => clone::run(&options),
        Command::Improve(options) => improve::run(&options),
        Command::Voices(options) => voices::run(&options),
        Command::Import(options) => import::run(&options),
        Command::Models(options) => models::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Verify(options) => verify::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Bench(options) => bench::run(&options),
    };
    match result {
        Ok(()) => match output::failure() {
            None => ExitCode::SUCCESS,
            Some(kind) => {
                output::complain(format_args!("coffre: not all could be printed: {kind}"));
                ExitCode::from(6)
            }
        },
        Err(error) => {
            output::complain(format_args!("coffre: {error}"));
            ExitCode::from(error.exit_code())
        }
    }
}
