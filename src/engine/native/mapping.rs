//! Mapping: how the singer's spectral envelope becomes the target's, frame by frame.
//!
//! Three maps of rising likeness, blended without a step:
//!
//! - *register and formants* (likeness 0): the singer's own envelope with its formants warped and its average colour
//!   equalised to the target's. Needs no content features, so it is also the safe path.
//! - *differential* (0.6): the singer's envelope plus what the target's bank says for this content minus what the
//!   singer's own bank says for it. Errors of the content features cancel. Until the singer is learned, a part of the
//!   absolute map is used as well.
//! - *strong* (1.0): half a larger differential step, half *absolute*: what the target's bank says, with the variance
//!   restored that averaging neighbours removed. The two have different errors, so their mean sounds more like the target
//!   and is more intelligible than either.
//!
//! Between two voices, `morph` blends the results of the three maps for each. Loudness always stays the singer's.
//! Runs on the worker thread; allocates in [`Mapper::new`] only. Knows no audio.

mod hiss;
mod morph;
mod pairing;
mod smoothing;

use std::sync::Arc;

use super::aim::{Aim, Aimed};
use super::difference::{Difference, keep_loudness};
use super::target::Target;
use crate::engine::Mode;
use crate::engine::bands::{BAND_8_KHZ, ENV_BANDS, band_from_hz};
use crate::engine::loudness::LoudnessMeter;
use crate::engine::profile::SourceProfile;
use crate::engine::retrieval::Retriever;
use crate::voice::bank::{KEY_LEN, SHAPE_BANDS};

use hiss::Hiss;
use morph::Morph;
use pairing::{Pairing, value_at};
use smoothing::Smoothing;

// Banks and envelopes share one band axis.
const _: () = assert!(SHAPE_BANDS == ENV_BANDS);

/// Likeness at which the map is purely differential.
pub const DIFFERENTIAL_LIKENESS: f32 = 0.6;

/// Size of the differential step at that likeness: more is closer to the target, but sounds less natural.
const GAIN: f32 = 1.0;

/// Size of the differential step at full likeness. Averages over neighbours understate the difference of two voices.
const MOST_GAIN: f32 = 1.6;

/// Share of the absolute map at full likeness.
const MOST_ABSOLUTE: f32 = 0.5;

/// Least share of the absolute map while the singer is unknown. What the population says then stands for the singer, so
/// the differential map keeps all that makes this singer different; the absolute one does not ask about the singer.
const UNKNOWN_ABSOLUTE: f32 = 0.35;

/// Share of the banks' answer in unvoiced frames: consonants carry words rather than identity.
const UNVOICED_SHARE: f32 = 0.7;

/// Largest change that is carried on above the band limit: 13 dB.
const MAX_HELD: f32 = 3.0;

/// Bands below the limit over which the carried difference is averaged.
const HELD_BANDS: usize = 4;

/// Frames over which a change of voice or profile is crossfaded: 60 ms.
const FADE_FRAMES: u32 = 6;

/// Content features of one frame.
#[derive(Clone, Copy, Debug)]
pub struct MapContent<'a> {
    /// Content key as the encoder gives it; the profile's mean key is subtracted here.
    pub key: &'a [f32; KEY_LEN],
    /// Trust in the key, in `0.0..=1.0`; see [`confidence_from_logp`].
    pub confidence: f32,
}

/// The two voices of a morph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The voice that sounds without a morph.
    A = 0,
    /// The voice that it leads to.
    B = 1,
}

/// One 10 ms frame of the singer.
#[derive(Clone, Copy, Debug)]
pub struct MapFrame<'a> {
    /// Envelope, natural-log power per band.
    pub envelope: &'a [f32; ENV_BANDS],
    /// Voicing, in `0.0..=1.0`.
    pub voicing: f32,
    /// Content features; `None` without an encoder, or while it starts.
    pub content: Option<MapContent<'a>>,
    /// Whether voice A and voice B can be heard while this frame counts; a voice that cannot is not asked.
    pub sides: [bool; 2],
}

