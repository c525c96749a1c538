//! Carries samples between audio thread and worker: two pairs of rings and a few atomics.
//!
//! All positions are absolute: samples at the host's rate since the link was made, the same count for input and output.
//! Nothing here waits or allocates after [`link`]. An *epoch* is one unbroken stretch of input. When the audio thread
//! breaks it (reset, overload), it names the next epoch, stops sending until the worker has confirmed that it dropped what
//! was in flight, and starts again. So no backlog builds up, and nothing old can be heard.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::Thread;

use ringbuf::traits::{Consumer as _, Observer as _, Producer as _, Split as _};
use ringbuf::{HeapCons, HeapProd, HeapRb};

use crate::engine::{HopParams, Setup};

/// Notes that can wait between two looks of the worker; parameters are merged when it is full.
const NOTES: usize = 1_024;

/// Spans that can wait: more than hops fit into the sample ring.
const SPANS: usize = 4_096;

/// No epoch: the audio thread counts from 1.
const NO_EPOCH: u32 = 0;

/// Positions use the lower 48 bits of a packed value: 186 years at 48 kHz.
const POSITION_BITS: u32 = 48;

/// What both ends have to agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Rate of all samples and positions, in Hz.
    pub host_rate: u32,
    /// The engine that the delay is of.
    pub setup: Setup,
    /// Delay of the stream through the engine: see [`crate::engine::latency::Latency::stream`].
    pub stream_latency: u32,
    /// What is added to it so that the worker has time.
    pub slack: u32,
    /// Samples that either ring holds.
    pub ring_len: usize,
}

/// Something that happens at a place in the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoteKind {
    /// The samples from here on are a new stretch of input that starts at `position` with silence before it.
    Start {
        /// Absolute position of the first sample.
        position: u64,
        /// The epoch that begins.
        epoch: u32,
        /// Output samples of it that will not be heard.
        unheard: u64,
    },
    /// Parameters from here on.
    Params(HopParams),
}

/// A note, bound to a sample by the count of samples sent before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Note {
    /// Samples put into the ring before the one this note belongs to.
    pub at: u64,
    /// What happens there.
    pub kind: NoteKind,
}

/// A stretch of output samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The epoch it belongs to.
    pub epoch: u32,
    /// Absolute output position of its first sample.
    pub start: u64,
    /// Number of samples.
    pub len: u32,
    /// The engine failed: there are no samples in the ring for this span, the fallback is to sound.
    pub is_fault: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// The epoch that the audio thread wants.
    wanted_epoch: AtomicU32,
    /// The epoch up to which the worker has thrown away everything.
    ready_epoch: AtomicU32,
    /// Epoch and absolute output position up to which spans were published, packed.
    published: AtomicU64,
    /// Count of sent samples at which the worker can run its next hop.
    next_hop_at: AtomicU64,
    /// Set by the worker while there is no engine and none will come.
    is_stopped: AtomicBool,
    /// Set by the audio thread while the wall clock drives the host.
    is_real_time: AtomicBool,
    /// Set by either end when it goes.
    is_closed: AtomicBool,
}

/// Makes both ends of a link. `worker` is woken when a hop is complete. Allocates. [main-thread]
pub fn link(config: LinkConfig, worker: Thread) -> (AudioEnd, WorkerEnd) {
    let shared = Arc::new(Shared::default());
    let (input, input_out) = HeapRb::new(config.ring_len.max(1)).split();
    let (output_in, output) = HeapRb::new(config.ring_len.max(1)).split();
    let (notes, notes_out) = HeapRb::new(NOTES).split();
    let (spans_in, spans) = HeapRb::new(SPANS).split();
    let audio = AudioEnd { config, shared: shared.clone(), input, notes, output, spans, sent: 0, worker };
    let worker = WorkerEnd { config, shared, input: input_out, notes: notes_out, output: output_in, spans: spans_in };
    (audio, worker)
}

/// The audio thread's end.
pub struct AudioEnd {
    config: LinkConfig,
    shared: Arc<Shared>,
    input: HeapProd<f32>,
    notes: HeapProd<Note>,
    output: HeapCons<f32>,
    spans: HeapCons<Span>,
    /// Samples ever put into the input ring.
    sent: u64,
    worker: Thread,
}

impl AudioEnd {
    /// What both ends agreed on.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Names the next epoch and wakes the worker for it. [audio-thread]
    pub fn want_epoch(&self, epoch: u32) {
        self.shared.wanted_epoch.store(epoch, Ordering::Release);
        self.worker.unpark();
    }

