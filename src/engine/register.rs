//! Which pitch the output gets: transpose, register of the voice, limits, glides.
//!
//! Plain arithmetic on the engine's thread.
//!
//! In a mix only octaves stay in the key of the song: seven semitones off, a lead sings a fifth beside its band. So the
//! register moves by whole octaves unless it is told otherwise, and no further than it must: where the singer is within
//! half an octave of what the voice sings, it does not move at all.

use crate::voice::VoiceId;

/// Lowest F0 that is sung, in Hz.
pub const LOWEST_OUTPUT_HZ: f32 = 45.0;

/// Highest F0 that is sung, in Hz.
pub const HIGHEST_OUTPUT_HZ: f32 = 1600.0;

/// Share of the way to a new shift that is covered in one frame of 10 ms: time constant about 25 ms.
const GLIDE: f32 = 0.33;

/// Distances below this count as arrived, in semitones.
const ARRIVED_ST: f32 = 0.002;

/// Semitones from one median F0 to another; 0 for impossible medians.
pub fn distance_st(source_median_hz: f32, target_median_hz: f32) -> f32 {
    let distance = 12.0 * (target_median_hz / source_median_hz).log2();
    if distance.is_finite() { distance } else { 0.0 }
}

/// The shift for a distance between medians in whole semitones: for speech, and for songs without a band.
pub fn semitones_st(distance_st: f32) -> f32 {
    distance_st.round().clamp(-MAX_SHIFT_ST, MAX_SHIFT_ST)
}

/// Largest shift of a register, in semitones.
const MAX_SHIFT_ST: f32 = 36.0;

/// A voice known from speech sings from a major third to an octave above its spoken median, in semitones.
const SUNG_ABOVE_SPOKEN_ST: [f32; 2] = [4.0, 12.0];

/// A voice known from song sings around its median, in semitones.
const AROUND_SUNG_ST: [f32; 2] = [-4.0, 4.0];

/// A singer this far from where a voice sings is close enough to stay, in semitones: half an octave.
const CLOSE_ST: f32 = 6.0;

/// A singer who was moved an octave goes back only when this much nearer than [`CLOSE_ST`], in semitones.
const HYSTERESIS_ST: f32 = 1.0;

/// Frames without voice that make a pause: 250 ms, longer than any consonant.
const PAUSE_FRAMES: u32 = 25;

/// Where a voice sings, in semitones above the singer's median: lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SungBand([f32; 2]);

impl SungBand {
    /// The singer's own.
    pub const OWN: Self = Self(AROUND_SUNG_ST);

    /// For a voice whose median lies this many semitones above the singer's, known from song or from speech.
    pub fn new(distance_st: f32, is_sung: bool) -> Self {
        let around = if is_sung { AROUND_SUNG_ST } else { SUNG_ABOVE_SPOKEN_ST };
        Self(around.map(|edge| distance_st + edge))
    }

    /// The band this share of the way to another one.
    pub fn towards(self, other: Self, share: f32) -> Self {
        Self(std::array::from_fn(|edge| self.0[edge] + share * (other.0[edge] - self.0[edge])))
    }

    /// How far outside a note lies, in semitones.
    fn distance_of(self, note_st: f32) -> f32 {
        (self.0[0] - note_st).max(note_st - self.0[1]).max(0.0)
    }

    /// The fewest octaves that bring the singer's median close to the band, upwards before downwards; `held` stays
    /// where it is as good.
    fn octaves(self, held: i32) -> i32 {
        let distance = |octaves: i32| self.distance_of(12.0 * octaves as f32);
        // Away from 0 the held octave counts longer.
        let margin = if held == 0 { 0.0 } else { HYSTERESIS_ST };
        if distance(held) <= CLOSE_ST && (held == 0 || distance(0) > CLOSE_ST - margin) {
            return held;
        }
        // In this order the first that is close is the fewest.
        let order = [0, 1, -1, 2, -2, 3, -3];
        order.into_iter().find(|&octaves| distance(octaves) <= CLOSE_ST).unwrap_or(if self.0[0] > 0.0 { 3 } else { -3 })
    }
}

