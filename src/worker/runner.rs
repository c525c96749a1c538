//! The worker's loop: wait, take commands, run hops, publish. Knows no host and opens no file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::priority::Priority;
use super::{Command, Message, Prepared, panic_text};
use crate::bridge::Telemetry;
use crate::bridge::capture::CaptureTap;
use crate::bridge::link::{NoteKind, WorkerEnd};
use crate::engine::profile::SourceProfile;
use crate::engine::stream::HostStream;
use crate::engine::{ENGINE_RATE, Engine, EngineError, HOP_LEN, HopReport, Mode, Setup, VOICE_SLOTS};
use crate::onnx::queue::with_deadline;

/// Most samples taken from the ring at once, so that commands and new epochs are seen soon.
const CHUNK_LEN: usize = 1_024;

/// Longest sleep: a safety net only, every reason to wake comes with a wake-up.
const LONGEST_SLEEP: Duration = Duration::from_millis(200);

/// Engine and where it is on its way.
pub(super) struct Runner {
    commands: Receiver<Command>,
    messages: Sender<Message>,
    loader: Thread,
    telemetry: Arc<Telemetry>,
    priority: Priority,
    link: Option<WorkerEnd>,
    /// The engine while no link is there to run it.
    engine: Option<Box<dyn Engine>>,
    setup: Setup,
    stream: Option<HostStream>,
    voices: [Option<Prepared>; VOICE_SLOTS],
    profile: Option<Arc<SourceProfile>>,
    is_learning: bool,
    /// Where the input is recorded to, while somebody wants it.
    tap: Option<CaptureTap>,
    has_given_up: bool,
    is_failing: bool,
    /// Why the engine does less than it could, as the loader was told.
    degraded: Option<String>,
    epoch: u32,
    /// Whether the start of this epoch was seen; until then there is no place for samples.
    has_started: bool,
    /// Samples ever taken from the link's ring.
    taken: u64,
    /// Absolute position of the stream's sample 0.
    origin: u64,
    /// Absolute position of the next input sample.
    position: u64,
    /// Absolute output position of the next sample read from the stream.
    output_position: u64,
    bad_samples: u64,
    chunk: Vec<f32>,
    output: Vec<f32>,
}

