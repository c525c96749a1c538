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

pub mod contentvec;
pub mod generator;
pub mod geometry;
pub mod level;
pub mod loaded;
pub mod net;
pub mod pitch;
mod ready;
pub mod retrieval;
pub mod rmvpe;
pub mod source;
pub mod splice;
pub mod track;

use std::sync::Arc;

use generator::Window;
use geometry::{GUARD, Geometry};
use loaded::Loaded;
use ready::Ready;
use retrieval::Neighbour;
use rmvpe::PitchLine;
use track::{F0History, Unvoiced};

use super::f0::{F0_DELAY_HOPS, F0Tracker, lag_frames};
use super::gate::{Gate, GateRamp};
use super::profile::SourceProfile;
use super::register::{OctaveKeeper, SungBand, distance_st, semitones_st};
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, Prepared, RegisterMode, VOICE_SLOTS, clean_hop};
use crate::dsp::decimator::{DECIMATION, DECIMATOR_DELAY_LEN, Decimator};
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
    decimator: Decimator,
    tracker: F0Tracker,
    f0: F0History,
    /// F0 by RMVPE, if the voices came with it.
    pitch: Option<PitchLine>,
    /// F0 of the frames of the current block where RMVPE decides, before transposition, in Hz.
    heard_f0_hz: Vec<f32>,
    gate: Gate,
    /// The newest window and a hop, at the engine's rate and at 16 kHz.
    input: Vec<f32>,
    low: Vec<f32>,
    /// By hop modulo their length, at least a window.
    params: Vec<HopParams>,
    /// Octaves in semitones, by hop as the parameters.
    octaves_st: Vec<f32>,
    octaves: OctaveKeeper,
    gate_gains: Vec<f32>,
    ramp: GateRamp,
    hops: usize,
    /// Cycles of the sine before the first decoded frame of the next window.
    phase: f64,
    /// End of the last block, to be faded from.
    tail: Vec<f32>,
    /// The current block.
    block: Vec<f32>,
    /// Why there is none: all of its hops fail then, so that the fallback sounds and no silence.
    failure: Option<EngineError>,
    /// What the watermark of the current block says.
    mark: Option<Mark>,
    /// Median F0 of the singer, in Hz.
    source_median_hz: f32,
    /// Whether that was learned.
    is_source_known: bool,
    /// Listens beside the conversion while the singer is being learned; this engine needs only the median itself, but a
    /// profile is the singer's for both engines.
    listener: Option<Box<dyn Engine>>,
    is_learning: bool,
    /// Output samples since the reset that are not heard.
    unheard_len: usize,
    found: Vec<Neighbour>,
    report: HopReport,
}

impl std::fmt::Debug for RvcEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RvcEngine").field("geometry", &self.geometry).field("hops", &self.hops).finish_non_exhaustive()
    }
}

impl RvcEngine {
    /// An engine without voices.
    pub fn new(geometry: Geometry, options: RvcOptions) -> Self {
        let window = geometry.window();
        let mut engine = Self {
            geometry,
            options,
            slots: Default::default(),
            decimator: Decimator::new(HOP_LEN),
            tracker: F0Tracker::new(geometry.mode),
            f0: F0History::new(window + 1, 0),
            pitch: None,
            heard_f0_hz: vec![0.0; geometry.block],
            gate: Gate::new(),
            input: Vec::new(),
            low: Vec::new(),
            params: vec![HopParams::default(); window + 1],
            octaves_st: vec![0.0; window + 1],
            octaves: OctaveKeeper::default(),
            gate_gains: vec![0.0; window + 1],
            ramp: GateRamp::default(),
            hops: 0,
            phase: 0.0,
            tail: vec![0.0; geometry.crossfade * HOP_LEN],
            block: vec![0.0; geometry.block * HOP_LEN],
            failure: None,
            mark: None,
            source_median_hz: SourceProfile::population().median_f0_hz,
            is_source_known: false,
            listener: None,
            is_learning: false,
            unheard_len: 0,
            found: Vec::new(),
            report: HopReport::default(),
        };
        engine.reset();
        engine
    }

