//! The corrector of live mode: a small network predicts the refiner's correction before the frame is heard, without adding
//! delay.
//!
//! ```text
//! envelope, difference, phones, voice ─▶ features ─▶ graph ─▶ gains of the same frame ─▶ difference
//! ```
//!
//! The refiner of mix mode needs the converted voice and answers 40 ms later, which is too late to sing with. This network
//! gets what the frame will sound like, and was trained on the refiner's answers to many such frames
//! (`models/train/correct`). It corrects the map band by band, so it adds no delay. The loudness stays the singer's.
//!
//! Runs on the engine's thread; allocates in [`Corrector::new`] only. Knows a voice by its mean shapes, and no audio.

use crate::engine::analysis::AnalysisFrame;
use crate::engine::content::{MEL_BANDS, PHONES};
use crate::engine::loudness::LoudnessMeter;
use crate::onnx::{Graph, GraphError, Port, RecurrentCall, Runtime};

use super::aim::Aim;
use super::difference::{Difference, keep_loudness};
use super::network::{Health, RecentLevel, VOICE_LEN, amount, bounded, describe_aim};
use super::stage::{Moment, Stage};
use crate::engine::bands::{BAND_8_KHZ, ENV_BANDS};

/// Bands that the graph knows: up to 8 kHz.
pub const KNOWN_BANDS: usize = BAND_8_KHZ + 1;

/// Features of a frame: the converted envelope relative to the recent level, the difference to the singer's,
/// the frame's own level, voicing, the pitch that will be heard, and the content encoder's mel frame ahead of it.
pub const FEATURES: usize = 2 * KNOWN_BANDS + 3 + MEL_BANDS;

/// The graph that ships inside the program; `models/NOTEBOOK.md` says how it was trained and how well it does.
static GRAPH: &[u8] = include_bytes!("../../../models/correct.onnx");

/// Name of the graph in messages.
const NAME: &str = "correct";

const INPUTS: [Port<'_>; 4] = [
    Port { name: "features", shape: Some(&[1, FEATURES]) },
    Port { name: "voice", shape: Some(&[1, VOICE_LEN]) },
    Port { name: "phones", shape: Some(&[1, PHONES]) },
    Port { name: "state", shape: None },
];
const OUTPUTS: [Port<'_>; 2] =
    [Port { name: "gain", shape: Some(&[1, KNOWN_BANDS]) }, Port { name: "state_out", shape: None }];
const INPUT_FEATURES: usize = 0;
const INPUT_VOICE: usize = 1;
const INPUT_PHONES: usize = 2;
const OUTPUT_GAIN: usize = 0;

/// Least power of a band and least recent level. White noise of variance `v` has the power `v`.
const FLOOR: f32 = 1e-9;

/// Pitch that becomes 0 in the features, in Hz.
const MIDDLE_HZ: f32 = 200.0;

/// First of the bands whose mean gain is used above 8 kHz.
const HELD_FROM: usize = 60;

/// Shares of the gains at the likeness of the differential map and at full likeness: more cautious than the refiner's,
/// which they predict.
const SHARES: [f32; 2] = [0.75, 0.9];

/// One frame as it is about to be rendered.
#[derive(Clone, Copy, Debug)]
pub struct CorrectFrame<'a> {
    /// The singer's envelope, natural-log power per band.
    pub envelope: &'a [f32; ENV_BANDS],
    /// Voicing, in `0.0..=1.0`.
    pub voicing: f32,
    /// Pitch that will be heard, in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
    /// Probabilities of the phones; all 0 where nothing is known.
    pub phones: &'a [f32; PHONES],
    /// Mel frame of the singer two frames later, as the content encoder of live mode gets it: what the delay of the
    /// analysis leaves to look ahead.
    pub ahead: &'a [f32; MEL_BANDS],
}

/// Corrects the map's answer, frame by frame. Without a graph it changes nothing.
#[derive(Debug)]
pub struct Corrector {
    graph: Option<RecurrentCall>,
    features: [f32; FEATURES],
    level: RecentLevel,
    meter: LoudnessMeter,
    health: Health,
}

impl Corrector {
    /// At the start of a stream, on the graph of [`Self::shipped`] or none.
    pub fn new(graph: Option<RecurrentCall>) -> Self {
        Self {
            graph,
            features: [0.0; FEATURES],
            level: RecentLevel::default(),
            meter: LoudnessMeter::new(),
            health: Health::default(),
        }
    }

    /// The graph that ships inside the program.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses it.
    /// [worker-thread]
    pub fn shipped(runtime: &Runtime) -> Result<RecurrentCall, GraphError> {
        Self::from_graph(runtime, GRAPH)
    }

