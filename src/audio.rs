//! The audio thread's half: down-mix, dry delay, exchange with the worker, mix, gains, declicking, meters.
//!
//! Allocates in [`Processor::new`] only. Between two calls of [`Processor::process`] only delay lines and counters are kept,
//! and the output does not depend on the host's block sizes. Knows no engine, voice, file or framework.

pub mod clock;
pub mod declick;
pub mod delay;
pub mod meter;
pub mod preview;
pub mod ramp;
pub mod wet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bridge::link::AudioEnd;
use crate::bridge::{PreviewEnd, RunState, Telemetry};
use crate::dsp::downmix::{Choice, DownMix};
use crate::engine::HopParams;

use clock::Clock;
use declick::Declick;
use delay::Delay;
use meter::Meter;
use preview::PreviewPlayer;
use ramp::Ramp;
use wet::{Outcome, Presence, Wet};

/// Length of the ramps of mix, gains and bypass, in seconds.
const RAMP_S: f32 = 0.01;

/// Most channels.
pub const MAX_CHANNELS: usize = 2;

/// What sounds while the converted signal is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The input, delayed by the latency.
    Dry,
    /// Nothing.
    Silence,
}

/// Why the chosen voice does not sound although the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It needs the other engine, which comes when the host starts the audio again.
    OtherEngine,
    /// It cannot be used.
    NoVoice,
}

/// The parameters of one block. They act on the audio that enters with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Controls {
    /// What the engine gets.
    pub hop: HopParams,
    /// Share of the converted signal, in `0.0..=1.0`; the rest is dry.
    pub mix: f32,
    /// Gain at the input, linear; also of the dry signal, so that mixing keeps its balance.
    pub input_gain: f32,
    /// Gain after the mix, linear.
    pub output_gain: f32,
    /// Whether the input is passed on as it is, delayed by the latency.
    pub is_bypassed: bool,
    /// What sounds while the converted signal is not there.
    pub fallback: Fallback,
    /// Whether what enters now is to sound as the fallback.
    pub obstacle: Option<Obstacle>,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            hop: HopParams::default(),
            mix: 1.0,
            input_gain: 1.0,
            output_gain: 1.0,
            is_bypassed: false,
            fallback: Fallback::Dry,
            obstacle: None,
        }
    }
}

/// A control on its way: a ramp at the moment of the change, heard `latency` samples later, with the audio.
#[derive(Debug)]
struct DelayedControl {
    ramp: Ramp,
    delay: Delay,
}

impl DelayedControl {
    fn new(ramp_len: u32, latency: usize) -> Self {
        Self { ramp: Ramp::new(ramp_len, 0.0), delay: Delay::new(latency) }
    }

    fn jump(&mut self, value: f32) {
        self.ramp.jump(value);
        self.delay.fill(value);
    }

    /// The value for the sample that enters, and the one for the sample that is heard.
    fn step(&mut self) -> (f32, f32) {
        let now = self.ramp.step();
        (now, self.delay.step(now))
    }
}

/// One activation's audio path.
#[derive(Debug)]
pub struct Processor {
    telemetry: Arc<Telemetry>,
    /// The block length that the latency was chosen for; longer blocks are served in parts of it.
    block_len: usize,
    wet: Wet,
    clock: Clock,
    dry: [Delay; MAX_CHANNELS],
    declick: [Declick; MAX_CHANNELS],
    mix: DelayedControl,
    input_gain: DelayedControl,
    output_gain: DelayedControl,
    bypass: DelayedControl,
    fallback: Fallback,
    obstacle: Option<Obstacle>,
    /// 1.0 where the audio that is heard entered with an obstacle.
    blocked: Delay,
    input_meter: Meter,
    output_meter: Meter,
    preview: Option<PreviewPlayer>,
    /// Whether the next block is the first one: its controls hold at once.
    is_fresh: bool,
    hop_len: usize,
    /// Length of the gap so far.
    late_len: usize,
    down: DownMix,
    mono: Vec<f32>,
    converted: Vec<f32>,
    presence: Vec<Presence>,
    dry_now: [Vec<f32>; MAX_CHANNELS],
    gain_now: Vec<f32>,
}

