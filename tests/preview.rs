//! Previews of voices in the output: heard in real time as they are in the file, never in a render, and without a preview
//! no bit changes. Every call of the audio path is checked for allocations.

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use coffre::audio::Controls;
use coffre::audio_file::flac_from_samples;
use coffre::bridge::PreviewReport;
use coffre::clone::listen::{ListenJob, VoiceFile};
use coffre::voice::manifest::ElementType;
use coffre::voice::package::{Package, PackageWriter};
use coffre::voice::{Manifest, VoiceId};
use fake::Rig;
use nice_assert_no_alloc::assert_no_alloc;

// With `alloccheck` the framework has put it there.
#[cfg(not(all(feature = "alloccheck", debug_assertions)))]
#[global_allocator]
static ALLOCATOR: nice_assert_no_alloc::AllocDisabler = nice_assert_no_alloc::AllocDisabler;

const BLOCK: usize = 480;

/// How the blocks come.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// At the wall clock's pace; a late block is not caught up with.
    RealTime,
    /// As fast as possible, saying so.
    Offline,
    /// As fast as possible, saying it plays.
    Freewheel,
}

/// A track that is bypassed, so that its output is the delayed input exactly, whatever the worker does.
struct Track {
    rig: Rig,
    input: Vec<f32>,
    position: usize,
    due: Instant,
}

impl Track {
    fn new(rate: u32) -> Self {
        let mut rig = Rig::new(rate, BLOCK);
        rig.warm_up();
        Self { rig, input: common::vocal_like(rate, 13 * rate as usize), position: 0, due: Instant::now() }
    }

    /// Plays blocks; returns what the output has beyond the delayed input, and fails where not even its bits agree.
    fn play(&mut self, blocks: usize, pace: Pace) -> Vec<f32> {
        let controls = Controls { is_bypassed: true, ..Controls::default() };
        let mut more = Vec::new();
        for _ in 0..blocks {
            let mut block = self.input[self.position..self.position + BLOCK].to_vec();
            if pace == Pace::RealTime {
                std::thread::sleep(self.due.saturating_duration_since(Instant::now()));
                self.due = Instant::now() + Duration::from_secs_f64(BLOCK as f64 / f64::from(self.rig.host_rate));
            }
            let is_offline = pace == Pace::Offline;
            assert_no_alloc(|| self.rig.processor.process(&mut [&mut block], 1, &controls, is_offline));
            for (n, sample) in block.into_iter().enumerate() {
                let dry = (self.position + n).checked_sub(self.rig.latency).map_or(0.0, |at| self.input[at]);
                more.push(if sample.to_bits() == dry.to_bits() { 0.0 } else { sample - dry });
            }
            self.position += BLOCK;
        }
        more
    }

    fn reset(&mut self) {
        assert_no_alloc(|| self.rig.processor.reset());
        self.position = 0;
    }

    fn send(&self, sound: &[f32]) -> u32 {
        self.rig.session.play_preview(sound.into(), self.rig.host_rate).expect("the audio takes it")
    }

    fn report(&self, number: u32) -> PreviewReport {
        self.rig.session.preview_report(number)
    }
}

fn is_silent(samples: &[f32]) -> bool {
    samples.iter().all(|sample| *sample == 0.0)
}

#[test]
fn without_a_preview_the_output_is_the_same_bit_by_bit() {
    let mut track = Track::new(48_000);
    for pace in [Pace::Offline, Pace::RealTime, Pace::Freewheel] {
        assert!(is_silent(&track.play(60, pace)));
        track.reset();
    }
    // One that was heard leaves nothing behind, and one that was taken back before it began does nothing.
    track.play(60, Pace::RealTime);
    let number = track.send(&[0.5; 4_800]);
    assert!(!is_silent(&track.play(12, Pace::RealTime)));
    assert_eq!(track.report(number), PreviewReport::Over);
    track.send(&[0.5; 4_800]);
    track.rig.session.stop_preview();
    assert!(is_silent(&track.play(60, Pace::RealTime)));
}

#[test]
fn a_preview_is_heard_once_with_fades_at_the_hosts_rate() {
    for rate in [44_100, 96_000] {
        let mut track = Track::new(rate);
        let sound = vec![0.25; rate as usize / 4];
        assert_eq!(track.rig.session.play_preview(sound.clone().into(), 22_050), None, "another rate");
        let number = track.send(&sound);
        assert_eq!(track.report(number), PreviewReport::Waiting);
        let more = track.play(150, Pace::RealTime);
        let begin = more.iter().position(|sample| *sample != 0.0).expect("heard");
        let end = more.iter().rposition(|sample| *sample != 0.0).expect("heard");
        assert!((end - begin).abs_diff(sound.len()) < 50, "{rate}: {begin} to {end}");
        let fade = rate as usize / 100;
        assert!(more[begin + fade..end - fade].iter().all(|sample| (sample - 0.25).abs() < 1e-6));
        assert!(more.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.001), "no click");
        assert_eq!(track.report(number), PreviewReport::Over);
    }
}