/// Parameters of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapParams {
    /// How far towards the target, in `0.0..=1.0`.
    pub likeness: f32,
    /// Formant shift in semitones; positive is smaller and brighter. Also acts without a voice.
    pub formant_st: f32,
    /// How far from voice A to voice B, in `0.0..=1.0`; followed without a step. Without a voice B it is 0.
    pub morph: f32,
}

/// A frame's values until it leaves the delay line.
#[derive(Clone, Debug)]
struct Slot {
    envelope: [f32; ENV_BANDS],
    voicing: f32,
    confidence: f32,
    /// Retrieved shapes of the two voices and of the singer; meaningful where `has_shapes`.
    targets: [[f32; ENV_BANDS]; 2],
    source: [f32; ENV_BANDS],
    /// Per voice: whether its shape and the singer's are there.
    has_shapes: [bool; 2],
}

impl Slot {
    const EMPTY: Self = Self {
        envelope: [0.0; ENV_BANDS],
        voicing: 0.0,
        confidence: 0.0,
        targets: [[0.0; ENV_BANDS]; 2],
        source: [0.0; ENV_BANDS],
        has_shapes: [false; 2],
    };
}

/// A voice and what depends on it and on the profile alone.
#[derive(Debug)]
struct Fitted {
    target: Option<Target>,
    pairing: Pairing,
}

/// Turns frames of the singer into differences of log power per band.
#[derive(Debug)]
pub struct Mapper {
    /// By [`Side`].
    targets: [Fitted; 2],
    morph: Morph,
    profile: Arc<SourceProfile>,
    /// Share of the absolute map at the likeness of the differential one.
    least_absolute: f32,
    /// Content space of the running encoder; banks of another space are not asked.
    content_space: String,
    retriever: Retriever,
    meter: LoudnessMeter,
    smoothing: Smoothing,
    hiss: Hiss,
    /// Ring of the newest frames.
    slots: Box<[Slot]>,
    /// Frames pushed since the last reset.
    pushed: u64,
    /// The last output, from which a change of voice fades away.
    last: [f32; ENV_BANDS],
    fade_from: [f32; ENV_BANDS],
    fade_left: u32,
}

impl Mapper {
    /// A mapper without a voice. `content_space` is that of the encoder, empty when there is none.
    pub fn new(mode: Mode, profile: Arc<SourceProfile>, content_space: &str) -> Self {
        let smoothing = Smoothing::new(mode);
        Self {
            slots: vec![Slot::EMPTY; smoothing.len()].into_boxed_slice(),
            smoothing,
            hiss: Hiss::new(),
            targets: [(); 2].map(|()| Fitted { target: None, pairing: Pairing::none() }),
            morph: Morph::new(),
            least_absolute: least_absolute(&profile),
            profile,
            content_space: content_space.to_owned(),
            retriever: Retriever::new(),
            meter: LoudnessMeter::new(),
            pushed: 0,
            last: [0.0; ENV_BANDS],
            fade_from: [0.0; ENV_BANDS],
            fade_left: 0,
        }
    }

    /// By how many frames the output is late: the difference given by call `k` belongs to frame `k - lag_frames()`.
    pub fn lag_frames(&self) -> usize {
        self.smoothing.lag()
    }

    /// Changes a voice, with a crossfade where it is heard. Without a voice A the singer stays; without a voice B there
    /// is no morph. The same voice changes nothing.
    pub fn set_voice(&mut self, side: Side, voice: Option<Target>) {
        let fitted = &mut self.targets[side as usize];
        if voice.as_ref().map(Target::id) == fitted.target.as_ref().map(Target::id) {
            return;
        }
        fitted.target = voice;
        self.pair(side);
        let is_heard = match side {
            Side::A => self.morph.weight() < 1.0,
            Side::B => self.morph.weight() > 0.0,
        };
        if is_heard {
            self.begin_fade();
        }
        if self.voice(Side::B).is_none() {
            self.morph.fall_back();
        }
    }

    /// Changes the source profile, with a crossfade.
    pub fn set_profile(&mut self, profile: Arc<SourceProfile>) {
        if Arc::ptr_eq(&profile, &self.profile) {
            return;
        }
        self.profile = profile;
        self.least_absolute = least_absolute(&self.profile);
        self.pair(Side::A);
        self.pair(Side::B);
        self.begin_fade();
    }

