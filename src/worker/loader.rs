//! The loader's loop: opens voices, builds engines, serves the editor. May take its time; no sound depends on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::backend::{Backend, VoiceProblem};
use super::{Command, Flags, Message, panic_text};
use crate::bridge::link::WorkerEnd;
use crate::bridge::{Request, Session, SlotState, Telemetry, Trouble, VoiceRef};
use crate::engine::profile::SourceProfile;
use crate::engine::{Mode, VOICE_SLOTS};

/// Longest sleep: a safety net only, every reason to wake comes with a wake-up.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Time between two looks at the library's folders.
const WATCH_EVERY: Duration = Duration::from_secs(3);

/// Engines lost in one activation before no other is built.
const MAX_LOST: u32 = 3;

pub(super) struct Loader<'a> {
    backend: Box<dyn Backend>,
    session: Arc<Session>,
    telemetry: Arc<Telemetry>,
    commands: Sender<Command>,
    worker: Thread,
    inbox: Receiver<Message>,
    flags: &'a Flags,
    has_scanned: bool,
    /// When the folders were looked at last.
    watched: Instant,
    is_learning: bool,
    /// The session's version that was applied last.
    seen: Option<u64>,
    slots: [Option<VoiceRef>; VOICE_SLOTS],
    profile_version: u64,
    mode: Option<Mode>,
    engines_lost: u32,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        backend: Box<dyn Backend>,
        session: Arc<Session>,
        telemetry: Arc<Telemetry>,
        commands: Sender<Command>,
        worker: Thread,
        inbox: Receiver<Message>,
        flags: &'a Flags,
    ) -> Self {
        Self {
            backend,
            session,
            telemetry,
            commands,
            worker,
            inbox,
            flags,
            has_scanned: false,
            watched: Instant::now(),
            is_learning: false,
            seen: None,
            slots: Default::default(),
            profile_version: 0,
            mode: None,
            engines_lost: 0,
        }
    }

    /// Runs until `flags.stop` is set.
    pub(super) fn run(&mut self, flags: &Flags) {
        // A voice file or a folder that makes a reader panic must not end the instance.
        while !flags.stop.load(Ordering::Acquire) {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => std::thread::park_timeout(LONGEST_SLEEP),
                Err(payload) => self.set_stopped_trouble(Some(panic_text(payload.as_ref()))),
            }
        }
    }

    /// Does what is waiting; `false` when nothing is.
    fn turn(&mut self) -> bool {
        if !self.has_scanned {
            self.has_scanned = true;
            self.look_for_voices();
        }
        if self.watched.elapsed() >= WATCH_EVERY {
            self.watched = Instant::now();
            if self.backend.has_changed() {
                self.serve(&Request::LookForVoices);
            }
        }
        // Only the newest link counts: hosts activate several times while they load a plugin.
        let mut newest = None;
        let mut is_busy = false;
        while let Ok(message) = self.inbox.try_recv() {
            is_busy = true;
            match message {
                Message::Attach(link) => newest = Some(link),
                Message::EngineLost(reason) => self.replace_engine(&reason),
                Message::HopFailed(reason) => self.set_stopped_trouble(Some(reason)),
                Message::HopsWork => self.set_stopped_trouble(None),
                Message::Learned(profile) => self.keep(*profile),
                Message::Retired(_) => {}
            }
        }
        while let Some(request) = self.session.next_request() {
            is_busy = true;
            self.serve(&request);
        }
        self.apply_session();
        if let Some(link) = newest {
            self.attach(link);
        }
        is_busy
    }

    fn serve(&mut self, request: &Request) {
        match request {
            Request::LookForVoices => {
                self.look_for_voices();
                // A voice that was missing may be there now; one that sounds stays.
                for (slot, state) in self.session.slot_states().iter().enumerate() {
                    if *state == SlotState::Missing {
                        self.slots[slot] = None;
                    }
                }
                self.seen = None;
            }
            Request::LearnProfile | Request::ClearProfile => {
                self.is_learning = *request == Request::LearnProfile;
                self.session.set_profile(Vec::new());
                self.apply_session();
                self.command(Command::Learn(self.is_learning));
            }
        }
    }

    fn look_for_voices(&mut self) {
        let voices = self.backend.scan();
        self.session.set_library(voices);
    }

    /// Gives the worker whatever the session changed since the last time.
    fn apply_session(&mut self) {
        let version = self.session.version();
        if self.seen == Some(version) {
            return;
        }
        self.seen = Some(version);
        let slots = self.session.slots();
        for (slot, voice) in slots.iter().enumerate() {
            if self.is_stopping() {
                return;
            }
            if self.slots[slot] != *voice {
                self.fill_slot(slot, voice.as_ref());
                self.slots[slot].clone_from(voice);
            }
        }
        self.apply_profile();
    }

    fn fill_slot(&mut self, slot: usize, voice: Option<&VoiceRef>) {
        let is_old = |trouble: &Trouble| match trouble {
            Trouble::VoiceMissing { slot: of, .. } | Trouble::VoiceRefused { slot: of, .. } => *of == slot,
            _ => false,
        };
        let loaded = voice.map(|voice| (voice, self.backend.load_voice(voice)));
        let (state, trouble, voice_box) = match loaded {
            None => (SlotState::Empty, None, None),
            Some((_, Ok(loaded))) => (SlotState::Ready, None, Some(loaded)),
            Some((voice, Err(VoiceProblem::Missing))) => {
                (SlotState::Missing, Some(Trouble::VoiceMissing { slot, name: voice.name.clone() }), None)
            }
            Some((voice, Err(VoiceProblem::Refused(reason)))) => {
                (SlotState::Missing, Some(Trouble::VoiceRefused { slot, name: voice.name.clone(), reason }), None)
            }
        };
        self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
        self.command(Command::Voice(slot, voice_box));
        self.session.set_slot_state(slot, voice, state);
    }

    fn apply_profile(&mut self) {
        let version = self.session.profile_version();
        if version == self.profile_version {
            return;
        }
        self.profile_version = version;
        let bytes = self.session.profile();
        let read = if bytes.is_empty() { Ok(None) } else { SourceProfile::from_bytes(&bytes).map(Some) };
        let (profile, trouble) = match read {
            Ok(profile) => (profile, None),
            Err(error) => (None, Some(Trouble::Profile { reason: error.to_string() })),
        };
        let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Profile { .. });
        self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
        self.telemetry.set_profile(self.is_learning, profile.is_some());
        self.command(Command::Profile(profile.map(Arc::new)));
    }

    /// A profile was learned: keep it in the session, which applies it.
    fn keep(&mut self, profile: SourceProfile) {
        self.is_learning = false;
        match profile.to_bytes("Learned singer", "") {
            Ok(bytes) => {
                self.session.set_profile(bytes);
                self.apply_profile();
            }
            Err(error) => {
                let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Profile { .. });
                self.telemetry.replace_troubles(is_old, vec![Trouble::Profile { reason: error.to_string() }]);
                self.telemetry.set_profile(false, false);
            }
        }
    }

    fn attach(&mut self, link: WorkerEnd) {
        self.engines_lost = 0;
        let mode = link.config().mode;
        if self.mode != Some(mode) {
            self.build(mode);
        }
        // After voices and engine, so that the first sample already meets them.
        self.command(Command::Attach(link));
    }

    /// Whether the instance is going: what takes long need not begin.
    fn is_stopping(&self) -> bool {
        self.flags.stop.load(Ordering::Acquire)
    }

    fn build(&mut self, mode: Mode) {
        if self.is_stopping() {
            return;
        }
        let built = catch_unwind(AssertUnwindSafe(|| self.backend.build(mode)));
        let built = built.unwrap_or_else(|payload| Err(panic_text(payload.as_ref())));
        super::ending::watch();
        match built {
            Ok(engine) => {
                self.mode = Some(mode);
                self.command(Command::Engine(mode, engine));
                if self.engines_lost == 0 {
                    self.set_stopped_trouble(None);
                }
            }
            Err(reason) => {
                self.mode = None;
                self.command(Command::NoEngine);
                self.set_stopped_trouble(Some(reason));
            }
        }
        let runtime = match self.backend.device() {
            Ok(device) => {
                self.telemetry.set_device(&device);
                None
            }
            Err(reason) => {
                self.telemetry.set_device("");
                Some(Trouble::Runtime { reason })
            }
        };
        let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Runtime { .. });
        self.telemetry.replace_troubles(is_old, runtime.into_iter().collect());
    }

    fn replace_engine(&mut self, reason: &str) {
        self.engines_lost += 1;
        self.set_stopped_trouble(Some(reason.to_owned()));
        if let (Some(mode), true) = (self.mode, self.engines_lost <= MAX_LOST) {
            self.build(mode);
        } else {
            self.mode = None;
            self.command(Command::NoEngine);
        }
    }

    fn set_stopped_trouble(&self, reason: Option<String>) {
        let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Stopped { .. });
        let new = reason.map(|reason| Trouble::Stopped { reason });
        self.telemetry.replace_troubles(is_old, new.into_iter().collect());
    }

    fn command(&self, command: Command) {
        if !self.flags.stop.load(Ordering::Relaxed) {
            // Without a worker there is nobody to command; the instance is ending.
            let _ = self.commands.send(command);
            self.worker.unpark();
        }
    }
}
