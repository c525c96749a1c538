//! Everything that crosses threads, and nothing else.
//!
//! ```text
//!              samples, notes                     commands (boxed)
//! [audio] ───────────────────▶ [worker] ◀──────────────────────────── [loader]
//!    ▲ ◀─────────────────────────┘  │ F0, load, progress                 ▲
//!    │   samples, spans             ▼                                    │ requests
//!    └────── meters, counts ─▶ [telemetry] ◀─── reads ─── [editor] ──────┘
//!                                    [worker] ─── captured samples ───▶ whoever clones
//! [editor] ─── preview of a voice ───▶ [audio] ─── what was heard ───▶ [editor]
//! ```
//!
//! The audio thread meets the others only in [`link`], in [`preview`](mod@preview) and in the atomics of [`telemetry`] and
//! [`session`]: wait-free rings, no lock. The tables of [`session`] and the texts are behind short locks that the audio
//! thread never takes.

pub mod capture;
pub mod device;
pub mod link;
pub mod preview;
pub mod session;
pub mod telemetry;

pub use capture::{CaptureEnd, CaptureState, CaptureTap, SEAM};
pub use device::{DeviceChoice, DeviceKind};
pub use preview::{PreviewEnd, PreviewReport, PreviewSound, PreviewSource};
pub use session::{Request, Session, SlotNeed, SlotState, VoiceChoice, VoiceRef};
pub use telemetry::{ProfileState, RunState, Telemetry, Trouble};
