//! Checks recordings before they become a voice: what is good, what is not, what to do about it.
//!
//! Every finding is advice; nothing is refused, since the maker hears the result. Can run at any time while recordings
//! come in. Knows no file and no voice.

pub mod coverage;
pub mod room;
pub mod speakers;
pub mod spoken;

use serde::Serialize;

use super::FeatureFrame;
use super::noise::DIGITAL_SILENCE;
use super::select::activity_threshold;
use crate::engine::bands::ENV_BANDS;
use crate::engine::loudness::LoudnessMeter;
use crate::engine::profile::SpeakerStatistics;
use coverage::Coverage;
use room::Room;
use speakers::{Speakers, VoicedFrame};

/// Decibels per unit of natural-log power.
const DB: f32 = 4.342_945;

/// Voiced seconds below which a voice is coarse, and from which it is good.
pub const GOOD_SECONDS: [f32; 2] = [10.0, 20.0];

/// Ratio of voice to noise in dB below which noise is heard, and from which the recording is clean.
const GOOD_SNR_DB: [f32; 2] = [20.0, 35.0];

/// Decay of the room in seconds up to which it is dry, and from which it disturbs.
const GOOD_DECAY_S: [f32; 2] = [0.35, 0.6];

/// Share of the quiet frames with a pitch from which something else sounds behind the voice.
const TONAL_PAUSES: f32 = 0.45;

/// Distance of two groups of pieces from which they may be two speakers. A hint: of 14 single speakers (40 s each) 12 lie
/// below it (0.33 to 0.93), of 14 pairs of them 10 at it or above (0.60 to 1.34).
const SEVERAL_SPEAKERS: f32 = 0.8;

/// Unvoiced frames this close to a voiced one belong to the speech.
const NEAR: usize = 15;

/// What the recordings have been measured to be.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Check {
    /// Length of the recordings in seconds.
    pub seconds: f32,
    /// Speech in them, in seconds.
    pub usable_seconds: f32,
    /// Voiced part of the speech, in seconds.
    pub voiced_seconds: f32,
    /// Level of the voice over that of the pauses, in dB; `None` when the pauses are digitally silent or missing.
    pub snr_db: Option<f32>,
    /// Flat tops per minute.
    pub clipped_per_minute: f32,
    /// Decay of the room by 60 dB, in seconds; `None` when it cannot be told.
    pub decay_s: Option<f32>,
    /// Share of the pauses' frames that have a pitch, in `0.0..=1.0`: music or other voices. `None` without pauses.
    pub tonal_pauses: Option<f32>,
    /// Distance of the two groups of pieces that lie farthest apart; `None` when there is too little to tell.
    pub speaker_distance: Option<f32>,
    /// Median F0 in Hz; 0.0 without voice.
    pub median_f0_hz: f32,
    /// 5th and 95th percentile of the F0 in Hz.
    pub range_hz: [f32; 2],
    /// Share of the phones that occur often enough, in `0.0..=1.0`; `None` without a content encoder.
    pub phone_coverage: Option<f32>,
    /// Phones that are missing, in ARPABET.
    pub missing_phones: Vec<String>,
    /// What to read next to add the missing phones.
    pub line: Option<&'static str>,
}

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Could be better.
    Fair,
    /// Will be heard in the voice.
    Poor,
}

/// One sentence about the recordings, with what to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What it is about, in one or two words.
    pub topic: &'static str,
    /// How serious it is.
    pub grade: Grade,
    /// The sentence.
    pub text: String,
}

/// What the check looks at.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Frames by recording.
    pub takes: &'a [Vec<FeatureFrame>],
    /// The encoder's class of each frame, as `takes`; empty without an encoder.
    pub phones: &'a [Vec<u8>],
    /// Names of the classes; empty without an encoder.
    pub phone_names: &'a [String],
    /// Levels of the samples.
    pub room: &'a Room,
    /// Flat tops found.
    pub clipped: u64,
}

