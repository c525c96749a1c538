//! Asks a VST3 host to restart the plugin because its latency changed.
//!
//! The audio thread sets a flag; a separate thread tells the host, because that call may be slow and may call back into
//! the plugin. Where the framework can reach the host's own thread it is faster, and the request is settled before this
//! thread sees it. Knows the host's handler, not what is restarted or why.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use nice_plug::wrapper::vst3::vst3::ComPtr;
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{IComponentHandler, IComponentHandlerTrait as _, RestartFlags_};

/// How often the thread checks for a request.
const POLL: Duration = Duration::from_millis(20);

/// How long the framework may take to reach the host on its own.
const PRECEDENCE: Duration = Duration::from_millis(100);

/// One plugin instance's line to its host.
#[derive(Default)]
pub struct RestartPort {
    is_wanted: AtomicBool,
    /// The audio thread never looks at it.
    handler: Mutex<Option<ComPtr<IComponentHandler>>>,
    has_watcher: AtomicBool,
}

impl RestartPort {
    /// Asks for a restart. [audio-thread]
    pub fn request(&self) {
        self.is_wanted.store(true, Ordering::Release);
    }

    /// The host has started the plugin again. [main-thread]
    pub fn settle(&self) {
        self.is_wanted.store(false, Ordering::Release);
    }

    /// Whom to tell from now on; `None` when the host goes away. [main-thread]
    pub fn set_handler(&self, handler: Option<ComPtr<IComponentHandler>>) {
        let old = std::mem::replace(&mut *self.handler.lock().unwrap_or_else(PoisonError::into_inner), handler);
        // Released outside of the lock: a host may do anything in there.
        drop(old);
    }

    /// Starts the thread that tells the host; it ends with the port. Without a thread the framework's way is left.
    /// [main-thread]
    pub fn watch(self: &Arc<Self>) {
        if !self.has_watcher.swap(true, Ordering::AcqRel) {
            let port = Arc::downgrade(self);
            let _ = std::thread::Builder::new().name("coffre-restart".to_owned()).spawn(move || tell(&port));
        }
    }

    fn tell_host(&self) {
        let handler = self.handler.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(handler) = handler {
            // SAFETY: the pointer is counted, so the host's object lives through the call. Whatever it returns, there is
            // nothing more to be done: the fallback goes on sounding.
            unsafe { handler.restartComponent(RestartFlags_::kLatencyChanged as _) };
        }
    }
}

fn tell(port: &Weak<RestartPort>) {
    let mut since = None;
    loop {
        std::thread::sleep(POLL);
        let Some(port) = port.upgrade() else { return };
        if !port.is_wanted.load(Ordering::Acquire) {
            since = None;
        } else if since.get_or_insert_with(Instant::now).elapsed() >= PRECEDENCE {
            since = None;
            port.settle();
            port.tell_host();
        }
    }
}