    /// The profile in use.
    pub fn profile(&self) -> &Arc<SourceProfile> {
        &self.profile
    }

    /// A voice in use.
    pub fn voice(&self, side: Side) -> Option<&Target> {
        self.targets[side as usize].target.as_ref()
    }

    /// Whether voice A and voice B are heard at this moment; neither before the first frame.
    pub fn heard_sides(&self) -> [bool; 2] {
        let weight = self.morph.weight();
        [self.morph.has_begun() && weight < 1.0, weight > 0.0]
    }

    /// The voice that the frame aims at.
    pub fn aim(&self) -> Aim<'_> {
        if !self.morph.has_begun() {
            return Aim::NONE;
        }
        let voices = [Side::A, Side::B].map(|side| {
            let target = self.voice(side)?;
            Some(Aimed { id: target.id(), body: target.body() })
        });
        Aim::new(voices, self.morph.weight())
    }

    /// Fits a voice to the profile, and the voices to each other.
    fn pair(&mut self, side: Side) {
        let fitted = &mut self.targets[side as usize];
        fitted.pairing = match &fitted.target {
            Some(target) => {
                let limit_hz = target.voice().bandwidth_hz().min(self.profile.bandwidth_hz);
                Pairing::fit(&self.profile.shapes, &target.body().shapes, limit_hz)
            }
            None => Pairing::none(),
        };
        // What was retrieved belongs to the old pair.
        for slot in &mut self.slots {
            slot.has_shapes[side as usize] = false;
        }
        let [a, b] = &self.targets;
        let [body_a, body_b] = [a, b].map(|fitted| fitted.target.as_ref().map(Target::body));
        self.morph.pair(body_a, body_b, b.pairing.warp);
    }

    fn begin_fade(&mut self) {
        self.fade_from = self.last;
        self.fade_left = if self.pushed > 0 { FADE_FRAMES } else { 0 };
    }

    /// Forgets all frames; keeps voices and profile.
    pub fn reset(&mut self) {
        for slot in &mut self.slots {
            slot.has_shapes = [false; 2];
        }
        self.morph.reset();
        self.pushed = 0;
        self.hiss = Hiss::new();
        self.last = [0.0; ENV_BANDS];
        self.fade_left = 0;
    }

    /// Takes a frame and writes the difference of log power, target minus source, for the frame [`Mapper::lag_frames`]
    /// earlier. Each band is within ±[`MAX_DIFFERENCE`](super::difference::MAX_DIFFERENCE); adding it to the source's envelope keeps the loudness.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks. [worker-thread]
    pub fn push(&mut self, frame: &MapFrame<'_>, params: &MapParams, difference: &mut Difference) {
        self.remember(frame);
        self.pushed += 1;
        if self.pushed <= self.smoothing.lag() as u64 {
            difference.fill(0.0);
            return;
        }
        let slot = self.slot_at(self.smoothing.lag());
        let envelope = self.slots[slot].envelope;
        let weight = self.morph.step(if self.voice(Side::B).is_some() { params.morph } else { 0.0 });
        if weight < 1.0 {
            self.convert(Side::A, slot, params.likeness, difference);
        }
        if weight >= 1.0 {
            self.convert(Side::B, slot, params.likeness, difference);
        } else if weight > 0.0 {
            let mut to_b = [0.0; ENV_BANDS];
            self.convert(Side::B, slot, params.likeness, &mut to_b);
            self.morph.blend(&envelope, self.smooth(Side::B).voicing, difference, &to_b);
        }
        self.shift_formants(&envelope, params.formant_st, difference);
        keep_loudness(&self.meter, &envelope, difference);
        self.hiss.push(&envelope, self.slots[slot].voicing);
        self.hiss.restrain(&envelope, difference);
        self.fade(difference);
        self.last = *difference;
    }

    /// Index of the slot of the frame `age` frames before the newest one.
    fn slot_at(&self, age: usize) -> usize {
        let len = self.slots.len();
        // `pushed` counts from 1 here.
        let newest = ((self.pushed - 1) % len as u64) as usize;
        (newest + len - age) % len
    }

    fn remember(&mut self, frame: &MapFrame<'_>) {
        let index = (self.pushed % self.slots.len() as u64) as usize;
        let slot = &mut self.slots[index];
        for (kept, &value) in slot.envelope.iter_mut().zip(frame.envelope) {
            *kept = if value.is_finite() { value } else { -20.0 };
        }
        slot.voicing = if frame.voicing.is_finite() { frame.voicing.clamp(0.0, 1.0) } else { 0.0 };
        slot.confidence = 0.0;
        slot.has_shapes = [false; 2];
        let Some(content) = &frame.content else { return };
        if self.content_space.is_empty() || self.content_space != self.profile.content_space {
            return;
        }
        let key: [f32; KEY_LEN] = std::array::from_fn(|n| content.key[n] - self.profile.mean_key[n]);
        for (side, fitted) in self.targets.iter().enumerate() {
            let target = fitted.target.as_ref().filter(|_| frame.sides[side]);
            let comparable = target.filter(|target| target.voice().manifest().content_space == self.content_space);
            let Some(target) = comparable else { continue };
            let shape = &mut slot.targets[side];
            slot.has_shapes[side] = self.retriever.query(&target.body().bank, &key, slot.voicing, shape).is_some();
        }
        if slot.has_shapes == [false; 2] {
            return;
        }
        let source = self.retriever.query_apart(&self.profile.bank, &key, slot.voicing, &mut slot.source);
        if source.is_none() {
            slot.has_shapes = [false; 2];
        } else if content.confidence.is_finite() {
            slot.confidence = content.confidence.clamp(0.0, 1.0);
        }
    }

    /// The blend of the three maps for one voice, without loudness and formant shift.
    fn convert(&self, side: Side, slot: usize, likeness: f32, difference: &mut Difference) {
        let Fitted { target, pairing } = &self.targets[side as usize];
        let Some(body) = target.as_ref().map(Target::body) else {
            difference.fill(0.0);
            return;
        };
        let centre = &self.slots[slot];
        let smooth = self.smooth(side);
        pairing.difference(&centre.envelope, smooth.voicing, difference);
        let likeness = if likeness.is_finite() { likeness.clamp(0.0, 1.0) } else { 0.0 };
        // How much of the result comes from the banks at all, and how much of that is absolute.
        let retrieved = (likeness / DIFFERENTIAL_LIKENESS).min(1.0) * smooth.confidence;
        let retrieved = retrieved * mix(UNVOICED_SHARE, 1.0, smooth.voicing);
        let beyond = ((likeness - DIFFERENTIAL_LIKENESS) / (1.0 - DIFFERENTIAL_LIKENESS)).max(0.0);
        let least_absolute = self.least_absolute.max(body.absolute_share);
        let (gain, absolute) = (mix(GAIN, MOST_GAIN, beyond), mix(least_absolute, MOST_ABSOLUTE, beyond));
        if retrieved > 0.0 {
            let loudness = self.meter.loudness(&centre.envelope);
            let [voiced, unvoiced] = &body.restoration.ratio;
            let [mean_voiced, mean_unvoiced] = &body.restoration.mean;
            for band in 0..ENV_BANDS {
                let differential = gain * (smooth.target[band] - smooth.source[band]);
                let mean = mix(mean_unvoiced[band], mean_voiced[band], smooth.voicing);
                let ratio = mix(unvoiced[band], voiced[band], smooth.voicing);
                let restored = mean + (smooth.target[band] - mean) * ratio;
                let replaced = restored - (centre.envelope[band] - loudness);
                difference[band] = mix(difference[band], mix(differential, replaced, absolute), retrieved);
            }
        }
        hold_above(pairing.limit, difference);
    }

    /// Weighted means over the smoothing window. Frames without shapes lower the confidence, not the shapes.
    fn smooth(&self, side: Side) -> Smoothed {
        let mut smoothed =
            Smoothed { target: [0.0; ENV_BANDS], source: [0.0; ENV_BANDS], voicing: 0.0, confidence: 0.0 };
        let (mut seen, mut with_shapes) = (0.0, 0.0);
        for (age, &weight) in self.smoothing.weights().iter().enumerate() {
            if age as u64 >= self.pushed {
                break;
            }
            let slot = &self.slots[self.slot_at(age)];
            seen += weight;
            smoothed.voicing += weight * slot.voicing;
            if slot.has_shapes[side as usize] {
                with_shapes += weight;
                smoothed.confidence += weight * slot.confidence;
                for band in 0..ENV_BANDS {
                    smoothed.target[band] += weight * slot.targets[side as usize][band];
                    smoothed.source[band] += weight * slot.source[band];
                }
            }
        }
        smoothed.voicing /= seen.max(1e-6);
        smoothed.confidence /= seen.max(1e-6);
        if with_shapes > 0.0 {
            for band in 0..ENV_BANDS {
                smoothed.target[band] /= with_shapes;
                smoothed.source[band] /= with_shapes;
            }
        }
        smoothed
    }

    /// Moves the converted envelope along the frequency axis by the user's formant shift.
    fn shift_formants(&self, envelope: &[f32; ENV_BANDS], formant_st: f32, difference: &mut Difference) {
        if !formant_st.is_finite() || formant_st == 0.0 {
            return;
        }
        let factor = (formant_st.clamp(-24.0, 24.0) / 12.0).exp2();
        let converted: [f32; ENV_BANDS] = std::array::from_fn(|band| envelope[band] + difference[band]);
        for (band, value) in difference.iter_mut().enumerate() {
            *value = value_at(&converted, pairing::moved_band(band, factor)) - envelope[band];
        }
    }

    fn fade(&mut self, difference: &mut Difference) {
        if self.fade_left == 0 {
            return;
        }
        let old = self.fade_left as f32 / (FADE_FRAMES + 1) as f32;
        for (value, from) in difference.iter_mut().zip(&self.fade_from) {
            *value = mix(*value, *from, old);
        }
        self.fade_left -= 1;
    }
}

