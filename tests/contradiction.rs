//! A host whose transport contradicts the rate that it announced, as the framework's JACK back end does: it says 48000
//! to `activate()` and plays at the server's rate. A CLAP host cannot, so the plugin is called without a wrapper.
#![cfg(feature = "plugin")]

mod common;
#[path = "common/reference.rs"]
mod reference;

use std::cell::Cell;

use coffre::engine::Mode;
use coffre::plugin::Coffre;
use nice_plug::context::process::SendEventError;
use nice_plug::prelude::{
    ActivateContext, AuxiliaryBuffers, Buffer, BufferConfig, Plugin, PluginApi, PluginNoteEvent, ProcessContext,
    ProcessMode, ProcessStatus, Transport,
};
use reference::{assert_same, converted, default_params};

/// What the plugin says, and the transport that it sees.
struct Context {
    transport: Transport,
    latency: Cell<u32>,
    restarts: Cell<u32>,
}

impl ActivateContext<Coffre> for Context {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Standalone
    }
    fn execute(&self, _task: fn()) {}
    fn set_latency_samples(&self, samples: u32) {
        self.latency.set(samples);
    }
    fn set_current_voice_capacity(&self, _: u32) {}
}

impl ProcessContext<Coffre> for Context {
    fn plugin_api(&self) -> PluginApi {
        PluginApi::Standalone
    }
    fn execute_background(&self, _task: fn()) {}
    fn execute_gui(&self, _task: fn()) {}
    fn transport(&self) -> &Transport {
        &self.transport
    }
    fn next_event(&mut self) -> Option<PluginNoteEvent<Coffre>> {
        None
    }
    fn try_send_event(
        &mut self,
        event: PluginNoteEvent<Coffre>,
    ) -> Result<(), (PluginNoteEvent<Coffre>, SendEventError)> {
        Err((event, SendEventError::NoOutputBuffer))
    }
    fn set_latency_samples(&self, _: u32) {
        panic!("the latency is constant while active");
    }
    fn request_restart(&self) {
        self.restarts.set(self.restarts.get() + 1);
    }
    fn set_current_voice_capacity(&self, _: u32) {}
}

/// The plugin and its host.
struct Host {
    plugin: Coffre,
    context: Context,
}

impl Host {
    fn new() -> Self {
        let context = Context { transport: Transport::new(48_000.0), latency: Cell::new(0), restarts: Cell::new(0) };
        Self { plugin: Coffre::default(), context }
    }

    fn activate(&mut self, announced: f32) {
        let config = BufferConfig {
            sample_rate: announced,
            min_buffer_size: None,
            max_buffer_size: 512,
            process_mode: ProcessMode::Offline,
        };
        // The last layout is mono.
        let layout = Coffre::AUDIO_IO_LAYOUTS[2];
        assert!(self.plugin.activate(&layout, &config, &mut self.context));
        self.plugin.reset();
        self.context.restarts.set(0);
    }

    /// Plays one channel in blocks that are longer than announced.
    fn play(&mut self, input: &[f32], actual: f32) -> Vec<f32> {
        self.context.transport = Transport::new(actual);
        let mut output = input.to_vec();
        for block in output.chunks_mut(1_024) {
            let mut buffer = Buffer::default();
            let len = block.len();
            // SAFETY: the slice lives until the call below has returned.
            unsafe { buffer.set_slices(len, |slices| *slices = vec![block]) };
            let mut aux = AuxiliaryBuffers { inputs: &mut [], outputs: &mut [] };
            let status = self.plugin.process(&mut buffer, &mut aux, &mut self.context);
            assert!(matches!(status, ProcessStatus::Tail(_)));
        }
        output
    }
}

#[test]
fn the_rate_that_is_played_wins_at_the_next_start() {
    let input = common::vocal_like(44_100, 44_100);
    let mut host = Host::new();
    host.activate(48_000.0);
    let at_48k = host.context.latency.get();
    let output = host.play(&input, 44_100.0);
    assert!(output.iter().all(|sample| sample.is_finite()));
    assert_eq!(host.context.restarts.get(), 1, "asked once");

    // The host announces the same again, and plays as before.
    host.activate(48_000.0);
    let latency = host.context.latency.get();
    assert_ne!(latency, at_48k);
    let output = host.play(&input, 44_100.0);
    let wanted = converted(&input, 44_100, Mode::Live, latency as usize, &[(0, default_params())]);
    assert_same(&output, &wanted, "at the rate that is played");
    assert_eq!(host.context.restarts.get(), 0, "all is well");

    // It has learned to tell the truth: one restart, then it is believed.
    host.play(&input, 48_000.0);
    assert_eq!(host.context.restarts.get(), 1);
    for (announced, actual) in [(48_000.0, 48_000.0), (44_100.0, 44_100.0), (48_000.0, 48_000.0)] {
        host.activate(announced);
        host.play(&input[..4_096], actual);
        assert_eq!(host.context.restarts.get(), 0, "{announced} Hz announced and played");
    }
    assert_eq!(host.context.latency.get(), at_48k);
}

#[test]
fn a_transport_without_a_sensible_rate_is_not_believed() {
    let mut host = Host::new();
    host.activate(48_000.0);
    let latency = host.context.latency.get();
    for rate in [0.0, -1.0, 1.0, f32::NAN, f32::INFINITY, 1e9, 48_000.4] {
        host.play(&[0.0; 4_096], rate);
    }
    assert_eq!(host.context.restarts.get(), 0);
    host.activate(48_000.0);
    assert_eq!(host.context.latency.get(), latency);
}
