//! The refiner of mix mode: a small network removes conversion artefacts, bin by bin.
//!
//! ```text
//! hop ─▶ spectrum of 30 ms ─▶ features ─▶ graph ─▶ gains, two frames later ─▶ overlap-add ─▶ hop, four hops later
//! ```
//!
//! The network gets the converted voice, the target voice's mean shapes and the phones that the content encoder found in
//! the singer's own sound. It was trained on recordings that were converted to another voice and back
//! (`models/train/refine`), so it knows how a conversion differs from the person's own sound. There are two: one for a few
//! voices that it knows well, and one for all others, trained on hundreds. Clones add what was learned about them to the
//! latter ([`Adaptation`](crate::voice::Adaptation)). Only magnitudes change, up to 8 kHz and by at most 22 dB; higher bands get the mean gain of
//! the last bins.
//!
//! Runs on the engine's thread; allocates in [`Refiner::new`] only. Knows a voice by its id and mean shapes, and no
//! bank.

mod graph;
mod probe;
mod spectrum;

use realfft::num_complex::Complex32;

use crate::engine::HOP_LEN;
use crate::engine::content::PHONES;
use crate::onnx::GraphError;

use super::aim::Aim;
use super::network::{Health, RecentLevel, amount, bounded, describe_aim};
use super::stage::{Moment, Stage};

pub use graph::RefineGraph;
pub use probe::{Probe, ProbedFrame};
use spectrum::{FrameSpectrum, features};

/// Hops of one frame: 30 ms.
const FRAME_HOPS: usize = 3;

/// Samples of one frame.
const FRAME_LEN: usize = FRAME_HOPS * HOP_LEN;

/// Bins of a frame that the graph knows: 0 to 8 kHz, 33.3 Hz apart.
pub const KNOWN_BINS: usize = 241;

/// Values that the graph's last layer sees.
pub const HIDDEN_LEN: usize = 192;

/// Rows and columns of an [`Adaptation`](crate::voice::Adaptation) to the refiner: hidden values and a constant, gains.
pub const ADAPTATION_SHAPE: [usize; 2] = [HIDDEN_LEN + 1, KNOWN_BINS];

/// Values of the graph's input: log power per bin, and the level of the frame.
const FEATURES: usize = KNOWN_BINS + 1;

/// Frames that the graph waits for before it answers.
const LOOK_AHEAD_FRAMES: usize = 2;

/// Hops from input to output: the rest of a frame and the graph's look-ahead.
pub const DELAY_HOPS: usize = FRAME_HOPS - 1 + LOOK_AHEAD_FRAMES;

/// Age in hops of the phones passed with each hop, counted from its end; the middle of the newest frame lies half a hop
/// later.
pub const HEARD_HOPS: usize = FRAME_HOPS / 2 + 1;

/// First of the bins whose mean gain is used above 8 kHz.
const HELD_FROM: usize = 200;

/// Shares of the gains at the likeness of the differential map and at full likeness. More would sound more like the
/// voice, but cost some words.
const SHARES: [f32; 2] = [0.6, 0.8];

/// A frame between its analysis and its answer.
#[derive(Clone, Debug)]
struct Frame {
    spectrum: Box<[Complex32]>,
    /// How much of the gains is used.
    amount: f32,
}

/// Streaming refiner: a hop in, the hop [`DELAY_HOPS`] before it out. Without a graph it delays.
#[derive(Debug)]
pub struct Refiner {
    /// For the voices that the first one knows, and for all others.
    graphs: Option<[RefineGraph; 2]>,
    /// Which of them was asked last.
    active: usize,
    health: Health,
    transform: FrameSpectrum,
    /// The newest hops, oldest first; the frame that is analysed is the end of it.
    recent: Box<[f32]>,
    /// Amount per hop of `recent`.
    amounts: [f32; DELAY_HOPS + 1],
    /// Frames that wait for their gains, oldest first.
    frames: [Frame; LOOK_AHEAD_FRAMES + 1],
    /// Output under construction.
    sum: Box<[f32]>,
    /// Whether a refined frame is part of a hop of `sum`.
    is_refined: [bool; FRAME_HOPS],
    /// Recent level of the input.
    level: RecentLevel,
}

