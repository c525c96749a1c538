//! A CLAP host in the test's own process: it drives the real plugin through its real entry point, as a DAW does.
//!
//! The plugin is linked, not loaded, so that a debug build with the feature `alloccheck` aborts on an allocation in
//! `process()` and `reset()`. Audio is played on a fresh thread each time, the rest happens on the test's thread.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clack_extensions::audio_ports_config::PluginAudioPortsConfig;
use clack_extensions::latency::{HostLatency, HostLatencyImpl, PluginLatency};
use clack_extensions::params::{
    HostParams, HostParamsImplMainThread, HostParamsImplShared, ParamClearFlags, ParamInfoBuffer, ParamRescanFlags,
    PluginParams,
};
use clack_extensions::render::{PluginRender, RenderMode};
use clack_extensions::state::PluginState;
use clack_host::entry::EntryDescriptor;
use clack_host::events::event_types::{ParamValueEvent, TransportEvent};
use clack_host::events::io::EventBuffer;
use clack_host::prelude::*;
use clack_host::utils::ClapId;

use coffre as _;

unsafe extern "C" {
    /// Exported by the plugin for hosts; here the linker finds it.
    safe static clap_entry: EntryDescriptor;
}

/// What the plugin asked of its host so far.
#[derive(Debug, Default)]
pub struct Asked {
    pub restarts: AtomicUsize,
    pub callbacks: AtomicUsize,
    pub latency_changes: AtomicUsize,
    pub rescans: AtomicUsize,
}

#[derive(Clone, Default)]
pub struct Side(Arc<Asked>);

impl SharedHandler<'_> for Side {
    fn request_restart(&self) {
        self.0.restarts.fetch_add(1, Ordering::SeqCst);
    }
    fn request_process(&self) {}
    fn request_callback(&self) {
        self.0.callbacks.fetch_add(1, Ordering::SeqCst);
    }
}

impl MainThreadHandler<'_> for Side {}

impl HostLatencyImpl for Side {
    fn changed(&self) {
        self.0.latency_changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl HostParamsImplShared for Side {
    fn request_flush(&self) {}
}

impl HostParamsImplMainThread for Side {
    fn rescan(&self, _: ParamRescanFlags) {
        self.0.rescans.fetch_add(1, Ordering::SeqCst);
    }
    fn clear(&self, _: ClapId, _: ParamClearFlags) {}
}

pub struct Handlers;

impl HostHandlers for Handlers {
    type Shared<'a> = Side;
    type MainThread<'a> = Side;
    type AudioProcessor<'a> = ();

    fn declare_extensions(builder: &mut HostExtensions<Self>, _: &Side) {
        builder.register::<HostLatency>().register::<HostParams>();
    }
}

/// A parameter event at an absolute sample of the take. The value is CLAP's: 0 to 1, or the step's number.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub at: usize,
    pub id: ClapId,
    pub value: f64,
}

/// How fast the host calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// As fast as it can.
    Free,
    /// At so many times the wall clock's pace.
    Timed(f64),
}

/// One instance of the plugin in its host.
pub struct Host {
    pub asked: Arc<Asked>,
    plugin: PluginInstance<Handlers>,
    processor: Option<PluginAudioProcessor<Handlers>>,
    rate: f64,
    /// Channels of input and output.
    pub channels: (usize, usize),
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    pub fn new() -> Self {
        // SAFETY: the entry is the plugin's own and lives as long as the process.
        let entry = unsafe { PluginEntry::load_from_raw(&clap_entry, c"/nowhere/Coffre.clap") }.expect("an entry");
        Self::of(&entry)
    }

    /// An instance of the plugin in this library.
    pub fn of(entry: &PluginEntry) -> Self {
        let info = HostInfo::new("Coffre's tests", "Coffre", "", "0").expect("a name");
        let side = Side::default();
        let (shared, main) = (side.clone(), side.clone());
        let id = c"audio.coffre.coffre";
        let plugin = PluginInstance::new(|()| shared, |_| main, entry, id, &info).expect("an instance");
        Self { asked: side.0, plugin, processor: None, rate: 48_000.0, channels: (2, 2) }
    }

    /// A mono host: most tests need no second channel.
    pub fn mono() -> Self {
        let mut host = Self::new();
        host.select_layout(2, (1, 1));
        host
    }

    pub fn select_layout(&mut self, index: u32, channels: (usize, usize)) {
        let handle = self.plugin.plugin_handle();
        let layouts: PluginAudioPortsConfig = handle.get_extension().expect("layouts");
        layouts.select(&handle, ClapId::new(index)).expect("a layout");
        self.channels = channels;
    }

    pub fn set_offline(&mut self, is_offline: bool) {
        let mode = if is_offline { RenderMode::Offline } else { RenderMode::Realtime };
        let handle = self.plugin.plugin_handle();
        let render: PluginRender = handle.get_extension().expect("the render extension");
        render.set(&handle, mode).expect("a mode");
    }

