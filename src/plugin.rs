//! The host's life cycle, and nothing else: activate, reset, process, deactivate, latency, tail.
//!
//! The only place where the framework meets the rest. Slow work happens in [`crate::worker`], sound is made in
//! [`crate::audio`].

mod clap;
mod restart;
#[cfg(target_os = "linux")]
mod stillness;
mod vst3;

use std::num::NonZeroU32;
use std::sync::Arc;

use nice_plug::prelude::{
    ActivateContext, AsyncExecutor, AudioIOLayout, AuxiliaryBuffers, Buffer, BufferConfig, ClapFeature, ClapPlugin,
    Params, Plugin, PluginState, ProcessContext, ProcessMode, ProcessStatus, TaskExecutor, Vst3Plugin, Vst3SubCategory,
};

use crate::audio::{Obstacle, Processor, wet};
use crate::bridge::link::LinkConfig;
use crate::bridge::preview::preview;
use crate::bridge::{RunState, Session, SlotNeed, Telemetry, Trouble};
use crate::engine::latency::{Latency, MAX_HOST_RATE, MIN_HOST_RATE, slack_len};
use crate::engine::{EngineId, Setup};
use crate::params::CoffreParams;
use crate::worker::Instance;
use crate::worker::backend::{NativeBackend, embedded_voices};
use restart::RestartPort;

/// Hosts announce up to this block length when they mean it. Some announce 8192 while they load a plugin and then play
/// blocks of 512: taking that for the slack would cost 170 ms.
const CREDIBLE_BLOCK_LEN: u32 = 2_048;

/// Assumed for a host that announces more.
const ASSUMED_BLOCK_LEN: u32 = 512;

/// Longer blocks than assumed in a row, in real time, before the host is asked to start again.
const LONG_BLOCKS: u32 = 4;

/// One activation.
struct Active {
    processor: Processor,
    /// What the host announced.
    announced_rate: u32,
    /// What is worked at.
    host_rate: u32,
    setup: Setup,
    block_len: u32,
    tail_len: u32,
    input_count: usize,
    /// Whether the host said that it renders. The latency is the same then; only waiting is allowed.
    is_offline: bool,
    /// Long blocks in a row.
    long_blocks: u32,
    /// The host was asked to start again; once is enough.
    has_asked: bool,
}

/// The plugin as the framework knows it.
pub struct Coffre {
    params: Arc<CoffreParams>,
    session: Arc<Session>,
    telemetry: Arc<Telemetry>,
    /// Started with the first activation: hosts that only scan pay nothing.
    instance: Option<Instance>,
    active: Option<Active>,
    /// Longest block seen in real time.
    seen_block_len: Option<u32>,
    /// Announced and actual rate, when a host's transport contradicted its announcement.
    contradicted_rate: Option<(u32, u32)>,
    /// Whether the host has rendered in an earlier activation while it claimed to play.
    has_rendered: bool,
    /// The line to a VST3 host; other hosts are reached by the framework alone.
    restart: Option<Arc<RestartPort>>,
}

impl Default for Coffre {
    fn default() -> Self {
        let session = Arc::new(Session::default());
        session.set_slots(embedded_voices().iter().cloned().map(Some));
        Self {
            params: Arc::new(CoffreParams::new(&session, crate::editor::DEFAULT_SIZE)),
            session,
            telemetry: Arc::default(),
            instance: None,
            active: None,
            seen_block_len: None,
            contradicted_rate: None,
            has_rendered: false,
            restart: vst3::take_offered_port(),
        }
    }
}

impl Coffre {
    /// The block length for which the latency is chosen, in samples.
    fn block_len(&self, announced: u32) -> u32 {
        let assumed = if announced <= CREDIBLE_BLOCK_LEN { announced } else { ASSUMED_BLOCK_LEN };
        assumed.max(self.seen_block_len.unwrap_or(0)).max(1)
    }

    /// The rate to work at: the announced one, unless the host's transport contradicted exactly that announcement.
    fn host_rate(&self, announced: f32) -> Option<u32> {
        let announced = announced.round();
        if !(MIN_HOST_RATE as f32..=MAX_HOST_RATE as f32).contains(&announced) {
            return None;
        }
        let announced = announced as u32;
        match self.contradicted_rate {
            Some((said, actual)) if said == announced => Some(actual),
            _ => Some(announced),
        }
    }

