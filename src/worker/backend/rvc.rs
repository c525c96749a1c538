//! The engine of RVC voices for a plugin instance. Runs on the loader's thread, but for [`delays`].

use super::Delays;
use crate::engine::content::ContentEncoder;
use crate::engine::native::NativeEngine;
use crate::engine::profile::SourceProfile;
use crate::engine::rvc::geometry::Geometry;
use crate::engine::rvc::{RvcEngine, RvcOptions};
use crate::engine::{Engine, HOP_LEN, Mode};
use crate::onnx::{Runtime, device};

/// Times of the engine. All hops of a block but the last only collect; that one may take as long as the block lasts,
/// since a computer that needs longer cannot keep up anyway.
pub(super) fn delays(mode: Mode) -> Delays {
    let geometry = Geometry::of(mode);
    let latency_len = geometry.latency_len();
    Delays { latency_len, tail_len: geometry.tail_len(), compute_len: geometry.block * HOP_LEN }
}

/// An engine with empty slots, for voices from [`crate::loading::Graphs::prepare`].
pub(super) fn engine(mode: Mode) -> Result<Box<dyn Engine>, String> {
    let runtime = Runtime::get().map_err(|error| error.to_string())?;
    let mut engine = RvcEngine::new(Geometry::of(mode), RvcOptions::default());
    // Without its content encoder it learns what needs none.
    let mut listener = NativeEngine::new(mode, ContentEncoder::new(runtime, mode).ok(), SourceProfile::population());
    listener.stop_learning();
    engine.set_listener(Box::new(listener));
    Ok(Box::new(engine))
}

/// The device that runs the graphs, and why it is not the chosen one.
pub(super) fn device() -> String {
    let usable = || Runtime::get().map_or(device::Device::Cpu, device::usable).title().to_owned();
    let running = device::running().unwrap_or_else(usable);
    match device::trouble() {
        Some(reason) => format!("{running}: {reason}"),
        None => running,
    }
}
