//! A plugin instance without a host: fake engines, and a player that calls as hosts do.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use coffre::audio::{Controls, Processor, wet};
use coffre::bridge::link::LinkConfig;
use coffre::bridge::preview::preview;
use coffre::bridge::{DeviceChoice, RunState, Session, Telemetry, VoiceChoice, VoiceRef};
use coffre::engine::latency::{Latency, NATIVE_COMPUTE_LEN, slack_len};
use coffre::engine::{
    Engine, EngineError, EngineId, HOP_LEN, HopParams, HopReport, IdentityEngine, Mode, Prepared, Setup,
};
use coffre::onnx::{Graph, LooseInput};
use coffre::worker::{Backend, Delays, Instance, VoiceProblem};

/// Delay of the fake engines in samples at the engine's rate.
pub const ENGINE_LATENCY: usize = 1_464;

/// What a fake engine does with its hops; shared with the test, which may change it while it runs.
#[derive(Debug, Default)]
pub struct Behaviour {
    /// Time that each hop takes, in microseconds.
    pub hop_us: AtomicU64,
    /// Each tenth hop takes this much longer, in microseconds, unless what it makes is not heard.
    pub burst_us: AtomicU64,
    /// Each tenth hop runs this on the process's device, unless what it makes is not heard. Its input `x` is two numbers.
    pub graph: OnceLock<Arc<Graph>>,
    /// Runs of it so far.
    pub graph_runs: AtomicU64,
    /// The next hop takes this long once, in microseconds.
    pub stall_us: AtomicU64,
    /// Hops from now on that report an error.
    pub failing_hops: AtomicU64,
    /// Hops from now on that panic.
    pub panics: AtomicU64,
    /// Time that building takes, in microseconds.
    pub build_us: AtomicU64,
    /// Builds from now on that fail.
    pub failing_builds: AtomicU64,
    /// Engines built so far.
    pub builds: AtomicU64,
    /// Hops run so far.
    pub hops: AtomicU64,
    /// Hops do not end while this is set.
    pub is_hanging: AtomicBool,
    /// Times that a device was chosen.
    pub device_choices: AtomicU64,
    /// The engine says that it does less than it could.
    pub is_degraded: AtomicBool,
    /// The output is the input upside down, so that it is told from the dry signal.
    pub is_inverting: AtomicBool,
}

/// Takes one off a count; tells whether there was one.
fn take_one(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| count.checked_sub(1)).is_ok()
}

fn sleep_us(us: u64) {
    if us > 0 {
        std::thread::sleep(Duration::from_micros(us));
    }
}

/// Passes samples on, transposed parameters aside, with the faults that its behaviour asks for.
pub struct FakeEngine {
    identity: IdentityEngine,
    /// Since the last reset.
    hops: usize,
    unheard_len: usize,
    behaviour: Arc<Behaviour>,
}

impl Engine for FakeEngine {
    fn latency_len(&self) -> usize {
        self.identity.latency_len()
    }

    fn tail_len(&self) -> usize {
        self.identity.tail_len()
    }

    fn put(&mut self, _slot: usize, _voice: Option<Prepared>) {}

    fn reset(&mut self) {
        self.identity.reset();
        (self.hops, self.unheard_len) = (0, 0);
    }

    fn expect_unheard(&mut self, len: usize) {
        self.unheard_len = len;
    }

    fn trouble(&self) -> Option<EngineError> {
        let is_degraded = self.behaviour.is_degraded.load(Ordering::SeqCst);
        is_degraded.then(|| EngineError::Graph { graph: "fake", reason: "half of it is gone".to_owned() })
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        self.behaviour.hops.fetch_add(1, Ordering::SeqCst);
        sleep_us(self.behaviour.hop_us.load(Ordering::SeqCst));
        self.hops += 1;
        if self.hops.is_multiple_of(10) && (self.hops + 9) * HOP_LEN > self.unheard_len {
            sleep_us(self.behaviour.burst_us.load(Ordering::SeqCst));
            if let Some(graph) = self.behaviour.graph.get() {
                graph.run_loose(&[LooseInput { name: "x", shape: &[2], values: &[1.0, 2.0] }])?;
                self.behaviour.graph_runs.fetch_add(1, Ordering::SeqCst);
            }
        }
        sleep_us(self.behaviour.stall_us.swap(0, Ordering::SeqCst));
        while self.behaviour.is_hanging.load(Ordering::SeqCst) {
            sleep_us(1_000);
        }
        assert!(!take_one(&self.behaviour.panics), "the fake engine panics as it was told");
        self.identity.process_hop(params, input, output)?;
        if self.behaviour.is_inverting.load(Ordering::SeqCst) {
            output.iter_mut().for_each(|sample| *sample = -*sample);
        }
        if take_one(&self.behaviour.failing_hops) {
            return Err(EngineError::Graph { graph: "fake", reason: "as it was told".to_owned() });
        }
        Ok(HopReport { f0_source_hz: 200.0, f0_output_hz: 400.0, ..HopReport::default() })
    }
}

/// Builds fake engines and knows no voices.
pub struct FakeBackend(pub Arc<Behaviour>);

