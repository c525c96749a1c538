//! The native engine: the source's own pitch-period grains, re-pitched and filtered towards the target voice.
//!
//! Runs on the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

pub mod bands;
pub mod envelope;
pub mod filter;
pub mod grains;
pub mod history;
pub mod leveller;
pub mod mapping;
pub mod marks;
pub mod synth;
pub mod track;
