//! Reads what voice files say about themselves.
//!
//! `cargo run --release --example read_voice`

use coffre::voice::Library;

/// Name, usual notes in Hz, and whose voice it is, of every voice of this machine.
pub fn voices() -> Vec<(String, [f32; 2], String)> {
    let library = Library::scan(&[]);
    let about = library.voices().filter_map(|entry| {
        let manifest = entry.manifest.as_ref().ok()?;
        let consent = manifest.consent.as_ref().map(|consent| consent.statement.clone());
        Some((entry.name.clone(), manifest.range_hz, consent.unwrap_or_else(|| "origin unknown".to_owned())))
    });
    about.collect()
}

#[allow(dead_code, reason = "the tests call `voices`")]
fn main() {
    for (name, [low, high], consent) in voices() {
        println!("{name}: {low:.0} to {high:.0} Hz. {consent}");
    }
}
