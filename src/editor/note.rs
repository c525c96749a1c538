//! Note names of frequencies, in equal temperament on A4 = 440 Hz. Pure arithmetic.

/// MIDI note number of a frequency, with fraction; A4 = 69.
pub fn midi_from_hz(hz: f32) -> f32 {
    69.0 + 12.0 * (hz / 440.0).log2()
}

/// Frequency of a MIDI note number.
pub fn hz_from_midi(midi: f32) -> f32 {
    440.0 * ((midi - 69.0) / 12.0).exp2()
}

/// Name of a note by MIDI number, middle C = "C4".
pub fn note_name(midi: i32) -> String {
    const NAMES: [&str; 12] = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
    let name = usize::try_from(midi.rem_euclid(12)).map_or("?", |index| NAMES[index]);
    format!("{name}{}", midi.div_euclid(12) - 1)
}

/// Nearest note and the distance to it: "A4 +12 ct". Empty for anything that is not a positive frequency.
pub fn note_and_cents(hz: f32) -> String {
    if !(hz.is_finite() && hz > 0.0) {
        return String::new();
    }
    let midi = midi_from_hz(hz);
    let nearest = midi.round();
    let cents = ((midi - nearest) * 100.0).round();
    let sign = if cents < 0.0 { '−' } else { '+' };
    // A frequency lies within ±130 semitones of A4 for every positive f32 a tracker can report.
    format!("{} {sign}{:.0} ct", note_name(nearest as i32), cents.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concert_pitch_and_neighbours_have_their_names() {
        assert_eq!(note_and_cents(440.0), "A4 +0 ct");
        assert_eq!(note_and_cents(261.626), "C4 +0 ct");
        assert_eq!(note_and_cents(435.0), "A4 −20 ct");
        assert_eq!(note_name(0), "C-1");
        assert_eq!(note_name(-1), "B-2");
    }

    #[test]
    fn midi_and_hz_are_inverse() {
        for midi in 20..110 {
            assert!((midi_from_hz(hz_from_midi(midi as f32)) - midi as f32).abs() < 1e-3);
        }
    }

    #[test]
    fn unvoiced_has_no_name() {
        assert_eq!(note_and_cents(0.0), "");
        assert_eq!(note_and_cents(f32::NAN), "");
    }
}