    /// Another graph with the same contract.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses it, or when it has other inputs and outputs.
    /// [worker-thread]
    pub fn from_graph(runtime: &Runtime, bytes: &[u8]) -> Result<RecurrentCall, GraphError> {
        RecurrentCall::new(&Graph::open(runtime, NAME, bytes)?, &INPUTS, &OUTPUTS)
    }

    /// The graph's features of the last frame, also where it does not run: they are its training data.
    pub fn features(&self) -> &[f32; FEATURES] {
        &self.features
    }

    /// Adds so much of the correction to `difference`, natural-log power per band, in `0.0..=1.0`. With an amount of 0 it
    /// stays bit for bit what it was. True where something was added.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks, but runs the graph. [worker-thread]
    pub fn correct(
        &mut self,
        frame: &CorrectFrame<'_>,
        aim: &Aim<'_>,
        amount: f32,
        difference: &mut Difference,
    ) -> bool {
        self.describe(frame, difference);
        let Some(graph) = self.graph.as_mut().filter(|_| self.health.is_good()) else { return false };
        graph.input_mut(INPUT_FEATURES).copy_from_slice(&self.features);
        graph.input_mut(INPUT_VOICE).copy_from_slice(&describe_aim(aim));
        graph.input_mut(INPUT_PHONES).copy_from_slice(frame.phones);
        if self.health.note(graph.step()).is_none() {
            return false;
        }
        let amount = if amount.is_finite() { amount.clamp(0.0, 1.0) } else { 0.0 };
        if amount == 0.0 {
            return false;
        }
        for (change, gain) in difference.iter_mut().zip(bounded(graph.output(OUTPUT_GAIN), HELD_FROM)) {
            // Of amplitude to power.
            *change += 2.0 * amount * gain;
        }
        true
    }

    fn describe(&mut self, frame: &CorrectFrame<'_>, difference: &Difference) {
        let known = |value: f32| if value.is_finite() { value } else { FLOOR.ln() };
        let converted: [f32; KNOWN_BANDS] = std::array::from_fn(|n| known(frame.envelope[n] + difference[n]));
        let mean = converted.iter().map(|band| band.exp()).sum::<f32>() / KNOWN_BANDS as f32;
        let mean = if mean.is_finite() { mean.max(FLOOR) } else { FLOOR };
        let recent = self.level.next(mean, 0.0).ln();
        let (shape, rest) = self.features.split_at_mut(KNOWN_BANDS);
        let (moved, rest) = rest.split_at_mut(KNOWN_BANDS);
        for (feature, band) in shape.iter_mut().zip(converted) {
            *feature = (band.max(FLOOR.ln()) - recent).clamp(-14.0, 8.0) / 4.0;
        }
        for (feature, change) in moved.iter_mut().zip(difference) {
            *feature = change / 3.0;
        }
        let pitch = if frame.f0_hz > 0.0 { (frame.f0_hz / MIDDLE_HZ).log2().clamp(-3.0, 4.0) } else { 0.0 };
        let (whole, ahead) = rest.split_at_mut(rest.len() - MEL_BANDS);
        whole.copy_from_slice(&[(mean.ln() - recent).clamp(-10.0, 5.0) / 3.0, frame.voicing, pitch]);
        ahead.copy_from_slice(frame.ahead);
    }
}

impl Stage<Difference> for Corrector {
    fn process(&mut self, moment: &Moment<'_>, difference: &mut Difference) {
        let AnalysisFrame { envelope, voicing, mel, .. } = moment.newest;
        let (f0_hz, phones) = (moment.f0_hz(0), moment.phones(0));
        let frame = CorrectFrame { envelope, voicing: *voicing, f0_hz, phones, ahead: mel };
        if self.correct(&frame, &moment.aim, amount(SHARES, moment.likeness, &moment.aim), difference) {
            keep_loudness(&self.meter, envelope, difference);
        }
    }

    fn failure(&self) -> Option<&GraphError> {
        self.health.failure()
    }