/// The voices that were chosen, by hand or by automation: where they change, the register may change in the midst of a
/// phrase.
pub type Choice = [Option<VoiceId>; 2];

/// Holds the octave of a phrase: what the song brings along (a learned singer, a morph that moves) changes it in the
/// next pause only.
#[derive(Clone, Copy, Debug, Default)]
pub struct OctaveKeeper {
    held: Option<(Choice, i32)>,
    quiet_frames: u32,
}

impl OctaveKeeper {
    /// Octaves for the next frame, in semitones. `f0_hz` is 0.0 where nobody sings; `band` is `None` where nothing is known
    /// of singer or voice.
    pub fn next(&mut self, choice: Choice, band: Option<SungBand>, f0_hz: f32) -> f32 {
        self.quiet_frames = if f0_hz > 0.0 { 0 } else { self.quiet_frames.saturating_add(1) };
        let held = self.held.filter(|(before, _)| *before == choice).map(|(_, octaves)| octaves);
        let octaves = match held {
            Some(octaves) if self.quiet_frames < PAUSE_FRAMES => octaves,
            _ => band.map_or(0, |band| band.octaves(held.unwrap_or(0))),
        };
        self.held = Some((choice, octaves));
        12.0 * octaves as f32
    }

    /// Forgets the phrase.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Follows the commanded shift without steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register {
    /// Shift in use, in semitones; `None` before the first frame.
    shift_st: Option<f32>,
}

impl Register {
    /// Output F0 over source F0 for the next frame. `f0_hz` is 0.0 where the source is unvoiced.
    pub fn next(&mut self, f0_hz: f32, shift_st: f32) -> f32 {
        let goal = if shift_st.is_finite() { shift_st.clamp(-36.0, 36.0) } else { 0.0 };
        let old = self.shift_st.unwrap_or(goal);
        let new = if (goal - old).abs() < ARRIVED_ST { goal } else { old + GLIDE * (goal - old) };
        self.shift_st = Some(new);
        let ratio = (new / 12.0).exp2();
        if f0_hz > 0.0 && (ratio != 1.0) {
            // What lies outside keeps the source's pitch rather than being pulled off further.
            let low = LOWEST_OUTPUT_HZ.min(f0_hz);
            let high = HIGHEST_OUTPUT_HZ.max(f0_hz);
            return (f0_hz * ratio).clamp(low, high) / f0_hz;
        }
        ratio
    }

