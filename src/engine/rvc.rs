//! The RVC engine: content features, F0 and a voice's generator over a sliding window, crossfaded block by block.
//!
//! ```text
//! hop ─▶ 16 kHz ─┬─▶ ContentVec ─▶ retrieval ─▶ protect ─┐
//!                └─▶ F0 ─▶ transpose ─▶ classes, sine ───┴─▶ generator ─▶ 48 kHz ─▶ level ─▶ splice ─▶ gate ─▶ hop
//! ```
//!
//! Once per block the networks run over the whole window ([`geometry`]); the hops between only collect. Sine phase and
//! noise belong to absolute places, so neighbouring windows agree where they overlap and the delay is exact; graphs that
//! make their own sine are aligned by a search around the same place, at most [`SEARCH_LEN`] samples to each side. Runs on
//! the worker thread of a plugin instance or in the command line. Knows no thread, clock, host or file.

mod block;
pub mod contentvec;
pub mod generator;
pub mod geometry;
mod hearing;
mod intake;
pub mod level;
pub mod loaded;
mod memory;
pub mod net;
pub mod pitch;
mod ready;
pub mod retrieval;
pub mod rmvpe;
mod singer;
pub mod source;
pub mod splice;
pub mod track;

use std::sync::Arc;

use block::Block;
use generator::Window;
use geometry::{GUARD, Geometry};
use hearing::Hearing;
use intake::Intake;
use loaded::Loaded;
use memory::{Memory, Remembered};
use ready::Ready;
use retrieval::Neighbour;
use singer::Singer;
use track::Unvoiced;

use super::gate::{Gate, GateRamp};
use super::profile::SourceProfile;
use super::register::{OctaveKeeper, SungBand, distance_st, semitones_st};
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, Prepared, RegisterMode, VOICE_SLOTS, clean_hop};
use crate::dsp::decimator::DECIMATION;
use crate::onnx::GraphError;
use crate::provenance::Mark;

/// Samples at the engine's rate by which a block of a foreign graph may move to fit its neighbour: 5 ms.
pub const SEARCH_LEN: usize = 240;

/// Samples of a hop at 16 kHz.
const LOW_HOP_LEN: usize = HOP_LEN / DECIMATION;

/// What RVC lets its users choose and no other engine has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RvcOptions {
    /// Share of the retrieved features that unvoiced frames keep, in `0.0..=0.5`; 0.5 = all, as everywhere.
    pub protect: f32,
    /// Share of the voice's own loudness contour, in `0.0..=1.0`; 0 = that of the input.
    pub own_level: f32,
    /// Excitation where there is no pitch.
    pub unvoiced: Unvoiced,
    /// Speaker of a voice with several.
    pub speaker: usize,
}

impl Default for RvcOptions {
    fn default() -> Self {
        Self { protect: 0.33, own_level: 0.25, unvoiced: Unvoiced::Classic, speaker: 0 }
    }
}

/// The engine. Allocates when a voice is put in and once per block.
pub struct RvcEngine {
    geometry: Geometry,
    options: RvcOptions,
    slots: [Option<Ready>; VOICE_SLOTS],
    intake: Intake,
    hearing: Hearing,
    singer: Singer,
    octaves: OctaveKeeper,
    gate: Gate,
    memory: Memory,
    ramp: GateRamp,
    block: Block,
    /// Cycles of the sine before the first decoded frame of the next window.
    phase: f64,
    /// Why there is no block: all of its hops fail then, so that the fallback sounds and no silence.
    failure: Option<EngineError>,
    /// What the watermark of the current block says.
    mark: Option<Mark>,
    /// Output samples since the reset that are not heard.
    unheard_len: usize,
    found: Vec<Neighbour>,
}

impl std::fmt::Debug for RvcEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hops = self.memory.hops();
        f.debug_struct("RvcEngine").field("geometry", &self.geometry).field("hops", &hops).finish_non_exhaustive()
    }
}

impl RvcEngine {
    /// An engine without voices.
    pub fn new(geometry: Geometry, options: RvcOptions) -> Self {
        let window = geometry.window();
        Self {
            geometry,
            options,
            slots: Default::default(),
            intake: Intake::new(window),
            hearing: Hearing::new(geometry),
            singer: Singer::new(),
            octaves: OctaveKeeper::default(),
            gate: Gate::new(),
            memory: Memory::new(window + 1),
            ramp: GateRamp::default(),
            block: Block::new(geometry),
            phase: 0.0,
            failure: None,
            mark: None,
            unheard_len: 0,
            found: Vec::new(),
        }
    }