    /// Activates and starts; ends an activation that is there.
    pub fn activate(&mut self, rate: u32, longest_block: u32) {
        self.try_activate(rate, longest_block).expect("an activation");
        self.start();
    }

    /// Activates without starting.
    pub fn try_activate(&mut self, rate: u32, longest_block: u32) -> Result<(), PluginInstanceError> {
        self.deactivate();
        self.rate = f64::from(rate);
        let configuration = PluginAudioConfiguration {
            sample_rate: self.rate,
            min_frames_count: 1,
            max_frames_count: longest_block.max(1),
        };
        self.processor = Some(self.plugin.activate(|_, _| (), configuration)?.into());
        Ok(())
    }

    pub fn start(&mut self) {
        self.processor.as_mut().expect("active").start_processing().expect("it starts");
    }

    pub fn stop(&mut self) {
        self.processor.as_mut().expect("active").stop_processing().expect("it stops");
    }

    pub fn reset(&mut self) {
        self.processor.as_mut().expect("active").reset();
    }

    pub fn deactivate(&mut self) {
        if let Some(processor) = self.processor.take() {
            self.plugin.deactivate(processor.into_stopped());
        }
    }

    /// Activates with engine and voices loaded, in a host that plays in real time.
    pub fn activate_ready(&mut self, rate: u32, longest_block: u32) {
        self.set_offline(true);
        self.activate(rate, longest_block);
        self.play(&[&[0.0; 16], &[0.0; 16]], &[16], Pace::Free, &[]);
        self.set_offline(false);
        self.activate(rate, longest_block);
        std::thread::sleep(Duration::from_millis(30));
    }

    pub fn latency(&mut self) -> usize {
        let handle = self.plugin.plugin_handle();
        let latency: PluginLatency = handle.get_extension().expect("the latency extension");
        latency.get(&handle) as usize
    }

    pub fn save(&mut self) -> Vec<u8> {
        let handle = self.plugin.plugin_handle();
        let state: PluginState = handle.get_extension().expect("the state extension");
        let mut bytes = Vec::new();
        state.save(&handle, &mut bytes).expect("a state");
        bytes
    }

    pub fn load(&mut self, mut bytes: &[u8]) -> bool {
        let handle = self.plugin.plugin_handle();
        let state: PluginState = handle.get_extension().expect("the state extension");
        state.load(&handle, &mut bytes).is_ok()
    }

    /// What a host does when it is idle.
    pub fn idle(&mut self) {
        self.plugin.call_on_main_thread_callback();
    }

    /// Id, name, largest value of all parameters.
    pub fn params(&mut self) -> Vec<(ClapId, String, f64)> {
        let handle = self.plugin.plugin_handle();
        let params: PluginParams = handle.get_extension().expect("the params extension");
        let each = |index| {
            let mut buffer = ParamInfoBuffer::new();
            let info = params.get_info(&handle, index, &mut buffer).expect("a parameter");
            (info.id, String::from_utf8_lossy(info.name).into_owned(), info.max_value)
        };
        (0..params.count(&handle)).map(each).collect()
    }

    pub fn id(&mut self, name: &str) -> ClapId {
        let params = self.params();
        params.iter().find(|(_, found, _)| found == name).unwrap_or_else(|| panic!("no parameter {name}")).0
    }

    /// The event that sets a parameter to what a text says.
    pub fn event(&mut self, at: usize, name: &str, text: &str) -> Event {
        let id = self.id(name);
        let handle = self.plugin.plugin_handle();
        let params: PluginParams = handle.get_extension().expect("the params extension");
        let text = std::ffi::CString::new(text).expect("a text");
        let value = params.text_to_value(&handle, id, &text).unwrap_or_else(|| panic!("{name} is not {text:?}"));
        Event { at, id, value }
    }

    pub fn value(&mut self, name: &str) -> f64 {
        let id = self.id(name);
        let handle = self.plugin.plugin_handle();
        let params: PluginParams = handle.get_extension().expect("the params extension");
        params.get_value(&handle, id).expect("a value")
    }

    pub fn text(&mut self, name: &str, value: f64) -> String {
        let id = self.id(name);
        let handle = self.plugin.plugin_handle();
        let params: PluginParams = handle.get_extension().expect("the params extension");
        let mut buffer = [0; 256];
        let text = params.value_to_text(&handle, id, value, &mut buffer).expect("a text");
        String::from_utf8_lossy(text).into_owned()
    }

    /// The text of the value that a parameter has.
    pub fn text_now(&mut self, name: &str) -> String {
        let value = self.value(name);
        self.text(name, value)
    }

    /// Sets a parameter at once, while no audio is played.
    pub fn set(&mut self, name: &str, text: &str) {
        let event = self.event(0, name, text);
        let mut events = EventBuffer::new();
        events.push(&ParamValueEvent::new(0, event.id, Pckn::match_all(), event.value));
        let mut out = EventBuffer::new();
        let params: PluginParams = self.plugin.plugin_handle().get_extension().expect("the params extension");
        match (&mut self.processor, self.plugin.inactive_plugin_handle()) {
            (Some(processor), _) => {
                params.flush_active(&mut processor.plugin_handle(), &events.as_input(), &mut out.as_output());
            }
            (None, Some(mut handle)) => params.flush(&mut handle, &events.as_input(), &mut out.as_output()),
            (None, None) => panic!("neither active nor inactive"),
        }
    }