impl Check {
    /// Measures the recordings. Takes some ten milliseconds for a minute of speech.
    pub fn measure(evidence: &Evidence<'_>) -> Self {
        let takes = evidence.takes;
        let seconds = takes.iter().map(Vec::len).sum::<usize>() as f32 / 100.0;
        let threshold = activity_threshold(takes);
        let mut check = Self {
            seconds,
            clipped_per_minute: if seconds > 0.0 { evidence.clipped as f32 * 60.0 / seconds } else { 0.0 },
            decay_s: evidence.room.decay_s(),
            ..Self::default()
        };
        if threshold == f32::INFINITY {
            return check;
        }
        let mut statistics = SpeakerStatistics::new();
        let mut voiced = Vec::new();
        let mut counts = vec![0_u32; evidence.phone_names.len()];
        let mut usable = 0_usize;
        for (index, frames) in takes.iter().enumerate() {
            let phones = evidence.phones.get(index).map_or(&[][..], Vec::as_slice);
            for at in speech(frames, threshold) {
                usable += 1;
                let frame = &frames[at];
                let phone = phones.get(at).map_or(0, |phone| usize::from(*phone));
                if let Some(count) = counts.get_mut(phone) {
                    *count += 1;
                }
                if frame.is_voiced() {
                    let shape: [f32; ENV_BANDS] = frame.shape();
                    statistics.push(frame.f0_hz, frame.loudness, &shape, None);
                    voiced.push(VoicedFrame { shape, f0_hz: frame.f0_hz, phone });
                }
            }
        }
        check.usable_seconds = usable as f32 / 100.0;
        check.voiced_seconds = statistics.voiced_frames() as f32 / 100.0;
        (check.median_f0_hz, check.range_hz) = statistics.f0();
        (check.snr_db, check.tonal_pauses) = pauses(takes);
        check.speaker_distance = Speakers::compare(&voiced).map(|found| found.distance);
        if !evidence.phone_names.is_empty() {
            let coverage = Coverage::measure(&counts, evidence.phone_names);
            check.phone_coverage = Some(coverage.share);
            (check.missing_phones, check.line) = (coverage.missing, coverage.line);
        }
        check
    }

