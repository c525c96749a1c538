//! The log-mel frames are those the content encoder was trained with: parity with the trainer's own numbers.

use coffre::engine::mel::{MEL_BANDS, MEL_HOP_LEN, MelExtractor};

/// Differences come from 32-bit Fourier transforms of two libraries.
const TOLERANCE: f32 = 1e-4;

#[test]
fn mel_frames_equal_the_trainers() {
    let text = include_str!("data/content_parity.json");
    let parity: serde_json::Value = serde_json::from_str(text).expect("the fixture is JSON");
    let expected: Vec<Vec<f32>> = serde_json::from_value(parity["mel"].clone()).expect("rows of numbers");
    // The signal is given in words in the fixture, field `signal`.
    let samples: Vec<f32> = (0..3520)
        .map(|n| {
            let turn = std::f64::consts::TAU * f64::from(n) / 16_000.0;
            let burst = if n % 4000 < 1000 { 0.05 * (1333.0 * turn).sin() } else { 0.0 };
            (0.1 * (220.0 * turn).sin() + burst) as f32
        })
        .collect();
    assert_eq!(parity["samples"], samples.len());

    let mut extractor = MelExtractor::new();
    let mut frame = [0.0; MEL_BANDS];
    let mut worst = 0.0_f32;
    for (hop, chunk) in samples.chunks_exact(MEL_HOP_LEN).enumerate() {
        extractor.push(chunk, 1.0, &mut frame);
        // The first window is complete after two hops.
        let Some(row) = hop.checked_sub(1) else { continue };
        for (value, wanted) in frame.iter().zip(&expected[row]) {
            worst = worst.max((value - wanted).abs());
        }
    }
    println!("largest difference {worst:.2e}");
    assert!(worst < TOLERANCE, "largest difference {worst}");
    assert_eq!(expected.len(), samples.len() / MEL_HOP_LEN - 1);
}