    /// Whether the worker is ready for the samples of `epoch`. [audio-thread]
    pub fn is_ready(&self, epoch: u32) -> bool {
        self.shared.ready_epoch.load(Ordering::Acquire) == epoch
    }

    /// Whether the worker has no engine and will not get one. [audio-thread]
    pub fn is_stopped(&self) -> bool {
        self.shared.is_stopped.load(Ordering::Relaxed)
    }

    /// Says whether the wall clock drives the host, so that a late hop is a hole in the sound. [audio-thread]
    pub fn set_real_time(&self, is_real_time: bool) {
        self.shared.is_real_time.store(is_real_time, Ordering::Relaxed);
    }

    /// Absolute output position up to which spans of `epoch` were published, if any. [audio-thread]
    pub fn published(&self, epoch: u32) -> Option<u64> {
        let (of, position) = unpack(self.shared.published.load(Ordering::Acquire));
        (of == epoch & EPOCH_MASK).then_some(position)
    }

    /// A number that changes whenever the worker does something that could end a wait. [audio-thread]
    pub fn progress(&self) -> (u32, u64) {
        (self.shared.ready_epoch.load(Ordering::Relaxed), self.shared.published.load(Ordering::Relaxed))
    }

    /// Room for samples. [audio-thread]
    pub fn vacant_len(&self) -> usize {
        self.input.vacant_len()
    }

    /// Binds a note to the next sample; `false` when there is no room. [audio-thread]
    pub fn note(&mut self, kind: NoteKind) -> bool {
        self.notes.try_push(Note { at: self.sent, kind }).is_ok()
    }

    /// Sends samples; the caller checked the room. Wakes the worker when a hop is complete.
    ///
    /// # Realtime safety
    /// Waking is `Thread::unpark`: an atomic exchange, and one futex call (a semaphore post on macOS) only if the
    /// worker sleeps, which happens at most once per hop. It never blocks, and it is what audio servers themselves
    /// use to wake their clients. [audio-thread]
    pub fn send(&mut self, samples: &[f32]) {
        self.sent += self.input.push_slice(samples) as u64;
        if self.sent >= self.shared.next_hop_at.load(Ordering::SeqCst) {
            self.worker.unpark();
        }
    }

    /// The next span of output, of whatever epoch. [audio-thread]
    pub fn next_span(&mut self) -> Option<Span> {
        self.spans.try_pop()
    }

    /// Takes samples of a span. [audio-thread]
    pub fn receive(&mut self, samples: &mut [f32]) {
        let count = self.output.pop_slice(samples);
        // A span is published after its samples, so they are there.
        samples[count..].fill(0.0);
    }

    /// Throws away samples of a span. [audio-thread]
    pub fn skip(&mut self, count: usize) {
        self.output.skip(count);
    }
}

impl Drop for AudioEnd {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
    }
}

impl std::fmt::Debug for AudioEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioEnd").field("config", &self.config).field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// The worker's end.
pub struct WorkerEnd {
    config: LinkConfig,
    shared: Arc<Shared>,
    input: HeapCons<f32>,
    notes: HeapCons<Note>,
    output: HeapProd<f32>,
    spans: HeapProd<Span>,
}

