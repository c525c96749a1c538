//! The watermark from end to end: what goes in comes out, after what happens to files, and silence and time stay as they
//! are.

use coffre::engine::resample::Resampler;
use coffre::engine::stream::HostStream;
use coffre::engine::{Engine, EngineError, HOP_LEN, HopParams, HopReport, IdentityEngine, Prepared};
use coffre::provenance::detect::{Finding, detect};
use coffre::provenance::evidence::{DETECT_RATE, Levels};
use coffre::provenance::pattern::{self, Pattern};
use coffre::provenance::{Embedder, EngineKind, Mark};
use nice_assert_no_alloc::assert_no_alloc;

// With `alloccheck` the framework has put it there.
#[cfg(not(all(feature = "alloccheck", debug_assertions)))]
#[global_allocator]
static ALLOCATOR: nice_assert_no_alloc::AllocDisabler = nice_assert_no_alloc::AllocDisabler;

const RATE: u32 = 48_000;
const MARK: Mark = Mark { engine: EngineKind::Native, voice: 0x1_2345, consent: 0x678 };
const OTHER: Mark = Mark { engine: EngineKind::Rvc, voice: 0x0_0042, consent: 0 };

/// Speech-like sound: noise and a gliding pulse train through moving resonances, syllables and pauses of true silence.
fn speech(seconds: usize) -> Vec<f32> {
    let (mut seed, mut phase) = (12_345_u32, 0.0_f32);
    let mut past = [[0.0_f32; 2]; 3];
    (0..seconds * RATE as usize)
        .map(|n| {
            let time = n as f32 / RATE as f32;
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (seed >> 8) as f32 / 8_388_608.0 - 1.0;
            if time % 2.0 > 1.8 {
                return 0.0;
            }
            phase = (phase + (150.0 + 30.0 * (time * 2.3).sin()) / RATE as f32).fract();
            let source = (1.0 - 2.0 * phase) * 0.5 + 0.3 * noise;
            let mut sound = 0.0;
            for (state, (hz, swing)) in past.iter_mut().zip([(600.0, 200.0), (1_700.0, 500.0), (3_800.0, 700.0)]) {
                let centre = hz + swing * (time * 5.1 + hz).sin();
                let radius = 0.985_f32;
                let output = source + 2.0 * radius * (std::f32::consts::TAU * centre / RATE as f32).cos() * state[0]
                    - radius * radius * state[1];
                *state = [output, state[0]];
                sound += output;
            }
            0.01 * sound * (0.3 + (time * 9.0).sin().abs())
        })
        .collect()
}

fn marked(sound: &[f32], mark: impl Fn(usize) -> Option<Mark>) -> Vec<f32> {
    let (mut embedder, mut output) = (Embedder::new(), sound.to_vec());
    for (hop, samples) in output.as_chunks_mut::<HOP_LEN>().0.iter_mut().enumerate() {
        embedder.process(hop as u64, mark(hop), samples);
    }
    output
}

fn found(sound: &[f32], rate: u32) -> Vec<Finding> {
    let mut resampler = Resampler::new(rate, DETECT_RATE, 0);
    resampler.push(sound);
    let mut low = vec![0.0; resampler.available()];
    resampler.pull(&mut low);
    detect(&Levels::of(&low), Pattern::public())
}

fn names(findings: &[Finding]) -> Vec<Mark> {
    findings.iter().map(|finding| finding.mark).collect()
}

#[test]
fn the_marks_clock_is_the_engines() {
    assert_eq!((pattern::MARK_RATE, pattern::HOP_LEN), (coffre::engine::ENGINE_RATE, HOP_LEN));
}

#[test]
fn what_goes_in_comes_out_after_what_happens_to_files() {
    let sound = marked(&speech(12), |_| Some(MARK));
    let whole = found(&sound, RATE);
    assert_eq!(names(&whole), [MARK]);
    assert!(whole[0].start_s < 1.1 && whole[0].end_s > 10.9, "{whole:?}");
    let quiet: Vec<f32> = sound.iter().map(|x| (x * 0.25 * 32_767.0).round() / 32_767.0).collect();
    assert_eq!(names(&found(&quiet, RATE)), [MARK], "12 dB down, 16 bit");
    assert_eq!(names(&found(&sound[12_345..12_345 + 10 * RATE as usize], RATE)), [MARK], "cropped");
    let turned: Vec<f32> = sound.iter().map(|x| -x).collect();
    assert_eq!(names(&found(&turned, RATE)), [MARK], "inverted");
    for rate in [16_000, 44_100, 96_000] {
        let mut resampler = Resampler::new(RATE, rate, 0);
        resampler.push(&sound);
        let mut other = vec![0.0; resampler.available()];
        resampler.pull(&mut other);
        assert_eq!(names(&found(&other, rate)), [MARK], "at {rate} Hz");
    }
}

#[test]
fn nothing_is_found_where_nothing_is() {
    let sound = speech(12);
    assert!(found(&sound, RATE).is_empty());
    assert!(found(&marked(&sound, |_| None), RATE).is_empty());
    let strange: [Vec<f32>; 6] = [
        Vec::new(),
        vec![0.0; 500_000],
        vec![f32::NAN; 500_000],
        vec![f32::MAX; 500_000],
        (0..500_000).map(|n| if n % 2 == 0 { 1.0 } else { -1.0 }).collect(),
        (0..500_000).map(|n| if n == 250_000 { 1.0 } else { 0.0 }).collect(),
    ];
    for (index, sound) in strange.iter().enumerate() {
        assert!(found(sound, DETECT_RATE).is_empty(), "sound {index}");
    }
    let mut levels = Levels::of(&sound[..1_000]);
    assert!(detect(&levels, Pattern::public()).is_empty());
    levels = Levels::default();
    assert!(detect(&levels, Pattern::public()).is_empty());
}

