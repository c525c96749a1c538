//! Recording from the track: what is recorded is what went in, at every rate, whatever the host does meanwhile, and the
//! audio thread does nothing for it.

mod common;
#[path = "common/fake.rs"]
mod fake;

use std::time::{Duration, Instant};

use coffre::audio::Controls;
use coffre::bridge::CaptureState;
use coffre::bridge::capture::{CaptureEnd, capture};
use coffre::engine::Mode;
use fake::Rig;
use nice_assert_no_alloc::assert_no_alloc;

// With `alloccheck` the framework has put it there.
#[cfg(not(all(feature = "alloccheck", debug_assertions)))]
#[global_allocator]
static ALLOCATOR: nice_assert_no_alloc::AllocDisabler = nice_assert_no_alloc::AllocDisabler;

/// A rig whose worker has taken the tap.
fn rig(rate: u32, seconds: u32) -> (Rig, CaptureEnd) {
    let mut rig = Rig::new(rate, 512);
    rig.warm_up();
    let (tap, end) = capture(rate, seconds);
    rig.session.start_capture(tap);
    // The loader hands it on within its next turn.
    std::thread::sleep(Duration::from_millis(300));
    (rig, end)
}

/// Plays while the recording is read, until it ends or `input` does.
fn record(rig: &mut Rig, end: &mut CaptureEnd, input: &[f32], all: &mut Vec<f32>) -> CaptureState {
    let mut part = Vec::new();
    for (index, block) in input.chunks(331).enumerate() {
        let mut block = block.to_vec();
        assert_no_alloc(|| rig.processor.process(&mut [&mut block], 1, &Controls::default(), true));
        if index % 20 == 0 {
            let state = end.read(&mut part);
            all.extend_from_slice(&part);
            if state != CaptureState::Running {
                return state;
            }
        }
    }
    // What is under way arrives.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let state = end.read(&mut part);
        all.extend_from_slice(&part);
        if state != CaptureState::Running {
            return state;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    CaptureState::Running
}

#[test]
fn what_is_recorded_is_what_went_in_at_every_rate() {
    for rate in [8_000, 44_100, 48_000, 192_000] {
        let (mut rig, mut end) = rig(rate, 2);
        let input = common::vocal_like(rate, 5 * rate as usize / 2);
        let mut all = Vec::new();
        assert_eq!(record(&mut rig, &mut end, &input, &mut all), CaptureState::Complete, "{rate}");
        assert!(all == input[..2 * rate as usize], "{rate}: {} samples", all.len());
    }
}

#[test]
fn a_reset_leaves_a_seam_and_another_rate_ends_it() {
    let rate = 48_000;
    let (mut rig, mut end) = rig(rate, 2);
    let input = common::vocal_like(rate, 24_000);
    let mut all = Vec::new();
    assert_eq!(record(&mut rig, &mut end, &input, &mut all), CaptureState::Running);
    rig.processor.reset();
    assert_eq!(record(&mut rig, &mut end, &input, &mut all), CaptureState::Running);
    assert_eq!(all.iter().filter(|sample| sample.is_nan()).count(), 1);
    let seam = all.iter().position(|sample| sample.is_nan()).expect("there is one");
    assert!(all[..seam] == input && all[seam + 1..] == input, "{} and {} samples", seam, all.len() - seam - 1);

    rig.reactivate(44_100, 512, Mode::Live);
    assert_eq!(record(&mut rig, &mut end, &input, &mut all), CaptureState::Lost);
}

#[test]
fn a_recording_ends_with_its_instance_and_with_its_listener() {
    let (rig, mut end) = rig(48_000, 2);
    drop(rig);
    assert_eq!(end.read(&mut Vec::new()), CaptureState::Lost);

    let (mut rig, end) = self::rig(48_000, 2);
    drop(end);
    let mut block = [0.1; 4_800];
    for _ in 0..20 {
        assert_no_alloc(|| rig.processor.process(&mut [&mut block], 1, &Controls::default(), true));
    }
}