impl Refiner {
    /// Plans the transform.
    pub fn new(graphs: Option<[RefineGraph; 2]>) -> Self {
        let transform = FrameSpectrum::new();
        let frame = Frame { spectrum: transform.empty(), amount: 0.0 };
        Self {
            graphs,
            active: 0,
            health: Health::default(),
            transform,
            recent: vec![0.0; (DELAY_HOPS + 1) * HOP_LEN].into_boxed_slice(),
            amounts: [0.0; DELAY_HOPS + 1],
            frames: std::array::from_fn(|_| frame.clone()),
            sum: vec![0.0; FRAME_LEN].into_boxed_slice(),
            is_refined: [false; FRAME_HOPS],
            level: RecentLevel::default(),
        }
    }

    /// Replaces a hop by the one [`DELAY_HOPS`] before it, refined by `amount`, in `0.0..=1.0`, of that moment, for
    /// the voice that is aimed at. `phones` are the probabilities of what is said [`HEARD_HOPS`] before the end of
    /// the given hop; all 0 where nothing is known. Where the amount is 0 for a frame's length, a hop comes
    /// out bit for bit as it came in.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks, but runs the graph. [worker-thread]
    pub fn refine(&mut self, hop: &mut [f32], aim: &Aim<'_>, phones: &[f32; PHONES], amount: f32) {
        self.recent.copy_within(HOP_LEN.., 0);
        self.recent[DELAY_HOPS * HOP_LEN..].copy_from_slice(hop);
        self.amounts.rotate_left(1);
        self.amounts[DELAY_HOPS] = if amount.is_finite() { amount.clamp(0.0, 1.0) } else { 0.0 };

        self.analyse();
        let gains_are_there = self.ask(aim, phones);
        self.add_frame(gains_are_there);

        if self.is_refined[0] {
            hop.copy_from_slice(&self.sum[..HOP_LEN]);
        } else {
            hop.copy_from_slice(&self.recent[..HOP_LEN]);
        }
        self.sum.copy_within(HOP_LEN.., 0);
        self.sum[FRAME_LEN - HOP_LEN..].fill(0.0);
        self.is_refined.rotate_left(1);
        self.is_refined[FRAME_HOPS - 1] = false;
    }

    /// Spectrum of the newest frame, and how much it will be refined.
    fn analyse(&mut self) {
        self.frames.rotate_left(1);
        let newest = &mut self.frames[LOOK_AHEAD_FRAMES];
        let from = self.recent.len() - FRAME_LEN;
        self.transform.forward(&self.recent[from..], &mut newest.spectrum);
        // The amount belongs to the middle of the frame.
        newest.amount = self.amounts[DELAY_HOPS - FRAME_HOPS / 2];
    }

    /// Runs the graph on the newest frame and turns the gains of the oldest one into its spectrum. False where the
    /// frame stays as it is.
    fn ask(&mut self, aim: &Aim<'_>, phones: &[f32; PHONES]) -> bool {
        let Some(graphs) = self.graphs.as_mut().filter(|_| self.health.is_good()) else { return false };
        let wanted = usize::from(!graphs[0].knows(&aim.ids()));
        let graph = &mut graphs[wanted];
        if wanted != self.active {
            // What it remembers is of another time.
            graph.reset();
            self.active = wanted;
        }
        features(&self.frames[LOOK_AHEAD_FRAMES].spectrum, &mut self.level, graph.features_mut());
        graph.aim_at(&describe_aim(aim));
        graph.say(phones);
        let adaptations = aim.shares().map(|one| {
            let (voice, share) = one?;
            let adaptation = voice.body.adaptation.as_ref()?;
            adaptation.is_for(graph.hidden_space(), ADAPTATION_SHAPE).then_some((adaptation, share))
        });
        let mut gains = [0.0; KNOWN_BINS];
        let Some((answer, hidden)) = self.health.note(graph.step()) else { return false };
        gains.copy_from_slice(answer);
        adaptations.iter().flatten().for_each(|(one, share)| one.add_to(hidden, *share, &mut gains));
        let Frame { spectrum, amount } = &mut self.frames[0];
        if *amount == 0.0 {
            return false;
        }
        for (value, gain) in spectrum.iter_mut().zip(bounded(&gains, HELD_FROM)) {
            *value *= (gain * *amount).exp();
        }
        true
    }