impl Processor {
    /// The audio path for a host that calls with blocks of `block_len` samples and was told `latency`.
    ///
    /// Allocates everything that [`Processor::process`] needs. [main-thread]
    pub fn new(link: AudioEnd, telemetry: Arc<Telemetry>, latency: u32, block_len: usize) -> Self {
        let host_rate = link.config().host_rate;
        let block_len = block_len.max(1);
        let ramp_len = (host_rate as f32 * RAMP_S) as u32;
        let control = || DelayedControl::new(ramp_len, latency as usize);
        let buffer = || vec![0.0; block_len];
        Self {
            telemetry,
            block_len,
            wet: Wet::new(link, latency, block_len),
            clock: Clock::new(host_rate, block_len),
            dry: std::array::from_fn(|_| Delay::new(latency as usize)),
            declick: [Declick::new(host_rate); MAX_CHANNELS],
            mix: control(),
            input_gain: control(),
            output_gain: control(),
            bypass: control(),
            fallback: Fallback::Dry,
            obstacle: None,
            blocked: Delay::new(latency as usize),
            input_meter: Meter::new(host_rate),
            output_meter: Meter::new(host_rate),
            preview: None,
            is_fresh: true,
            hop_len: (host_rate as usize / 100).max(1),
            late_len: 0,
            down: DownMix::new(MAX_CHANNELS, Choice::Sum),
            mono: buffer(),
            converted: buffer(),
            presence: vec![Presence::Missing; block_len],
            dry_now: std::array::from_fn(|_| buffer()),
            gain_now: buffer(),
        }
    }

    /// Lets previews of voices be heard that come by this end. [main-thread]
    pub fn set_preview(&mut self, end: PreviewEnd) {
        self.preview = Some(PreviewPlayer::new(end));
    }

    /// Whether a preview is heard: the host must go on calling then. [audio-thread]
    pub fn is_previewing(&self) -> bool {
        self.preview.as_ref().is_some_and(PreviewPlayer::is_playing)
    }

    /// Forgets all audio. Does not allocate. [audio-thread]
    pub fn reset(&mut self) {
        self.wet.reset();
        self.down.reset();
        self.clock.reset();
        for channel in 0..MAX_CHANNELS {
            self.dry[channel].fill(0.0);
            self.declick[channel].reset();
        }
        self.input_meter.reset();
        self.output_meter.reset();
        if let Some(preview) = &mut self.preview {
            preview.reset();
        }
        self.is_fresh = true;
    }

    /// Whether the host plays in real time as far as is known. [audio-thread]
    pub fn is_real_time(&self) -> bool {
        self.clock.is_real_time()
    }

    /// Whether the host has rendered as fast as it could while it claimed to play.
    pub fn has_rendered(&self) -> bool {
        self.clock.has_rendered()
    }

    /// Takes over from an earlier activation that the host has rendered.
    pub fn expect_rendering(&mut self) {
        self.clock.expect_rendering();
    }

    /// Converts one block of any length in place. `channels` holds one or two channels of equal length, of which the
    /// first `input_count` carry input. `is_offline`: the host said that it renders.
    ///
    /// # Realtime safety
    /// Neither allocates, locks, nor waits; see [`clock`] for hosts that do not play in real time. [audio-thread]
    pub fn process(&mut self, channels: &mut [&mut [f32]], input_count: usize, controls: &Controls, is_offline: bool) {
        let len = channels.iter().map(|channel| channel.len()).min().unwrap_or(0);
        self.take_controls(controls);
        let now = Instant::now();
        self.clock.begin(now, len, is_offline);
        self.wet.set_real_time(self.clock.is_real_time());
        let progress = self.wet.progress();
        let allowed = self.clock.patience(len, self.wet.is_loading(), progress);
        let mut patience = allowed;
        let mut begin = 0;
        while begin < len {
            let end = (begin + self.block_len).min(len);
            self.process_part(channels, input_count, begin..end, &controls.hop, &mut patience);
            begin = end;
        }
        if let Some(preview) = &mut self.preview {
            preview.mix(channels, len, now, self.clock.is_real_time());
        }
        let end = Instant::now();
        // A wait without hope gives up all patience at once.
        self.clock.end(end, allowed.saturating_sub(patience).min(end - now));
        self.telemetry.set_levels(self.input_meter.take(), self.output_meter.take());
        self.telemetry.set_run(self.run_state());
    }

    fn take_controls(&mut self, controls: &Controls) {
        let targets = [
            (&mut self.mix, controls.mix),
            (&mut self.input_gain, controls.input_gain),
            (&mut self.output_gain, controls.output_gain),
            (&mut self.bypass, if controls.is_bypassed { 1.0 } else { 0.0 }),
        ];
        for (control, target) in targets {
            if self.is_fresh { control.jump(target) } else { control.ramp.set(target) }
        }
        self.fallback = controls.fallback;
        self.obstacle = controls.obstacle;
        if self.is_fresh {
            self.blocked.fill(0.0);
        }
        self.is_fresh = false;
    }

