//! ONNX Runtime behind one gate: find the library, load it, share sessions, run graphs.
//!
//! The only module that names `ort`. Called from worker threads and the command line, never from the audio thread. Knows
//! nothing of voices, audio or what a graph means.
//!
//! `ort` loads a library by itself, and panics when it finds none, if anything in it is touched too early. Therefore
//! nothing here is reachable without a [`Runtime`], and a [`Runtime`] exists only after its library has been loaded from
//! an absolute path.

mod cuda;
pub mod device;
mod error;
mod graph;
mod kinds;
pub mod locate;
mod loose;
pub mod model;
mod module;
mod provider;
pub mod queue;
mod recurrent;
pub mod reporting;
mod runtime;
pub mod visual_c;
mod watchdog;
mod whole;

pub use error::{GraphError, RuntimeError};
pub use graph::{Declared, Graph, GraphCall, Port, Settings};
pub use loose::{LooseInput, LooseOutput};
pub use module::own_module_path;
pub(crate) use module::pin_own_module;
pub use recurrent::RecurrentCall;
pub use runtime::Runtime;

/// The version of ONNX Runtime that Coffre ships and is tested with: the last that does not report to its maker, see
/// [`reporting`]. Any other from [`OLDEST_MINOR`] on works too, later ones while their reporting is switched off.
pub const RUNTIME_VERSION: &str = "1.28.0";

/// Oldest usable runtime is 1.22: the API level that `ort` is built for in `Cargo.toml`.
pub const OLDEST_MINOR: u32 = 22;
