//! The pitch that is sung: the register that parameters and voices ask for, and transpose.
//!
//! Runs on the engine's thread. Knows no audio.

use std::sync::Arc;

use super::cast::Cast;
use super::target::Target;
use crate::engine::profile::SourceProfile;
use crate::engine::register::{OctaveKeeper, Register, SungBand, distance_st, semitones_st};
use crate::engine::{HopParams, RegisterMode};

/// Where the pitch goes.
#[derive(Default)]
pub struct Transposer {
    register: Register,
    octaves: OctaveKeeper,
}

/// Where the pitch of a frame goes.
pub struct Transposition {
    /// Factor of the source's pitch.
    pub ratio: f32,
    /// The register's part of it, in semitones: transpose left out.
    pub register_st: f32,
}

impl Transposer {
    /// The transposition of the newest frame, whose pitch is `f0_hz`.
    pub fn next(&mut self, cast: &Cast, profile: &Arc<SourceProfile>, params: &HopParams, f0_hz: f32) -> Transposition {
        let register_st = self.register_st(cast, profile, params, f0_hz);
        let ratio = self.register.next(f0_hz, register_st + params.transpose_st);
        Transposition { ratio, register_st }
    }

    /// Semitones by which the register moves.
    fn register_st(&mut self, cast: &Cast, profile: &Arc<SourceProfile>, params: &HopParams, f0_hz: f32) -> f32 {
        let source_hz = profile.median_f0_hz;
        let a = cast.voice(params.voice_slot);
        let b = cast.morph(params);
        let distance = |target: &Target| distance_st(source_hz, target.voice().median_f0_hz());
        let band = |target: &Target| SungBand::new(distance(target), target.voice().manifest().is_sung());
        match params.register {
            RegisterMode::Off => 0.0,
            // Whole ones between two voices too.
            RegisterMode::Semitones => semitones_st(match b {
                None => a.map_or(0.0, distance),
                Some((b, morph)) if morph >= 1.0 => distance(b),
                Some((b, morph)) => {
                    let a_st = a.map_or(0.0, distance);
                    a_st + morph * (distance(b) - a_st)
                }
            }),
            RegisterMode::Octaves => {
                let from = a.map_or(SungBand::OWN, band);
                let band = b.map_or(from, |(b, morph)| from.towards(band(b), morph));
                let choice = [params.voice_slot, params.voice_b_slot].map(|slot| cast.voice(slot).map(Target::id));
                // Nothing is known of a singer who was not learned: the song stays where it is.
                let is_known = !Arc::ptr_eq(profile, &SourceProfile::population());
                self.octaves.next(choice, is_known.then_some(band), f0_hz)
            }
        }
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.register.reset();
        self.octaves.reset();
    }
}