    /// Adds the oldest frame to the output.
    fn add_frame(&mut self, is_changed: bool) {
        // The weights of the three windows over one sample add up to 1.5.
        let scale = 2.0 / FRAME_HOPS as f32;
        if is_changed {
            self.is_refined = [true; FRAME_HOPS];
            let (samples, window) = self.transform.inverse(&mut self.frames[0].spectrum);
            for ((sum, &sample), &weight) in self.sum.iter_mut().zip(samples).zip(window) {
                *sum += sample * weight * scale;
            }
        } else {
            for ((sum, &sample), &weight) in
                self.sum.iter_mut().zip(&self.recent[..FRAME_LEN]).zip(self.transform.window())
            {
                *sum += sample * weight * weight * scale;
            }
        }
    }
}

impl Stage<[f32]> for Refiner {
    fn delay_hops(&self) -> usize {
        DELAY_HOPS
    }

    fn tail_hops(&self) -> usize {
        // What is refined rings for a frame at most.
        DELAY_HOPS
    }

    fn process(&mut self, moment: &Moment<'_>, hop: &mut [f32]) {
        let amount = amount(SHARES, moment.likeness, &moment.aim);
        self.refine(hop, &moment.aim, moment.phones(HEARD_HOPS), amount);
    }

    fn failure(&self) -> Option<&GraphError> {
        self.health.failure()
    }

    fn reset(&mut self) {
        self.graphs.iter_mut().flatten().for_each(RefineGraph::reset);
        self.active = 0;
        self.health = Health::default();
        self.recent.fill(0.0);
        self.amounts = [0.0; DELAY_HOPS + 1];
        for frame in &mut self.frames {
            frame.spectrum.fill(Complex32::default());
            frame.amount = 0.0;
        }
        self.sum.fill(0.0);
        self.is_refined = [false; FRAME_HOPS];
        self.level = RecentLevel::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::native::aim::Aimed;
    use crate::engine::native::aim::tests::flat;
    use crate::onnx::Runtime;
    use crate::voice::{Adaptation, NativeVoice, VoiceId};

    const HOPS: usize = 60;

    /// Whatever is said.
    const SAID: [f32; PHONES] = [1.0 / PHONES as f32; PHONES];

    /// Reproducible noise with a slow swell.
    fn signal() -> Vec<f32> {
        let mut seed = 9_u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..HOPS * HOP_LEN).map(|n| 0.2 * noise() * (1.5 + (n as f32 * 3e-4).sin())).collect()
    }

    fn refiner() -> Refiner {
        Refiner::new(Some(RefineGraph::shipped(Runtime::get().expect("the runtime")).expect("they ship")))
    }

    fn run(refiner: &mut Refiner, input: &[f32], amount: impl Fn(usize) -> f32) -> Vec<f32> {
        let mut output = input.to_vec();
        for (n, hop) in output.chunks_exact_mut(HOP_LEN).enumerate() {
            let body = flat(-2.0);
            let aim = Aim::new([Some(Aimed { id: known_voice(), body: &body }), None], 0.0);
            refiner.refine(hop, &aim, &SAID, amount(n));
        }
        output
    }

    fn is_delayed(output: &[f32], input: &[f32], hops: std::ops::Range<usize>) -> bool {
        let from = DELAY_HOPS * HOP_LEN;
        let range = hops.start * HOP_LEN..hops.end * HOP_LEN;
        output[range.start + from..range.end + from] == input[range]
    }