    /// Lets `listener` learn the singer when [`Engine::learn_profile`] asks for it; without one that does nothing.
    pub fn set_listener(&mut self, listener: Box<dyn Engine>) {
        self.listener = Some(listener);
    }

    /// Semitones from the singer's median to that of the voice in a slot; `None` when nobody knows the voice's.
    fn distance_st(&self, slot: usize) -> Option<f32> {
        let ready = self.slots.get(slot).and_then(Option::as_ref);
        let target = ready.and_then(|ready| ready.loaded.voice.manifest().register_hz());
        target.map(|target| distance_st(self.source_median_hz, target))
    }

    /// Octaves of the newest hop, in semitones.
    fn next_octaves_st(&mut self, slot: usize, f0_hz: f32) -> f32 {
        let voice = self.slots.get(slot).and_then(Option::as_ref).map(|ready| &ready.loaded.voice);
        let is_sung = voice.is_some_and(|voice| voice.manifest().is_sung());
        let choice = [voice.map(|voice| voice.id()), None];
        let distance = self.distance_st(slot).filter(|_| self.is_source_known);
        self.octaves.next(choice, distance.map(|distance| SungBand::new(distance, is_sung)), f0_hz)
    }

    /// Semitones that the parameters of a hop ask for, with the register of the voice that is heard.
    fn shift_st(&self, hop: i64, heard_slot: usize) -> f32 {
        let params = self.params_of(hop);
        params.transpose_st + self.register_st(hop, heard_slot)
    }

    /// How far the register moves, in semitones.
    fn register_st(&self, hop: i64, heard_slot: usize) -> f32 {
        match self.params_of(hop).register {
            RegisterMode::Off => 0.0,
            RegisterMode::Semitones => self.distance_st(heard_slot).map_or(0.0, semitones_st),
            RegisterMode::Octaves => self.octaves_st[self.place_of(hop)],
        }
    }

    /// Puts a voice into a slot.
    fn load(&mut self, slot: usize, loaded: Arc<Loaded>) {
        // All voices come with the same graph, unless it was replaced meanwhile: then the newest counts.
        match &loaded.pitch {
            None => self.pitch = None,
            Some(rmvpe) if self.pitch.as_ref().is_some_and(|line| line.is_of(rmvpe)) => {}
            Some(rmvpe) => self.pitch = Some(PitchLine::new(rmvpe.clone(), self.geometry)),
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(Ready::new(loaded, self.geometry));
        }
    }

    fn params_of(&self, hop: i64) -> &HopParams {
        &self.params[self.place_of(hop)]
    }

    /// Where the parameters of a hop lie; of the nearest one that is kept.
    fn place_of(&self, hop: i64) -> usize {
        let oldest = self.hops as i64 - self.params.len() as i64;
        let hop = hop.max(oldest).clamp(0, (self.hops as i64 - 1).max(0));
        hop as usize % self.params.len()
    }

    fn gate_of(&self, hop: i64) -> f32 {
        let is_kept = hop >= 0 && hop < self.hops as i64 && hop >= self.hops as i64 - self.gate_gains.len() as i64;
        if is_kept { self.gate_gains[hop as usize % self.gate_gains.len()] } else { 0.0 }
    }

