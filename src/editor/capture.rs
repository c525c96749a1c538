//! Joins the worker's recording of the track to the job that makes a voice of it: neither knows the other.

use crate::bridge::{CaptureEnd, CaptureState};
use crate::clone::captured::{Capture, Heard};

/// Length of a recording from the track, in seconds: what a good voice needs.
pub const CAPTURE_SECONDS: u32 = 30;

/// Time for reading the sentence of the spoken check aloud, in seconds: it takes five.
pub const SENTENCE_SECONDS: u32 = 10;

/// The track as a recording.
#[derive(Debug)]
pub struct Track(pub CaptureEnd);

impl Capture for Track {
    fn rate(&self) -> u32 {
        self.0.rate()
    }

    fn progress(&self) -> f32 {
        self.0.progress()
    }

    fn read(&mut self, samples: &mut Vec<f32>) -> Heard {
        match self.0.read(samples) {
            CaptureState::Running => Heard::Part,
            CaptureState::Complete => Heard::All,
            CaptureState::Overrun => Heard::Broken(
                "The recording could not keep up with the host. Play in real time, close other programs and record again.",
            ),
            CaptureState::Lost => Heard::Broken("The host changed its sample rate or stopped Coffre. Record again."),
        }
    }
}
