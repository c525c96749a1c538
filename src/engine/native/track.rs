//! The synthesiser's instructions per feature frame, addressed by absolute sample position.
//!
//! Pitch and timbre are separate because pitch is known earlier. Runs on the engine's thread; allocates in
//! [`Track::new`] only.

use super::filter::Response;
use crate::engine::HOP_LEN;

/// Frames that are remembered (640 ms).
const FRAMES: i64 = 64;

/// Pitch of one feature frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pitch {
    /// F0 of the source in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Output F0 divided by source F0.
    pub ratio: f32,
}

/// The newest frames. Frame `j` lies at sample `j * HOP_LEN - offset`.
pub struct Track {
    pitches: Box<[Pitch]>,
    responses: Box<[Response]>,
    offset: i64,
    /// Index one past the newest pitch.
    pitch_end: i64,
    /// Index one past the newest response.
    response_end: i64,
}

impl Track {
    /// A track whose frames lie `offset` samples before multiples of the hop.
    pub fn new(offset: i64) -> Self {
        Self {
            pitches: vec![Pitch { f0_hz: 0.0, ratio: 1.0 }; FRAMES as usize].into_boxed_slice(),
            responses: vec![Response::flat(); FRAMES as usize].into_boxed_slice(),
            offset,
            pitch_end: 0,
            response_end: 0,
        }
    }

    /// Forgets all frames; the next pitch and the next response to be pushed have these indices.
    pub fn reset(&mut self, first_pitch: i64, first_response: i64) {
        self.pitches.fill(Pitch { f0_hz: 0.0, ratio: 1.0 });
        self.responses.iter_mut().for_each(Response::set_flat);
        self.pitch_end = first_pitch;
        self.response_end = first_response;
    }

    /// Appends the pitch of the next frame.
    pub fn push_pitch(&mut self, pitch: Pitch) {
        self.pitches[slot(self.pitch_end)] = pitch;
        self.pitch_end += 1;
    }

    /// The response of the next frame, to be filled in; it counts as pushed.
    pub fn push_response(&mut self) -> &mut Response {
        self.response_end += 1;
        &mut self.responses[slot(self.response_end - 1)]
    }

    /// F0 in Hz of the frame nearest to a position; of the newest one where the position lies beyond it.
    pub fn f0_at(&self, position: f64) -> f32 {
        let index = self.place(position).round() as i64;
        self.pitches[slot(index.clamp(self.pitch_end - FRAMES, self.pitch_end - 1))].f0_hz
    }

    /// Ratio at a position, interpolated between frames.
    pub fn ratio_at(&self, position: f64) -> f64 {
        let (low, high, weight) = self.around(position, self.pitch_end);
        let (low, high) = (self.pitches[low].ratio, self.pitches[high].ratio);
        f64::from(low + weight * (high - low))
    }

    /// The responses before and after a position and the weight of the second, in `0.0..1.0`.
    pub fn responses_at(&self, position: f64) -> (&Response, &Response, f32) {
        let (low, high, weight) = self.around(position, self.response_end);
        (&self.responses[low], &self.responses[high], weight)
    }

    fn place(&self, position: f64) -> f64 {
        (position + self.offset as f64) / HOP_LEN as f64
    }

    fn around(&self, position: f64, end: i64) -> (usize, usize, f32) {
        let place = self.place(position);
        let before = place.floor();
        let low = (before as i64).clamp(end - FRAMES, end - 1);
        let high = (before as i64 + 1).clamp(end - FRAMES, end - 1);
        let weight = if low == high { 0.0 } else { (place - before) as f32 };
        (slot(low), slot(high), weight)
    }
}

fn slot(index: i64) -> usize {
    index.rem_euclid(FRAMES) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_frames_are_interpolated_and_held_at_the_end() {
        let mut track = Track::new(48);
        track.reset(3, 3);
        for ratio in [1.0, 2.0] {
            track.push_pitch(Pitch { f0_hz: 100.0 * ratio, ratio });
        }
        // Frame 3 lies at 3 * 480 - 48 = 1392, frame 4 one hop later.
        assert_eq!(track.ratio_at(1392.0), 1.0);
        assert_eq!(track.ratio_at(1632.0), 1.5);
        assert_eq!(track.ratio_at(9999.0), 2.0);
        assert_eq!((track.f0_at(1600.0), track.f0_at(1640.0)), (100.0, 200.0));
    }
}