    /// Plays `input` cut into `parts` on a fresh thread and returns all output channels.
    pub fn play(&mut self, input: &[&[f32]], parts: &[usize], pace: Pace, events: &[Event]) -> Vec<Vec<f32>> {
        let (ins, outs) = self.channels;
        let mut player = Player::new(ins, outs, parts.iter().copied().max().unwrap_or(0));
        let processor = self.processor.as_mut().expect("active").as_started_mut().expect("started");
        let rate = self.rate;
        std::thread::scope(|scope| {
            let audio = scope.spawn(move || player.play(processor, &input[..ins], parts, pace, rate, events));
            audio.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Plays one channel and returns the first one.
    pub fn play_mono(&mut self, input: &[f32], parts: &[usize], pace: Pace, events: &[Event]) -> Vec<f32> {
        self.play(&[input, input], parts, pace, events).swap_remove(0)
    }

    /// Gives the audio half to the caller, for tests with threads of their own.
    pub fn processor(&mut self) -> &mut StartedPluginAudioProcessor<Handlers> {
        self.processor.as_mut().expect("active").as_started_mut().expect("started")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.deactivate();
    }
}

/// The buffers of an audio thread.
pub struct Player {
    blocks: (Vec<Vec<f32>>, Vec<Vec<f32>>),
    ports: (AudioPorts, AudioPorts),
    events: EventBuffer,
    sent: EventBuffer,
}

impl Player {
    pub fn new(ins: usize, outs: usize, longest: usize) -> Self {
        Self {
            blocks: (vec![vec![0.0; longest]; ins], vec![vec![0.0; longest]; outs]),
            ports: (AudioPorts::with_capacity(ins, 1), AudioPorts::with_capacity(outs, 1)),
            events: EventBuffer::with_capacity(64),
            sent: EventBuffer::with_capacity(64),
        }
    }

    /// One block: `input` goes in, the result stands in [`Player::output`].
    pub fn block(
        &mut self,
        processor: &mut StartedPluginAudioProcessor<Handlers>,
        input: &[&[f32]],
        transport: Option<&TransportEvent>,
    ) {
        let events = std::mem::take(&mut self.events);
        self.block_with(processor, input, &events.as_input(), transport);
        self.events = events;
    }

    /// The same with the caller's events.
    pub fn block_with(
        &mut self,
        processor: &mut StartedPluginAudioProcessor<Handlers>,
        input: &[&[f32]],
        events: &InputEvents,
        transport: Option<&TransportEvent>,
    ) {
        let len = input.first().map_or(0, |channel| channel.len());
        for (block, channel) in self.blocks.0.iter_mut().zip(input) {
            block[..len].copy_from_slice(channel);
        }
        // What the plugin leaves alone would show.
        self.blocks.1.iter_mut().for_each(|block| block[..len].fill(1e9));
        let inputs = self.blocks.0.iter_mut().map(|block| InputChannel::variable(&mut block[..len]));
        let outputs = self.blocks.1.iter_mut().map(|block| &mut block[..len]);
        let inputs = AudioPortBuffer { latency: 0, channels: AudioPortBufferType::f32_input_only(inputs) };
        let outputs = AudioPortBuffer { latency: 0, channels: AudioPortBufferType::f32_output_only(outputs) };
        self.sent.clear();
        let status = processor.process(
            &self.ports.0.with_input_buffers([inputs]),
            &mut self.ports.1.with_output_buffers([outputs]),
            events,
            &mut self.sent.as_output(),
            None,
            transport,
        );
        assert!(status.is_ok(), "process says {status:?}");
    }

    pub fn output(&self, channel: usize) -> &[f32] {
        &self.blocks.1[channel]
    }

    fn play(
        &mut self,
        processor: &mut StartedPluginAudioProcessor<Handlers>,
        input: &[&[f32]],
        parts: &[usize],
        pace: Pace,
        rate: f64,
        events: &[Event],
    ) -> Vec<Vec<f32>> {
        let mut output = vec![Vec::new(); self.blocks.1.len()];
        let (begin, mut position) = (Instant::now(), 0);
        for len in parts {
            if let Pace::Timed(speed) = pace {
                let due = begin + Duration::from_secs_f64(position as f64 / (rate * speed));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            self.events.clear();
            for event in events.iter().filter(|event| (position..position + len).contains(&event.at)) {
                let time = (event.at - position) as u32;
                self.events.push(&ParamValueEvent::new(time, event.id, Pckn::match_all(), event.value));
            }
            let part: Vec<&[f32]> = input.iter().map(|channel| &channel[position..position + len]).collect();
            self.block(processor, &part, None);
            for (channel, all) in output.iter_mut().enumerate() {
                all.extend_from_slice(&self.output(channel)[..*len]);
            }
            position += len;
        }
        output
    }
}
