//! Puts the mark in: every 20 ms each of 44 bands becomes a little louder or softer, by a keyed sign.
//!
//! The sound itself passes unchanged; what is added is the same sound through narrow resonances with zero phase at their
//! centre, times the signs. So nothing is delayed, silence stays silence, and the addition is masked by the sound. The
//! gains are small where ear and codecs are sensitive (0.35 dB below 1 kHz), and larger where level differences over
//! single 20 ms slots cannot be heard (1.9 dB above 2.5 kHz). Runs where the engine runs.

use super::Mark;
use super::code::{CODE_BITS, encode};
use super::pattern::{BANDS, HOP_LEN, LOWEST_HZ, MARK_RATE, Pattern, SLOT_HOPS, STEP_HZ};

/// Bands, filled up so that the loop over them is a whole number of vectors.
const LANES: usize = 48;

/// Lanes that are summed side by side.
const GROUP: usize = 8;

/// Share of the band that is added or taken, below and above the corners, with a straight line between.
const DEPTHS: [(f32, f32); 2] = [(1_000.0, 0.04), (2_500.0, 0.22)];

/// Writes marks into a stream, hop by hop. Allocates in [`Embedder::new`] only.
#[derive(Clone, Debug)]
pub struct Embedder {
    pattern: &'static Pattern,
    /// Coefficients of the resonances: gain at the input, feedback of one and of two samples ago.
    gain: [f32; LANES],
    back_1: [f32; LANES],
    back_2: [f32; LANES],
    state_1: [f32; LANES],
    state_2: [f32; LANES],
    depth: [f32; LANES],
    /// Signed depths of the last slot and of this one; zeros without a mark.
    last: [f32; LANES],
    now: [f32; LANES],
    mark: Option<Mark>,
    code: [bool; CODE_BITS],
    /// Weight of this slot's gains while they move in: a half cosine.
    ramp: [f32; HOP_LEN],
}

impl Embedder {
    /// An embedder at the start of a stream.
    pub fn new() -> Self {
        Self::with_pattern(Pattern::public())
    }

    /// With another key's pattern, for tests.
    pub fn with_pattern(pattern: &'static Pattern) -> Self {
        let mut embedder = Self {
            pattern,
            gain: [0.0; LANES],
            back_1: [0.0; LANES],
            back_2: [0.0; LANES],
            state_1: [0.0; LANES],
            state_2: [0.0; LANES],
            depth: [0.0; LANES],
            last: [0.0; LANES],
            now: [0.0; LANES],
            mark: None,
            code: [false; CODE_BITS],
            ramp: std::array::from_fn(|n| {
                let phase = std::f32::consts::PI * (n as f32 + 0.5) / HOP_LEN as f32;
                0.5 - 0.5 * phase.cos()
            }),
        };
        for band in 0..BANDS {
            let hz = LOWEST_HZ + STEP_HZ * band as f32;
            // Band-pass of constant peak gain: Bristow-Johnson's cookbook.
            let omega = std::f64::consts::TAU * f64::from(hz) / f64::from(MARK_RATE);
            let alpha = omega.sin() * f64::from(STEP_HZ / hz) / 2.0;
            embedder.gain[band] = (alpha / (1.0 + alpha)) as f32;
            embedder.back_1[band] = (2.0 * omega.cos() / (1.0 + alpha)) as f32;
            embedder.back_2[band] = ((alpha - 1.0) / (1.0 + alpha)) as f32;
            let [(low_hz, low), (high_hz, high)] = DEPTHS;
            embedder.depth[band] = low + (high - low) * ((hz - low_hz) / (high_hz - low_hz)).clamp(0.0, 1.0);
        }
        embedder
    }

    /// Forgets the sound: the next hop is the first one of a stream.
    pub fn reset(&mut self) {
        self.state_1 = [0.0; LANES];
        self.state_2 = [0.0; LANES];
        self.last = [0.0; LANES];
        self.now = [0.0; LANES];
    }

    /// Marks hop number `hop` of the stream. A change of the mark acts from the next slot on; `None` leaves the sound as
    /// it is, bit for bit, once the last slot has faded.
    ///
    /// # Panics
    /// When `samples` does not hold [`HOP_LEN`] samples. [worker-thread]
    pub fn process(&mut self, hop: u64, mark: Option<Mark>, samples: &mut [f32]) {
        assert_eq!(samples.len(), HOP_LEN, "one hop at a time");
        let is_moving = hop.is_multiple_of(SLOT_HOPS);
        if is_moving {
            self.begin_slot(hop / SLOT_HOPS, mark);
        }
        if self.is_idle() {
            self.state_1 = [0.0; LANES];
            self.state_2 = [0.0; LANES];
            return;
        }
        for (n, sample) in samples.iter_mut().enumerate() {
            let weight = if is_moving { self.ramp[n] } else { 1.0 };
            let added = self.step(*sample, weight);
            // Resonances ring on after the sound; where there is nothing, nothing is added.
            if *sample != 0.0 {
                *sample += added;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.last[0] == 0.0 && self.now[0] == 0.0
    }

    fn begin_slot(&mut self, slot: u64, mark: Option<Mark>) {
        self.last = self.now;
        if mark.is_some() && mark != self.mark {
            self.code = mark.map_or(self.code, |mark| encode(&mark.to_bits()));
        }
        self.mark = mark;
        self.now = [0.0; LANES];
        if mark.is_some() {
            for ((now, depth), chip) in self.now.iter_mut().zip(&self.depth).zip(self.pattern.slot(slot)) {
                let is_up = self.code[usize::from(chip.bit)] != chip.is_turned;
                *now = if is_up { *depth } else { -depth };
            }
        }
    }

    /// One sample through all resonances; what is to be added.
    fn step(&mut self, input: f32, weight: f32) -> f32 {
        let mut sums = [0.0_f32; GROUP];
        for group in (0..LANES).step_by(GROUP) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let band = group + lane;
                let driven = self.gain[band] * input;
                let output = driven + self.state_1[band];
                self.state_1[band] = self.back_1[band] * output + self.state_2[band];
                self.state_2[band] = self.back_2[band] * output - driven;
                *sum += output * (self.last[band] + weight * (self.now[band] - self.last[band]));
            }
        }
        sums.iter().sum()
    }
}

impl Default for Embedder {
    fn default() -> Self {
        Self::new()
    }
}
