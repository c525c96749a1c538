//! Signal processing shared by several modules. Knows no voice, engine, host or thread.

pub mod decimator;
pub mod denormals;
pub mod downmix;
pub mod fft;
pub mod window;

/// Sum of the products of two slices of equal length (the shorter one counts), in a fixed order that the compiler can
/// vectorise.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut lanes = [0.0_f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.iter().sum::<f32>() + tail
}
