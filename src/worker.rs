//! The inference thread of a plugin instance, and the loader thread that prepares things for it.
//!
//! The worker only runs hops, so that opening a voice or loading a graph never makes a hop late. The loader opens voices,
//! builds engines and serves the editor's requests, and hands the results over as boxes. Both are named, sleep until
//! woken, and are joined when the instance goes. If one hangs, it is abandoned after a bounded time, because the host must
//! not hang with it.

pub mod backend;
mod ending;
mod loader;
mod priority;
mod runner;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bridge::capture::CaptureTap;
use crate::bridge::link::{AudioEnd, LinkConfig, WorkerEnd, link};
use crate::bridge::{RunState, Session, Telemetry};
use crate::engine::profile::SourceProfile;
use crate::engine::{Engine, Prepared, Setup};

pub use crate::loading::VoiceProblem;
pub use backend::Backend;

/// Longest time that ending an instance may take when a thread does not answer.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(1_000);

/// What the loader tells the worker.
enum Command {
    /// A new engine; replaces the old one.
    Engine(Setup, Box<dyn Engine>),
    /// The voice of a slot.
    Voice(usize, Option<Prepared>),
    /// The source profile.
    Profile(Option<Arc<SourceProfile>>),
    /// Learn a profile, or stop.
    Learn(bool),
    /// Record what comes in.
    Capture(CaptureTap),
    /// The host was activated: samples come over this link from now on.
    Attach(WorkerEnd),
    /// No engine can be had.
    NoEngine,
}

/// What the plugin and the worker tell the loader.
enum Message {
    /// The host was activated.
    Attach(WorkerEnd),
    /// The engine panicked and is gone.
    EngineLost(String),
    /// A hop failed; the engine continues.
    HopFailed(String),
    /// Hops work again.
    HopsWork,
    /// The engine does less than it could, and why; `None` = all of it works again.
    Degraded(Option<String>),
    /// A profile was learned.
    Learned(Box<SourceProfile>),
    /// Something that the worker has no time to drop.
    Retired(#[allow(dead_code, reason = "received to be dropped")] Box<dyn std::any::Any + Send>),
}

/// Times of an engine in samples at the engine's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delays {
    /// Delay of the output.
    pub latency_len: usize,
    /// Samples after the end of the input until the output is silent, latency included.
    pub tail_len: usize,
    /// How long its longest hop may take: see [`crate::engine::latency::slack_len`].
    pub compute_len: usize,
}

#[derive(Debug, Default)]
struct Flags {
    stop: AtomicBool,
    loader_done: AtomicBool,
    worker_done: AtomicBool,
}

/// The two threads of a plugin instance, seen from the host's main thread.
pub struct Instance {
    session: Arc<Session>,
    telemetry: Arc<Telemetry>,
    /// By [`Setup::index`].
    delays: [Delays; Setup::COUNT],
    flags: Arc<Flags>,
    messages: Sender<Message>,
    loader: Option<JoinHandle<()>>,
    worker: Option<JoinHandle<()>>,
}

impl Instance {
    /// Starts both threads. Nothing is loaded on the calling thread.
    ///
    /// # Errors
    /// The system's error if no thread can be started.
    pub fn start(backend: Box<dyn Backend>, session: Arc<Session>, telemetry: Arc<Telemetry>) -> std::io::Result<Self> {
        // Threads run in this module from here on.
        crate::onnx::pin_own_module();
        let flags = Arc::new(Flags::default());
        ending::register(&flags);
        let (messages, inbox): (_, Receiver<Message>) = channel();
        let (commands, command_inbox) = channel();
        let delays = std::array::from_fn(|place| backend.delays(Setup::at(place)));

        // The worker needs the loader's handle to wake it and the loader the worker's: the loader waits for a message
        // first, so it is started first and learns the worker by channel.
        let (worker_handle, worker_inbox) = channel();
        let loader = {
            let (session, telemetry, flags) = (session.clone(), telemetry.clone(), flags.clone());
            std::thread::Builder::new().name("coffre-loader".to_owned()).spawn(move || {
                if let Ok(worker) = worker_inbox.recv() {
                    loader::Loader::new(backend, session, telemetry, commands, worker, inbox, &flags).run(&flags);
                }
                flags.loader_done.store(true, Ordering::Release);
            })?
        };
        let worker = {
            let (telemetry, flags, messages) = (telemetry.clone(), flags.clone(), messages.clone());
            let loader = loader.thread().clone();
            std::thread::Builder::new().name("coffre-worker".to_owned()).spawn(move || {
                runner::Runner::new(command_inbox, messages, loader, telemetry).run(&flags.stop);
                flags.worker_done.store(true, Ordering::Release);
            })?
        };
        session.set_loader(loader.thread().clone());
        // The loader is waiting for exactly this, so it is there to receive it.
        let _ = worker_handle.send(worker.thread().clone());
        Ok(Self { session, telemetry, delays, flags, messages, loader: Some(loader), worker: Some(worker) })
    }

    /// Times of an engine; known before it is built.
    pub fn delays(&self, setup: Setup) -> Delays {
        self.delays[setup.index()]
    }

    /// The session of this instance.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// The latest values of this instance.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Makes a new link and lets the worker use it as soon as voices and engine are there. The old one ends.
    ///
    /// Cheap: loads nothing. [main-thread]
    pub fn attach(&self, config: LinkConfig) -> AudioEnd {
        let worker = self.worker.as_ref().map_or_else(std::thread::current, |worker| worker.thread().clone());
        let (audio, worker_end) = link(config, worker);
        // Without a loader the link stays silent and the fallback sounds.
        let _ = self.messages.send(Message::Attach(worker_end));
        self.wake();
        audio
    }

    fn wake(&self) {
        for handle in [&self.loader, &self.worker].into_iter().flatten() {
            handle.thread().unpark();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.flags.stop.store(true, Ordering::Release);
        self.telemetry.set_run(RunState::Idle);
        self.wake();
        let deadline = Instant::now() + SHUTDOWN_PATIENCE;
        let ends = [(self.loader.take(), &self.flags.loader_done), (self.worker.take(), &self.flags.worker_done)];
        for (handle, done) in ends {
            let Some(handle) = handle else { continue };
            while !done.load(Ordering::Acquire) && !handle.is_finished() && Instant::now() < deadline {
                handle.thread().unpark();
                std::thread::sleep(Duration::from_millis(1));
            }
            if done.load(Ordering::Acquire) || handle.is_finished() {
                // A panicked thread has nothing more to say.
                let _ = handle.join();
            } else {
                ending::watch();
            }
        }
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance").field("delays", &self.delays).finish_non_exhaustive()
    }
}

/// The words of a caught panic.
fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "an unknown fault".to_owned())
}