    /// The next frame starts at its commanded shift.
    pub fn reset(&mut self) {
        self.shift_st = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn semitones_are_whole() {
        for (source_hz, target_hz, st) in [(110.0, 220.0, 12.0), (110.0, 205.0, 11.0), (0.0, 205.0, 0.0)] {
            assert_eq!(semitones_st(distance_st(source_hz, target_hz)), st);
        }
    }

    const CHOICE: Choice = [None, None];

    fn octaves(source_hz: f32, spoken_hz: f32) -> i32 {
        SungBand::new(distance_st(source_hz, spoken_hz), false).octaves(0)
    }

    #[test]
    fn a_singer_moves_by_octaves_and_only_where_the_voice_is_far() {
        // A lead at 220 Hz stays with a man who speaks at 147 Hz; a soprano and a bass do not.
        for (source_hz, spoken_hz, expected) in [
            (220.0, 147.0, 0),
            (330.0, 147.0, 0),
            (500.0, 147.0, -1),
            (1000.0, 147.0, -2),
            (80.0, 147.0, 1),
            (110.0, 243.0, 1),
            (220.0, 243.0, 0),
            (440.0, 243.0, 0),
            (60.0, 243.0, 2),
        ] {
            assert_eq!(octaves(source_hz, spoken_hz), expected, "{source_hz} Hz to {spoken_hz} Hz");
        }
        // A voice known from song sings at its median.
        assert_eq!(SungBand::new(distance_st(220.0, 147.0), true).octaves(0), 0);
        assert_eq!(SungBand::new(distance_st(300.0, 147.0), true).octaves(0), -1);
    }

    #[test]
    fn after_the_shift_every_singer_is_within_half_an_octave_of_the_band() {
        for step in 0..400 {
            let source_hz = 60.0 * (step as f32 / 80.0).exp2();
            for spoken_hz in [80.0, 98.0, 147.0, 155.0, 243.0, 300.0] {
                let band = SungBand::new(distance_st(source_hz, spoken_hz), false);
                let octaves = band.octaves(0);
                let moved = band.distance_of(12.0 * octaves as f32);
                assert!(moved <= CLOSE_ST || octaves.abs() == 3, "{source_hz} {spoken_hz}: {moved} st");
                if octaves != 0 {
                    assert!(band.distance_of(0.0) > CLOSE_ST);
                }
            }
        }
    }

    #[test]
    fn the_octave_stays_while_a_phrase_sounds() {
        let mut keeper = OctaveKeeper::default();
        let (here, above) = (SungBand::new(-7.0, false), SungBand::new(8.0, false));
        assert_eq!(keeper.next(CHOICE, Some(here), 200.0), 0.0);
        for _ in 0..1_000 {
            assert_eq!(keeper.next(CHOICE, Some(above), 200.0), 0.0);
        }
        // A consonant is no pause; a breath is.
        for _ in 0..PAUSE_FRAMES - 1 {
            assert_eq!(keeper.next(CHOICE, Some(above), 0.0), 0.0);
        }
        assert_eq!(keeper.next(CHOICE, Some(above), 200.0), 0.0);
        let last = (0..PAUSE_FRAMES).map(|_| keeper.next(CHOICE, Some(above), 0.0)).last();
        assert_eq!(last, Some(12.0));
        // By hand it changes at once.
        let other = [Some(VoiceId::of(b"other")), None];
        assert_eq!(keeper.next(other, Some(here), 200.0), 0.0);
        assert_eq!(keeper.next(CHOICE, None, 200.0), 0.0);
    }

    #[test]
    fn a_morph_that_stays_at_the_edge_does_not_flutter() {
        let mut keeper = OctaveKeeper::default();
        let edge = |distance: f32| Some(SungBand::new(distance, false));
        // The band's lower edge is just out of reach: an octave up.
        assert_eq!(keeper.next(CHOICE, edge(2.1), 200.0), 12.0);
        for turn in 0..200 {
            let distance = if turn % 2 == 0 { 1.9 } else { 2.1 };
            let shift = (0..PAUSE_FRAMES).map(|_| keeper.next(CHOICE, edge(distance), 0.0)).last();
            assert_eq!(shift, Some(12.0), "{turn}");
        }
        let back = (0..PAUSE_FRAMES).map(|_| keeper.next(CHOICE, edge(0.9), 0.0)).last();
        assert_eq!(back, Some(0.0));
    }

    #[test]
    fn the_first_frame_does_not_glide_and_later_ones_do() {
        let mut register = Register::default();
        assert_eq!(register.next(100.0, 12.0), 2.0);
        let next = register.next(100.0, 0.0);
        assert!(next > 1.4 && next < 2.0, "{next}");
        let last = (0..60).map(|_| register.next(100.0, 0.0)).last();
        assert_eq!(last, Some(1.0));
    }

    #[test]
    fn the_output_stays_singable() {
        let mut register = Register::default();
        assert!((register.next(1000.0, 12.0) * 1000.0 - HIGHEST_OUTPUT_HZ).abs() < 0.1);
        register.reset();
        assert!((register.next(80.0, -24.0) * 80.0 - LOWEST_OUTPUT_HZ).abs() < 0.1);
        register.reset();
        assert_eq!(register.next(40.0, 0.0), 1.0);
    }
}
