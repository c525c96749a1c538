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
pub mod net;
pub mod pitch;
pub mod retrieval;
pub mod source;
pub mod splice;
pub mod track;

use std::sync::Arc;

use contentvec::ContentVec;
use generator::{Generator, Window};
use geometry::{GUARD, Geometry};
use retrieval::Neighbour;
use track::{F0History, Unvoiced};

use super::f0::{F0_DELAY_HOPS, F0Tracker, lag_frames};
use super::native::gate::Gate;
use super::resample::Resampler;
use super::{Engine, EngineError, HOP_LEN, HopParams, HopReport, VOICE_SLOTS};
use crate::dsp::decimator::{DECIMATION, DECIMATOR_DELAY_LEN, Decimator};
use crate::onnx::{GraphError, Runtime};
use crate::provenance::{EngineKind, Mark};
use crate::voice::Voice;

/// Samples at the engine's rate by which a block of a foreign graph may move to fit its neighbour: 5 ms.
pub const SEARCH_LEN: usize = 240;

/// Samples of a hop at 16 kHz.
const LOW_HOP_LEN: usize = HOP_LEN / DECIMATION;

/// Input beyond this is clipped: 18 dB over full scale.
const MAX_INPUT: f32 = 8.0;

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

/// A voice with everything that it needs loaded.
struct Ready {
    voice: Arc<Voice>,
    mark: Mark,
    content: ContentVec,
    generator: Generator,
    /// From decoded samples to the engine's rate, for a number of decoded frames.
    resampler: Option<(usize, Resampler)>,
}

/// Finds the content graph for a number of features.
pub type ContentSource = Box<dyn FnMut(&'static Runtime, usize) -> Result<ContentVec, GraphError> + Send>;

/// The engine. Allocates when a voice is put in and once per block.
pub struct RvcEngine {
    geometry: Geometry,
    options: RvcOptions,
    runtime: &'static Runtime,
    content_source: ContentSource,
    slots: [Option<Ready>; VOICE_SLOTS],
    /// Why the voice in a slot cannot be used, or the last run failed.
    trouble: Option<EngineError>,
    decimator: Decimator,
    tracker: F0Tracker,
    f0: F0History,
    gate: Gate,
    /// The newest window and a hop, at the engine's rate and at 16 kHz.
    input: Vec<f32>,
    low: Vec<f32>,
    /// By hop modulo their length, at least a window.
    params: Vec<HopParams>,
    gate_gains: Vec<f32>,
    gate_gain: f32,
    hops: usize,
    /// Cycles of the sine before the first decoded frame of the next window.
    phase: f64,
    /// End of the last block, to be faded from.
    tail: Vec<f32>,
    /// The current block.
    block: Vec<f32>,
    /// What the watermark of the current block says.
    mark: Option<Mark>,
    found: Vec<Neighbour>,
    report: HopReport,
}

impl std::fmt::Debug for RvcEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RvcEngine").field("geometry", &self.geometry).field("hops", &self.hops).finish_non_exhaustive()
    }
}

impl RvcEngine {
    /// An engine without voices. `content_source` is asked when a voice comes in.
    pub fn new(
        runtime: &'static Runtime,
        geometry: Geometry,
        options: RvcOptions,
        content_source: ContentSource,
    ) -> Self {
        let window = geometry.window();
        let mut engine = Self {
            geometry,
            options,
            runtime,
            content_source,
            slots: Default::default(),
            trouble: None,
            decimator: Decimator::new(HOP_LEN),
            tracker: F0Tracker::new(geometry.mode),
            f0: F0History::new(window + 1, 0),
            gate: Gate::new(),
            input: Vec::new(),
            low: Vec::new(),
            params: vec![HopParams::default(); window + 1],
            gate_gains: vec![0.0; window + 1],
            gate_gain: 0.0,
            hops: 0,
            phase: 0.0,
            tail: vec![0.0; geometry.crossfade * HOP_LEN],
            block: vec![0.0; geometry.block * HOP_LEN],
            mark: None,
            found: Vec::new(),
            report: HopReport::default(),
        };
        engine.reset();
        engine
    }