    #[test]
    fn without_graph_or_amount_it_delays_bit_for_bit() {
        let input = signal();
        for (mut refiner, amount) in [(Refiner::new(None), 1.0), (refiner(), 0.0), (refiner(), f32::NAN)] {
            let output = run(&mut refiner, &input, |_| amount);
            assert!(output[..DELAY_HOPS * HOP_LEN].iter().all(|&sample| sample == 0.0));
            assert!(is_delayed(&output, &input, 0..HOPS - DELAY_HOPS));
        }
    }

    #[test]
    fn only_frames_with_an_amount_change() {
        let input = signal();
        let output = run(&mut refiner(), &input, |n| if (20..30).contains(&n) { 1.0 } else { 0.0 });
        // A frame reaches one hop to each side of its middle.
        assert!(is_delayed(&output, &input, 0..19) && is_delayed(&output, &input, 31..HOPS - DELAY_HOPS));
        assert!(!is_delayed(&output, &input, 20..30));
        let largest = |samples: &[f32]| samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(largest(&output) < 1.5 * largest(&input), "the ends click");
    }

    #[test]
    fn a_reset_starts_the_same_stream_again() {
        let input = signal();
        let mut refiner = refiner();
        let first = run(&mut refiner, &input, |_| 1.0);
        refiner.reset();
        assert!(run(&mut refiner, &input, |_| 1.0) == first);
    }

    #[test]
    fn silence_stays_silent_and_levels_do_not_matter() {
        assert!(run(&mut refiner(), &[0.0; HOPS * HOP_LEN], |_| 1.0).iter().all(|&sample| sample == 0.0));
        let input = signal();
        let soft: Vec<f32> = input.iter().map(|sample| 0.125 * sample).collect();
        let (a, b) = (run(&mut refiner(), &input, |_| 1.0), run(&mut refiner(), &soft, |_| 1.0));
        let distance: f32 = a.iter().zip(&b).map(|(a, b)| (a - 8.0 * b).powi(2)).sum();
        let power: f32 = a.iter().map(|a| a * a).sum();
        assert!(distance < 1e-3 * power, "{}", distance / power);
    }

    fn known_voice() -> VoiceId {
        VoiceId::of(include_bytes!("../../../models/voices/basalt.coffre"))
    }

    /// If a voice file changes, the graph must be exported again: `models/NOTEBOOK.md`.
    #[test]
    fn the_first_graph_knows_the_voices_of_people_as_they_ship() {
        let [known, any] = RefineGraph::shipped(Runtime::get().expect("the runtime")).expect("they ship");
        let files: [&[u8]; 4] = [
            include_bytes!("../../../models/voices/basalt.coffre"),
            include_bytes!("../../../models/voices/celadon.coffre"),
            include_bytes!("../../../models/voices/ochre.coffre"),
            include_bytes!("../../../models/voices/quartz.coffre"),
        ];
        for file in files {
            assert!(known.knows(&[Some(VoiceId::of(file)), None]));
            assert!(!any.knows(&[None, Some(VoiceId::of(file))]));
        }
        assert!(!known.knows(&[Some(VoiceId::of(b"a clone")), None]));
        assert!(!known.knows(&[Some(known_voice()), Some(VoiceId::of(b"a clone"))]));
    }