    /// What the parameters ask for at an activation: the engine of the chosen voice rules. An empty slot needs none.
    fn setup(&self) -> Setup {
        let engine = match self.session.need(self.params.voice_slot()) {
            SlotNeed::Nothing => EngineId::Native,
            SlotNeed::Engine(engine) => engine,
            // Its delay stays, so that a session keeps its alignment while a voice is missing.
            SlotNeed::Unusable(engine) => engine,
        };
        Setup { engine, mode: self.params.mode() }
    }

    fn start_instance(&mut self) -> Option<&Instance> {
        if self.instance.is_none() {
            let backend = Box::new(NativeBackend::default());
            match Instance::start(backend, self.session.clone(), self.telemetry.clone()) {
                Ok(instance) => self.instance = Some(instance),
                Err(error) => {
                    let reason = format!("no thread could be started: {error}");
                    self.telemetry.replace_troubles(
                        |trouble| matches!(trouble, Trouble::Stopped { .. }),
                        vec![Trouble::Stopped { reason }],
                    );
                }
            }
        }
        self.instance.as_ref()
    }
}

/// Why the chosen voice does not sound with the engine that runs.
fn obstacle(need: SlotNeed, engine: EngineId) -> Option<Obstacle> {
    match need {
        SlotNeed::Engine(needed) if needed != engine => Some(Obstacle::OtherEngine),
        SlotNeed::Unusable(needed) if needed != engine => Some(Obstacle::OtherEngine),
        SlotNeed::Unusable(_) => Some(Obstacle::NoVoice),
        SlotNeed::Nothing | SlotNeed::Engine(_) => None,
    }
}

/// What a look at a block says about the host.
fn needs_restart(active: &mut Active, len: u32, is_other_setup: bool) -> bool {
    if len > active.block_len && active.processor.is_real_time() {
        active.long_blocks += 1;
    } else if len > 0 {
        active.long_blocks = 0;
    }
    let is_needed = is_other_setup || active.long_blocks >= LONG_BLOCKS;
    is_needed && !std::mem::replace(&mut active.has_asked, true)
}

impl Plugin for Coffre {
    const NAME: &'static str = "Coffre";
    const VENDOR: &'static str = "Coffre";
    const URL: &'static str = "";
    const EMAIL: &'static str = "";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    const AUDIO_IO_LAYOUTS: &'static [AudioIOLayout] = &[layout(2, 2), layout(1, 2), layout(1, 1)];
    const SAMPLE_ACCURATE_AUTOMATION: bool = true;

    type Editor = crate::editor::Editor;
    type SysExMessage = ();
    type BackgroundTask = fn();

    fn task_executor(&mut self) -> TaskExecutor<Self> {
        Box::new(|task| task())
    }

    fn params(&self) -> Arc<dyn Params> {
        self.params.clone()
    }

    fn editor(&mut self, executor: AsyncExecutor<Self>) -> Option<Self::Editor> {
        #[cfg(target_os = "linux")]
        stillness::show(executor);
        #[cfg(not(target_os = "linux"))]
        drop(executor);
        crate::editor::create(&self.params, &self.session, &self.telemetry)
    }

    fn filter_state(state: &mut PluginState) {
        crate::params::bound(state);
    }

