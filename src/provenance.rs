//! Provenance: an inaudible mark in converted sound that says which engine and which voice made it, and its finder.
//!
//! ```text
//! Mark ─▶ bits + CRC ─▶ convolutional code ─▶ keyed chips ─▶ gains of 44 bands ─▶ hop      payload, code, pattern, embed
//! sound ─▶ band levels ─▶ evidence per chip ─▶ fold by period ─▶ decode, CRC ─▶ finding    evidence, detect
//! ```
//!
//! [`embed`] runs wherever the engine runs and adds no delay; [`mod@detect`] is for files. Knows no thread, clock, host or
//! file. A finding shows that a mark is there. Not finding one proves nothing: marks can be switched off, and heavy
//! processing can remove them. `models/PROVENANCE.md` has measurements.

pub mod code;
pub mod detect;
pub mod embed;
pub mod evidence;
pub mod pattern;
pub mod payload;

pub use detect::{Finding, detect};
pub use embed::Embedder;
pub use pattern::Pattern;
pub use payload::{EngineKind, Mark};
