//! Cuts one grain out of the source, filters it, moves it by a fraction of a sample and adds it to the output.
//!
//! Runs on the engine's thread; allocates in [`GrainRenderer::new`] only.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::filter::{FILTER_BINS, FILTER_LEN, Response};
use super::leveller::Leveller;
use crate::engine::history::History;

/// Samples kept free before a grain in its transform: room for the fore-ringing of the fractional shift.
pub const GUARD_LEN: usize = 32;

/// Samples that a grain may add after its own end: the ringing of its filter.
pub const RING_LEN: usize = 512;

/// Samples of the output that can be under construction.
const OUTPUT_LEN: usize = 16_384;

/// Which stretch of the source becomes a grain and where it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grain {
    /// Position of the mark in the source, in samples.
    pub source: f64,
    /// Position of the mark in the output, in samples.
    pub output: f64,
    /// Length of the fade-in, which ends at `source`.
    pub fade_in: f64,
    /// Distance from `source` to the end of the grain.
    pub right: f64,
    /// Length of the fade-out, at most `right`; the grain is whole between `source` and the fade-out.
    pub fade_out: f64,
    /// Output F0 divided by source F0 where the grain is one of a voiced stretch; `None` elsewhere.
    pub ratio: Option<f32>,
}

/// A forward and inverse transform of one length.
struct Transform {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    len: usize,
}

/// Renders grains into a running output.
pub struct GrainRenderer {
    /// Short, usual and long grains.
    transforms: [Transform; 3],
    wave: Box<[f32]>,
    spectrum: Box<[Complex32]>,
    scratch: Box<[Complex32]>,
    /// Power per bin before the filter.
    power: Box<[f32]>,
    leveller: Leveller,
    /// Output under construction, by absolute index modulo its length.
    output: Box<[f32]>,
    /// Everything before this absolute index was taken.
    taken: i64,
}

impl GrainRenderer {
    /// Plans the transforms.
    pub fn new() -> Self {
        let mut planner = RealFftPlanner::new();
        let transforms = [FILTER_LEN / 2, FILTER_LEN, FILTER_LEN * 2].map(|len| Transform {
            forward: planner.plan_fft_forward(len),
            inverse: planner.plan_fft_inverse(len),
            len,
        });
        let scratch_len =
            transforms.iter().map(|t| t.forward.get_scratch_len().max(t.inverse.get_scratch_len())).max().unwrap_or(0);
        Self {
            transforms,
            wave: vec![0.0; FILTER_LEN * 2].into_boxed_slice(),
            spectrum: vec![Complex32::default(); FILTER_LEN + 1].into_boxed_slice(),
            scratch: vec![Complex32::default(); scratch_len].into_boxed_slice(),
            power: vec![0.0; FILTER_LEN + 1].into_boxed_slice(),
            leveller: Leveller::default(),
            output: vec![0.0; OUTPUT_LEN].into_boxed_slice(),
            taken: 0,
        }
    }

    /// Forgets all output; the next sample to be taken has the index `start`.
    pub fn reset(&mut self, start: i64) {
        self.output.fill(0.0);
        self.leveller.reset();
        self.taken = start;
    }

    /// Absolute index of the next sample to be taken. Grains cannot reach before it.
    pub fn taken(&self) -> i64 {
        self.taken
    }

    /// Takes the next `output.len()` samples of the output.
    pub fn take(&mut self, output: &mut [f32]) {
        for sample in output {
            let slot = self.taken.rem_euclid(OUTPUT_LEN as i64) as usize;
            *sample = std::mem::take(&mut self.output[slot]);
            self.taken += 1;
        }
    }

