//! The end of the process: no thread of an instance may be inside ONNX Runtime while its destructors run.
//!
//! An instance that is destroyed abandons a thread that does not answer in time, and some hosts exit without destroying
//! their plugins at all. So every instance is registered here, and a handler at the end of the process asks their threads
//! to stop and waits for them. Handlers run last-in first-out: this one is registered after the runtime was loaded, so it
//! runs before the runtime's own.
//!
//! Windows ends all other threads of a process before it lets libraries clean up: nobody is left to be asked.
//! There it is enough that our module stays in memory.

#[cfg(unix)]
mod at_exit;

#[cfg(not(unix))]
use std::sync::Arc;
use std::sync::Once;

#[cfg(not(unix))]
use super::Flags;

#[cfg(unix)]
pub(super) use at_exit::register;

/// Remembers the threads of an instance.
#[cfg(not(unix))]
pub(super) fn register(_: &Arc<Flags>) {}

/// Lets the end of the process wait for the threads of all instances. To be called when the runtime is loaded, or when a
/// thread is left behind; the first call counts.
pub(super) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // The handler lives in this module, which must not be unmapped before it ran.
        crate::onnx::pin_own_module();
        #[cfg(unix)]
        at_exit::install();
    });
}

#[cfg(test)]
mod tests {
    #[test]
    fn watching_twice_does_no_harm() {
        super::watch();
        super::watch();
    }
}
