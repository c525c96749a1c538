//! A vocal-like test signal: sung notes with vibrato through formants, consonants of noise, rests. The same on every
//! machine, so that figures can be compared.

use std::f32::consts::TAU;

/// Notes of the tune in Hz; 0 = rest.
const NOTES: [f32; 8] = [220.0, 246.9, 261.6, 0.0, 329.6, 293.7, 220.0, 0.0];

/// Formants of the vowels ɑ, i, u, ɛ in Hz: Peterson and Barney 1952, table II, men.
const VOWELS: [[f32; 3]; 4] =
    [[730.0, 1090.0, 2440.0], [270.0, 2290.0, 3010.0], [300.0, 870.0, 2240.0], [530.0, 1840.0, 2480.0]];

/// Length of a note or rest in seconds, the consonant at its start included.
const NOTE_SECONDS: f32 = 0.5;

/// Length of the consonant in seconds.
const CONSONANT_SECONDS: f32 = 0.08;

/// A two-pole resonance of unit gain at 0 Hz.
#[derive(Clone, Copy, Default)]
struct Resonance {
    past: [f32; 2],
}

impl Resonance {
    fn next(&mut self, input: f32, centre_hz: f32, rate: f32) -> f32 {
        let radius = (-std::f32::consts::PI * 90.0 / rate).exp();
        let (a, b) = (2.0 * radius * (TAU * centre_hz / rate).cos(), -radius * radius);
        let output = (1.0 - a - b) * input + a * self.past[0] + b * self.past[1];
        self.past = [output, self.past[0]];
        output
    }
}

/// `seconds` of the signal at `rate` Hz, about -20 dBFS.
pub fn vocal(rate: u32, seconds: f32) -> Vec<f32> {
    let rate = rate as f32;
    let len = (seconds * rate) as usize;
    let mut resonances = [Resonance::default(); 3];
    let (mut phase, mut noise, mut last_noise) = (0.0_f32, 0x9e37_79b9_u32, 0.0);
    (0..len)
        .map(|n| {
            let time = n as f32 / rate;
            let note = (time / NOTE_SECONDS) as usize;
            let within = time - note as f32 * NOTE_SECONDS;
            let f0 = NOTES[note % NOTES.len()];
            // Xorshift: Marsaglia 2003.
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            let white = noise as f32 / u32::MAX as f32 - 0.5;
            let hiss = white - last_noise;
            last_noise = white;

            if f0 == 0.0 {
                return 1e-5 * white;
            }
            if within < CONSONANT_SECONDS {
                return 0.08 * hiss * (std::f32::consts::PI * within / CONSONANT_SECONDS).sin();
            }
            let vibrato = 1.0 + 0.015 * (TAU * 5.5 * time).sin();
            phase = (phase + f0 * vibrato / rate).fract();
            // A pulse that opens over 60 % of the period and closes fast: Rosenberg 1971, type B.
            let glottis = if phase < 0.6 {
                let x = phase / 0.6;
                3.0 * x * x - 2.0 * x * x * x
            } else {
                0.0
            };
            let vowel = VOWELS[note % VOWELS.len()];
            let source = glottis - 0.5 + 0.02 * white;
            let voice =
                resonances.iter_mut().zip(vowel).fold(source, |sound, (resonance, hz)| resonance.next(sound, hz, rate));
            let envelope = ((within - CONSONANT_SECONDS) / 0.03).min((NOTE_SECONDS - within) / 0.05).clamp(0.0, 1.0);
            0.12 * voice * envelope
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_is_that_of_a_vocal_and_rests_are_quiet() {
        let signal = vocal(48_000, 4.0);
        assert_eq!(signal.len(), 192_000);
        let rms = (signal.iter().map(|x| x * x).sum::<f32>() / signal.len() as f32).sqrt();
        let peak = signal.iter().fold(0.0_f32, |peak, x| peak.max(x.abs()));
        assert!((0.02..0.3).contains(&rms) && peak < 1.0, "rms {rms}, peak {peak}");
        let rest = &signal[(1.6 * 48_000.0) as usize..(1.9 * 48_000.0) as usize];
        assert!(rest.iter().all(|x| x.abs() < 1e-4));
    }
}