    fn activate(
        &mut self,
        layout: &AudioIOLayout,
        config: &BufferConfig,
        context: &mut impl ActivateContext<Self>,
    ) -> bool {
        self.deactivate();
        if let Some(restart) = &self.restart {
            restart.settle();
        }
        let Some(host_rate) = self.host_rate(config.sample_rate) else { return false };
        let block_len = self.block_len(config.max_buffer_size);
        let setup = self.setup();
        let Some(instance) = self.start_instance() else { return false };

        let delays = instance.delays(setup);
        let slack = slack_len(host_rate, block_len, delays.compute_len);
        let latency = Latency::new(host_rate, delays.latency_len, slack);
        let link = instance.attach(LinkConfig {
            host_rate,
            setup,
            stream_latency: latency.stream(),
            slack,
            ring_len: wet::ring_len(host_rate, latency.total(), block_len as usize),
        });
        let mut processor = Processor::new(link, self.telemetry.clone(), latency.total(), block_len as usize);
        if self.has_rendered {
            processor.expect_rendering();
        }
        let (source, end) = preview(host_rate);
        self.session.set_preview(source);
        processor.set_preview(end);
        self.active = Some(Active {
            processor,
            announced_rate: config.sample_rate.round() as u32,
            host_rate,
            setup,
            block_len,
            tail_len: Latency::new(host_rate, delays.tail_len, slack).total(),
            input_count: layout.main_input_channels.map_or(1, |count| count.get() as usize),
            is_offline: config.process_mode == ProcessMode::Offline,
            long_blocks: 0,
            has_asked: false,
        });
        self.telemetry.set_host(host_rate, latency.total());
        context.set_latency_samples(latency.total());
        true
    }

    fn reset(&mut self) {
        if clap::is_starting() {
            return;
        }
        if let Some(active) = &mut self.active {
            active.processor.reset();
        }
    }

    fn process(
        &mut self,
        buffer: &mut Buffer,
        _aux: &mut AuxiliaryBuffers,
        context: &mut impl ProcessContext<Self>,
    ) -> ProcessStatus {
        let Some(active) = &mut self.active else { return ProcessStatus::Normal };
        let transport = context.transport();
        let actual_rate = transport.sample_rate.round() as u32;
        let is_contradicted = actual_rate != active.host_rate && (MIN_HOST_RATE..=MAX_HOST_RATE).contains(&actual_rate);
        let len = buffer.samples() as u32;
        let mut controls = self.params.controls();
        controls.obstacle = obstacle(self.session.need(controls.hop.voice_slot), active.setup.engine);
        let is_other_setup =
            active.setup.mode != self.params.mode() || controls.obstacle == Some(Obstacle::OtherEngine);
        if needs_restart(active, len, is_other_setup) || is_contradicted && !active.has_asked {
            if active.long_blocks >= LONG_BLOCKS {
                self.seen_block_len = Some(len.max(self.seen_block_len.unwrap_or(0)));
            }
            if is_contradicted {
                active.has_asked = true;
                self.contradicted_rate = Some((active.announced_rate, actual_rate));
            }
            context.request_restart();
            if let Some(restart) = &self.restart {
                restart.request();
            }
        }
        active.processor.process(buffer.as_slice(), active.input_count, &controls, active.is_offline);
        match active.processor.is_previewing() {
            true => ProcessStatus::KeepAlive,
            false => ProcessStatus::Tail(active.tail_len),
        }
    }

    fn deactivate(&mut self) {
        if let Some(active) = self.active.take() {
            self.has_rendered |= active.processor.has_rendered();
        }
        self.telemetry.set_run(RunState::Idle);
    }
}

impl ClapPlugin for Coffre {
    const CLAP_ID: &'static str = "audio.coffre.coffre";
    const CLAP_DESCRIPTION: Option<&'static str> = Some("The same performance in another voice");
    const CLAP_MANUAL_URL: Option<&'static str> = None;
    const CLAP_SUPPORT_URL: Option<&'static str> = None;
    const CLAP_FEATURES: &'static [ClapFeature] = &[
        ClapFeature::AudioEffect,
        ClapFeature::PitchShifter,
        ClapFeature::Custom("coffre:voice-conversion"),
        ClapFeature::Mono,
        ClapFeature::Stereo,
    ];
}

impl Vst3Plugin for Coffre {
    const VST3_CLASS_ID: [u8; 16] = *b"Coffre.VoiceConv";
    const VST3_SUBCATEGORIES: &'static [Vst3SubCategory] = &[Vst3SubCategory::Fx, Vst3SubCategory::PitchShift];
}

const fn layout(inputs: u32, outputs: u32) -> AudioIOLayout {
    AudioIOLayout {
        main_input_channels: NonZeroU32::new(inputs),
        main_output_channels: NonZeroU32::new(outputs),
        ..AudioIOLayout::const_default()
    }
}
