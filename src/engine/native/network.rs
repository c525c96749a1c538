//! What the networks among the stages have in common: how they are told of a voice, how much of their gains acts, how far
//! gains may go, and what happens when a graph fails.
//!
//! Plain arithmetic on the engine's thread. Knows no graph's ports.

use super::aim::Aim;
use super::mapping::DIFFERENTIAL_LIKENESS;
use crate::engine::bands::BAND_8_KHZ;
use crate::onnx::GraphError;
use crate::voice::MeanShapes;

/// Values that tell a network of a voice: its mean voiced and unvoiced shape up to 8 kHz.
pub const VOICE_LEN: usize = 2 * (BAND_8_KHZ + 1);

/// Failures of a graph in a row after which it is no longer asked until the next reset.
const MAX_FAILURES: u32 = 3;

/// What a recent level forgets in one frame: a second.
const FORGETTING: f32 = 0.01;

/// Largest gain, natural logarithm of amplitude. The graphs themselves stay within it.
pub const MAX_GAIN: f32 = 2.5;

/// Range of the gain above what a network knows, natural logarithm of amplitude: -13 to +6 dB.
const HELD_RANGE: (f32, f32) = (-1.5, 0.7);

/// A network's input about a voice.
pub fn describe(shapes: &MeanShapes) -> [f32; VOICE_LEN] {
    let half = VOICE_LEN / 2;
    std::array::from_fn(|n| if n < half { shapes.voiced[n] } else { shapes.unvoiced[n - half] } / 4.0)
}

/// A network's input about what is aimed at.
pub fn describe_aim(aim: &Aim<'_>) -> [f32; VOICE_LEN] {
    aim.mixed(|body| describe(&body.shapes))
}

/// How much of a network's gains acts, given the share at the likeness of the differential map and at full likeness.
/// Where the banks are asked less, there is less to take back.
pub fn amount([default, full]: [f32; 2], likeness: f32, aim: &Aim<'_>) -> f32 {
    let likeness = if likeness.is_finite() { likeness.clamp(0.0, 1.0) } else { 0.0 };
    let beyond = ((likeness - DIFFERENTIAL_LIKENESS) / (1.0 - DIFFERENTIAL_LIKENESS)).max(0.0);
    aim.share() * (default * (likeness / DIFFERENTIAL_LIKENESS).min(1.0) + (full - default) * beyond)
}

/// Gains within bounds, and above what the network knows the mean of those from `held_from` on, without end.
pub fn bounded(gains: &[f32], held_from: usize) -> impl Iterator<Item = f32> {
    let held = &gains[held_from..];
    let held = (held.iter().sum::<f32>() / held.len() as f32).clamp(HELD_RANGE.0, HELD_RANGE.1);
    gains.iter().map(|gain| gain.clamp(-MAX_GAIN, MAX_GAIN)).chain(std::iter::repeat(held))
}

/// How a graph is: it is given up when it failed too often in a row.
#[derive(Debug, Default)]
pub struct Health {
    /// Failures since it last worked.
    failures: u32,
    last_failure: Option<GraphError>,
}

impl Health {
    /// Whether the graph is to be asked.
    pub fn is_good(&self) -> bool {
        self.failures < MAX_FAILURES
    }

    /// Takes note of what came of a run.
    pub fn note<T>(&mut self, result: Result<T, GraphError>) -> Option<T> {
        match result {
            Ok(answer) => {
                *self = Self::default();
                Some(answer)
            }
            Err(error) => {
                self.failures += 1;
                self.last_failure = Some(error);
                None
            }
        }
    }

    /// Why the last run failed; `None` while the graph works.
    pub fn failure(&self) -> Option<&GraphError> {
        self.last_failure.as_ref()
    }
}

/// The level of the last second, as the networks were trained.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecentLevel(Option<f32>);

impl RecentLevel {
    /// Takes the power of the next frame, and gives the recent one, at least `least`.
    pub fn next(&mut self, power: f32, least: f32) -> f32 {
        let recent = self.0.unwrap_or(power) * (1.0 - FORGETTING) + power * FORGETTING;
        *self.0.insert(recent.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_is_given_up_after_failures_in_a_row() {
        let fails = || Err::<(), _>(GraphError::Run { graph: "some", reason: "none".into() });
        let mut health = Health::default();
        for result in [fails(), fails(), Ok(()), fails(), fails()] {
            health.note(result);
        }
        assert!(health.is_good() && health.failure().is_some());
        health.note(fails());
        assert!(!health.is_good());
        assert_eq!(Health::default().failure(), None);
    }

    #[test]
    fn gains_are_bounded_and_go_on_above() {
        let gains: Vec<f32> = bounded(&[9.0, -9.0, 0.5, 0.1], 2).take(6).collect();
        assert_eq!(gains, [MAX_GAIN, -MAX_GAIN, 0.5, 0.1, 0.3, 0.3]);
        assert_eq!(bounded(&[2.0], 0).nth(1), Some(HELD_RANGE.1));
    }
}