    /// Loads a voice into a slot.
    ///
    /// # Errors
    /// [`GraphError`] when its generator or the content graph cannot be used; the slot is empty then.
    /// [worker-thread]
    pub fn load(&mut self, slot: usize, voice: Arc<Voice>) -> Result<(), GraphError> {
        let Some(place) = self.slots.get_mut(slot) else { return Ok(()) };
        *place = None;
        let features = voice.rvc().map_or(768, crate::voice::rvc::RvcVoice::features);
        let content = (self.content_source)(self.runtime, features)?;
        let generator = Generator::new(self.runtime, &voice, self.options.speaker, self.geometry)?;
        *place =
            Some(Ready { mark: Mark::new(EngineKind::Rvc, Some(&voice)), voice, content, generator, resampler: None });
        Ok(())
    }

    fn params_of(&self, hop: i64) -> &HopParams {
        let oldest = self.hops as i64 - self.params.len() as i64;
        let hop = hop.max(oldest).clamp(0, (self.hops as i64 - 1).max(0));
        &self.params[hop as usize % self.params.len()]
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
        self.mark = ready.filter(|_| heard.is_marked).map(|ready| ready.mark);

        let mut f0_hz = vec![0.0; window];
        self.f0.copy(start, &mut f0_hz);
        for (n, f0_hz) in f0_hz.iter_mut().enumerate() {
            *f0_hz *= (self.params_of(start + n as i64).transpose_st / 12.0).exp2();
        }
        if self.options.unvoiced == Unvoiced::Interpolated {
            track::interpolate(&mut f0_hz);
        }
        let phase = self.phase;
        for &f0_hz in &f0_hz[window - decoded..][..geometry.block] {
            self.phase = source::advance(self.phase, f0_hz);
        }

        // The sound of the decoded frames at the engine's rate, as it would be heard without a neighbour.
        let is_open = (first..self.hops as i64).any(|hop| self.gate_of(hop) > 0.0);
        let mut sound = vec![0.0; decoded * HOP_LEN];
        let mut offset = GUARD * HOP_LEN;
        let mut result = Ok(());
        let input_end = self.input.len() - DECIMATOR_DELAY_LEN;
        let input = &self.input[input_end - decoded * HOP_LEN..input_end];
        match &mut self.slots[heard.voice_slot.min(VOICE_SLOTS - 1)] {
            None => sound.copy_from_slice(input),
            Some(_) if !is_open => {}
            Some(ready) => {
                let low = &self.low[self.low.len() - window * LOW_HOP_LEN..];
                let amount = heard.likeness.clamp(0.0, 1.0);
                let is_protected = self.options.protect < 0.5 && ready.generator.has_f0();
                let protect = if is_protected { self.options.protect } else { 1.0 };
                let phone = ready.content.features(low, window).map(|mut phone| {
                    // RVC's bound: what is below 1 Hz is unvoiced.
                    let keeps = |frame: usize| if f0_hz[frame] < 1.0 { protect } else { 1.0 };
                    ready.retrieve(&mut phone, window - decoded, amount, keeps, &mut self.found);
                    phone
                });
                let formant = (heard.formant_st / 12.0).exp2();
                result = phone.and_then(|phone| {
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

impl Ready {
    /// Blends the frames from `from` on with what the index knows; `keeps` says how much of that a frame keeps.
    fn retrieve(
        &self,
        phone: &mut [f32],
        from: usize,
        amount: f32,
        keeps: impl Fn(usize) -> f32,
        found: &mut Vec<Neighbour>,
    ) {
        let Some(index) = self.voice.rvc().and_then(|parts| parts.index.as_ref()).filter(|_| amount > 0.0) else {
            return;
        };
        let mut blended = Vec::with_capacity(index.dim);
        // Two neighbouring frames hold the same features: one search serves both.
        for (pair, rows) in phone.chunks_mut(2 * index.dim).enumerate().skip(from / 2) {
            blended.clear();
            blended.extend_from_slice(&rows[..index.dim]);
            retrieval::blend(index, &mut blended, amount, found);
            for (half, row) in rows.chunks_exact_mut(index.dim).enumerate() {
                let kept = keeps(2 * pair + half);
                row.iter_mut().zip(&blended).for_each(|(value, new)| *value += kept * (new - *value));
            }
        }
    }

    fn render(&mut self, window: &Window<'_>, decoded: usize, sound: &mut [f32]) -> Result<(), GraphError> {
        let audio = self.generator.run(window)?;
        let (from, to) = (audio.len(), decoded * HOP_LEN);
        if from == to {
            sound.copy_from_slice(&audio);
            return Ok(());
        }
        if self.resampler.as_ref().is_none_or(|(len, _)| *len != from) {
            let (from, to) = (u32::try_from(from).unwrap_or(1), u32::try_from(to).unwrap_or(1));
            self.resampler = Some((audio.len(), Resampler::new(from, to, 0)));
        }
        if let Some((_, resampler)) = &mut self.resampler {
            resampler.reset();
            resampler.push(&audio);
            resampler.push(&[0.0; HOP_LEN]);
            resampler.pull(sound);
        }
        Ok(())
    }
}

impl Engine for RvcEngine {
    fn latency_len(&self) -> usize {
        self.geometry.latency_len()
    }

    fn tail_len(&self) -> usize {
        self.geometry.latency_len() + self.geometry.block * HOP_LEN
    }

    fn set_voice(&mut self, slot: usize, voice: Option<Arc<Voice>>) {
        self.trouble = match voice {
            Some(voice) => self.load(slot, voice).err().map(EngineError::from),
            None => {
                if let Some(place) = self.slots.get_mut(slot) {
                    *place = None;
                }
                None
            }
        };
    }

    fn trouble(&self) -> Option<EngineError> {
        self.trouble
            .as_ref()
            .map(|EngineError::Graph { graph, reason }| EngineError::Graph { graph, reason: reason.clone() })
    }

    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn reset(&mut self) {
        self.mark = None;
        let window = self.geometry.window();
        self.decimator.reset();
        self.tracker.reset();
        let lag = F0_DELAY_HOPS + lag_frames(self.geometry.mode);
        self.f0 = F0History::new(window + 1, 1 - lag as i64);
        self.gate = Gate::new();
        self.gate_gains.fill(0.0);
        self.gate_gain = 0.0;
        self.params.fill(HopParams::default());
        for (line, len) in [(&mut self.input, HOP_LEN), (&mut self.low, LOW_HOP_LEN)] {
            line.clear();
            line.resize((window + 1) * len, 0.0);
        }
        self.hops = 0;
        self.phase = 0.0;
        self.tail.fill(0.0);
        self.block.fill(0.0);
        self.report = HopReport::default();
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        let mut clean = [0.0; HOP_LEN];
        for (clean, sample) in clean.iter_mut().zip(input) {
            *clean = if sample.is_finite() { sample.clamp(-MAX_INPUT, MAX_INPUT) } else { 0.0 };
        }
        let mut low = [0.0; LOW_HOP_LEN];
        self.decimator.process(&clean, &mut low);
        append(&mut self.input, &clean, self.geometry.window() * HOP_LEN);
        append(&mut self.low, &low, self.geometry.window() * LOW_HOP_LEN);

        let f0 = self.tracker.push(&low);
        self.f0.push(f0.f0_hz);
        let rms = (crate::dsp::dot(&clean, &clean) / HOP_LEN as f32).sqrt();
        let place = self.hops % self.params.len();
        self.params[place] = *params;
        self.gate_gains[place] = self.gate.next(rms, params.gate_db);
        self.hops += 1;

        let block = self.geometry.block;
        let result = match self.hops.is_multiple_of(block) {
            true => self.run_block(),
            false => Ok(()),
        };
        let part = self.hops % block;
        let from = part * HOP_LEN;
        output.copy_from_slice(&self.block[from..from + HOP_LEN]);
        self.close(output);
        self.report.f0_source_hz = f0.f0_hz;
        self.report.f0_output_hz = f0.f0_hz * (params.transpose_st / 12.0).exp2();
        self.report.confidence = 1.0;
        self.report.profile_progress = 1.0;
        result.map_err(|error| {
            output.fill(0.0);
            EngineError::from(error)
        })?;
        Ok(self.report)
    }
}

impl RvcEngine {
    /// Applies the gate of the hop that is heard now.
    fn close(&mut self, output: &mut [f32]) {
        let lag = self.geometry.block + self.geometry.crossfade + self.geometry.margin - 1;
        let gain = self.gate_of(self.hops as i64 - 1 - lag as i64);
        let step = (gain - self.gate_gain) / HOP_LEN as f32;
        for (n, sample) in output.iter_mut().enumerate() {
            *sample *= self.gate_gain + step * (n + 1) as f32;
        }
        self.gate_gain = gain;
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
