//! What the analysis promises to the engine's thread: no allocation after construction, whatever the signal.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use coffre::engine::analysis::{Analyser, AnalysisFrame};
use coffre::engine::{HOP_LEN, Mode};

thread_local! {
    /// Allocations and releases of this thread.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is passed on to the system allocator unchanged; counting touches a thread-local cell without
// a destructor, which never allocates.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn analysis_does_not_allocate_after_construction() {
    // Silence, a tone, noise, and samples that no microphone gives.
    let mut samples = vec![0.0_f32; 96_000];
    for (n, sample) in samples.iter_mut().enumerate() {
        *sample = match n / 12_000 {
            1 | 2 => 0.2 * (n as f32 * 0.03).sin() + 0.1 * (n as f32 * 0.06).sin(),
            3 => 0.1 * ((n * n) as f32).sin(),
            4 => [f32::NAN, f32::INFINITY, f32::MAX, 1e-40][n % 4],
            5 => 1000.0 * (n as f32 * 0.01).sin(),
            _ => 0.0,
        };
    }
    for mode in [Mode::Live, Mode::Mix] {
        let mut analyser = Analyser::new(mode);
        let mut frame = AnalysisFrame::default();
        let mut voiced = 0;
        let before = CALLS.with(Cell::get);
        for hop in samples.chunks_exact(HOP_LEN) {
            analyser.push(hop, &mut frame);
            voiced += usize::from(frame.f0_hz > 0.0);
        }
        analyser.reset();
        let after = CALLS.with(Cell::get);
        assert_eq!(after - before, 0, "{mode:?} allocates");
        assert!(voiced > 30, "{mode:?}: the tone was not analysed");
    }
    // The counter itself works.
    let before = CALLS.with(Cell::get);
    drop(std::hint::black_box(vec![1_u8; 100]));
    assert_eq!(CALLS.with(Cell::get) - before, 2);
}
