//! Sentences about the state of Coffre for somebody who sings, not programs. Pure functions, no drawing.

use crate::bridge::telemetry::{ProfileState, Reading, RunState, Trouble};

/// How serious a state is; decides the colour of its dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As it should be.
    Good,
    /// Waiting for something.
    Waiting,
    /// Something is wrong.
    Bad,
}

/// The word for what Coffre does, and how serious it is.
pub fn headline(reading: &Reading, bypassed: bool) -> (Mood, &'static str) {
    match reading.run {
        RunState::Stopped => (Mood::Bad, "Stopped"),
        RunState::Idle => (Mood::Waiting, "Waiting for the host"),
        RunState::Starting => (Mood::Waiting, "Getting ready"),
        RunState::OtherEngine if !bypassed => (Mood::Waiting, "Waiting for a restart"),
        RunState::NoVoice if !bypassed => (Mood::Bad, "Voice unusable"),
        _ if bypassed => (Mood::Waiting, "Bypassed"),
        RunState::Late => (Mood::Bad, "Too slow"),
        RunState::Converting | RunState::OtherEngine | RunState::NoVoice => (Mood::Good, "Converting"),
    }
}

/// What the headline means.
pub fn headline_explanation(reading: &Reading, bypassed: bool) -> &'static str {
    match reading.run {
        RunState::Stopped => {
            "The conversion has stopped. You hear your own voice or silence, as chosen under “When late”."
        }
        RunState::Idle => "The host has not started the audio yet. Press play, or switch the audio on.",
        RunState::Starting => "Voices are being loaded. This takes a moment; then the other voice comes in by itself.",
        RunState::OtherEngine if !bypassed => {
            "This voice works in another way and has another delay, which the host must know before it plays. Most hosts start it anew by themselves; else stop and play, or switch Coffre off and on. Until then you hear your own voice or silence, as chosen under “When late”."
        }
        RunState::NoVoice if !bypassed => {
            "This voice cannot sound; the message above says why. You hear your own voice or silence, as chosen under “When late”."
        }
        _ if bypassed => "Your own voice passes through, with the same delay.",
        RunState::Late => {
            "The computer did not finish in time. Choose a larger block in the host, close other programs, or choose the latency mode Mix."
        }
        RunState::Converting | RunState::OtherEngine | RunState::NoVoice => {
            "What you sing comes out in the other voice."
        }
    }
}

/// The delay that the host is told, in milliseconds; `None` before the host has said its rate.
pub fn latency_ms(reading: &Reading) -> Option<f32> {
    let rate = reading.host_rate;
    (rate > 0).then(|| reading.latency_samples as f32 * 1000.0 / rate as f32)
}

/// The delay as text.
pub fn latency_text(reading: &Reading) -> String {
    latency_ms(reading).map_or_else(|| "Delay –".to_owned(), |ms| format!("Delay {ms:.0} ms"))
}

/// What the delay is, with its exact value.
pub fn latency_explanation(reading: &Reading) -> String {
    let meaning = "Time between singing and hearing, inside Coffre. The host lines up the other tracks by it.";
    match reading.host_rate {
        0 => meaning.to_owned(),
        rate => format!("{meaning}\n\n{} samples at {} kHz", reading.latency_samples, rate as f32 / 1000.0),
    }
}

/// How often the computer was late.
pub fn late_text(reading: &Reading) -> String {
    match reading.late_hops {
        0 => "Never late".to_owned(),
        1 => "Late once".to_owned(),
        count if count < 10_000 => format!("Late {count} times"),
        _ => "Late very often".to_owned(),
    }
}

/// Computing time as text; empty while unknown.
pub fn load_text(reading: &Reading) -> String {
    if reading.load.is_finite() && reading.load >= 0.005 {
        format!("{:.0} % of one core", (reading.load * 100.0).min(999.0))
    } else {
        String::new()
    }
}

/// The progress of learning the singer.
pub fn profile_text(profile: ProfileState) -> String {
    match profile {
        ProfileState::Nothing => "Not learned yet".to_owned(),
        ProfileState::Learning(share) => {
            let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
            // 100 % is said by `Learned` alone.
            format!("Learning the singer … {:.0} %", (share * 100.0).floor().min(99.0))
        }
        ProfileState::Learned => "Learned".to_owned(),
    }
}

/// What the profile is for.
pub fn profile_explanation(profile: ProfileState) -> &'static str {
    match profile {
        ProfileState::Nothing => {
            "Coffre does not know this singer yet and works with a general idea of a voice. Choose “Learn” and sing for about 20 seconds: with register and colour known, the result gets closer."
        }
        ProfileState::Learning(_) => {
            "Coffre listens to register and colour of this singer. Go on singing until it is done: about 20 seconds of voice."
        }
        ProfileState::Learned => {
            "Register and colour of this singer are known and saved with the session. Choose “Learn again” when somebody else sings on this track."
        }
    }
}

/// How far the register is moved, in words; empty while it is not.
pub fn register_text(reading: &Reading) -> String {
    let st = reading.register_st;
    if !st.is_finite() || st.abs() < 0.5 {
        return String::new();
    }
    let way = if st > 0.0 { "up" } else { "down" };
    let (octaves, rest) = ((st.abs() / 12.0).floor(), st.abs().round() % 12.0);
    match (octaves as u32, rest as u32) {
        (1, 0) => format!("one octave {way}"),
        (2, 0) => format!("two octaves {way}"),
        (octaves, 0) => format!("{octaves} octaves {way}"),
        _ if st.abs().round() == 1.0 => format!("one semitone {way}"),
        _ => format!("{:.0} semitones {way}", st.abs()),
    }
}

