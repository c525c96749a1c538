//! What goes to standard output.

use std::io::Write as _;

/// Prints a line. A reader that went away (`coffre voices | head`) is no error.
pub fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Prints a value as indented JSON.
pub fn json(value: &serde_json::Value) {
    line(format_args!("{value:#}"));
}

/// Rounds for printing: three decimals say enough about any measurement here.
pub fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