    /// Runs the networks over the window that is complete now and fills `block`.
    fn run_block(&mut self) -> Result<(), GraphError> {
        let geometry = self.geometry;
        let (window, decoded) = (geometry.window(), geometry.decoded());
        let start = self.hops as i64 - window as i64;
        let first = start + (window - decoded) as i64;
        let heard = *self.params_of(first + GUARD as i64);
        let ready = self.slots.get(heard.voice_slot).and_then(Option::as_ref);
        self.mark = ready.filter(|_| heard.is_marked).map(|ready| ready.loaded.mark);

        let mut f0_hz = vec![0.0; window];
        self.f0.copy(start, &mut f0_hz);
        let mut result = self.ask_rmvpe();
        if let Some(line) = &self.pitch {
            line.replace(&mut f0_hz);
            self.heard_f0_hz.copy_from_slice(&f0_hz[window - decoded + GUARD..][..geometry.block]);
        }
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
            self.block.fill(0.0);
            self.tail.fill(0.0);
            return Ok(());
        }

        // The sound of the frames at the engine's rate, as it would be heard without a neighbour.
        let is_open = (first..self.hops as i64).any(|hop| self.gate_of(hop) > 0.0);
        let mut sound = vec![0.0; geometry.made() * HOP_LEN];
        let mut offset = GUARD * HOP_LEN;
        let input_end = self.input.len() - DECIMATOR_DELAY_LEN;
        let input = &self.input[input_end - decoded * HOP_LEN..][..sound.len()];
        match &mut self.slots[heard.voice_slot.min(VOICE_SLOTS - 1)] {
            None => sound.copy_from_slice(input),
            Some(_) if !is_open => {}
            Some(ready) => {
                let amount = heard.likeness.clamp(0.0, 1.0);
                let is_protected = self.options.protect < 0.5 && ready.generator.has_f0();
                let protect = if is_protected { self.options.protect } else { 1.0 };
                let phone = ready.content.update(&self.low, self.hops as i64).map(|()| {
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
                        let from = offset - SEARCH_LEN;
                        offset = from + splice::best_offset(&sound[from..], &self.tail, 2 * SEARCH_LEN);
                    }
                }
            }
        }
        let sound = &mut sound[offset..];
        splice::crossfade(&self.tail, sound);
        let block_len = self.block.len();
        self.block.copy_from_slice(&sound[..block_len]);
        self.tail.copy_from_slice(&sound[block_len..][..geometry.crossfade * HOP_LEN]);
        result
    }
}

impl RvcEngine {
    /// Whether nothing of the block that is complete now is heard.
    fn is_unheard(&self) -> bool {
        (self.hops - 1 + self.geometry.block) * HOP_LEN <= self.unheard_len
    }

    /// Brings the F0 by RMVPE up to the window that is complete now.
    fn ask_rmvpe(&mut self) -> Result<(), GraphError> {
        let Some(line) = &self.pitch else { return Ok(()) };
        let from = self.hops as i64 - line.seen() as i64;
        let is_asked = !self.is_unheard() && (from..self.hops as i64).any(|hop| self.gate_of(hop) > 0.0);
        let (low, block) = (is_asked.then_some(self.low.as_slice()), self.geometry.block);
        self.pitch.as_mut().map_or(Ok(()), |line| line.update(low, block))
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
        self.is_source_known = profile.is_some();
        self.source_median_hz = profile.unwrap_or_else(SourceProfile::population).median_f0_hz;
    }

    fn learn_profile(&mut self, is_on: bool) {
        if let Some(listener) = &mut self.listener {
            listener.reset();
            listener.learn_profile(is_on);
            self.is_learning = is_on;
        }
    }

    fn take_profile(&mut self) -> Option<SourceProfile> {
        let learned = self.listener.as_mut().filter(|_| self.is_learning)?.take_profile()?;
        self.is_learning = false;
        Some(learned)
    }

