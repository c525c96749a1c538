//! The loader's loop: opens voices, builds engines, serves the editor. May take its time; no sound depends on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::{Command, Flags, Message, panic_text};
use crate::bridge::link::WorkerEnd;
use crate::bridge::{Request, Session, SlotState, Telemetry, Trouble, VoiceRef};
use crate::engine::profile::SourceProfile;
use crate::engine::{EngineId, Mode, Setup, VOICE_SLOTS};
use crate::loading::VoiceProblem;

/// Longest sleep: a safety net only, every reason to wake comes with a wake-up.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Time between two looks at what changes seldom: devices, and graphs that voices need.
const WATCH_EVERY: Duration = Duration::from_secs(3);

/// Time between two questions whether more is known of the library, and the same while a slot waits for that.
const ASK_EVERY: Duration = Duration::from_millis(400);
const ASK_SOON: Duration = Duration::from_millis(10);

/// Longest that an activation waits for a voice whose folder has yet to answer: a bounce begins with the voices of its
/// session, but the others do not wait for a folder that hangs.
const FOLDER_PATIENCE: Duration = Duration::from_millis(1_500);

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
    /// When devices and graphs were looked at last.
    watched: Instant,
    /// When the library was asked for news last.
    asked: Instant,
    /// By slot: its voice may be in a folder that has yet to answer.
    is_pending: [bool; VOICE_SLOTS],
    /// The backend's [`Backend::device_version`] when things were loaded.
    device_version: u32,
    is_learning: bool,
    /// Non-finite samples at the last look.
    bad_samples: u64,
    /// The session's version that was applied last.
    seen: Option<u64>,
    slots: [Option<VoiceRef>; VOICE_SLOTS],
    profile_version: u64,
    /// What the engine is for, and the voices: see [`Backend::load_voice`].
    setup: Option<Setup>,
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
            asked: Instant::now(),
            is_pending: [false; VOICE_SLOTS],
            device_version: 0,
            is_learning: false,
            bad_samples: 0,
            seen: None,
            slots: Default::default(),
            profile_version: 0,
            setup: None,
            engines_lost: 0,
        }
    }

    /// Runs until `flags.stop` is set.
    pub(super) fn run(&mut self, flags: &Flags) {
        // A voice file or a folder that makes a reader panic must not end the instance.
        while !flags.stop.load(Ordering::Acquire) {
            match catch_unwind(AssertUnwindSafe(|| self.turn())) {
                Ok(true) => {}
                Ok(false) => std::thread::park_timeout(if self.is_waiting() { ASK_SOON } else { LONGEST_SLEEP }),
                Err(payload) => self.set_stopped_trouble(Some(panic_text(payload.as_ref()))),
            }
        }
    }

    /// Does what is waiting; `false` when nothing is.
    fn turn(&mut self) -> bool {
        if !self.has_scanned {
            self.has_scanned = true;
            self.look_for_voices();
            self.tell_device();
            self.device_version = self.backend.device_version();
        }
        if self.watched.elapsed() >= WATCH_EVERY {
            self.watched = Instant::now();
            if self.backend.have_graphs_changed() {
                self.take_news();
            }
            self.follow_device();
            self.tell_device();
            self.tell_bad_samples();
        }
        if self.asked.elapsed() >= if self.is_waiting() { ASK_SOON } else { ASK_EVERY } {
            self.asked = Instant::now();
            if self.backend.has_changed() {
                self.take_news();
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
                Message::Degraded(reason) => {
                    let trouble = reason.map(|reason| Trouble::Degraded { reason });
                    let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Degraded { .. });
                    self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
                }
                Message::Learned(profile) => self.keep(*profile),
                Message::Retired(_) => {}
            }
        }
        while let Some(request) = self.session.next_request() {
            is_busy = true;
            self.serve(&request);
        }
        if let Some(tap) = self.session.take_capture() {
            is_busy = true;
            self.command(Command::Capture(tap));
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
                self.try_missing_again();
            }
            Request::ChooseDevice(word) => {
                self.backend.choose_device(word);
                self.follow_device();
                self.tell_device();
            }
            Request::StateOrigin { voice, ground, statement } => {
                let stated = self.backend.state_origin(voice, *ground, statement);
                let trouble = match stated {
                    Ok(new) => {
                        self.look_for_voices();
                        // What sounds is marked with the new file from now on.
                        for (slot, content) in self.session.slots().iter().enumerate() {
                            if content.as_ref() == Some(voice) {
                                self.session.set_slot(slot, Some(new.clone()));
                            }
                        }
                        None
                    }
                    Err(reason) => Some(Trouble::Origin { name: voice.name.clone(), reason }),
                };
                let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Origin { .. });
                self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
            }
            Request::LearnProfile | Request::ClearProfile => {
                self.is_learning = *request == Request::LearnProfile;
                self.session.set_profile(Vec::new());
                self.apply_session();
                self.command(Command::Learn(self.is_learning));
            }
        }
    }

    /// Loads RVC voices again when another device is to run them.
    fn follow_device(&mut self) {
        let version = self.backend.device_version();
        if std::mem::replace(&mut self.device_version, version) != version
            && let Some(setup) = self.setup.filter(|setup| setup.engine == EngineId::Rvc)
        {
            self.build(setup);
            (self.slots, self.seen) = (Default::default(), None);
            self.apply_session();
        }
    }

    fn tell_device(&mut self) {
        let choice = self.backend.device_choice();
        self.telemetry.set_device_choice(choice);
        // What runs changes with the voices, and when a device is lost.
        if self.setup.is_some()
            && let Ok(device) = self.backend.device()
        {
            self.telemetry.set_device(&device);
        }
    }

    /// Says while it lasts that the track sends what is no sound.
    fn tell_bad_samples(&mut self) {
        let count = self.telemetry.bad_samples();
        let new = count.wrapping_sub(std::mem::replace(&mut self.bad_samples, count));
        let is_old = |trouble: &Trouble| matches!(trouble, Trouble::BadInput { .. });
        let trouble = (new > 0).then_some(Trouble::BadInput { samples: count });
        self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
    }

    /// Takes what is known of the library by now.
    fn take_news(&mut self) {
        let voices = self.backend.known_voices();
        self.session.set_library(voices);
        self.try_missing_again();
    }

    /// A voice that was missing may be there now; one that sounds stays.
    fn try_missing_again(&mut self) {
        for (slot, state) in self.session.slot_states().iter().enumerate() {
            if *state == SlotState::Missing || self.is_pending[slot] {
                self.slots[slot] = None;
            }
        }
        self.seen = None;
    }

    /// Whether a slot's voice may be in a folder that has yet to answer.
    fn is_waiting(&self) -> bool {
        self.is_pending.contains(&true)
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
                self.slots[slot] = self.fill_slot(slot, voice.as_ref());
            }
        }
        self.apply_profile();
    }

    /// Loads the voice of a slot; gives its name, with the engine that the file says it needs.
    fn fill_slot(&mut self, slot: usize, voice: Option<&VoiceRef>) -> Option<VoiceRef> {
        let is_old = |trouble: &Trouble| match trouble {
            Trouble::VoiceMissing { slot: of, .. }
            | Trouble::VoiceRefused { slot: of, .. }
            | Trouble::FoundationMissing { slot: of, .. } => *of == slot,
            _ => false,
        };
        // Before the first activation it is not known which engine will run.
        let engine = self.setup.map_or(EngineId::Native, |setup| setup.engine);
        let needed = voice.and_then(|voice| self.backend.engine_of(voice));
        let voice = voice.map(|voice| match needed {
            Some(needed) if needed != voice.engine => self.session.set_slot_engine(slot, voice, needed),
            _ => voice.clone(),
        });
        let voice = voice.as_ref();
        let loaded = voice.map(|voice| match needed {
            // The other engine's voices wait for it: what they need is large.
            Some(needed) if needed != engine => (voice, Ok(None)),
            _ => (voice, self.backend.load_voice(voice, self.setup.unwrap_or(Mode::Live.into())).map(Some)),
        });
        self.is_pending[slot] = matches!(loaded, Some((_, Err(VoiceProblem::Pending))));
        let (state, trouble, voice_box) = match loaded {
            // The state stays that of a voice that is being looked for.
            Some((_, Err(VoiceProblem::Pending))) => (SlotState::Loading, None, None),
            None => (SlotState::Empty, None, None),
            Some((_, Ok(loaded))) => (SlotState::Ready, None, loaded),
            Some((voice, Err(VoiceProblem::Missing))) => {
                (SlotState::Missing, Some(Trouble::VoiceMissing { slot, name: voice.name.clone() }), None)
            }
            Some((voice, Err(VoiceProblem::FoundationMissing(reason)))) => {
                (SlotState::Missing, Some(Trouble::FoundationMissing { slot, name: voice.name.clone(), reason }), None)
            }
            Some((voice, Err(VoiceProblem::Refused(reason)))) => {
                (SlotState::Missing, Some(Trouble::VoiceRefused { slot, name: voice.name.clone(), reason }), None)
            }
        };
        self.telemetry.replace_troubles(is_old, trouble.into_iter().collect());
        self.command(Command::Voice(slot, voice_box));
        self.session.set_slot_state(slot, voice, state);
        voice.cloned()
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
            Ok(profile) => {
                let doubt = profile.as_ref().and_then(SourceProfile::doubt);
                (profile, doubt.map(|reason| Trouble::DoubtfulSinger { reason }))
            }
            Err(error) => (None, Some(Trouble::Profile { reason: error.to_string() })),
        };
        let is_old = |trouble: &Trouble| matches!(trouble, Trouble::Profile { .. } | Trouble::DoubtfulSinger { .. });
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
        let setup = link.config().setup;
        if self.setup != Some(setup) {
            let before = self.setup.map_or(EngineId::Native, |setup| setup.engine);
            self.build(setup);
            // Voices are prepared for one engine and, with RVC, for one layout of its windows.
            if setup.engine != before || setup.engine == EngineId::Rvc {
                (self.slots, self.seen) = (Default::default(), None);
                self.apply_session();
            }
        }
        let deadline = Instant::now() + FOLDER_PATIENCE;
        while self.is_waiting() && Instant::now() < deadline && !self.is_stopping() {
            self.backend.wait_for_change(ASK_SOON);
            if self.backend.has_changed() {
                self.take_news();
                self.apply_session();
            }
        }
        // After voices and engine, so that the first sample already meets them.
        self.command(Command::Attach(link));
    }

    /// Whether the instance is going: what takes long need not begin.
    fn is_stopping(&self) -> bool {
        self.flags.stop.load(Ordering::Acquire)
    }

    fn build(&mut self, setup: Setup) {
        if self.is_stopping() {
            return;
        }
        let built = catch_unwind(AssertUnwindSafe(|| self.backend.build(setup)));
        let built = built.unwrap_or_else(|payload| Err(panic_text(payload.as_ref())));
        super::ending::watch();
        match built {
            Ok(engine) => {
                self.setup = Some(setup);
                self.command(Command::Engine(setup, engine));
                if self.engines_lost == 0 {
                    self.set_stopped_trouble(None);
                }
            }
            Err(reason) => {
                self.setup = None;
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
        if let (Some(setup), true) = (self.setup, self.engines_lost <= MAX_LOST) {
            self.build(setup);
        } else {
            self.setup = None;
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