impl Backend for FakeBackend {
    fn delays(&self, setup: Setup) -> Delays {
        let latency_len = match setup.mode {
            Mode::Live => ENGINE_LATENCY,
            Mode::Mix => ENGINE_LATENCY + 8_000,
        };
        match setup.engine {
            EngineId::Native => Delays { latency_len, tail_len: latency_len, compute_len: NATIVE_COMPUTE_LEN },
            // As late as one that computes ten hops at once.
            EngineId::Rvc => {
                let latency_len = latency_len + 9 * HOP_LEN;
                Delays { latency_len, tail_len: latency_len, compute_len: 10 * HOP_LEN }
            }
        }
    }

    fn build(&mut self, setup: Setup) -> Result<Box<dyn Engine>, String> {
        sleep_us(self.0.build_us.load(Ordering::SeqCst));
        self.0.builds.fetch_add(1, Ordering::SeqCst);
        if take_one(&self.0.failing_builds) {
            return Err("no engine, as it was told".to_owned());
        }
        let identity = IdentityEngine::new(self.delays(setup).latency_len);
        Ok(Box::new(FakeEngine { identity, hops: 0, unheard_len: 0, behaviour: self.0.clone() }))
    }

    fn device(&self) -> Result<String, String> {
        Ok("CPU".to_owned())
    }

    fn device_choice(&mut self) -> DeviceChoice {
        DeviceChoice { chosen: self.device_version().to_string(), ..DeviceChoice::default() }
    }

    fn choose_device(&mut self, _word: &str) {
        self.0.device_choices.fetch_add(1, Ordering::SeqCst);
    }

    fn device_version(&self) -> u32 {
        self.0.device_choices.load(Ordering::SeqCst) as u32
    }

    fn scan(&mut self) -> Vec<VoiceChoice> {
        Vec::new()
    }

    fn load_voice(&mut self, _voice: &VoiceRef, _setup: Setup) -> Result<Prepared, VoiceProblem> {
        Err(VoiceProblem::Missing)
    }
}

/// How a host calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At the wall clock's pace.
    RealTime,
    /// As fast as possible, saying so.
    Offline,
    /// As fast as possible, saying it plays.
    Freewheel,
}

/// An instance and its audio path.
pub struct Rig {
    pub instance: Instance,
    pub behaviour: Arc<Behaviour>,
    pub telemetry: Arc<Telemetry>,
    pub session: Arc<Session>,
    pub processor: Processor,
    pub latency: usize,
    pub host_rate: u32,
    played: u64,
    begin: Option<Instant>,
}

impl Rig {
    pub fn new(host_rate: u32, block_len: usize) -> Self {
        Self::with(Arc::default(), host_rate, block_len)
    }

    pub fn with(behaviour: Arc<Behaviour>, host_rate: u32, block_len: usize) -> Self {
        let (session, telemetry) = (Arc::new(Session::default()), Arc::new(Telemetry::default()));
        let backend = Box::new(FakeBackend(behaviour.clone()));
        let instance = Instance::start(backend, session.clone(), telemetry.clone()).expect("threads");
        let (processor, latency) = activate(&instance, host_rate, block_len, Mode::Live.into());
        Self { instance, behaviour, telemetry, session, processor, latency, host_rate, played: 0, begin: None }
    }

    /// A new activation, as hosts do on every change.
    pub fn reactivate(&mut self, host_rate: u32, block_len: usize, setup: impl Into<Setup>) {
        (self.processor, self.latency) = activate(&self.instance, host_rate, block_len, setup.into());
        self.host_rate = host_rate;
        (self.played, self.begin) = (0, None);
    }

    /// Waits until the engine is there, playing silence meanwhile, and resets.
    pub fn warm_up(&mut self) {
        let begin = Instant::now();
        while self.telemetry.run() != RunState::Converting {
            assert!(begin.elapsed() < Duration::from_secs(10), "the engine does not come");
            self.processor.process(&mut [&mut [0.0; 16]], 1, &Controls::default(), false);
            std::thread::sleep(Duration::from_millis(1));
        }
        self.processor.reset();
        // The worker sees the new stretch.
        std::thread::sleep(Duration::from_millis(20));
    }

    /// Plays mono blocks and returns the output.
    pub fn play(&mut self, input: &[f32], parts: &[usize], pace: Pace, controls: &Controls) -> Vec<f32> {
        let mut output = input.to_vec();
        let mut position = 0;
        for len in parts {
            self.wait_for_turn(pace);
            let block = &mut output[position..position + len];
            self.processor.process(&mut [block], 1, controls, pace == Pace::Offline);
            position += len;
            self.played += *len as u64;
        }
        output
    }

    /// A real-time host's next call: not before the sound card has played what came before.
    pub fn wait_for_turn(&mut self, pace: Pace) {
        if pace == Pace::RealTime {
            let begin = *self.begin.get_or_insert_with(Instant::now);
            let due = begin + Duration::from_secs_f64(self.played as f64 / f64::from(self.host_rate));
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
}

fn activate(instance: &Instance, host_rate: u32, block_len: usize, setup: Setup) -> (Processor, usize) {
    let delays = instance.delays(setup);
    let slack = slack_len(host_rate, block_len as u32, delays.compute_len);
    let latency = Latency::new(host_rate, delays.latency_len, slack);
    let link = instance.attach(LinkConfig {
        host_rate,
        setup,
        stream_latency: latency.stream(),
        slack,
        ring_len: wet::ring_len(host_rate, latency.total(), block_len),
    });
    let telemetry = instance.telemetry().clone();
    let mut processor = Processor::new(link, telemetry, latency.total(), block_len);
    let (source, end) = preview(host_rate);
    instance.session().set_preview(source);
    processor.set_preview(end);
    (processor, latency.total() as usize)
}
