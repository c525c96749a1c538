//! What the map says of a frame: by how much each band of the singer's envelope changes. The currency of all stages
//! before the sound is made.
//!
//! Plain arithmetic on the engine's thread.

use crate::engine::bands::ENV_BANDS;
use crate::engine::loudness::LoudnessMeter;

/// Natural-log power per band, target minus singer.
pub type Difference = [f32; ENV_BANDS];

/// Largest change of a band, natural-log power: 26 dB.
pub const MAX_DIFFERENCE: f32 = 6.0;

/// Limits the bands, then moves all of them together so that the loudness is the singer's.
pub fn keep_loudness(meter: &LoudnessMeter, envelope: &[f32; ENV_BANDS], difference: &mut Difference) {
    let mut converted = [0.0; ENV_BANDS];
    for ((sum, change), &value) in converted.iter_mut().zip(difference.iter_mut()).zip(envelope) {
        *change = if change.is_finite() { change.clamp(-MAX_DIFFERENCE, MAX_DIFFERENCE) } else { 0.0 };
        *sum = value + *change;
    }
    let correction = meter.loudness(envelope) - meter.loudness(&converted);
    if correction.is_finite() {
        for change in difference {
            *change = (*change + correction).clamp(-MAX_DIFFERENCE, MAX_DIFFERENCE);
        }
    }
}