#[test]
fn what_is_heard_is_what_the_voice_file_carries() {
    let (rate, hz) = (44_100, 440.0);
    let sine: Vec<i16> =
        (0..24_000).map(|n| (8_192.0 * (std::f64::consts::TAU * hz * f64::from(n) / 24_000.0).sin()) as i16).collect();
    let flac = flac_from_samples(&sine, 24_000).expect("FLAC");
    let (_, manifest) = Package::peek(include_bytes!("../models/voices/opal.coffre")).expect("a voice");
    let mut writer = PackageWriter::new(Manifest { members: Vec::new(), ..manifest });
    writer.push("preview.flac", ElementType::U8, &[flac.len()], flac);
    let bytes = writer.finish().expect("a file");
    let folder = tempfile::tempdir().expect("a folder");
    let path: PathBuf = folder.path().join("sine.coffre");
    std::fs::write(&path, &bytes).expect("written");

    let mut track = Track::new(rate);
    let wanted = track.rig.session.preview_rate().expect("the audio is on");
    let job = ListenJob::start(VoiceFile { id: VoiceId::of(&bytes), path, is_embedded: false }, wanted);
    let begin = Instant::now();
    let sound = loop {
        match job.answer() {
            Some(sound) => break sound.expect("a sound"),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "no answer");
    };
    track.send(&sound);
    let more = track.play(150, Pace::RealTime);
    let begin = more.iter().position(|sample| *sample != 0.0).expect("heard") + 1_000;
    let middle = &more[begin..begin + 35_000];
    let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
    let found = crossings as f64 * f64::from(rate) / middle.len() as f64;
    assert!((found - hz).abs() < 2.0, "{found} Hz");
    let level = (middle.iter().map(|sample| sample * sample).sum::<f32>() / middle.len() as f32).sqrt();
    assert!((level - 0.25 / 2.0_f32.sqrt()).abs() < 0.002, "{level}");
}

#[test]
fn a_preview_stops_on_request_and_gives_way_to_the_next() {
    let mut track = Track::new(48_000);
    track.play(60, Pace::RealTime);
    let first = track.send(&[0.25; 96_000]);
    assert!(!is_silent(&track.play(10, Pace::RealTime)));
    assert!(matches!(track.report(first), PreviewReport::Playing(position) if position > 0));
    track.rig.session.stop_preview();
    assert_eq!(track.report(first), PreviewReport::Over);
    let more = track.play(3, Pace::RealTime);
    assert!(more[0] > 0.2 && is_silent(&more[BLOCK..]), "10 ms and no more");
    // Many clicks in a row: the last one is heard.
    track.send(&[0.25; 96_000]);
    track.play(2, Pace::RealTime);
    track.send(&[-0.125; 96_000]);
    let last = track.send(&[-0.25; 96_000]);
    let more = track.play(5, Pace::RealTime);
    assert!((more[4 * BLOCK] + 0.25).abs() < 1e-6 && more.windows(2).all(|pair| (pair[1] - pair[0]).abs() < 0.002));
    // A host that restarts the audio cuts it off.
    track.reset();
    assert!(is_silent(&track.play(60, Pace::RealTime)));
    assert_eq!(track.report(last), PreviewReport::Over);
}

#[test]
fn a_render_never_hears_a_preview() {
    for pace in [Pace::Offline, Pace::Freewheel] {
        // Sent before it, and during it.
        let mut track = Track::new(48_000);
        let number = track.send(&[0.5; 48_000]);
        assert!(is_silent(&track.play(600, pace)));
        assert_eq!(track.report(number), PreviewReport::Waiting);
        assert!(track.rig.session.audio_calls() > 0, "the audio is on, as the editor sees");
        track.send(&[0.5; 48_000]);
        assert!(is_silent(&track.play(600, pace)));
        // Heard when the host begins to render: the render begins with a reset.
        let mut track = Track::new(48_000);
        track.play(60, Pace::RealTime);
        track.send(&[0.5; 192_000]);
        assert!(!is_silent(&track.play(5, Pace::RealTime)));
        track.reset();
        assert!(is_silent(&track.play(600, pace)));
    }
    // A host that renders without any break hears no more than what passes until it shows.
    let mut track = Track::new(48_000);
    track.play(60, Pace::RealTime);
    track.send(&[0.5; 192_000]);
    track.play(5, Pace::RealTime);
    let more = track.play(600, Pace::Freewheel);
    let last = more.iter().rposition(|sample| *sample != 0.0).unwrap_or(0);
    assert!(last < 48_000 / 5, "{last} samples");
}

#[test]
fn a_pause_of_the_host_ends_a_preview() {
    let mut track = Track::new(48_000);
    track.play(60, Pace::RealTime);
    track.send(&[0.5; 192_000]);
    assert!(!is_silent(&track.play(5, Pace::RealTime)));
    std::thread::sleep(Duration::from_millis(500));
    assert!(is_silent(&track.play(60, Pace::RealTime)));
}
