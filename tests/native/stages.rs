//! Stages of the caller's: they delay the sound and its mark by as much as they say, and are told of the frame they get.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};

use coffre::engine::bands::ENV_BANDS;
use coffre::engine::native::NativeEngine;
use coffre::engine::native::difference::Difference;
use coffre::engine::native::mapping::Mapper;
use coffre::engine::native::stage::{Moment, Stage};
use coffre::engine::native::stages::Stages;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{Engine as _, HOP_LEN, HopParams, HopReport, Mode};

use super::signals::vowel;

const DELAY_HOPS: usize = 3;

/// Gives each hop later, and tells pitch and gate of each that it gets.
#[derive(Debug)]
struct Late {
    waiting: VecDeque<Vec<f32>>,
    told: Sender<(f32, f32)>,
}

impl Late {
    fn new(told: Sender<(f32, f32)>) -> Self {
        Self { waiting: std::iter::repeat_n(vec![0.0; HOP_LEN], DELAY_HOPS).collect(), told }
    }
}

impl Stage<[f32]> for Late {
    fn delay_hops(&self) -> usize {
        DELAY_HOPS
    }

    fn process(&mut self, moment: &Moment<'_>, hop: &mut [f32]) {
        self.told.send((moment.f0_hz(0), moment.gate(0))).expect("the test listens");
        assert_eq!(moment.f0_hz(1_000), 0.0, "nobody remembers");
        self.waiting.push_back(hop.to_vec());
        hop.copy_from_slice(&self.waiting.pop_front().expect("it never runs dry"));
    }

    fn reset(&mut self) {
        self.waiting.iter_mut().for_each(|hop| hop.fill(0.0));
    }
}

/// Makes everything duller.
#[derive(Debug)]
struct Dull;

impl Stage<Difference> for Dull {
    fn process(&mut self, _moment: &Moment<'_>, difference: &mut Difference) {
        difference[ENV_BANDS / 4..].iter_mut().for_each(|band| *band -= 3.0);
    }

    fn reset(&mut self) {}
}

fn run(engine: &mut NativeEngine, input: &[f32]) -> (Vec<f32>, Vec<HopReport>, Vec<bool>) {
    let params = HopParams { gate_db: -50.0, ..HopParams::default() };
    let (mut sound, mut reports, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    for (n, hop) in input.chunks_exact(HOP_LEN).enumerate() {
        let mut out = [0.0; HOP_LEN];
        // The mark is left out for a while in the middle.
        let params = HopParams { is_marked: !(60..70).contains(&n), ..params };
        reports.push(engine.process_hop(&params, hop, &mut out).expect("no graph fails"));
        marks.push(engine.mark().is_some());
        sound.extend(out);
    }
    (sound, reports, marks)
}

#[test]
fn the_sound_is_late_by_what_the_stages_say_and_each_is_told_of_the_hop_it_gets() {
    let mut input = vowel(96_000, |seconds| 130.0 + 20.0 * seconds);
    input[..24_000].fill(0.0);
    for mode in [Mode::Live, Mode::Mix] {
        let (told, tells) = channel();
        let (told_next, tells_next) = channel();
        let stages = Stages::without_graphs(mode).finished_by(Late::new(told)).finished_by(Late::new(told_next));
        let before = Stages::without_graphs(mode).delay_hops();
        let profile = SourceProfile::population;
        let mut plain = NativeEngine::new(mode, None, profile());
        let mut late = NativeEngine::with_stages(mode, None, profile(), stages);
        let len = 2 * DELAY_HOPS * HOP_LEN;
        assert_eq!(late.latency_len(), plain.latency_len() + len);
        assert_eq!(late.tail_len(), plain.tail_len() + len);
        let ((expected, reports, marks), (sound, _, late_marks)) = (run(&mut plain, &input), run(&mut late, &input));
        assert!(sound[len..] == expected[..expected.len() - len], "{mode:?}: the same sound, later");
        assert!(marks.contains(&false) && late_marks[2 * DELAY_HOPS..] == marks[..marks.len() - 2 * DELAY_HOPS]);

        let lag = Mapper::new(mode, profile(), "").lag_frames();
        for (tells, behind) in [(tells, before), (tells_next, before + DELAY_HOPS)] {
            let tells: Vec<(f32, f32)> = tells.try_iter().collect();
            let late = lag + behind;
            for (hop, report) in reports[..reports.len() - late].iter().enumerate() {
                assert_eq!(tells[hop + late].0, report.f0_output_hz, "{mode:?}, hop {hop}");
            }
            let is_open: Vec<bool> = tells.iter().map(|(_, gate)| *gate > 0.0).collect();
            assert!(!is_open[0] && is_open[is_open.len() - 1] && tells.iter().any(|(f0_hz, _)| *f0_hz > 0.0));
        }
    }
}

#[test]
fn a_stage_before_the_sound_changes_what_the_map_says() {
    let input = vowel(48_000, |_| 130.0);
    let brightness = |stages: Stages| {
        let mut engine = NativeEngine::with_stages(Mode::Live, None, SourceProfile::population(), stages);
        let sound = &run(&mut engine, &input).0[24_000..];
        // Each difference adds 6 dB per octave.
        let steps = |of: &[f32]| -> Vec<f32> { of.windows(2).map(|pair| pair[1] - pair[0]).collect() };
        super::rms(&steps(&steps(&steps(sound)))) / super::rms(sound)
    };
    let [plain, dull] = [Stages::default(), Stages::default().shaped_by(Dull)].map(brightness);
    assert!(dull < 0.7 * plain, "{dull} after {plain}");
}
