//! The native engine against synthetic signals whose pitch, level and timing are known.

use coffre::engine::HOP_LEN;
use coffre::engine::native::synth::Synth;
use coffre::engine::native::track::Pitch;

#[path = "native/signals.rs"]
mod signals;

use signals::{median_f0_hz, noise, rms, semitones, snr_db, vowel, vowel_distance_db};

/// Latency of the live engine at the time of writing; the synthesiser takes any.
const LATENCY: usize = 1464;

/// Runs the synthesiser with a known F0 track (Hz at a sample of the source, 0.0 = unvoiced) and a constant ratio.
/// The output is aligned with the input.
fn shift(input: &[f32], ratio: f32, latency: usize, f0_at: impl Fn(f64) -> f32) -> Vec<f32> {
    let mut synth = Synth::new(latency, LATENCY, LATENCY);
    let mut out = vec![0.0; input.len() / HOP_LEN * HOP_LEN];
    for (h, (hop, out)) in input.chunks_exact(HOP_LEN).zip(out.chunks_exact_mut(HOP_LEN)).enumerate() {
        synth.push_audio(hop);
        let centre = ((h + 1) * HOP_LEN) as f64 - LATENCY as f64;
        synth.push_pitch(Pitch { f0_hz: f0_at(centre), ratio });
        synth.push_response().set_flat();
        synth.render(out);
    }
    out.drain(..latency);
    out
}

#[test]
fn an_unvoiced_signal_passes_unchanged_at_exactly_the_latency() {
    let input = noise(48_000, 1);
    for latency in [LATENCY, LATENCY + 7200] {
        let out = shift(&input, 1.5, latency, |_| 0.0);
        let snr = snr_db(&input[..out.len()], &out);
        assert!(snr > 120.0, "SNR {snr} dB");
    }
}

#[test]
fn a_voiced_signal_with_ratio_one_passes_unchanged() {
    for f0 in [60.0, 90.0, 133.0, 220.0, 440.0, 870.0] {
        let input = vowel(48_000, |_| f0);
        for latency in [LATENCY, LATENCY + 7200] {
            let out = shift(&input, 1.0, latency, |_| f0 as f32);
            let snr = snr_db(&input[..out.len()], &out);
            assert!(snr > 100.0, "{f0} Hz: SNR {snr} dB");
        }
    }
}

#[test]
fn the_output_has_the_commanded_pitch() {
    for latency in [LATENCY, LATENCY + 7200] {
        for f0 in [80.0, 131.0, 220.0, 440.0, 1000.0] {
            let input = vowel(48_000, |_| f0);
            for shift_st in [-12.0, -4.0, 0.5, 4.0, 12.0] {
                let ratio = 2.0_f64.powf(shift_st / 12.0);
                let out = shift(&input, ratio as f32, latency, |_| f0 as f32);
                let got = median_f0_hz(&out[6_000..39_000], f0 * ratio);
                let cents = 100.0 * semitones(got / (f0 * ratio));
                let level = 20.0 * (rms(&out[6_000..39_000]) / rms(&input[6_000..39_000])).log10();
                println!("{f0} Hz {shift_st:+} st: {cents:+.2} cents, level {level:+.2} dB");
                assert!(cents.abs() < 5.0, "{f0} Hz {shift_st:+} st: {cents} cents");
            }
        }
    }
}

#[test]
fn the_vowel_stays_the_same_vowel() {
    for latency in [LATENCY, LATENCY + 7200] {
        for f0 in [80.0, 110.0, 160.0, 220.0, 440.0] {
            let input = vowel(48_000, |_| f0);
            let mut line = format!("{latency} {f0} Hz:");
            for shift_st in [-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0] {
                let ratio = 2.0_f64.powf(shift_st / 12.0);
                let out = shift(&input, ratio as f32, latency, |_| f0 as f32);
                line += &format!(" {shift_st:+}: {:.1}", vowel_distance_db(&out[6_000..39_000], f0 * ratio));
            }
            println!("{line}");
        }
    }
}
