//! Voices: what the user picks. A voice is a `.coffre` file, read as data only.

/// An opened voice.
#[derive(Debug)]
pub struct Voice {}
