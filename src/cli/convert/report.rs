//! What was done, in words and JSON, and how far it is.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use coffre::engine::profile::SourceProfile;
use coffre::voice::Voice;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Options;
use super::input::Input;
use crate::cli::output;

/// One conversion.
pub struct Done {
    pub input: PathBuf,
    pub output: PathBuf,
    pub voice: Option<Arc<Voice>>,
    pub voice_b: Option<Arc<Voice>>,
    /// The singer's, if the engine uses one.
    pub profile: Option<Arc<SourceProfile>>,
    pub seconds: f64,
    pub rtf: f64,
    /// Time that it took, without loading.
    pub converting_seconds: f64,
    pub latency_len: usize,
    pub rate: u32,
    pub format: String,
    pub clipped: u64,
    /// What the user should know, a sentence each.
    pub remarks: Vec<String>,
}

impl Done {
    /// For scripts.
    pub fn as_json(&self, options: &Options) -> Value {
        json!({
            "input": output::path(&self.input),
            "output": output::path(&self.output),
            "voice": self.voice.as_deref().map(Voice::name),
            "voice_b": self.voice_b.as_deref().map(Voice::name),
            "morph": options.morph.map(|share| output::rounded(f64::from(share))),
            "seconds": output::rounded(self.seconds),
            "rate": self.rate,
            "format": self.format,
            "rtf": output::rounded(self.rtf),
            "converting_seconds": output::rounded(self.converting_seconds),
            "latency_samples": self.latency_len,
            "latency_ms": output::rounded(self.latency_ms()),
            "source_median_f0_hz": self.profile.as_ref().map(|profile| output::rounded(f64::from(profile.median_f0_hz))),
            "profile_seconds": self.profile.as_ref().map(|profile| output::rounded(f64::from(profile.voiced_seconds))),
            "watermark": !options.no_watermark,
            "clipped_samples": self.clipped,
            "remarks": self.remarks,
        })
    }

    /// For people.
    pub fn as_line(&self, options: &Options) -> String {
        let mut voice = self.voice.as_deref().map_or("no voice", Voice::name).to_owned();
        if let (Some(b), Some(share)) = (&self.voice_b, options.morph) {
            voice = format!("{voice}, {share} % on the way to {}", b.name());
        }
        format!(
            "{}: {:.2} s, {voice}, {:.2} x real time, {:.1} ms of latency compensated",
            self.output.display(),
            self.seconds,
            self.rtf,
            self.latency_ms()
        )
    }

    fn latency_ms(&self) -> f64 {
        self.latency_len as f64 * 1000.0 / f64::from(self.rate)
    }
}

/// A bar on the terminal, if there is one: of one file, or a share in one of many files.
pub struct Progress {
    bar: ProgressBar,
    is_shared: bool,
    /// Thousandths of a second that a share has counted, and whether it counts now.
    counted: Cell<u64>,
    counts: Cell<bool>,
}

impl Progress {
    /// Of one file, if its length is known.
    pub fn alone(options: &Options, input: &Input) -> Self {
        let len =
            input.reader().ok().and_then(|reader| Some(reader.len_hint()? * 1000 / u64::from(reader.spec().rate)));
        Self::new(bar(options, len.unwrap_or(0), "{msg:20} {wide_bar} {percent:>3} % {eta:>4}"), false)
    }

    /// One file's share in a bar of many.
    pub fn share(bar: &ProgressBar) -> Self {
        Self::new(bar.clone(), true)
    }

    fn new(bar: ProgressBar, is_shared: bool) -> Self {
        Self { bar, is_shared, counted: Cell::new(0), counts: Cell::new(false) }
    }

    /// A pass over the file begins.
    pub fn begin(&self, what: &'static str) {
        // Of two passes the second is the longer one, and the one that counts among many files.
        self.counts.set(what == "converting");
        if !self.is_shared {
            self.bar.set_message(what);
            self.bar.reset();
        }
    }

    /// So many samples of the file were read.
    pub fn reach(&self, position: u64, rate: u32) {
        let reached = position * 1000 / u64::from(rate);
        if !self.is_shared {
            self.bar.set_position(reached);
        } else if self.counts.get() {
            self.bar.inc(reached.saturating_sub(self.counted.replace(reached)));
        }
    }

    /// The file is done.
    pub fn end(&self) {
        if !self.is_shared {
            self.bar.finish_and_clear();
        }
    }
}

/// A bar of so many thousandths of a second; none where nobody looks or nothing is known.
pub fn bar(options: &Options, len: u64, template: &str) -> ProgressBar {
    if len == 0 || options.quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