    /// Adds a grain, filtered by the interpolation of two responses: `weight` of the second.
    pub fn add(&mut self, history: &History, grain: &Grain, filter: (&Response, &Response, f32)) {
        let start = (grain.source - grain.fade_in).ceil() as i64;
        let end = (grain.source + grain.right).ceil() as i64;
        let len = (end - start).max(0) as usize;
        let Some(transform) = self
            .transforms
            .iter()
            .find(|t| len + GUARD_LEN + RING_LEN.min(t.len / 4) <= t.len)
            .or_else(|| self.transforms.last())
        else {
            return;
        };
        let len = len.min(transform.len - GUARD_LEN);
        let shift = grain.output - grain.source;
        let whole = shift.round();
        let fraction = (shift - whole) as f32;

        let wave = &mut self.wave[..transform.len];
        wave.fill(0.0);
        history.copy(start, &mut wave[GUARD_LEN..GUARD_LEN + len]);
        let mut is_silent = true;
        for (n, value) in wave[GUARD_LEN..GUARD_LEN + len].iter_mut().enumerate() {
            if *value != 0.0 {
                is_silent = false;
                *value *= window(grain, (start + n as i64) as f64 - grain.source);
            }
        }
        if is_silent || grain.ratio.is_none() {
            self.leveller.reset();
        }
        if is_silent {
            return;
        }
        let first = start + whole as i64 - GUARD_LEN as i64;
        let (low, high, weight) = filter;
        let is_flat = low.is_flat && (high.is_flat || weight == 0.0);
        let period = grain.right as f32;
        if is_flat && fraction == 0.0 && grain.ratio.is_none_or(|ratio| ratio == 1.0) {
            // Nothing to change: the windows add up to the input itself, to the last bit or two.
            let level = if grain.ratio.is_some() { self.leveller.gain_unchanged(period) } else { 1.0 };
            Self::overlap(&mut self.output, self.taken, first, &wave[..GUARD_LEN + len], level);
            return;
        }
        let bins = transform.len / 2 + 1;
        let spectrum = &mut self.spectrum[..bins];
        if transform.forward.process_with_scratch(wave, spectrum, &mut self.scratch).is_err() {
            return;
        }
        if grain.ratio.is_some() {
            for (power, value) in self.power.iter_mut().zip(spectrum.iter()) {
                *power = value.norm_sqr();
            }
        }
        let turn = -2.0 * std::f32::consts::PI * fraction / transform.len as f32;
        for (bin, value) in spectrum.iter_mut().enumerate() {
            let mut log = Complex32::default();
            if !is_flat {
                log = at_bin(low, bin, transform.len);
                if weight > 0.0 {
                    log += (at_bin(high, bin, transform.len) - log) * weight;
                }
            }
            let (sin, cos) = (log.im + turn * bin as f32).sin_cos();
            let amplitude = if is_flat { 1.0 } else { log.re.exp() };
            *value *= Complex32::new(amplitude * cos, amplitude * sin);
        }
        let level = match grain.ratio {
            Some(ratio) => self.leveller.gain(&self.power, spectrum, transform.len, period, period / ratio),
            None => 1.0,
        };
        // The ends of a real signal's spectrum are real; a fractional shift keeps the part in phase.
        spectrum[0].im = 0.0;
        spectrum[bins - 1].im = 0.0;
        if transform.inverse.process_with_scratch(spectrum, wave, &mut self.scratch).is_err() {
            return;
        }
        let scale = level / transform.len as f32;
        Self::overlap(&mut self.output, self.taken, first, wave, scale);
    }

    /// Adds a stretch to the output; what lies before `taken` is too late and dropped.
    fn overlap(output: &mut [f32], taken: i64, first: i64, wave: &[f32], scale: f32) {
        let late = (taken - first).clamp(0, wave.len() as i64) as usize;
        let mut slot = (first + late as i64).rem_euclid(OUTPUT_LEN as i64) as usize;
        for value in &wave[late..] {
            output[slot] += value * scale;
            slot = if slot + 1 == OUTPUT_LEN { 0 } else { slot + 1 };
        }
    }
}

impl Default for GrainRenderer {
    fn default() -> Self {
        Self::new()
    }
}

/// A response at a bin of a transform that is half, once or twice as long as the design.
fn at_bin(response: &Response, bin: usize, len: usize) -> Complex32 {
    if len == FILTER_LEN {
        response.log[bin]
    } else if len < FILTER_LEN {
        response.log[bin * 2]
    } else if bin.is_multiple_of(2) {
        response.log[bin / 2]
    } else {
        (response.log[bin / 2] + response.log[(bin / 2 + 1).min(FILTER_BINS - 1)]) * 0.5
    }
}

/// Weight of a sample at a distance from the grain's mark: a raised-cosine fade-in up to the mark, 1 after it, a
/// fade-out that is the complement of the next mark's fade-in.
fn window(grain: &Grain, distance: f64) -> f32 {
    if distance <= 0.0 {
        rise((distance + grain.fade_in) / grain.fade_in)
    } else {
        1.0 - rise((distance - grain.right + grain.fade_out) / grain.fade_out)
    }
}

/// Raised cosine from 0 at 0 to 1 at 1.
fn rise(place: f64) -> f32 {
    let place = place.clamp(0.0, 1.0) as f32;
    0.5 - 0.5 * (std::f32::consts::PI * place).cos()
}
