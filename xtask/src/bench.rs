//! `bench`: what `coffre bench` measures, as a table.

use std::process::Command;

use anyhow::Context;

use crate::bundle;
use crate::setup::{self, Extent};
use crate::stage::{self, Stages};

#[derive(clap::Args)]
pub struct Options {
    /// Fetch nothing: use what is cached
    #[arg(long)]
    offline: bool,
}

/// Figures that everybody looks for, with their meaning.
const MEANINGS: &[(&str, &str)] = &[
    ("native_live_rtf", "live mode: share of one core"),
    ("native_live_latency_ms", "live mode: reported latency in ms"),
    ("native_live_worst_hop", "live mode: worst hop, as a fraction of its own duration"),
    ("native_mix_rtf", "mix mode: share of one core"),
    ("native_mix_latency_ms", "mix mode: reported latency in ms"),
    ("resident_mb", "resident memory in MB"),
];

/// Builds the bundles and runs the command's own bench from them.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut stages = Stages::new(setup::STAGES + 2);
    let runtime = setup::ensure(&mut stages, Extent::Build, options.offline)?;
    let bundle = stages.run("Release bundles", || bundle::build(&runtime))?;
    let said =
        stages.run("Measuring", || stage::run_quietly(Command::new(bundle.command()).args(["bench", "--json"])))?;
    let figures: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&said).context("`coffre bench --json`")?;
    println!("\n{}, {} cores\n", processor(), std::thread::available_parallelism().map_or(0, usize::from));
    println!("| figure | value | meaning |\n|---|---|---|");
    for (name, value) in &figures {
        let meaning = MEANINGS.iter().find(|(known, _)| known == name).map_or("", |(_, meaning)| meaning);
        println!("| `{name}` | {value} | {meaning} |");
    }
    Ok(())
}

/// The processor's name, as far as the system tells it.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}