    /// Lets `listener` learn the singer when [`Engine::learn_profile`] asks for it; without one that does nothing.
    pub fn set_listener(&mut self, listener: Box<dyn Engine>) {
        self.singer.set_listener(listener);
    }

    /// Semitones from the singer's median to that of the voice in a slot; `None` when nobody knows the voice's.
    fn distance_st(&self, slot: usize) -> Option<f32> {
        let ready = self.slots.get(slot).and_then(Option::as_ref);
        let target = ready.and_then(|ready| ready.loaded.voice.manifest().register_hz());
        target.map(|target| distance_st(self.singer.median_hz(), target))
    }

    /// Octaves of the newest hop, in semitones.
    fn next_octaves_st(&mut self, slot: usize, f0_hz: f32) -> f32 {
        let voice = self.slots.get(slot).and_then(Option::as_ref).map(|ready| &ready.loaded.voice);
        let is_sung = voice.is_some_and(|voice| voice.manifest().is_sung());
        let choice = [voice.map(|voice| voice.id()), None];
        let distance = self.distance_st(slot).filter(|_| self.singer.is_known());
        self.octaves.next(choice, distance.map(|distance| SungBand::new(distance, is_sung)), f0_hz)
    }

    /// Semitones that the parameters of a hop ask for, with the register of the voice that is heard.
    fn shift_st(&self, hop: i64, heard_slot: usize) -> f32 {
        self.memory.at(hop).params.transpose_st + self.register_st(hop, heard_slot)
    }

    /// How far the register moves, in semitones.
    fn register_st(&self, hop: i64, heard_slot: usize) -> f32 {
        let Remembered { params, octaves_st, .. } = self.memory.at(hop);
        match params.register {
            RegisterMode::Off => 0.0,
            RegisterMode::Semitones => self.distance_st(heard_slot).map_or(0.0, semitones_st),
            RegisterMode::Octaves => *octaves_st,
        }
    }

    /// Puts a voice into a slot.
    fn load(&mut self, slot: usize, loaded: Arc<Loaded>) {
        self.hearing.use_graph(loaded.pitch.as_ref());
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Ready::new(loaded, self.geometry));
        }
    }

    /// Runs the networks over the window that is complete now and fills the block.
    fn run_block(&mut self) -> Result<(), GraphError> {
        let geometry = self.geometry;
        let (window, decoded) = (geometry.window(), geometry.decoded());
        let hops = self.memory.hops();
        let start = hops as i64 - window as i64;
        let first = start + (window - decoded) as i64;
        let heard = self.memory.at(first + GUARD as i64).params;
        let ready = self.slots.get(heard.voice_slot).and_then(Option::as_ref);
        self.mark = ready.filter(|_| heard.is_marked).map(|ready| ready.loaded.mark);

        let mut result = self.ask_rmvpe();
        let mut f0_hz = self.hearing.window(start);
        for (n, f0_hz) in f0_hz.iter_mut().enumerate() {
            *f0_hz *= (self.shift_st(start + n as i64, heard.voice_slot) / 12.0).exp2();
        }
        if self.options.unvoiced == Unvoiced::Interpolated {
            track::interpolate(&mut f0_hz);
        }
        let phase = self.phase;
        for &f0_hz in &f0_hz[window - decoded..][..geometry.block] {
            self.phase = source::advance(self.phase, f0_hz);
        }

        if self.is_unheard() {
            self.block.silence();
            return Ok(());
        }

        // The sound of the frames at the engine's rate, as it would be heard without a neighbour.
        let mut sound = vec![0.0; geometry.made() * HOP_LEN];
        let mut offset = GUARD * HOP_LEN;
        let input = self.intake.since(decoded, sound.len());
        match &mut self.slots[heard.voice_slot.min(VOICE_SLOTS - 1)] {
            None => sound.copy_from_slice(input),
            Some(_) if !self.memory.is_open_since(first) => {}
            Some(ready) => {
                let amount = heard.likeness.clamp(0.0, 1.0);
                let is_protected = self.options.protect < 0.5 && ready.generator.has_f0();
                let protect = if is_protected { self.options.protect } else { 1.0 };
                let phone = ready.content.update(self.intake.low(), hops as i64).map(|()| {
                    // As in RVC: below 1 Hz is unvoiced.
                    let keeps = |frame: usize| if f0_hz[frame] < 1.0 { protect } else { 1.0 };
                    let mut phone = ready.content.phone().to_vec();
                    ready.retrieve(&mut phone, window - decoded, amount, keeps, &mut self.found);
                    phone
                });
                let formant = (heard.formant_st / 12.0).exp2();
                result = result.and(phone).and_then(|phone| {
                    ready.render(&Window { start, phone: &phone, f0_hz: &f0_hz, phase, formant }, decoded, &mut sound)
                });
                if result.is_err() {
                    sound.fill(0.0);
                } else {
                    level::mix(input, &mut sound, self.options.own_level, HOP_LEN);
                    if !ready.generator.is_aligned() {
                        offset = self.block.best_offset(&sound, offset);
                    }
                }
            }
        }
        self.block.take(&mut sound[offset..]);
        result
    }

    /// Whether nothing of the block that is complete now is heard.
    fn is_unheard(&self) -> bool {
        (self.memory.hops() - 1 + self.geometry.block) * HOP_LEN <= self.unheard_len
    }

    /// Brings the F0 by RMVPE up to the window that is complete now.
    fn ask_rmvpe(&mut self) -> Result<(), GraphError> {
        let Some(seen) = self.hearing.seen() else { return Ok(()) };
        let from = self.memory.hops() as i64 - seen as i64;
        let is_asked = !self.is_unheard() && self.memory.is_open_since(from);
        self.hearing.update(is_asked.then_some(self.intake.low()))
    }

    /// Applies the gate of the hop that is heard now.
    fn close(&mut self, output: &mut [f32]) {
        let lag = self.geometry.block + self.geometry.crossfade + self.geometry.margin - 1;
        self.ramp.apply(self.memory.gate(self.memory.newest() - lag as i64), output);
    }
}

