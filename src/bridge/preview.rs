//! Carries a voice's preview to the output: whole sounds go to the audio thread through one ring, and come back through
//! another to be freed where they were made.
//!
//! One pair of ends per activation, so that every sound has the host's rate. A number says which sound is wanted; a sound
//! with another number fades out, or never starts. Nothing here waits or allocates after [`preview`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ringbuf::traits::{Consumer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

/// Longest preview, in seconds: a file's 4 s and what resampling adds.
pub const MAX_SECONDS: u32 = 5;

/// Sounds that can be under way: one that is heard, one that waits, and some that were clicked away in between.
const SOUNDS: usize = 4;

/// The number of no sound.
const NOTHING: u32 = 0;

/// Marks a sound that has ended, in place of its position.
const OVER: u32 = u32::MAX;

/// A sound to be heard once.
#[derive(Debug)]
pub struct PreviewSound {
    /// Its number, never 0.
    pub number: u32,
    /// One channel at the host's rate, at most [`MAX_SECONDS`] of it.
    pub samples: Box<[f32]>,
}

/// What became of a sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewReport {
    /// The audio thread has not begun it.
    Waiting,
    /// So many samples of it were heard.
    Playing(u32),
    /// It is over: heard, stopped, or cut off by a restart of the audio.
    Over,
}

#[derive(Debug, Default)]
struct Shared {
    /// Number of the wanted sound.
    wanted: AtomicU32,
    /// Number of the latest sound in the high half, its position or [`OVER`] in the low half.
    heard: AtomicU64,
    /// Calls of the audio thread, counted round.
    calls: AtomicU32,
}

/// Makes both ends for audio at `rate` Hz. Allocates. [main-thread]
pub fn preview(rate: u32) -> (PreviewSource, PreviewEnd) {
    let shared = Arc::new(Shared::default());
    let (sounds, sounds_out) = HeapRb::new(SOUNDS).split();
    let (returned_in, returned) = HeapRb::new(SOUNDS).split();
    let source = PreviewSource { shared: shared.clone(), sounds, returned, rate, latest: NOTHING, under_way: 0 };
    (source, PreviewEnd { shared, sounds: sounds_out, returned: returned_in, rate })
}

/// The end of those who want something heard.
pub struct PreviewSource {
    shared: Arc<Shared>,
    sounds: HeapProd<PreviewSound>,
    returned: HeapCons<PreviewSound>,
    rate: u32,
    /// Number of the sound that was sent last.
    latest: u32,
    /// Sounds sent and not yet back.
    under_way: usize,
}

impl PreviewSource {
    /// Rate of the sounds in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Calls of the audio thread so far, counted round: does the host run it at all? [main-thread]
    pub fn calls(&self) -> u32 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Sends a sound, which takes the place of the one before; `false` when it is too long, has no number, or too many
    /// are under way because the host does not run the audio. Frees what has come back. [main-thread]
    pub fn play(&mut self, sound: PreviewSound) -> bool {
        while self.returned.try_pop().is_some() {
            self.under_way -= 1;
        }
        let longest = u64::from(self.rate) * u64::from(MAX_SECONDS);
        let number = sound.number;
        if number == NOTHING || sound.samples.len() as u64 > longest || self.under_way >= SOUNDS {
            return false;
        }
        if self.sounds.try_push(sound).is_err() {
            return false;
        }
        self.under_way += 1;
        self.latest = number;
        self.shared.wanted.store(number, Ordering::Release);
        true
    }

    /// Lets the sound that is heard fade out, and begins none that waits. [main-thread]
    pub fn stop(&mut self) {
        self.shared.wanted.store(NOTHING, Ordering::Release);
    }