    #[test]
    fn a_voice_that_nobody_knows_is_refined_by_the_other_graph() {
        let other = VoiceId::of(b"a clone");
        let body = flat(-2.0);
        let run = |voice: &dyn Fn(usize) -> VoiceId| {
            let (mut refiner, mut audio) = (refiner(), signal());
            for (n, hop) in audio.chunks_exact_mut(HOP_LEN).enumerate() {
                let aim = Aim::new([Some(Aimed { id: voice(n), body: &body }), None], 0.0);
                refiner.refine(hop, &aim, &SAID, 1.0);
            }
            audio
        };
        let (known, any) = (run(&|_| known_voice()), run(&|_| other));
        assert_ne!(known, any);
        let change = HOPS / 2;
        let changed = run(&|n| if n < change { known_voice() } else { other });
        assert_eq!(changed[..change * HOP_LEN], known[..change * HOP_LEN]);
        assert_ne!(changed[change * HOP_LEN..], known[change * HOP_LEN..]);
        assert!(changed.iter().all(|sample| sample.is_finite() && sample.abs() < 4.0));
    }

    #[test]
    fn what_was_learned_about_a_voice_acts_by_its_share_and_only_in_its_space() {
        let space = refiner().graphs.expect("graphs")[1].hidden_space().to_owned();
        let adaptation = |space: &str, constant: f32| {
            let mut weights = vec![0.0; ADAPTATION_SHAPE.iter().product()];
            weights[HIDDEN_LEN * KNOWN_BINS..].fill(constant);
            Adaptation::new(space, ADAPTATION_SHAPE, weights).expect("fits")
        };
        let voice = |adaptation| NativeVoice { adaptation, ..flat(-2.0) };
        // Softer: above 8 kHz there is no room for much more.
        let [softer, none, foreign, plain] =
            [Some(adaptation(&space, -0.5)), Some(adaptation(&space, 0.0)), Some(adaptation("other", -0.5)), None]
                .map(voice);
        let run = |voices: [Option<&NativeVoice>; 2], weight: f32| {
            let (mut refiner, mut audio) = (refiner(), signal());
            for hop in audio.chunks_exact_mut(HOP_LEN) {
                let aimed = |body| Aimed { id: VoiceId::of(b"a clone"), body };
                let aim = Aim::new(voices.map(|body| body.map(aimed)), weight);
                refiner.refine(hop, &aim, &SAID, 0.5);
            }
            audio
        };
        let plain = run([Some(&plain), None], 0.0);
        assert_eq!(run([Some(&none), None], 0.0), plain);
        assert_eq!(run([None, Some(&foreign)], 1.0), plain);
        let power = |audio: &[f32]| audio[20 * HOP_LEN..].iter().map(|sample| sample * sample).sum::<f32>();
        // Half of the gains act, and of those of one voice the half.
        for (voices, weight, gain) in [
            ([Some(&softer), None], 0.0, -0.25_f32),
            ([Some(&softer), Some(&none)], 0.5, -0.125),
            ([Some(&softer), Some(&softer)], 0.5, -0.25),
        ] {
            let ratio = power(&run(voices, weight)) / power(&plain);
            assert!((ratio.ln() - 2.0 * gain).abs() < 0.01, "{} instead of {}", ratio.ln(), 2.0 * gain);
        }
    }

    /// `models/train` wrote what the network answers; the graph and the way its state goes have to say the same.
    #[test]
    fn the_graph_answers_as_it_was_trained_to() {
        let parity: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/refine_parity.json")).expect("JSON");
        let numbers = |value: &serde_json::Value| -> Vec<f32> {
            value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number") as f32).collect()
        };
        let [mut graph, _] = RefineGraph::shipped(Runtime::get().expect("the runtime")).expect("they ship");
        graph.aim_at(numbers(&parity["voice"]).as_slice().try_into().expect("the length"));
        let list = |name: &str| parity[name].as_array().expect("frames").clone();
        let frames = list("features");
        assert!(frames.len() >= 20);
        for ((frame, phones), wanted) in frames.iter().zip(list("phones")).zip(list("gain")) {
            graph.features_mut().copy_from_slice(&numbers(frame));
            graph.say(numbers(&phones).as_slice().try_into().expect("the length"));
            let (gains, _) = graph.step().expect("it runs");
            for (gain, wanted) in gains.iter().zip(numbers(&wanted)) {
                assert!((gain - wanted).abs() < 1e-3, "{gain} instead of {wanted}");
            }
        }
    }
}
