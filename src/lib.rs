//! Coffre: a vocal goes in, the same performance comes out in another voice.
//!
//! This page is the architecture: bird's eye, code map, invariants.
//!
//! # Bird's eye
//!
//! ```text
//! host block ─▶ audio (down-mix, dry delay) ─▶ ring ─▶ worker ─▶ resample ─▶ engine ─▶ resample ─▶ ring ─▶ audio (mix, gain, declick) ─▶ host
//!                  [audio-thread]                        [worker-thread, one hop at a time]                   [audio-thread]
//! ```
//!
//! A plugin instance has an audio thread (the host's), a worker that runs hops and nothing else, and a loader that opens
//! voices and graphs. What is known of voice folders belongs to the process ([`voice::library`]): one look at a time on
//! threads of its own, manifests only, with ids kept by path, length and time; embedded voices never wait for a folder. The command line runs the same [`engine`] through the same [`engine::stream`], so an offline
//! result is the reference for the live one, sample by sample.
//!
//! The native engine ([`engine::native`]) cuts the singer's own pitch periods, re-spaces them to the wanted pitch and
//! filters them by the difference between what two retrieval banks say for the content of a frame: the target's and the
//! singer's. Content features come from one small graph, run frame by frame with explicit state.
//!
//! RVC voices have an engine of their own ([`engine::rvc`]) with another delay. An instance runs one engine at a time: at
//! an activation the voice of the chosen slot decides which, as the latency mode does. While it runs, `voice` moves among
//! slots of that kind and empty ones; a slot of the other kind sounds as the fallback, exactly from where it was chosen,
//! and the host is asked once to start again. An RVC voice that cannot sound keeps its engine and delay, so that the
//! session stays aligned. Voices of the engine that does not run are not loaded.
//!
//! # Code map
//!
//! | module | holds | thread |
//! |---|---|---|
//! | [`audio`] | the audio thread's half: positions, dry delay, mix, declick, host clocks, meters, previews | audio |
//! | [`bridge`] | everything that crosses threads: rings and epochs, session, telemetry | all |
//! | [`worker`] | the inference thread and its loader | worker, loader |
//! | [`engine`] | trait `Engine`, analysis, F0, retrieval, profile, latency, resampling, the native engine | caller's |
//! | [`dsp`] | transforms, windows, decimation | caller's |
//! | [`onnx`] | the only module that names `ort`: loading, sessions, watchdog | worker, loader |
//! | [`voice`] | voice files and the library | loader, main |
//! | [`clone`](mod@clone) | recordings in, voice file out | background |
//! | [`settings`] | what belongs to the computer: the device of RVC voices | loader, command line |
//! | [`audio_file`] | WAV, AIFF, FLAC | command line, background |
//! | `params`, `plugin`, `editor`, `standalone` | the only modules that name the plugin framework | host's |
//!
//! # Invariants
//!
//! Checked by `tests/layering.rs`, `tests/realtime.rs` and the host tests.
//!
//! 1. Between activate and deactivate the audio thread neither allocates, frees, locks, logs, opens files nor runs
//!    inference. It waits only for hosts that render, for a bounded time.
//! 2. Latency is constant while active, summed in [`engine::latency`] alone, and the same for wet, dry and bypass.
//! 3. Hops lie on an absolute grid and nothing depends on the clock, so any partition into blocks and any of the three
//!    host clocks gives identical samples while no hop is late.
//! 4. What is late is thrown away, never played late: after an overload alignment is back with the next exchange.
//! 5. `engine` knows no host, thread, clock or file. Only `bridge` holds what crosses threads.
//! 6. A voice's preview is heard in real time only; without one it changes no bit of the output.
//! 7. Every file, state, graph and parameter from outside is hostile: sizes and shapes are bounded before allocation, a
//!    refused voice leaves the previous one playing, and a missing one is named and kept.

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
pub mod provenance;
pub mod settings;
#[cfg(feature = "standalone")]
pub mod standalone;
pub mod voice;
pub mod worker;