/// A trouble in two sentences: what it is, and what helps.
pub fn trouble_text(trouble: &Trouble) -> (String, String) {
    match trouble {
        Trouble::Runtime { reason } => (
            "The part that understands singing is missing.".to_owned(),
            format!(
                "Transpose and formant work, the voices sound less alike. Run “coffre doctor” to see where ONNX Runtime is expected. ({reason})"
            ),
        ),
        Trouble::VoiceMissing { slot, name } => (
            format!("The voice “{name}” of slot {} is not on this computer.", slot + 1),
            "Put its file into the voices folder and choose “Look again”, or pick another voice. The session remembers it."
                .to_owned(),
        ),
        Trouble::FoundationMissing { name, reason, .. } => {
            (format!("The RVC voice “{name}” needs a part that Coffre does not bring along."), reason.clone())
        }
        Trouble::VoiceRefused { name, reason, .. } => (
            format!("The voice “{name}” could not be opened."),
            format!("Get the file again from where it came from. ({reason})"),
        ),
        Trouble::Stopped { reason } => (
            "The conversion has stopped.".to_owned(),
            format!("Switch the plugin off and on again; if it happens again, run “coffre doctor”. ({reason})"),
        ),
        Trouble::Profile { reason } => (
            "What was learned about the singer cannot be read.".to_owned(),
            format!("The general idea of a voice serves. Choose “Learn again” and sing for a while. ({reason})"),
        ),
        Trouble::Origin { name, reason } => (
            format!("The origin of “{name}” could not be kept."),
            format!("The voice stays marked “origin unknown”. ({reason})"),
        ),
        Trouble::Degraded { reason } => (
            "Part of the conversion does not work: the voice sounds less like the target.".to_owned(),
            format!("Stop and play again; if it happens again, run “coffre doctor”. ({reason})"),
        ),
        Trouble::DoubtfulSinger { reason } => (
            format!("Coffre {reason}"),
            "If not, take out hum or bleed before Coffre or raise the gate, then choose “Learn again”.".to_owned(),
        ),
        Trouble::BadInput { samples } => (
            format!("The track sends broken sound: {samples} samples were no numbers and became silence."),
            "Look for the plugin before Coffre on this track that makes them.".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Reading {
        Reading { run: RunState::Converting, host_rate: 48_000, latency_samples: 2256, ..Reading::default() }
    }

    #[test]
    fn a_live_instance_says_its_delay() {
        assert_eq!(headline(&live(), false), (Mood::Good, "Converting"));
        assert_eq!(latency_text(&live()), "Delay 47 ms");
        assert_eq!(late_text(&live()), "Never late");
    }

    #[test]
    fn a_voice_of_the_other_kind_says_what_it_waits_for() {
        let waiting = Reading { run: RunState::OtherEngine, ..live() };
        assert_eq!(headline(&waiting, false).1, "Waiting for a restart");
        assert!(headline_explanation(&waiting, false).contains("another delay"));
        assert_eq!(headline(&waiting, true).1, "Bypassed");
        assert_eq!(headline(&Reading { run: RunState::NoVoice, ..live() }, false).0, Mood::Bad);
    }

    #[test]
    fn bypass_hides_lateness_but_not_a_stop() {
        let late = Reading { run: RunState::Late, ..live() };
        assert_eq!(headline(&late, true).1, "Bypassed");
        assert_eq!(headline(&late, false), (Mood::Bad, "Too slow"));
        let stopped = Reading { run: RunState::Stopped, ..live() };
        assert_eq!(headline(&stopped, true), (Mood::Bad, "Stopped"));
    }

    #[test]
    fn an_unknown_rate_gives_no_number() {
        assert_eq!(latency_text(&Reading { host_rate: 0, ..live() }), "Delay –");
    }

    #[test]
    fn learning_never_shows_a_hundred() {
        assert_eq!(profile_text(ProfileState::Learning(0.604)), "Learning the singer … 60 %");
        assert_eq!(profile_text(ProfileState::Learning(1.0)), "Learning the singer … 99 %");
        assert_eq!(profile_text(ProfileState::Learning(f32::NAN)), "Learning the singer … 0 %");
        assert_eq!(profile_text(ProfileState::Learned), "Learned");
    }

    #[test]
    fn counts_are_sentences() {
        assert_eq!(late_text(&Reading { late_hops: 1, ..live() }), "Late once");
        assert_eq!(late_text(&Reading { late_hops: 37, ..live() }), "Late 37 times");
        assert_eq!(late_text(&Reading { late_hops: u64::MAX, ..live() }), "Late very often");
    }

    #[test]
    fn every_trouble_says_what_helps() {
        let troubles = [
            Trouble::Runtime { reason: "no file".into() },
            Trouble::VoiceMissing { slot: 2, name: "Alto".into() },
            Trouble::VoiceRefused { slot: 1, name: "Alto".into(), reason: "cut short".into() },
            Trouble::FoundationMissing { slot: 1, name: "Alto".into(), reason: "Run this command.".into() },
            Trouble::Stopped { reason: "boom".into() },
            Trouble::Profile { reason: "cut short".into() },
            Trouble::Origin { name: "Alto".into(), reason: "disk full".into() },
            Trouble::Degraded { reason: "the graph `refine` failed".into() },
            Trouble::BadInput { samples: 3 },
            Trouble::DoubtfulSinger { reason: "learned 50 Hz: is that the singer?".into() },
        ];
        for trouble in troubles {
            let (what, remedy) = trouble_text(&trouble);
            assert!(what.ends_with(['.', '?']) && remedy.len() > 10, "{trouble:?}");
        }
        assert!(trouble_text(&Trouble::VoiceMissing { slot: 2, name: "Alto".into() }).0.contains("slot 3"));
    }
}
