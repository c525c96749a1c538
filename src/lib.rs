//! Coffre: a vocal goes in, the same performance comes out in another voice.
//!
//! This page is the architecture: bird's eye, code map, invariants.
//!
//! ```text
//! host block -> audio (down-mix, dry delay) -> ring -> worker -> resample -> engine -> resample -> ring -> audio (mix, gain, declick) -> host
//!                [audio-thread]                        [worker-thread, one hop at a time]                  [audio-thread]
//! ```

pub mod audio;
pub mod audio_file;
pub mod bridge;
pub mod clone;
pub mod dsp;
#[cfg(feature = "plugin")]
pub mod editor;
pub mod engine;
pub mod onnx;
#[cfg(feature = "plugin")]
pub mod params;
#[cfg(feature = "plugin")]
pub mod plugin;
#[cfg(feature = "standalone")]
pub mod standalone;
pub mod voice;
pub mod worker;
