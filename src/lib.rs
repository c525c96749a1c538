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
//! A plugin instance has an audio thread (the host's), a worker that only runs hops, and a loader that opens voices and
//! graphs. What is known of voice folders belongs to the process ([`voice::library`]): one look at a time on threads of
//! its own, manifests only, with ids kept by path, length and time; embedded voices never wait for a folder. The command
//! line runs the same [`engine`] through the same [`engine::stream`], so an offline result is the reference for the live
//! one, sample by sample.
//!
//! The native engine ([`engine::native`]) cuts the singer's own pitch periods, re-spaces them to the wanted pitch and
//! filters them by the difference between what two retrieval banks say for the content of a frame: the target's and the
//! singer's. Content features come from one small graph, run frame by frame with explicit state. Further networks are
//! [stages](engine::native::stage): some change what the banks say, some the sound; `engine::native::stages` lists them.
//!
//! RVC voices have an engine of their own ([`engine::rvc`]) with another delay. An instance runs one engine at a time. At
//! activation the voice in the chosen slot decides which one, like the latency mode. While it runs, `voice` can move among
//! slots of that kind and empty ones. A slot of the other kind plays the fallback, exactly from where it was chosen, and
//! the host is asked once to restart the plugin. An RVC voice that cannot play keeps its engine and delay, so that the
//! session stays aligned. Voices of the engine that is not running are not loaded.
//!
//! # Code map
//!
//! | module | holds | thread |
//! |---|---|---|
//! | [`audio`] | the audio thread's half: positions, dry delay, mix, declick, host clocks, meters, previews | audio |
//! | [`bridge`] | everything that crosses threads: rings and epochs, session, telemetry | all |
//! | [`worker`] | the inference thread and its loader | worker, loader |
//! | [`engine`] | trait `Engine`, what engines share (analysis, F0, envelope, register, gate, retrieval, profile, latency, resampling), and the engines themselves: [`engine::native`], [`engine::rvc`] | caller's |
//! | [`dsp`] | transforms, windows, decimation | caller's |
//! | [`onnx`] | the only module that names `ort`: loading, sessions, watchdog | worker, loader |
//! | [`loading`] | opens the graphs that a voice needs besides its file | loader, command line |
//! | [`voice`] | voice files and the library | loader, main |
//! | [`clone`](mod@clone) | recordings in, voice file out | background |
//! | [`parameter`] | the table of parameters: ids, ranges, words | any |
//! | [`new_file`] | files that are written whole or not at all | any but audio |
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
//! 4. What is late is dropped, never played late: after an overload, alignment is back with the next exchange.
//! 5. `engine` knows no host, thread, clock or file. Only `bridge` holds what crosses threads.
//! 6. A voice's preview is heard in real time only; while none plays, no bit of the output changes.
//! 7. Every file, state, graph and parameter from outside is treated as hostile: sizes and shapes are bounded before
//!    allocation, a refused voice leaves the previous one playing, and a missing one is named and its slot kept.

pub mod audio;
pub mod audio_file;
pub mod bridge;
pub mod clone;
pub mod dsp;
#[cfg(feature = "plugin")]
pub mod editor;
pub mod engine;
pub mod loading;
pub mod new_file;
pub mod onnx;
pub mod parameter;
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
