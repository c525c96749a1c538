//! What the analysis promises to the engine's thread: no allocation after construction, whatever the signal.

use coffre::engine::analysis::{Analyser, AnalysisFrame};
use coffre::engine::{HOP_LEN, Mode};
use nice_assert_no_alloc::assert_no_alloc;

// With `alloccheck` the framework has put it there.
#[cfg(not(all(feature = "alloccheck", debug_assertions)))]
#[global_allocator]
static ALLOCATOR: nice_assert_no_alloc::AllocDisabler = nice_assert_no_alloc::AllocDisabler;

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
        // Aborts the process on the first allocation or release.
        assert_no_alloc(|| {
            for hop in samples.chunks_exact(HOP_LEN) {
                analyser.push(hop, &mut frame);
                voiced += usize::from(frame.f0_hz > 0.0);
            }
            analyser.reset();
        });
        assert!(voiced > 30, "{mode:?}: the tone was not analysed");
    }
}
