//! Threads for work that is not urgent: at low priority, so that audio always comes first.

use crate::onnx::pin_own_module;

/// Runs `work` on a thread of its own. Threads that it starts inherit the low priority.
///
/// A host may unload the plugin while the work runs; from the first call on, the code stays mapped.
///
/// # Errors
/// If no thread can be started; `work` is dropped then.
pub fn background(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    pin_own_module();
    let run = || {
        lower_priority();
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

/// Lets everything else go first.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: plain system call on the calling thread: Linux gives each thread its own priority. Failing is
        // harmless.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    }
}
