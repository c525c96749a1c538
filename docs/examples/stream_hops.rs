//! Runs the engine hop by hop, as a plugin's worker does, and reads the pitch that it sends out.
//!
//! `cargo run --release --example stream_hops`

use std::error::Error;

use coffre::engine::native::NativeEngine;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{ENGINE_RATE, Engine as _, HOP_LEN, HopParams, HopReport, Mode, RegisterMode};

/// Sends a tone through the engine an octave higher. Without voice and graphs only pitch and formants change.
pub fn octave_up(hz: f32, hops: usize) -> Result<Vec<HopReport>, Box<dyn Error>> {
    let mut engine = NativeEngine::new(Mode::Live, None, SourceProfile::population());
    let params = HopParams { transpose_st: 12.0, register: RegisterMode::Off, ..HopParams::default() };
    let mut output = [0.0; HOP_LEN];
    let mut reports = Vec::new();
    for hop in 0..hops {
        // Ten partials, so that it sounds like a voice to the pitch tracker.
        let input: Vec<f32> = (hop * HOP_LEN..(hop + 1) * HOP_LEN)
            .map(|n| (1..=10).map(|k| (std::f32::consts::TAU * hz * (k * n) as f32 / ENGINE_RATE as f32).sin()).sum())
            .map(|sum: f32| 0.05 * sum)
            .collect();
        reports.push(engine.process_hop(&params, &input, &mut output)?);
    }
    Ok(reports)
}

#[allow(dead_code, reason = "the tests call `octave_up`")]
fn main() -> Result<(), Box<dyn Error>> {
    for report in octave_up(220.0, 100)?.iter().step_by(20) {
        println!("{:6.1} Hz in, {:6.1} Hz out", report.f0_source_hz, report.f0_output_hz);
    }
    Ok(())
}