    fn expect_unheard(&mut self, len: usize) {
        self.unheard_len = len;
    }

    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn reset(&mut self) {
        self.mark = None;
        self.unheard_len = 0;
        let window = self.geometry.window();
        self.decimator.reset();
        self.tracker.reset();
        let lag = F0_DELAY_HOPS + lag_frames(self.geometry.mode);
        self.f0 = F0History::new(window + 1, 1 - lag as i64);
        if let Some(line) = &mut self.pitch {
            line.reset();
        }
        self.heard_f0_hz.fill(0.0);
        self.slots.iter_mut().flatten().for_each(|ready| ready.content.reset());
        self.gate = Gate::new();
        self.gate_gains.fill(0.0);
        self.ramp = GateRamp::default();
        self.params.fill(HopParams::default());
        self.octaves_st.fill(0.0);
        self.octaves.reset();
        for (line, len) in [(&mut self.input, HOP_LEN), (&mut self.low, LOW_HOP_LEN)] {
            line.clear();
            line.resize((window + 1) * len, 0.0);
        }
        self.hops = 0;
        self.phase = 0.0;
        self.tail.fill(0.0);
        self.block.fill(0.0);
        self.failure = None;
        self.report = HopReport::default();
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        let clean = clean_hop(input);
        let mut low = [0.0; LOW_HOP_LEN];
        self.decimator.process(&clean, &mut low);
        append(&mut self.input, &clean, self.geometry.window() * HOP_LEN);
        append(&mut self.low, &low, self.geometry.window() * LOW_HOP_LEN);

        let f0 = self.tracker.push(&low);
        self.f0.push(f0.f0_hz);
        let rms = (crate::dsp::dot(&clean, &clean) / HOP_LEN as f32).sqrt();
        let place = self.hops % self.params.len();
        self.params[place] = *params;
        self.octaves_st[place] = self.next_octaves_st(params.voice_slot, f0.f0_hz);
        self.gate_gains[place] = self.gate.next(rms, params.gate_db);
        self.hops += 1;

        let block = self.geometry.block;
        if self.hops.is_multiple_of(block) {
            self.failure = self.run_block().err().map(EngineError::from);
        }
        let part = self.hops % block;
        let from = part * HOP_LEN;
        output.copy_from_slice(&self.block[from..from + HOP_LEN]);
        self.close(output);
        // RMVPE is asked once per block, so what it says is shown as it is heard.
        let f0_hz = if self.pitch.is_some() { self.heard_f0_hz[part] } else { f0.f0_hz };
        self.report.f0_source_hz = f0_hz;
        let newest = self.hops as i64 - 1;
        self.report.f0_output_hz = f0_hz * (self.shift_st(newest, params.voice_slot) / 12.0).exp2();
        self.report.register_st = self.register_st(newest, params.voice_slot);
        self.report.confidence = 1.0;
        self.report.profile_progress = self.listen(params, &clean);
        match &self.failure {
            None => Ok(self.report),
            Some(EngineError::Graph { graph, reason }) => {
                output.fill(0.0);
                Err(EngineError::Graph { graph, reason: reason.clone() })
            }
        }
    }
}

impl RvcEngine {
    /// Lets the listener hear a hop while it learns; gives its progress.
    fn listen(&mut self, params: &HopParams, input: &[f32]) -> f32 {
        let Some(listener) = self.listener.as_mut().filter(|_| self.is_learning) else { return 1.0 };
        // Its slots are empty; what it makes is not heard.
        let mut ignored = [0.0; HOP_LEN];
        listener.process_hop(params, input, &mut ignored).map_or(0.0, |report| report.profile_progress)
    }

    /// Applies the gate of the hop that is heard now.
    fn close(&mut self, output: &mut [f32]) {
        let lag = self.geometry.block + self.geometry.crossfade + self.geometry.margin - 1;
        self.ramp.apply(self.gate_of(self.hops as i64 - 1 - lag as i64), output);
    }
}

/// Adds to the end and keeps at least the newest `keep` samples.
fn append(line: &mut Vec<f32>, samples: &[f32], keep: usize) {
    line.extend_from_slice(samples);
    // Moved rarely, so that a hop costs no copy of the window.
    if line.len() > 2 * keep + 4 * samples.len() {
        line.drain(..line.len() - keep - samples.len());
    }
}
