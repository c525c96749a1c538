//! The spoken check: whether a sentence that is read aloud sounds like the person of the recordings.
//!
//! Each frame of the sentence is compared with what the recordings say for the same phone; what remains on average, and
//! the difference of the F0, is the distance of the two voices. A hint, never a proof: `models/NOTEBOOK.md` says how often it
//! errs; a relative may sound alike, the same person with a cold or another microphone may not, and a played-back
//! recording is not noticed.

use super::speakers::{VALUES, VoicedFrame, values};
use super::{Finding, Grade, activity_threshold};
use crate::clone::features::FeatureFrame;
use crate::engine::content::PHONES;

/// The sentence to read aloud.
pub const SENTENCE: &str = "This is my own voice, and today I allow a copy of it to be made by Coffre.";

/// What the finding is about.
pub const TOPIC: &str = "Spoken";

/// Voiced frames that the sentence must hold to say anything: a second.
const LEAST_FRAMES: usize = 100;

/// Frames of a phone from which its mean is believed.
const LEAST_PHONE_FRAMES: u32 = 5;

/// Distance up to which both are likely one person, and from which likely two. Of 12 speakers' own sentences 9 lie at 0.59
/// or below and none above 1.0; of 24 of other speakers none lies below 0.75, and 21 lie above 0.97.
pub const SAME: [f32; 2] = [0.6, 1.0];

/// The voiced, active frames of recordings with their phones.
pub(crate) fn voiced_frames(takes: &[Vec<FeatureFrame>], phones: &[Vec<u8>]) -> Vec<VoicedFrame> {
    let threshold = activity_threshold(takes);
    let none = Vec::new();
    let mut voiced = Vec::new();
    for (take, frames) in takes.iter().enumerate() {
        let phones = phones.get(take).unwrap_or(&none);
        for (at, frame) in frames.iter().enumerate() {
            if frame.is_voiced() && frame.loudness > threshold {
                let phone = phones.get(at).map_or(0, |phone| usize::from(*phone));
                voiced.push(VoicedFrame { shape: frame.shape(), f0_hz: frame.f0_hz, phone });
            }
        }
    }
    voiced
}

/// Distance of the two voices, 0 = the same; `None` when too little was read.
pub(crate) fn distance(recordings: &[VoicedFrame], spoken: &[VoicedFrame]) -> Option<f32> {
    let mut means = vec![([0.0_f64; VALUES], 0_u32); PHONES];
    for frame in recordings {
        let (sum, count) = &mut means[frame.phone.min(PHONES - 1)];
        sum.iter_mut().zip(values(frame)).for_each(|(sum, value)| *sum += f64::from(value));
        *count += 1;
    }
    let (mut offset, mut count) = ([0.0_f64; VALUES], 0_usize);
    for frame in spoken {
        let (sum, heard) = &means[frame.phone.min(PHONES - 1)];
        if *heard >= LEAST_PHONE_FRAMES {
            let heard = f64::from(*heard);
            let parts = offset.iter_mut().zip(values(frame)).zip(sum);
            parts.for_each(|((offset, value), sum)| *offset += f64::from(value) - sum / heard);
            count += 1;
        }
    }
    if count < LEAST_FRAMES {
        return None;
    }
    let squares = offset.iter().map(|offset| (offset / count as f64).powi(2)).sum::<f64>();
    Some((squares / VALUES as f64).sqrt() as f32)
}

/// The distance in plain words.
pub fn finding(distance: Option<f32>) -> Finding {
    let (grade, text) = match distance {
        None => (
            Grade::Poor,
            "Too little was read aloud: read the whole sentence, as loud as in the recordings.".to_owned(),
        ),
        Some(d) if d <= SAME[0] => {
            (Grade::Good, format!("Sounds like the person of the recordings ({d:.2}). A hint, not a proof."))
        }
        Some(d) if d <= SAME[1] => (
            Grade::Fair,
            format!(
                "Not clear whether it is the person of the recordings ({d:.2}). Read it again with the same microphone."
            ),
        ),
        Some(d) => (
            Grade::Poor,
            format!(
                "Does not sound like the person of the recordings ({d:.2}). A hint, not a proof: another microphone does that too."
            ),
        ),
    };
    Finding { topic: TOPIC, grade, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bands::ENV_BANDS;

    fn frames(who: f32, f0_hz: f32, count: usize, from: usize) -> Vec<VoicedFrame> {
        let frame = |n: usize| {
            let phone = 1 + (n * 7 + from) % 12;
            let shape = std::array::from_fn::<_, ENV_BANDS, _>(|band| {
                let band = band as f32;
                (band * 0.2 + phone as f32).sin() + who * (band * 0.1).cos() + 0.3 * ((n * 31) as f32 + band).sin()
            });
            VoicedFrame { shape, f0_hz, phone }
        };
        (0..count).map(frame).collect()
    }

    #[test]
    fn the_same_voice_is_near_and_another_is_far_whatever_is_said() {
        let recordings = frames(0.0, 120.0, 3_000, 0);
        let own = distance(&recordings, &frames(0.0, 122.0, 300, 5)).expect("enough");
        let other = distance(&recordings, &frames(1.0, 122.0, 300, 5)).expect("enough");
        let higher = distance(&recordings, &frames(0.0, 210.0, 300, 5)).expect("enough");
        assert!(own < 0.1 && other > 0.4 && higher > 0.4, "{own} {other} {higher}");
    }

    #[test]
    fn too_little_says_nothing() {
        let recordings = frames(0.0, 120.0, 3_000, 0);
        assert_eq!(distance(&recordings, &frames(0.0, 120.0, 99, 0)), None);
        assert_eq!(distance(&[], &frames(0.0, 120.0, 900, 0)), None);
        assert_eq!(finding(None).grade, Grade::Poor);
    }
}