#[test]
fn another_key_finds_nothing() {
    let sound = marked(&speech(12), |_| Some(MARK));
    let low: Vec<f32> = sound.chunks(3).map(|three| three[0]).collect();
    assert!(detect(&Levels::of(&low), &Pattern::new(b"another")).is_empty());
}

#[test]
fn a_change_of_voice_is_told_with_its_place() {
    let sound = marked(&speech(24), |hop| Some(if hop < 1_200 { MARK } else { OTHER }));
    let findings = found(&sound, RATE);
    assert_eq!(names(&findings), [MARK, OTHER]);
    assert!((findings[0].end_s - 12.0).abs() < 2.1 && (findings[1].start_s - 12.0).abs() < 2.1, "{findings:?}");
    let silenced = marked(&speech(24), |hop| (hop >= 1_200).then_some(MARK));
    let findings = found(&silenced, RATE);
    assert_eq!(names(&findings), [MARK]);
    assert!((findings[0].start_s - 12.0).abs() < 2.1, "{findings:?}");
}

#[test]
fn what_is_added_lies_under_the_sound_at_the_same_time() {
    let sound = speech(6);
    let output = marked(&sound, |_| Some(MARK));
    let energy = |x: &mut dyn Iterator<Item = f32>| x.map(|x| f64::from(x * x)).sum::<f64>();
    let added = energy(&mut output.iter().zip(&sound).map(|(a, b)| a - b));
    let below_db = 10.0 * (added / energy(&mut sound.iter().copied())).log10();
    assert!((-40.0..-18.0).contains(&below_db), "{below_db} dB");
    for (n, (out, sample)) in output.iter().zip(&sound).enumerate() {
        assert!(*sample != 0.0 || *out == 0.0, "sound in the silence at {n}");
    }
    // No delay, no phase: an impulse keeps its place and nearly its height, and nothing comes before it.
    let mut impulse = vec![0.0; 20 * HOP_LEN];
    impulse[5_000] = 0.5;
    let output = marked(&impulse, |_| Some(MARK));
    assert!(output[..5_000].iter().all(|x| *x == 0.0));
    assert!((output[5_000] - 0.5).abs() < 0.05, "{}", output[5_000]);
}

#[test]
fn the_same_stream_gives_the_same_bits_and_off_means_untouched() {
    let sound = speech(3);
    assert_eq!(marked(&sound, |_| Some(MARK)), marked(&sound, |_| Some(MARK)));
    assert_eq!(marked(&sound, |_| None), sound);
    let off = marked(&sound, |hop| (hop < 100).then_some(MARK));
    assert_eq!(off[102 * HOP_LEN..], sound[102 * HOP_LEN..], "two hops to fade");
    let mut embedder = Embedder::new();
    let mut first = sound[..HOP_LEN].to_vec();
    embedder.process(0, Some(MARK), &mut first);
    embedder.reset();
    let mut again = sound[..HOP_LEN].to_vec();
    embedder.process(0, Some(MARK), &mut again);
    assert_eq!(first, again);
}

#[test]
fn marking_does_not_allocate() {
    let mut sound = speech(1);
    let mut embedder = Embedder::new();
    // Aborts the process on the first allocation or release.
    assert_no_alloc(|| {
        for (hop, samples) in sound.as_chunks_mut::<HOP_LEN>().0.iter_mut().enumerate() {
            let mark = if hop < 40 { Some(MARK) } else { (hop < 70).then_some(OTHER) };
            embedder.process(hop as u64, mark, samples);
        }
    });
    assert!(sound.iter().any(|sample| *sample != 0.0));
}

/// Passes sound on and asks for a mark.
struct Marking(IdentityEngine, bool);

impl Engine for Marking {
    fn latency_len(&self) -> usize {
        self.0.latency_len()
    }

    fn tail_len(&self) -> usize {
        self.0.tail_len()
    }

    fn put(&mut self, _slot: usize, _voice: Option<Prepared>) {}

    fn mark(&self) -> Option<Mark> {
        self.1.then_some(MARK)
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn process_hop(&mut self, params: &HopParams, input: &[f32], output: &mut [f32]) -> Result<HopReport, EngineError> {
        self.1 = params.is_marked;
        self.0.process_hop(params, input, output)
    }
}

#[test]
fn a_stream_is_marked_the_same_in_any_blocks_and_the_switch_stops_it() {
    let sound = speech(4);
    let through = |block: usize, is_marked: bool| {
        let mut stream = HostStream::new(Box::new(Marking(IdentityEngine::new(0), true)), RATE).expect("a usual rate");
        stream.set_params(0, HopParams { is_marked, ..HopParams::default() });
        let mut output = Vec::new();
        for part in sound.chunks(block) {
            stream.push(part);
            while let Some(report) = stream.run_hop() {
                report.expect("the identity never fails");
            }
            let start = output.len();
            output.resize(start + stream.available(), 0.0);
            stream.read(&mut output[start..]);
        }
        output
    };
    let whole = through(sound.len(), true);
    for block in [1, 64, 479, 5_000] {
        assert_eq!(through(block, true), whole, "blocks of {block}");
    }
    // The stream's own delay is one hop.
    let expected = marked(&sound, |_| Some(MARK));
    assert_eq!(whole[HOP_LEN..], expected[..whole.len() - HOP_LEN]);
    let plain = through(512, false);
    assert_eq!(plain[HOP_LEN..], sound[..plain.len() - HOP_LEN], "untouched when switched off");
}
