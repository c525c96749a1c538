//! What goes to standard output and standard error. Both may be gone or full: nothing here panics.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

/// Why standard output did not take everything, if so.
static FAILURE: OnceLock<io::ErrorKind> = OnceLock::new();

/// Prints a line. What goes wrong is kept for [`failure`].
pub fn line(text: impl std::fmt::Display) {
    if let Err(error) = writeln!(io::stdout().lock(), "{text}") {
        let _ = FAILURE.set(error.kind());
    }
}

/// Says something on standard error. Nobody may be there to hear it.
pub fn complain(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why standard output did not take everything; `None` when it did, or when its reader went away on purpose
/// (`coffre voices | head`).
pub fn failure() -> Option<io::ErrorKind> {
    if let Err(error) = io::stdout().lock().flush() {
        let _ = FAILURE.set(error.kind());
    }
    FAILURE.get().copied().filter(|kind| *kind != io::ErrorKind::BrokenPipe)
}

/// Prints a value as indented JSON.
pub fn json(value: &Value) {
    line(format_args!("{value:#}"));
}

/// A path in JSON, which holds Unicode only: what is none becomes the replacement character.
pub fn path(path: impl AsRef<Path>) -> Value {
    path.as_ref().to_string_lossy().into()
}

/// Rounds for printing: three decimals say enough about any measurement here.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