impl Runner {
    pub(super) fn new(
        commands: Receiver<Command>,
        messages: Sender<Message>,
        loader: Thread,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            commands,
            messages,
            loader,
            telemetry,
            priority: Priority::default(),
            link: None,
            engine: None,
            setup: Mode::Live.into(),
            stream: None,
            voices: Default::default(),
            profile: None,
            is_learning: false,
            tap: None,
            has_given_up: false,
            is_failing: false,
            degraded: None,
            epoch: 0,
            has_started: false,
            taken: 0,
            origin: 0,
            position: 0,
            output_position: 0,
            bad_samples: 0,
            chunk: vec![0.0; CHUNK_LEN],
            output: Vec::with_capacity(8 * CHUNK_LEN),
        }
    }

    /// Runs until `stop` is set or the loader is gone. [worker-thread]
    pub(super) fn run(&mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            if !self.take_commands() {
                return;
            }
            if !self.work(stop) {
                std::thread::park_timeout(LONGEST_SLEEP);
            }
        }
    }

    /// Serves all waiting commands; `false` when the loader is gone.
    fn take_commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Engine(setup, engine) => {
                self.retire_engine();
                self.setup = setup;
                self.engine = Some(engine);
                self.has_given_up = false;
                self.equip_engine();
                self.join_link_and_engine();
            }
            Command::Voice(slot, voice) => {
                let old = std::mem::replace(&mut self.voices[slot], voice);
                let voice = self.voices[slot].clone();
                self.with_engine(|engine| engine.put(slot, voice));
                // After the engine let go of it, so that graphs end on the loader's thread.
                if let Some(old) = old {
                    self.tell(Message::Retired(Box::new(old)));
                }
            }
            Command::Profile(profile) => {
                self.profile.clone_from(&profile);
                self.with_engine(|engine| engine.set_profile(profile));
            }
            Command::Learn(is_on) => {
                self.is_learning = is_on;
                self.with_engine(|engine| engine.learn_profile(is_on));
            }
            Command::Capture(tap) => {
                if let Some(old) = self.tap.replace(tap) {
                    self.tell(Message::Retired(Box::new(old)));
                }
            }
            Command::Attach(link) => {
                if let Some(stream) = self.stream.take() {
                    self.engine = Some(stream.into_engine());
                }
                self.link = Some(link);
                (self.epoch, self.has_started, self.taken) = (0, false, 0);
                self.join_link_and_engine();
            }
            Command::NoEngine => {
                self.has_given_up = true;
                if let Some(link) = &self.link {
                    link.set_stopped(true);
                }
            }
        }
    }

    /// Makes a stream as soon as there are a link and an engine of its mode.
    fn join_link_and_engine(&mut self) {
        let Some(link) = &self.link else { return };
        let config = *link.config();
        link.set_stopped(self.has_given_up);
        if self.setup != config.setup {
            return;
        }
        let Some(mut engine) = self.engine.take() else { return };
        engine.reset();
        match HostStream::new(engine, config.host_rate) {
            Ok(stream) if stream.latency_len() as u32 == config.stream_latency => {
                self.bad_samples = 0;
                self.stream = Some(stream);
            }
            Ok(stream) => {
                let text = format!(
                    "the engine delays by {} samples but {} were promised",
                    stream.latency_len(),
                    config.stream_latency
                );
                self.lose_engine(text);
            }
            Err(error) => self.lose_engine(error.to_string()),
        }
    }

    /// Gives a new engine what the old one had.
    fn equip_engine(&mut self) {
        let (voices, profile, is_learning) = (self.voices.clone(), self.profile.clone(), self.is_learning);
        self.with_engine(|engine| {
            for (slot, voice) in voices.into_iter().enumerate() {
                if voice.is_some() {
                    engine.put(slot, voice);
                }
            }
            engine.set_profile(profile);
            if is_learning {
                engine.learn_profile(true);
            }
        });
    }

    /// Does what can be done at once; `false` when there is nothing to do.
    fn work(&mut self, stop: &AtomicBool) -> bool {
        let Some(link) = &mut self.link else { return false };
        if link.is_closed() {
            // The host was deactivated: keep the engine for the next link.
            self.link = None;
            self.priority.want(false);
            if let Some(stream) = self.stream.take() {
                self.engine = Some(stream.into_engine());
            }
            return true;
        }
        if self.stream.is_none() {
            return false;
        }
        self.priority.want(link.is_real_time());
        let wanted = link.wanted_epoch();
        if wanted != self.epoch {
            self.taken += link.clear_for(wanted);
            (self.epoch, self.has_started) = (wanted, false);
            return true;
        }
        let took = self.take_input();
        let mut ran = false;
        while self.has_started && !stop.load(Ordering::Relaxed) && self.run_hop() {
            ran = true;
            // A new epoch makes the rest of this input worthless.
            if self.link.as_ref().is_none_or(|link| link.wanted_epoch() != self.epoch) {
                break;
            }
        }
        if took || ran {
            return true;
        }
        let (Some(link), Some(stream)) = (&self.link, &self.stream) else { return false };
        let missing = if self.has_started { stream.missing_len().max(1) } else { 1 };
        link.set_next_hop_at(self.taken + missing as u64);
        // What arrived between the last look and the store above did not wake us.
        link.waiting_len() >= missing || link.wanted_epoch() != self.epoch
    }

    /// Takes notes and samples; `false` when there are none, or too few for a hop.
    fn take_input(&mut self) -> bool {
        let (Some(link), Some(stream)) = (&mut self.link, &mut self.stream) else { return false };
        while let Some(note) = link.note_at(self.taken) {
            match note {
                NoteKind::Start { position, epoch, unheard } if epoch == self.epoch => {
                    stream.reset();
                    stream.expect_unheard(unheard);
                    if let Some(tap) = &mut self.tap {
                        tap.part();
                    }
                    (self.origin, self.position, self.has_started) = (position, position, true);
                    self.output_position = position + u64::from(link.config().slack);
                }
                NoteKind::Start { .. } => self.has_started = false,
                NoteKind::Params(params) => stream.set_params(self.position.saturating_sub(self.origin), params),
            }
        }
        let until_note = link.next_note_at().map_or(u64::MAX, |at| at - self.taken);
        let len = until_note.min(CHUNK_LEN as u64) as usize;
        let count = link.receive(&mut self.chunk[..len]);
        self.taken += count as u64;
        self.position += count as u64;
        if self.has_started {
            stream.push(&self.chunk[..count]);
            let rate = link.config().host_rate;
            let is_over = self.tap.as_mut().is_some_and(|tap| !tap.push(&self.chunk[..count], rate));
            if let Some(tap) = self.tap.take_if(|_| is_over) {
                // Dropping it frees its ring, for which a hop must not wait.
                self.tell(Message::Retired(Box::new(tap)));
            }
        }
        count > 0
    }

    /// Runs one hop if its input is complete, and publishes what comes out.
    fn run_hop(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let begin = Instant::now();
        // Instances share the device: whose samples are needed first is served first.
        let slack = self
            .link
            .as_ref()
            .map_or(0.0, |link| f64::from(link.config().slack) / f64::from(link.config().host_rate.max(1)));
        let deadline = begin + Duration::from_secs_f64(slack);
        let run = || with_deadline(deadline, || stream.run_hop());
        let result = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(None) => return false,
            Ok(Some(result)) => result,
            Err(payload) => {
                self.lose_engine(panic_text(payload.as_ref()));
                return false;
            }
        };
        let seconds = begin.elapsed().as_secs_f32();
        let is_fault = result.is_err();
        self.report(result, seconds * ENGINE_RATE as f32 / HOP_LEN as f32);
        self.publish(is_fault);
        self.tell_degraded();
        self.take_learned();
        true
    }

    /// Tells the loader when the engine begins to do less than it could, or ends doing so.
    fn tell_degraded(&mut self) {
        let trouble = self.stream.as_ref().and_then(|stream| stream.engine().trouble());
        if trouble.is_none() && self.degraded.is_none() {
            return;
        }
        let trouble = trouble.map(|trouble| trouble.to_string());
        if trouble != self.degraded {
            self.degraded.clone_from(&trouble);
            self.tell(Message::Degraded(trouble));
        }
    }

    fn publish(&mut self, is_fault: bool) {
        let (Some(link), Some(stream)) = (&mut self.link, &mut self.stream) else { return };
        let count = stream.available();
        self.output.resize(count, 0.0);
        let count = stream.read(&mut self.output);
        if count > 0 {
            link.publish(self.epoch, self.output_position, &self.output[..count], is_fault);
            self.output_position += count as u64;
        }
        let bad = stream.bad_samples();
        self.telemetry.add_bad_samples(bad.saturating_sub(self.bad_samples));
        self.bad_samples = bad;
    }

    fn report(&mut self, result: Result<HopReport, EngineError>, load: f32) {
        match result {
            Ok(report) => {
                self.telemetry.publish_hop(&report, load);
                if std::mem::take(&mut self.is_failing) {
                    self.tell(Message::HopsWork);
                }
            }
            Err(error) => {
                self.telemetry.publish_hop(&HopReport::default(), load);
                if !std::mem::replace(&mut self.is_failing, true) {
                    self.tell(Message::HopFailed(error.to_string()));
                }
            }
        }
    }

    fn take_learned(&mut self) {
        if !self.is_learning {
            return;
        }
        if let Some(profile) = self.stream.as_mut().and_then(|stream| stream.engine_mut().take_profile()) {
            self.is_learning = false;
            self.tell(Message::Learned(Box::new(profile)));
        }
    }

    /// The engine cannot be used any more: hand it to the loader and let that decide.
    fn lose_engine(&mut self, reason: String) {
        self.retire_engine();
        if let Some(link) = &self.link {
            link.set_stopped(true);
        }
        self.tell(Message::EngineLost(reason));
    }

    fn retire_engine(&mut self) {
        if self.degraded.take().is_some() {
            self.tell(Message::Degraded(None));
        }
        if let Some(stream) = self.stream.take() {
            self.tell(Message::Retired(Box::new(stream.into_engine())));
            // What the old engine was fed is gone with it: a new epoch has to begin.
            self.has_started = false;
            if let Some(link) = &self.link {
                link.break_epoch();
            }
        }
        if let Some(engine) = self.engine.take() {
            self.tell(Message::Retired(Box::new(engine)));
        }
    }

    fn with_engine(&mut self, act: impl FnOnce(&mut dyn Engine)) {
        let result = catch_unwind(AssertUnwindSafe(|| match (&mut self.stream, &mut self.engine) {
            (Some(stream), _) => act(stream.engine_mut()),
            (None, Some(engine)) => act(engine.as_mut()),
            (None, None) => {}
        }));
        if let Err(payload) = result {
            self.lose_engine(panic_text(payload.as_ref()));
        }
    }

    fn tell(&self, message: Message) {
        // Without a loader the instance is ending anyway.
        let _ = self.messages.send(message);
        self.loader.unpark();
    }
}