    fn run_state(&self) -> RunState {
        if self.wet.is_stopped() {
            RunState::Stopped
        } else if self.wet.is_loading() {
            RunState::Starting
        } else if let Some(obstacle) = self.obstacle {
            match obstacle {
                Obstacle::OtherEngine => RunState::OtherEngine,
                Obstacle::NoVoice => RunState::NoVoice,
            }
        } else if self.wet.is_in_gap() {
            RunState::Late
        } else {
            RunState::Converting
        }
    }

    /// Converts the samples `range` of a block; at most `block_len` of them.
    fn process_part(
        &mut self,
        channels: &mut [&mut [f32]],
        input_count: usize,
        range: std::ops::Range<usize>,
        params: &HopParams,
        patience: &mut Duration,
    ) {
        let len = range.len();
        self.take_input(channels, input_count, range.clone());
        let before = self.wet.progress();
        let asked = *patience;
        let outcome = self.wet.process(
            &self.mono[..len],
            params,
            &mut self.converted[..len],
            &mut self.presence[..len],
            patience,
        );
        self.note_outcome(&outcome, asked, before);
        self.mix_output(channels, range);
    }

    /// Cleans the input, keeps it for the dry path and mixes it down for the engine.
    fn take_input(&mut self, channels: &mut [&mut [f32]], input_count: usize, range: std::ops::Range<usize>) {
        let inputs = input_count.clamp(1, channels.len().clamp(1, MAX_CHANNELS));
        let mut bad_samples = 0;
        for (index, place) in range.enumerate() {
            let mut frame = [0.0; MAX_CHANNELS];
            for (channel, heard) in frame.iter_mut().enumerate() {
                // A second output channel without an input gets the first one's.
                let source = channel.min(inputs - 1);
                let mut sample = channels.get(source).map_or(0.0, |samples| samples[place]);
                let is_bad = !sample.is_finite();
                if is_bad {
                    sample = 0.0;
                }
                if channel < inputs {
                    *heard = sample;
                    bad_samples += u64::from(is_bad);
                }
                self.dry_now[channel][index] = self.dry[channel].step(sample);
            }
            // The dry path keeps the sample as it is and gets its gain when it is heard.
            let (gain, gain_heard) = self.input_gain.step();
            let heard = if inputs == MAX_CHANNELS { self.down.step(&frame) } else { frame[0] };
            self.mono[index] = heard * gain;
            self.gain_now[index] = gain_heard;
            self.input_meter.step(self.mono[index]);
        }
        self.telemetry.add_bad_samples(bad_samples);
    }

    /// Mixes converted and dry into the channels.
    fn mix_output(&mut self, channels: &mut [&mut [f32]], range: std::ops::Range<usize>) {
        let blocked = if self.obstacle.is_some() { 1.0 } else { 0.0 };
        for (index, place) in range.enumerate() {
            let is_blocked = self.blocked.step(blocked) > 0.5;
            let mix = self.mix.step().1;
            let output_gain = self.output_gain.step().1;
            let bypass = self.bypass.step().1;
            let converted = match self.presence[index] {
                Presence::There if !is_blocked => Some(self.converted[index]),
                Presence::There | Presence::Fault | Presence::Missing => None,
            };
            for (channel, samples) in channels.iter_mut().enumerate().take(MAX_CHANNELS) {
                let untouched = self.dry_now[channel][index];
                let dry = untouched * self.gain_now[index];
                let fallback = match self.fallback {
                    Fallback::Dry => dry,
                    Fallback::Silence => 0.0,
                };
                let wet = self.declick[channel].step(converted, fallback);
                let mixed = (wet * mix + dry * (1.0 - mix)) * output_gain;
                let sample = mixed * (1.0 - bypass) + untouched * bypass;
                // Only gains on samples beyond any sense get here.
                let sample = if sample.is_finite() { sample } else { 0.0 };
                samples[place] = sample;
                if channel == 0 {
                    self.output_meter.step(sample);
                }
            }
        }
    }

    fn note_outcome(&mut self, outcome: &Outcome, asked: Duration, progress: (u32, u64)) {
        if outcome.waited_in_vain.is_some() {
            self.clock.waited_in_vain(asked, progress);
        }
        if outcome.late_len > 0 {
            // A gap counts as one late hop at once and as one more per further hop.
            let before = if outcome.gap_began { 0 } else { self.late_len };
            self.late_len = before + outcome.late_len;
            let hops = self.late_len.div_ceil(self.hop_len) - before.div_ceil(self.hop_len);
            self.telemetry.add_late_hops(hops as u64);
        }
    }
}