impl Engine for RvcEngine {
    fn latency_len(&self) -> usize {
        self.geometry.latency_len()
    }

    fn tail_len(&self) -> usize {
        self.geometry.tail_len()
    }

    fn put(&mut self, slot: usize, voice: Option<Prepared>) {
        match voice {
            Some(Prepared::Rvc(loaded)) => self.load(slot, loaded),
            _ => {
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = None;
                }
            }
        }
    }

    fn set_profile(&mut self, profile: Option<Arc<SourceProfile>>) {
        self.singer.set_profile(profile);
    }

    fn learn_profile(&mut self, is_on: bool) {
        self.singer.learn(is_on);
    }

    fn take_profile(&mut self) -> Option<SourceProfile> {
        self.singer.take_profile()
    }

    fn expect_unheard(&mut self, len: usize) {
        self.unheard_len = len;
    }

    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn reset(&mut self) {
        self.slots.iter_mut().flatten().for_each(|ready| ready.content.reset());
        self.intake.reset();
        self.hearing.reset();
        self.octaves.reset();
        self.gate = Gate::new();
        self.memory.reset();
        self.ramp = GateRamp::default();
        self.block.silence();
        self.phase = 0.0;
        self.failure = None;
        self.mark = None;
        self.unheard_len = 0;
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        let clean = clean_hop(input);
        let low = self.intake.push(&clean);
        let own_hz = self.hearing.push(&low);
        let rms = (crate::dsp::dot(&clean, &clean) / HOP_LEN as f32).sqrt();
        let octaves_st = self.next_octaves_st(params.voice_slot, own_hz);
        let gate = self.gate.next(rms, params.gate_db);
        self.memory.push(Remembered { params: *params, octaves_st, gate });

        let (hops, block) = (self.memory.hops(), self.geometry.block);
        if hops.is_multiple_of(block) {
            self.failure = self.run_block().err().map(EngineError::from);
        }
        let part = hops % block;
        output.copy_from_slice(self.block.hop(part));
        self.close(output);
        let f0_source_hz = self.hearing.shown_hz(part, own_hz);
        let newest = self.memory.newest();
        let report = HopReport {
            f0_source_hz,
            f0_output_hz: f0_source_hz * (self.shift_st(newest, params.voice_slot) / 12.0).exp2(),
            confidence: 1.0,
            profile_progress: self.singer.listen(params, &clean),
            register_st: self.register_st(newest, params.voice_slot),
        };
        match &self.failure {
            None => Ok(report),
            Some(EngineError::Graph { graph, reason }) => {
                output.fill(0.0);
                Err(EngineError::Graph { graph, reason: reason.clone() })
            }
        }
    }
}
