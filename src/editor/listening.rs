//! What is being listened to: reads the preview of a voice in the background, hands it to the audio, and says plainly when
//! nothing can be heard. Runs on the editor's thread and never waits; draws nothing.

use std::time::{Duration, Instant};

use crate::bridge::session::{VoiceChoice, VoiceRef};
use crate::bridge::{PreviewReport, Session};
use crate::clone::listen::{ListenJob, VoiceFile};

/// How long the audio may take to begin with a preview, or to go on with it, before that is told.
const PATIENCE: Duration = Duration::from_millis(1_500);

// Short enough for two lines beside the picture.
const NO_AUDIO: &str = "No audio yet: press play, then listen.";
const ASLEEP: &str = "The host rests. Press play, then listen.";
const RENDERING: &str = "The host renders. Listen while it plays.";

/// What the editor shows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenState {
    /// The voice that is listened to.
    pub voice: Option<VoiceRef>,
    /// Why nothing was heard the last time; empty while all is well.
    pub note: String,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Silent,
    /// Its preview is being read for an output of so many Hz.
    Reading(ListenJob, u32),
    /// The audio has it.
    Sent {
        number: u32,
        /// When something last happened.
        since: Instant,
        /// The audio's calls when it was sent.
        calls: u32,
        report: PreviewReport,
    },
}

/// Listens to one voice at a time.
#[derive(Debug, Default)]
pub struct Listener {
    stage: Stage,
    state: ListenState,
}

impl Listener {
    /// Begins with a voice; what is heard gives way.
    pub fn listen(&mut self, voice: &VoiceChoice, session: &Session) {
        self.stop(session);
        let Ok(id) = voice.voice.id.parse() else { return };
        let Some(rate) = session.preview_rate() else {
            self.state.note = NO_AUDIO.to_owned();
            return;
        };
        let file = VoiceFile { id, path: voice.path.clone(), is_embedded: voice.is_embedded };
        self.begin(voice.voice.clone(), ListenJob::start(file, rate), rate);
    }

    fn begin(&mut self, voice: VoiceRef, job: ListenJob, rate: u32) {
        self.state = ListenState { voice: Some(voice), note: String::new() };
        self.stage = Stage::Reading(job, rate);
    }

    /// Lets what is heard fade out, and forgets what was said.
    pub fn stop(&mut self, session: &Session) {
        session.stop_preview();
        *self = Self::default();
    }

    /// Goes on. To be called for each picture.
    pub fn turn(&mut self, session: &Session, now: Instant) -> &ListenState {
        match &mut self.stage {
            Stage::Silent => {}
            Stage::Reading(job, rate) => match job.answer() {
                None => {}
                Some(Err(reason)) => self.end(session, &reason),
                Some(Ok(samples)) => match session.play_preview(samples, *rate) {
                    Some(number) => {
                        let calls = session.audio_calls();
                        self.stage = Stage::Sent { number, since: now, calls, report: PreviewReport::Waiting };
                    }
                    None => self.end(session, ASLEEP),
                },
            },
            Stage::Sent { number, since, calls, report } => {
                let latest = session.preview_report(*number);
                if latest != *report {
                    (*report, *since) = (latest, now);
                }
                let is_stuck = now.saturating_duration_since(*since) > PATIENCE;
                let is_called = session.audio_calls().wrapping_sub(*calls) > 1;
                match latest {
                    PreviewReport::Over => self.end(session, ""),
                    PreviewReport::Waiting if is_stuck && is_called => self.end(session, RENDERING),
                    PreviewReport::Waiting | PreviewReport::Playing(_) if is_stuck => self.end(session, ASLEEP),
                    PreviewReport::Waiting | PreviewReport::Playing(_) => {}
                }
            }
        }
        &self.state
    }

    /// Ends, and keeps why.
    fn end(&mut self, session: &Session, note: &str) {
        self.stop(session);
        note.clone_into(&mut self.state.note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::preview::{PreviewEnd, preview};

    const RATE: u32 = 48_000;

    /// A listener whose sound was sent at `now`.
    fn sent(session: &Session, now: Instant) -> (Listener, PreviewEnd) {
        let (source, end) = preview(RATE);
        session.set_preview(source);
        let mut listener = Listener::default();
        listener.state.voice = Some(VoiceRef { name: "Kate".into(), ..VoiceRef::default() });
        let number = session.play_preview(vec![0.5; 10].into(), RATE).expect("sent");
        let calls = session.audio_calls();
        listener.stage = Stage::Sent { number, since: now, calls, report: PreviewReport::Waiting };
        (listener, end)
    }

    #[test]
    fn a_host_that_never_started_is_named_at_once() {
        let (session, mut listener) = (Session::default(), Listener::default());
        let id = "0".repeat(64);
        let voice = VoiceChoice { voice: VoiceRef { id, ..VoiceRef::default() }, ..VoiceChoice::default() };
        listener.listen(&voice, &session);
        assert_eq!(listener.turn(&session, Instant::now()), &ListenState { voice: None, note: NO_AUDIO.into() });
    }

    #[test]
    fn silence_of_the_host_is_told_after_a_while_and_nothing_is_heard_later() {
        let session = Session::default();
        let start = Instant::now();
        let late = start + PATIENCE + Duration::from_millis(1);
        let (mut listener, end) = sent(&session, start);
        assert!(listener.turn(&session, start + PATIENCE / 2).voice.is_some());
        assert_eq!(listener.turn(&session, late), &ListenState { voice: None, note: ASLEEP.into() });
        assert!(!end.is_wanted(1), "taken back");
        // Called, but not in real time.
        let (mut listener, end) = sent(&session, start);
        (0..9).for_each(|_| end.note_call());
        assert_eq!(listener.turn(&session, late).note, RENDERING);
        // Asleep in the middle of it.
        let (mut listener, mut end) = sent(&session, start);
        let sound = end.next_sound().expect("sent");
        end.publish(sound.number, 5);
        assert!(listener.turn(&session, late).voice.is_some(), "it has just moved");
        assert_eq!(listener.turn(&session, late + PATIENCE * 2).note, ASLEEP);
    }

    #[test]
    fn a_preview_that_was_heard_ends_without_a_word() {
        let (session, start) = (Session::default(), Instant::now());
        let (mut listener, mut end) = sent(&session, start);
        let sound = end.next_sound().expect("sent");
        assert!(end.give_back(sound).is_ok());
        assert_eq!(listener.turn(&session, start), &ListenState::default());
        // Neither does a restart of the audio say anything.
        let (mut listener, _end) = sent(&session, start);
        session.set_preview(preview(44_100).0);
        assert_eq!(listener.turn(&session, start), &ListenState::default());
    }

    #[test]
    fn a_file_without_its_preview_says_so() {
        let session = Session::default();
        session.set_preview(preview(RATE).0);
        let mut listener = Listener::default();
        let voice = VoiceRef { name: "Kate".into(), id: "0".repeat(64), ..VoiceRef::default() };
        let path = std::path::PathBuf::from("nowhere/kate.coffre");
        listener.listen(&VoiceChoice { voice: voice.clone(), path, ..VoiceChoice::default() }, &session);
        let start = Instant::now();
        while listener.turn(&session, Instant::now()).voice.is_some() {
            assert!(start.elapsed() < Duration::from_secs(20), "no answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(listener.state.note.contains("kate.coffre"), "{}", listener.state.note);
    }
}
