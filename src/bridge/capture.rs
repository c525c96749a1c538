//! Recording from the track: the engine's input also goes to whoever makes a voice of it.
//!
//! A ring between the worker and the listener. The audio thread is not involved: the worker passes on samples that it has
//! anyway. The worker never waits; if the listener is too slow the recording suffers, not the sound. A gap (the host
//! jumped, an overload) is a seam, sent as a value that no sample has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use ringbuf::traits::{Consumer as _, Observer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// Seconds that the ring holds: the listener works at low priority.
const RING_SECONDS: usize = 8;

/// Stands between two samples that do not belong together.
pub const SEAM: f32 = f32::NAN;

/// How a capture ended, or that it has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CaptureState {
    /// Samples come, or will come once the host plays.
    Running = 0,
    /// Everything that was wanted is in the ring.
    Complete = 1,
    /// The listener was too slow.
    Overrun = 2,
    /// The host went over to another sample rate, or the instance has gone.
    Lost = 3,
}

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    /// The listener has gone.
    is_closed: AtomicBool,
}

/// Makes both ends of a capture of `seconds` at `rate` Hz. Allocates. [main-thread]
pub fn capture(rate: u32, seconds: u32) -> (CaptureTap, CaptureEnd) {
    let shared = Arc::new(Shared::default());
    let wanted = u64::from(rate) * u64::from(seconds);
    let room = (rate as usize).max(1) * RING_SECONDS.min(seconds as usize + 1);
    let (samples, samples_out) = HeapRb::new(room).split();
    let tap = CaptureTap { shared: shared.clone(), samples, rate, left: wanted, has_begun: false, has_seam: false };
    (tap, CaptureEnd { shared, samples: samples_out, rate, wanted, heard: 0 })
}

/// The worker's end.
pub struct CaptureTap {
    shared: Arc<Shared>,
    samples: HeapProd<f32>,
    rate: u32,
    /// Samples still wanted.
    left: u64,
    has_begun: bool,
    has_seam: bool,
}

impl CaptureTap {
    /// Hands on samples of `rate` Hz; `false` when this was the last call that counts. [worker-thread]
    pub fn push(&mut self, samples: &[f32], rate: u32) -> bool {
        if self.shared.is_closed.load(Ordering::Relaxed) {
            return false;
        }
        if rate != self.rate {
            return self.end(CaptureState::Lost);
        }
        let count = samples.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if count == 0 {
            return true;
        }
        let seam = std::mem::take(&mut self.has_seam) && self.has_begun;
        if self.samples.vacant_len() < count + usize::from(seam) {
            return self.end(CaptureState::Overrun);
        }
        if seam {
            // There is room: checked above, and nobody else pushes.
            let _ = self.samples.try_push(SEAM);
        }
        let clean = samples[..count].iter().map(|sample| if sample.is_finite() { *sample } else { 0.0 });
        self.samples.push_iter(clean);
        self.has_begun = true;
        self.left -= count as u64;
        self.left > 0 || self.end(CaptureState::Complete)
    }

    /// The next samples do not follow on from the last ones. [worker-thread]
    pub fn part(&mut self) {
        self.has_seam = true;
    }

    fn end(&self, state: CaptureState) -> bool {
        // The samples first, then the word that they are all there.
        self.shared.state.store(state as u8, Ordering::Release);
        false
    }
}

impl Drop for CaptureTap {
    fn drop(&mut self) {
        let running = CaptureState::Running as u8;
        // An end that was said already stays.
        let _ =
            self.shared.state.compare_exchange(running, CaptureState::Lost as u8, Ordering::Release, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for CaptureTap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureTap").field("rate", &self.rate).field("left", &self.left).finish_non_exhaustive()
    }
}

/// The listener's end. Dropping it ends the capture.
pub struct CaptureEnd {
    shared: Arc<Shared>,
    samples: HeapCons<f32>,
    rate: u32,
    wanted: u64,
    heard: u64,
}

impl CaptureEnd {
    /// Rate of the samples in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Share of the wanted samples that were read.
    pub fn progress(&self) -> f32 {
        (self.heard as f64 / self.wanted.max(1) as f64).min(1.0) as f32
    }

    /// Replaces `samples` by what has come, up to their capacity of one second; [`SEAM`]s stand where samples are
    /// missing. After an answer other than [`CaptureState::Running`] nothing more comes.
    pub fn read(&mut self, samples: &mut Vec<f32>) -> CaptureState {
        // The word first, then the samples: what is said to be there is read.
        let state = self.shared.state.load(Ordering::Acquire);
        samples.clear();
        let count = self.samples.occupied_len().min(self.rate as usize);
        samples.resize(count, 0.0);
        self.samples.pop_slice(samples);
        self.heard += samples.iter().filter(|sample| !sample.is_nan()).count() as u64;
        match state {
            _ if !self.samples.is_empty() => CaptureState::Running,
            1 => CaptureState::Complete,
            2 => CaptureState::Overrun,
            3 => CaptureState::Lost,
            _ => CaptureState::Running,
        }
    }
}

impl Drop for CaptureEnd {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for CaptureEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureEnd").field("rate", &self.rate).field("heard", &self.heard).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_arrives_with_its_seams_and_no_more() {
        for rate in [8_000, 44_100, 192_000] {
            let (mut tap, mut end) = capture(rate, 2);
            let (mut all, mut part) = (Vec::new(), Vec::new());
            // Before the first sample there is nothing to part.
            tap.part();
            let mut is_on = true;
            let mut sent = 0;
            while is_on {
                is_on = tap.push(&vec![0.25; 997], rate);
                sent += 997;
                if sent == 4 * 997 {
                    tap.part();
                }
                assert_eq!(end.read(&mut part), if is_on { CaptureState::Running } else { CaptureState::Complete });
                all.extend_from_slice(&part);
            }
            assert_eq!(all.len(), 2 * rate as usize + 1);
            assert_eq!(all.iter().position(|sample| sample.is_nan()), Some(4 * 997));
            assert_eq!(end.progress(), 1.0);
        }
    }

    #[test]
    fn a_slow_listener_another_rate_and_a_lost_instance_end_it() {
        let mut part = Vec::new();
        let (mut tap, mut end) = capture(8_000, 30);
        assert!((0..9).any(|_| !tap.push(&[0.1; 8_000], 8_000)), "the ring is bounded");
        let mut last = CaptureState::Running;
        for _ in 0..9 {
            last = end.read(&mut part);
        }
        assert_eq!(last, CaptureState::Overrun);

        let (mut tap, mut end) = capture(48_000, 30);
        assert!(!tap.push(&[0.1; 10], 44_100));
        assert_eq!(end.read(&mut part), CaptureState::Lost);

        let (tap, mut end) = capture(48_000, 30);
        assert_eq!(end.read(&mut part), CaptureState::Running);
        drop(tap);
        assert_eq!(end.read(&mut part), CaptureState::Lost);

        let (mut tap, end) = capture(48_000, 30);
        drop(end);
        assert!(!tap.push(&[0.1; 10], 48_000));
    }

    #[test]
    fn numbers_that_are_none_do_not_look_like_seams() {
        let (mut tap, mut end) = capture(8_000, 1);
        assert!(tap.push(&[f32::NAN, f32::INFINITY, 0.5], 8_000));
        let mut part = Vec::new();
        end.read(&mut part);
        assert_eq!(part, [0.0, 0.0, 0.5]);
    }
}
