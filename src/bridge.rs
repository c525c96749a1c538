//! Everything that crosses threads, and nothing else.
//!
//! ```text
//!              samples, notes                     commands (boxed)
//! [audio] ───────────────────▶ [worker] ◀──────────────────────────── [loader]
//!    ▲ ◀─────────────────────────┘  │ F0, load, progress                 ▲
//!    │   samples, spans             ▼                                    │ requests
//!    └────── meters, counts ─▶ [telemetry] ◀─── reads ─── [editor] ──────┘
//! ```
//!
//! The audio thread meets the others in [`link`] and in the atomics of [`telemetry`] alone: wait-free rings, no lock. The
//! tables of [`session`] and the texts are behind short locks that the audio thread never takes.

pub mod link;
pub mod session;
pub mod telemetry;

pub use session::{Request, Session, SlotState, VoiceChoice, VoiceRef};
pub use telemetry::{ProfileState, RunState, Telemetry, Trouble};