    /// The findings in plain words, in a fixed order.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut say = |topic, grade, text: String| findings.push(Finding { topic, grade, text });
        let Self { usable_seconds: usable, voiced_seconds: voiced, .. } = *self;
        let amount = format!("{usable:.0} s of speech in {:.0} s of recordings", self.seconds);
        match voiced {
            v if v < super::LEAST_VOICED_SECONDS => {
                let text = format!("{amount}: too little. Record until there are 5 s at least, better 30 s.");
                say("Length", Grade::Poor, text);
            }
            v if v < GOOD_SECONDS[0] => {
                let text = format!("{amount}: enough for a coarse voice. With 30 s it becomes a good one.");
                say("Length", Grade::Fair, text);
            }
            v if v < GOOD_SECONDS[1] => {
                say("Length", Grade::Good, format!("{amount}. A minute or more is better still."))
            }
            _ => say("Length", Grade::Good, format!("{amount}.")),
        }
        if voiced <= 0.0 {
            return findings;
        }
        if let Some(snr) = self.snr_db {
            let lead = format!("The voice is {snr:.0} dB above the noise");
            match snr {
                v if v < GOOD_SNR_DB[0] => {
                    say(
                        "Noise",
                        Grade::Poor,
                        format!("{lead}: it will be heard. Go closer to the microphone, or into a quieter room."),
                    );
                }
                v if v < GOOD_SNR_DB[1] => say("Noise", Grade::Fair, format!("{lead}. A quieter room would help.")),
                _ => say("Noise", Grade::Good, format!("{lead}.")),
            }
        }
        match self.clipped_per_minute {
            v if v >= 20.0 => {
                let text = format!("Clipped {v:.0} times a minute. Record again with less gain.");
                say("Clipping", Grade::Poor, text);
            }
            v if v >= 2.0 => {
                say("Clipping", Grade::Fair, format!("Clipped {v:.0} times a minute. Lower the gain a little."))
            }
            _ => say("Clipping", Grade::Good, "No clipping.".to_owned()),
        }
        self.room_findings(&mut say);
        let [low, high] = self.range_hz;
        let range = format!("Median {:.0} Hz, from {low:.0} to {high:.0} Hz.", self.median_f0_hz);
        say("Pitch", Grade::Good, range);
        self.phone_finding(&mut say);
        findings
    }

    fn room_findings(&self, say: &mut dyn FnMut(&'static str, Grade, String)) {
        if let Some(decay) = self.decay_s {
            let lead = format!("The room rings for about {decay:.1} s");
            match decay {
                v if v > GOOD_DECAY_S[1] => {
                    say(
                        "Room",
                        Grade::Poor,
                        format!(
                            "{lead}: it will be heard. Go closer to the microphone, or into a room with soft walls."
                        ),
                    );
                }
                v if v > GOOD_DECAY_S[0] => say("Room", Grade::Fair, format!("{lead}. Curtains and carpets help.")),
                _ => say("Room", Grade::Good, "The room is dry.".to_owned()),
            }
        }
        match self.tonal_pauses {
            Some(share) if share > TONAL_PAUSES => {
                let text = "Something with a pitch sounds in the pauses: music or another voice? Use a recording of the voice alone.";
                say("Background", Grade::Poor, text.to_owned());
            }
            Some(_) => say("Background", Grade::Good, "Nothing else sounds behind the voice.".to_owned()),
            None => {}
        }
        match self.speaker_distance {
            Some(distance) if distance > SEVERAL_SPEAKERS => {
                let text =
                    "Parts may be of different speakers, or of different microphones. Use recordings of one person.";
                say("Speakers", Grade::Fair, text.to_owned());
            }
            Some(_) => say("Speakers", Grade::Good, "Sounds like one speaker.".to_owned()),
            None => {}
        }
    }

    fn phone_finding(&self, say: &mut dyn FnMut(&'static str, Grade, String)) {
        let Some(share) = self.phone_coverage else { return };
        let Some(line) = self.line else {
            return say("Sounds", Grade::Good, "All sounds of speech are there.".to_owned());
        };
        let coverage = Coverage { share, missing: self.missing_phones.clone(), line: None };
        let grade = if share < 0.6 { Grade::Poor } else { Grade::Fair };
        let text = format!("Still missing: {}. Read this line: “{line}”", coverage.missing_words());
        say("Sounds", grade, text);
    }
}

/// Places of the frames that are speech: loud enough, and voiced or close to something voiced.
fn speech(frames: &[FeatureFrame], threshold: f32) -> Vec<usize> {
    let mut near = vec![false; frames.len()];
    for (at, _) in frames.iter().enumerate().filter(|(_, frame)| frame.is_voiced() && frame.loudness > threshold) {
        let end = (at + NEAR + 1).min(frames.len());
        near[at.saturating_sub(NEAR)..end].fill(true);
    }
    (0..frames.len()).filter(|&at| near[at] && frames[at].loudness > threshold).collect()
}

/// Level of the voice over the pauses in dB, and the share of the pauses that has a pitch.
fn pauses(takes: &[Vec<FeatureFrame>]) -> (Option<f32>, Option<f32>) {
    let silence = LoudnessMeter::new().loudness(&[DIGITAL_SILENCE; ENV_BANDS]);
    let mut voiced: Vec<f32> = takes.iter().flatten().filter(|f| f.is_voiced()).map(|f| f.loudness).collect();
    let mut all: Vec<(f32, bool)> = takes
        .iter()
        .flatten()
        .filter(|frame| frame.loudness > silence)
        .map(|frame| (frame.loudness, frame.is_voiced()))
        .collect();
    voiced.sort_by(f32::total_cmp);
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The quietest twelfth is the pauses; recordings without any have speech there, and a small ratio to show for it.
    let quiet = &all[..all.len() / 12];
    let (Some(voice), Some(noise)) = (voiced.get(voiced.len() / 2), quiet.get(quiet.len() / 2)) else {
        return (None, None);
    };
    let tonal = quiet.iter().filter(|(_, is_voiced)| *is_voiced).count() as f32 / quiet.len() as f32;
    (Some(DB * (voice - noise.0)), (quiet.len() >= 20).then_some(tonal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(f0_hz: f32, loudness: f32) -> FeatureFrame {
        FeatureFrame { f0_hz, loudness, envelope: [loudness; ENV_BANDS], key: None }
    }

    fn check(takes: &[Vec<FeatureFrame>]) -> Check {
        let room = Room::default();
        Check::measure(&Evidence { takes, phones: &[], phone_names: &[], room: &room, clipped: 9 })
    }

    #[test]
    fn speech_is_told_from_pauses_and_noise_is_measured() {
        let sentence = [vec![frame(180.0, -3.0); 200], vec![frame(0.0, -6.0); 10], vec![frame(0.0, -13.0); 90]];
        let found = check(&[vec![sentence.concat(); 4].concat()]);
        assert!((found.seconds - 12.0).abs() < 0.01);
        assert!((found.usable_seconds - 8.4).abs() < 0.1, "{found:?}");
        assert!((found.voiced_seconds - 8.0).abs() < 0.01);
        assert!(found.snr_db.is_some_and(|snr| (snr - 43.4).abs() < 0.5), "{found:?}");
        assert_eq!(found.tonal_pauses, Some(0.0));
        assert_eq!(found.clipped_per_minute, 45.0);
        let grades: Vec<_> = found.findings().iter().map(|finding| (finding.topic, finding.grade)).collect();
        assert!(grades.contains(&("Length", Grade::Fair)), "{grades:?}");
        assert!(grades.contains(&("Clipping", Grade::Poor)) && grades.contains(&("Noise", Grade::Good)));
    }

    #[test]
    fn a_tune_in_the_pauses_is_suspicious() {
        let sentence = [vec![frame(180.0, -3.0); 200], vec![frame(330.0, -8.0); 90]];
        let found = check(&[vec![sentence.concat(); 4].concat()]);
        assert!(found.findings().iter().any(|f| f.topic == "Background" && f.grade == Grade::Poor), "{found:?}");
    }

    #[test]
    fn nothing_and_silence_are_too_little() {
        for takes in [Vec::new(), vec![Vec::new()], vec![vec![frame(0.0, -25.0); 500]]] {
            let findings = check(&takes).findings();
            assert_eq!(findings.len(), 1);
            assert!(findings[0].grade == Grade::Poor && findings[0].text.contains("too little"));
        }
    }
}