impl WorkerEnd {
    /// What both ends agreed on.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Whether the audio thread's end is gone. [worker-thread]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::Acquire)
    }

    /// Whether the wall clock drives the host. [worker-thread]
    pub fn is_real_time(&self) -> bool {
        self.shared.is_real_time.load(Ordering::Relaxed)
    }

    /// The epoch that the audio thread wants. [worker-thread]
    pub fn wanted_epoch(&self) -> u32 {
        self.shared.wanted_epoch.load(Ordering::Acquire)
    }

    /// Throws away all input and says that `epoch` can begin. Returns how many samples that were. [worker-thread]
    ///
    /// The audio thread sends nothing from naming an epoch until it is ready, so what lies here is old.
    pub fn clear_for(&mut self, epoch: u32) -> u64 {
        let count = self.input.clear() as u64;
        self.notes.clear();
        self.shared.next_hop_at.store(0, Ordering::SeqCst);
        self.shared.ready_epoch.store(epoch, Ordering::Release);
        count
    }

    /// Takes back what [`WorkerEnd::clear_for`] said: what was sent in this epoch is lost. [worker-thread]
    pub fn break_epoch(&self) {
        self.shared.ready_epoch.store(NO_EPOCH, Ordering::Release);
    }

    /// Samples waiting. [worker-thread]
    pub fn waiting_len(&self) -> usize {
        self.input.occupied_len()
    }

    /// The next note, if it belongs to sample `at` or an earlier one. [worker-thread]
    pub fn note_at(&mut self, at: u64) -> Option<NoteKind> {
        if self.notes.first()?.at > at {
            return None;
        }
        self.notes.try_pop().map(|note| note.kind)
    }

    /// Sample to which the next note belongs. [worker-thread]
    pub fn next_note_at(&self) -> Option<u64> {
        self.notes.first().map(|note| note.at)
    }

    /// Takes samples and returns how many. [worker-thread]
    pub fn receive(&mut self, samples: &mut [f32]) -> usize {
        self.input.pop_slice(samples)
    }

    /// Says how many sent samples complete the next hop. [worker-thread]
    pub fn set_next_hop_at(&self, sent: u64) {
        self.shared.next_hop_at.store(sent, Ordering::SeqCst);
    }

    /// Publishes a stretch of output; without room (the host has stopped calling) it counts as a fault. [worker-thread]
    pub fn publish(&mut self, epoch: u32, start: u64, samples: &[f32], is_fault: bool) {
        let is_fault = is_fault || self.output.vacant_len() < samples.len();
        if self.spans.is_full() {
            return;
        }
        if !is_fault {
            self.output.push_slice(samples);
        }
        let span = Span { epoch, start, len: samples.len() as u32, is_fault };
        // There is room: checked above, and nobody else pushes.
        let _ = self.spans.try_push(span);
        self.shared.published.store(pack(epoch, start + samples.len() as u64), Ordering::Release);
    }

    /// Says whether there is no engine and none will come. [worker-thread]
    pub fn set_stopped(&self, is_stopped: bool) {
        self.shared.is_stopped.store(is_stopped, Ordering::Relaxed);
    }
}

impl Drop for WorkerEnd {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
    }
}

impl std::fmt::Debug for WorkerEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerEnd").field("config", &self.config).finish_non_exhaustive()
    }
}

const EPOCH_MASK: u32 = 0xffff;

fn pack(epoch: u32, position: u64) -> u64 {
    u64::from(epoch & EPOCH_MASK) << POSITION_BITS | (position & ((1 << POSITION_BITS) - 1))
}

fn unpack(packed: u64) -> (u32, u64) {
    ((packed >> POSITION_BITS) as u32, packed & ((1 << POSITION_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(ring_len: usize) -> (AudioEnd, WorkerEnd) {
        let setup = crate::engine::Mode::Live.into();
        let config = LinkConfig { host_rate: 48_000, setup, stream_latency: 0, slack: 0, ring_len };
        link(config, std::thread::current())
    }

    #[test]
    fn notes_keep_their_place_between_the_samples() {
        let (mut audio, mut worker) = ends(64);
        audio.send(&[1.0, 2.0]);
        assert!(audio.note(NoteKind::Start { position: 2, epoch: 1, unheard: 0 }));
        audio.send(&[3.0]);
        assert_eq!(worker.note_at(1), None);
        assert_eq!(worker.next_note_at(), Some(2));
        let mut samples = [0.0; 2];
        assert_eq!(worker.receive(&mut samples), 2);
        assert_eq!(worker.note_at(2), Some(NoteKind::Start { position: 2, epoch: 1, unheard: 0 }));
        assert_eq!(worker.waiting_len(), 1);
    }

    #[test]
    fn a_full_output_ring_is_a_fault_and_not_a_stop() {
        let (mut audio, mut worker) = ends(4);
        worker.publish(7, 100, &[1.0, 2.0, 3.0], false);
        worker.publish(7, 103, &[4.0, 5.0, 6.0], false);
        assert_eq!(audio.published(7), Some(106));
        assert_eq!(audio.published(8), None);
        assert_eq!(audio.next_span(), Some(Span { epoch: 7, start: 100, len: 3, is_fault: false }));
        let mut samples = [0.0; 3];
        audio.receive(&mut samples);
        assert_eq!(samples, [1.0, 2.0, 3.0]);
        assert_eq!(audio.next_span(), Some(Span { epoch: 7, start: 103, len: 3, is_fault: true }));
    }

    #[test]
    fn an_epoch_begins_empty() {
        let (mut audio, mut worker) = ends(16);
        audio.send(&[1.0; 5]);
        assert!(audio.note(NoteKind::Params(HopParams::default())));
        audio.want_epoch(3);
        assert!(!audio.is_ready(3));
        assert_eq!(worker.wanted_epoch(), 3);
        assert_eq!(worker.clear_for(3), 5);
        assert!(audio.is_ready(3));
        assert_eq!((worker.waiting_len(), worker.next_note_at()), (0, None));
    }
}