/// Share of the absolute map that a profile needs at least.
fn least_absolute(profile: &Arc<SourceProfile>) -> f32 {
    if Arc::ptr_eq(profile, &SourceProfile::population()) { UNKNOWN_ABSOLUTE } else { 0.0 }
}

/// Means over the smoothing window.
struct Smoothed {
    target: [f32; ENV_BANDS],
    source: [f32; ENV_BANDS],
    voicing: f32,
    confidence: f32,
}

/// `a` at 0, `b` at 1.
fn mix(a: f32, b: f32, amount: f32) -> f32 {
    a + amount * (b - a)
}

/// Above `limit` nothing is known of one of the two voices: carries on the difference just below, so that the singer's
/// own air stays.
fn hold_above(limit: usize, difference: &mut Difference) {
    if limit + 1 >= ENV_BANDS {
        return;
    }
    let known = &difference[limit.saturating_sub(HELD_BANDS - 1)..=limit];
    let held = (known.iter().sum::<f32>() / known.len() as f32).clamp(-MAX_HELD, MAX_HELD);
    difference[limit + 1..].fill(held);
}

/// Last band about which a recording of this bandwidth says something: one band below its edge.
fn limit_band(bandwidth_hz: f32) -> usize {
    let edge = band_from_hz(bandwidth_hz.max(2_000.0)) - 1.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the bands")]
    let band = edge.clamp(0.0, (ENV_BANDS - 1) as f32) as usize;
    band
}

/// Trust in a content frame from its log posteriors, in `0.0..=1.0`.
///
/// The probability of the three likeliest phones together: in pauses (class 0) and in sounds the encoder never learned
/// it is low, and the map falls back to register and formants.
pub fn confidence_from_logp(logp: &[f32]) -> f32 {
    const DOUBT: f32 = 0.1;
    const TRUST: f32 = 0.3;
    let mut best = [0.0_f32; 3];
    for probability in logp.iter().skip(1).map(|value| value.exp()) {
        if probability > best[0] {
            best = [probability, best[0], best[1]];
        } else if probability > best[1] {
            best = [best[0], probability, best[1]];
        } else if probability > best[2] {
            best[2] = probability;
        }
    }
    ((best.iter().sum::<f32>() - DOUBT) / (TRUST - DOUBT)).clamp(0.0, 1.0)
}

const _: () = assert!(BAND_8_KHZ < ENV_BANDS);

#[cfg(test)]
mod tests;
