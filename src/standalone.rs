//! The standalone program: the plugin with its own audio back end, for singing without a host.
//!
//! Runs on the main thread. Knows nothing of the plugin's inside.

use std::process::Command;

use crate::plugin::Coffre;

/// Runs the plugin as a program with these arguments (the first is the program's name); `false` when audio or window
/// could not be opened.
///
/// `--help` among them lists the back end's options.
pub fn run(arguments: impl IntoIterator<Item = String>) -> bool {
    let mut arguments: Vec<String> = arguments.into_iter().collect();
    adopt_jack_settings(&mut arguments);
    nice_plug::wrapper::standalone::nice_export_standalone_with_args::<Coffre, _>(arguments)
}

/// Adds JACK's own rate and period where the user gave none.
///
/// The framework announces its defaults to the plugin whatever JACK runs at, so a server at another rate or with longer
/// periods would be announced wrongly.
fn adopt_jack_settings(arguments: &mut Vec<String>) {
    let has = |short: &str, long: &str| {
        arguments.iter().any(|argument| {
            argument.starts_with(short) && !argument.starts_with("--") || argument.split('=').next() == Some(long)
        })
    };
    let (has_rate, has_period) = (has("-r", "--sample-rate"), has("-p", "--period-size"));
    if !has_rate && let Some(rate) = ask("jack_samplerate") {
        arguments.extend(["--sample-rate".to_owned(), rate.to_string()]);
    }
    if !has_period && let Some(period) = ask("jack_bufsize") {
        arguments.extend(["--period-size".to_owned(), period.to_string()]);
    }
}

/// The number that one of JACK's tools prints; `None` without JACK.
fn ask(tool: &str) -> Option<u32> {
    let output = Command::new(tool).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.split_whitespace().rev().find_map(|word| word.parse().ok())
}
