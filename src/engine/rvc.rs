//! The RVC engine: content features, F0 and a voice's generator over a sliding window, crossfaded block by block.
//!
//! Runs on the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

pub mod net;
pub mod pitch;
pub mod retrieval;
pub mod source;