    fn reset(&mut self) {
        if let Some(graph) = &mut self.graph {
            graph.reset();
        }
        (self.level, self.health) = (RecentLevel::default(), Health::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::native::aim::Aimed;
    use crate::engine::native::aim::tests::flat;
    use crate::engine::native::network::MAX_GAIN;
    use crate::voice::VoiceId;

    const FRAMES: usize = 50;

    fn corrector() -> Corrector {
        Corrector::new(Some(Corrector::shipped(Runtime::get().expect("the runtime")).expect("it ships")))
    }

    /// Differences of a vowel that swells, `offset` louder than usual, after correction.
    fn run(corrector: &mut Corrector, offset: f32, amount: f32) -> Vec<[f32; ENV_BANDS]> {
        let mut phones = [0.0; PHONES];
        phones[5] = 1.0;
        let frame = |n: usize| {
            let swell = 2.0 * (n as f32 * 0.3).sin() + offset;
            let envelope = std::array::from_fn(|band| swell - 6.0 - 0.08 * band as f32 + (band as f32 * 0.5).sin());
            let mut difference = std::array::from_fn(|band| (band as f32 * 0.2 + n as f32 * 0.1).sin());
            let ahead = std::array::from_fn(|band| (band as f32 * 0.3 + n as f32 * 0.2).sin());
            let frame =
                CorrectFrame { envelope: &envelope, voicing: 1.0, f0_hz: 180.0, phones: &phones, ahead: &ahead };
            let body = flat(-2.0);
            let aim = Aim::new([Some(Aimed { id: VoiceId::of(b"a voice"), body: &body }), None], 0.0);
            let is_changed = corrector.correct(&frame, &aim, amount, &mut difference);
            assert_eq!(is_changed, amount > 0.0 && corrector.graph.is_some());
            difference
        };
        (0..FRAMES).map(frame).collect()
    }

    #[test]
    fn without_graph_or_amount_nothing_changes() {
        let plain = run(&mut Corrector::new(None), 0.0, 1.0);
        assert_eq!(run(&mut corrector(), 0.0, 0.0), plain);
        assert_ne!(run(&mut corrector(), 0.0, 1.0), plain);
    }

    #[test]
    fn a_reset_starts_the_same_stream_again() {
        let mut corrector = corrector();
        let first = run(&mut corrector, 0.0, 1.0);
        assert_ne!(run(&mut corrector, 0.0, 1.0), first);
        corrector.reset();
        assert_eq!(run(&mut corrector, 0.0, 1.0), first);
    }

    #[test]
    fn levels_do_not_matter_and_half_the_amount_is_half_the_change() {
        let plain = run(&mut Corrector::new(None), 0.0, 1.0);
        let [whole, soft, half] = [(0.0, 1.0), (-4.0, 1.0), (0.0, 0.5)].map(|(o, a)| run(&mut corrector(), o, a));
        for n in 0..FRAMES {
            for band in 0..ENV_BANDS {
                assert!((whole[n][band] - soft[n][band]).abs() < 1e-3);
                let (change, halved) = (whole[n][band] - plain[n][band], half[n][band] - plain[n][band]);
                assert!((0.5 * change - halved).abs() < 1e-4);
                assert!(change.abs() <= 2.0 * MAX_GAIN);
            }
        }
    }

    #[test]
    fn numbers_that_are_none_do_not_stay() {
        let mut corrector = corrector();
        let (mut envelope, phones) = ([-6.0; ENV_BANDS], [0.0; PHONES]);
        envelope[3] = f32::NAN;
        let body = flat(-2.0);
        let aim = Aim::new([Some(Aimed { id: VoiceId::of(b"a voice"), body: &body }), None], 0.0);
        for f0_hz in [f32::INFINITY, 1e-30, 100.0] {
            let ahead = [0.0; MEL_BANDS];
            let frame = CorrectFrame { envelope: &envelope, voicing: 1.0, f0_hz, phones: &phones, ahead: &ahead };
            corrector.correct(&frame, &aim, 1.0, &mut [0.0; ENV_BANDS]);
        }
        assert!(run(&mut corrector, 0.0, 1.0).iter().flatten().all(|value| value.is_finite()));
    }

    /// `models/train` wrote what the network answers; the graph and the way its state goes have to say the same.
    #[test]
    fn the_graph_answers_as_it_was_trained_to() {
        let parity: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/correct_parity.json")).expect("JSON");
        let numbers = |value: &serde_json::Value| -> Vec<f32> {
            value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
        };
        let mut graph = Corrector::shipped(Runtime::get().expect("the runtime")).expect("it ships");
        graph.input_mut(INPUT_VOICE).copy_from_slice(&numbers(&parity["voice"]));
        let list = |name: &str| parity[name].as_array().expect("frames").clone();
        assert!(list("features").len() >= 20);
        for ((frame, phones), wanted) in list("features").iter().zip(list("phones")).zip(list("gain")) {
            graph.input_mut(INPUT_FEATURES).copy_from_slice(&numbers(frame));
            graph.input_mut(INPUT_PHONES).copy_from_slice(&numbers(&phones));
            graph.step().expect("it runs");
            for (gain, wanted) in graph.output(OUTPUT_GAIN).iter().zip(numbers(&wanted)) {
                assert!((gain - wanted).abs() < 1e-3, "{gain} instead of {wanted}");
            }
        }
    }
}