    /// What became of a sound. [main-thread]
    pub fn report(&self, number: u32) -> PreviewReport {
        if number != self.latest || self.shared.wanted.load(Ordering::Relaxed) != number {
            return PreviewReport::Over;
        }
        let heard = self.shared.heard.load(Ordering::Relaxed);
        match ((heard >> 32) as u32, heard as u32) {
            (of, _) if of != number => PreviewReport::Waiting,
            (_, OVER) => PreviewReport::Over,
            (_, position) => PreviewReport::Playing(position),
        }
    }
}

impl std::fmt::Debug for PreviewSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviewSource").field("rate", &self.rate).field("latest", &self.latest).finish_non_exhaustive()
    }
}

/// The audio thread's end.
pub struct PreviewEnd {
    shared: Arc<Shared>,
    sounds: HeapCons<PreviewSound>,
    returned: HeapProd<PreviewSound>,
    rate: u32,
}

impl PreviewEnd {
    /// Rate of the sounds in Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Counts a call of the audio thread. [audio-thread]
    pub fn note_call(&self) {
        // Only this thread writes.
        let calls = self.shared.calls.load(Ordering::Relaxed);
        self.shared.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
    }

    /// The next sound, wanted or not. [audio-thread]
    pub fn next_sound(&mut self) -> Option<PreviewSound> {
        self.sounds.try_pop()
    }

    /// Whether a sound is still wanted. [audio-thread]
    pub fn is_wanted(&self, number: u32) -> bool {
        self.shared.wanted.load(Ordering::Acquire) == number
    }

    /// Says how much of a sound was heard. [audio-thread]
    pub fn publish(&self, number: u32, position: usize) {
        let position = u32::try_from(position).unwrap_or(OVER).min(OVER - 1);
        self.shared.heard.store(u64::from(number) << 32 | u64::from(position), Ordering::Relaxed);
    }

    /// Says that a sound is over and sends it back, to be freed elsewhere.
    ///
    /// # Errors
    /// The sound, while there is no room; to be tried again. [audio-thread]
    pub fn give_back(&mut self, sound: PreviewSound) -> Result<(), PreviewSound> {
        self.shared.heard.store(u64::from(sound.number) << 32 | u64::from(OVER), Ordering::Relaxed);
        self.returned.try_push(sound)
    }
}

impl std::fmt::Debug for PreviewEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreviewEnd").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(number: u32, len: usize) -> PreviewSound {
        PreviewSound { number, samples: vec![0.5; len].into() }
    }

    #[test]
    fn a_sound_is_reported_from_waiting_to_its_end() {
        let (mut source, mut end) = preview(8_000);
        assert_eq!(source.report(1), PreviewReport::Over, "nobody sent it");
        assert!(source.play(sound(1, 10)));
        assert_eq!(source.report(1), PreviewReport::Waiting);
        let taken = end.next_sound().expect("it was sent");
        assert!(end.is_wanted(1));
        end.publish(1, 7);
        assert_eq!(source.report(1), PreviewReport::Playing(7));
        assert!(end.give_back(taken).is_ok());
        assert_eq!(source.report(1), PreviewReport::Over);
        end.note_call();
        assert_eq!(source.calls(), 1);
    }

    #[test]
    fn what_is_sent_is_bounded_and_what_comes_back_makes_room() {
        let (mut source, mut end) = preview(8_000);
        assert!(!source.play(sound(1, 5 * 8_000 + 1)), "too long");
        assert!(!source.play(sound(0, 10)), "no number");
        for number in 1..=4 {
            assert!(source.play(sound(number, 10)));
        }
        assert!(!source.play(sound(5, 10)), "nobody takes them");
        for _ in 0..4 {
            let taken = end.next_sound().expect("four were sent");
            assert_eq!(end.is_wanted(taken.number), taken.number == 4);
            assert!(end.give_back(taken).is_ok(), "the way back has room for all");
        }
        assert!(source.play(sound(5, 10)));
        source.stop();
        assert!(!end.is_wanted(5));
        assert_eq!(source.report(5), PreviewReport::Over);
    }
}
