//! `models get`: downloads a foundation graph from its public home, once.
//!
//! Coffre cannot vouch for what is there. So a file is accepted only if it is the kind of graph that was asked for; its
//! checksum is kept, and a different file later is refused until the user accepts it.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use coffre::new_file::{self, Existing};
use coffre::voice::VoiceId;
use coffre::voice::foundation::{self, Foundation};
use coffre::voice::import::{MAX_FOREIGN_BYTES, read_file};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};

use super::homes::{Homes, word};
use super::transfer::{self, Bounds};
use super::{CliError, output};

/// What was fetched, in the models folder.
const RECORD: &str = "fetched.json";

/// Options of `models get`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// What to download; contentvec-768 is for v2 voices, which most are, contentvec-256 for v1
    #[arg(value_enum, value_name = "GRAPH", default_value = "contentvec-768")]
    graph: Choice,
    /// Download from this address instead of the table's
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Download again what is there already
    #[arg(long)]
    again: bool,
    /// Accept the file even if it differs from the one downloaded before
    #[arg(long)]
    accept_change: bool,
    /// Timeout for an answer and for each further piece of it, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    patience: u64,
    /// Show no progress bar
    #[arg(short, long)]
    quiet: bool,
}

/// Graphs that have homes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Choice {
    #[value(name = "contentvec-768", alias = "contentvec")]
    ContentVec768,
    #[value(name = "contentvec-256")]
    ContentVec256,
    Rmvpe,
}

/// One line of the record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fetched {
    address: String,
    sha256: String,
    bytes: u64,
}

/// Fetches.
pub fn run(folder: &Path, options: &Options) -> Result<(), CliError> {
    let kind = match options.graph {
        Choice::ContentVec768 => Foundation::ContentVec768,
        Choice::ContentVec256 => Foundation::ContentVec256,
        Choice::Rmvpe => Foundation::Rmvpe,
    };
    let homes = Homes::read(folder)?;
    let address = options.from.as_deref().map_or_else(|| homes.address(kind), Ok)?;
    if !["https://", "http://"].iter().any(|scheme| address.starts_with(scheme)) {
        return Err(CliError::Usage(format!("{address} is no address that begins with https:// or http://")));
    }
    if let (Some(path), false) = (foundation::find(folder, kind), options.again) {
        output::line(format_args!("{}: there already; --again fetches it anew", path.display()));
        return Ok(());
    }
    let fetch = |reason: String| CliError::Fetch { address: address.to_owned(), reason };
    std::fs::create_dir_all(folder).map_err(|error| fetch(format!("{} cannot be made: {error}", folder.display())))?;
    let part = folder.join(format!("{}.part", word(kind)));
    let bar = bar(options.quiet);
    let progress = |len: u64, total: Option<u64>| {
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(len);
    };
    let bounds = Bounds { limit: MAX_FOREIGN_BYTES, patience: Duration::from_secs(options.patience) };
    let result = transfer::fetch(address, &part, bounds, &progress);
    bar.finish_and_clear();
    result.map_err(|error| fetch(error.to_string()))?;

    // From here on what was fetched is either taken or of no use.
    let taken = take(folder, kind, address, &part, options.accept_change);
    transfer::forget(&part);
    let fetched = taken?;
    output::line(format_args!("{}: {}", folder.join(kind.file_name()).display(), kind.purpose()));
    output::line(format_args!("  {} bytes, sha256 {}", fetched.bytes, fetched.sha256));
    Ok(())
}

fn take(folder: &Path, kind: Foundation, address: &str, part: &Path, accepts: bool) -> Result<Fetched, CliError> {
    let fetch = |reason: String| CliError::Fetch { address: address.to_owned(), reason };
    let bytes = read_file(part).map_err(|error| fetch(error.to_string()))?;
    let found = Foundation::recognise(&bytes).map_err(|error| fetch(error.to_string()))?;
    let serves = found == kind
        || found == Foundation::ContentVec && [Foundation::ContentVec768, Foundation::ContentVec256].contains(&kind);
    if !serves {
        return Err(fetch(format!("it gives {} and not {}", word(found), word(kind))));
    }
    let fetched =
        Fetched { address: address.to_owned(), sha256: VoiceId::of(&bytes).to_string(), bytes: bytes.len() as u64 };
    let mut record = read_record(folder)?;
    if let Some(known) = record.get(kind.file_name()).filter(|known| known.sha256 != fetched.sha256 && !accepts) {
        return Err(fetch(format!(
            "it gives another file than before: sha256 {} now, {} when {} was first fetched from {}. Nothing was \
             changed. If you know why and trust it, run this again with --accept-change",
            fetched.sha256,
            known.sha256,
            word(kind),
            known.address
        )));
    }
    new_file::write(&folder.join(kind.file_name()), &bytes, Existing::Replace)?;
    record.insert(kind.file_name().to_owned(), fetched.clone());
    let text = serde_json::to_vec_pretty(&record).unwrap_or_default();
    new_file::write(&folder.join(RECORD), &text, Existing::Replace)?;
    Ok(fetched)
}

/// The record. An unreadable one is an error, not an empty one, or a changed file would go unnoticed.
fn read_record(folder: &Path) -> Result<BTreeMap<String, Fetched>, CliError> {
    let path = folder.join(RECORD);
    let damaged = |reason: String| {
        CliError::Usage(format!("{} cannot be read: {reason}. Repair it, or move it away", path.display()))
    };
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(damaged(error.to_string())),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string())),
    }
}

fn bar(is_quiet: bool) -> ProgressBar {
    if is_quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta:>4}") {
        bar.set_style(style);
    }
    bar
}
