//! What a session keeps besides parameters: which voice is in which slot, and the source profile.
//!
//! Shared by the plugin's saved state, the editor and the loader; the audio thread never touches it. A version number
//! tells the loader that there is something to do, and the requests of the editor lie in a queue beside it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use serde::{Deserialize, Serialize};

use crate::engine::VOICE_SLOTS;

/// Longest name kept, in bytes: names come from files and saved states of any origin.
const MAX_NAME: usize = 200;

/// A voice as a session names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceRef {
    /// Display name, so that a missing voice can be named.
    #[serde(default)]
    pub name: String,
    /// SHA-256 of the voice file in hexadecimal; finds the voice wherever it lies.
    #[serde(default)]
    pub id: String,
}

/// What is known about a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotState {
    /// No voice.
    #[default]
    Empty,
    /// The voice is being looked for.
    Loading,
    /// The voice can sound.
    Ready,
    /// The voice is nowhere to be found, or was refused: see the troubles.
    Missing,
}

/// A voice of the library, for the editor's list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VoiceChoice {
    /// What a slot would hold.
    pub voice: VoiceRef,
    /// One sentence about the voice; may be empty.
    pub description: String,
    /// 5th and 95th percentile of the voice's F0, in Hz; zeros when not stated.
    pub range_hz: [f32; 2],
    /// Short name of the licence; may be empty.
    pub licence: String,
    /// Who the voice is from, as the licence asks it to be said; may be empty.
    pub attribution: String,
    /// What the file says about the consent of the person whose voice it is; empty when it says nothing.
    pub consent: String,
    /// Whether it comes with Coffre rather than from a folder.
    pub is_embedded: bool,
}

/// What the editor asks for beyond parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Look through the voice folders again.
    LookForVoices,
    /// Forget the source profile and learn it again from what is sung next.
    LearnProfile,
    /// Forget the source profile and go back to the general one.
    ClearProfile,
}

#[derive(Debug, Default)]
struct Tables {
    slots: [Option<VoiceRef>; VOICE_SLOTS],
    states: [SlotState; VOICE_SLOTS],
    profile: Arc<[u8]>,
    profile_version: u64,
    library: Arc<[VoiceChoice]>,
    requests: VecDeque<Request>,
}

/// The session of one plugin instance.
#[derive(Debug, Default)]
pub struct Session {
    tables: Mutex<Tables>,
    /// Grows with each change the loader has to see.
    version: AtomicU64,
    loader: OnceLock<Thread>,
}

impl Session {
    /// The voices by slot. [main-thread]
    pub fn slots(&self) -> [Option<VoiceRef>; VOICE_SLOTS] {
        self.tables().slots.clone()
    }

    /// What is known about each slot. [main-thread]
    pub fn slot_states(&self) -> [SlotState; VOICE_SLOTS] {
        self.tables().states
    }

    /// Display name of the voice in a slot, if it holds one. [main-thread]
    pub fn slot_name(&self, slot: usize) -> Option<String> {
        let tables = self.tables();
        tables.slots.get(slot)?.as_ref().map(|voice| voice.name.clone())
    }

    /// Puts a voice into a slot or empties it; a slot that does not exist is ignored. [main-thread]
    pub fn set_slot(&self, slot: usize, voice: Option<VoiceRef>) {
        if slot < VOICE_SLOTS {
            let mut tables = self.tables();
            tables.states[slot] = if voice.is_some() { SlotState::Loading } else { SlotState::Empty };
            tables.slots[slot] = voice.map(shortened);
            drop(tables);
            self.announce();
        }
    }

    /// Replaces all slots, as loading a saved state does. Slots that do not exist are dropped. [main-thread]
    pub fn set_slots(&self, slots: impl IntoIterator<Item = Option<VoiceRef>>) {
        let mut tables = self.tables();
        tables.slots = Default::default();
        for (slot, voice) in tables.slots.iter_mut().zip(slots) {
            *slot = voice.map(shortened);
        }
        let states = tables.slots.each_ref().map(|slot| match slot {
            Some(_) => SlotState::Loading,
            None => SlotState::Empty,
        });
        tables.states = states;
        drop(tables);
        self.announce();
    }

    /// Records what is known about a slot, unless its voice was changed meanwhile. [worker-thread]
    pub fn set_slot_state(&self, slot: usize, voice: Option<&VoiceRef>, state: SlotState) {
        let mut tables = self.tables();
        if slot < VOICE_SLOTS && tables.slots[slot].as_ref() == voice {
            tables.states[slot] = state;
        }
    }

    /// The learned source profile in its file form; empty = none. [main-thread]
    pub fn profile(&self) -> Arc<[u8]> {
        self.tables().profile.clone()
    }

    /// A number that changes with each [`Session::set_profile`]. [worker-thread]
    pub fn profile_version(&self) -> u64 {
        self.tables().profile_version
    }

    /// Sets the source profile in its file form; empty = none. [main-thread]
    pub fn set_profile(&self, profile: impl Into<Arc<[u8]>>) {
        let mut tables = self.tables();
        tables.profile = profile.into();
        tables.profile_version += 1;
        drop(tables);
        self.announce();
    }

    /// The voices found at the last scan. [main-thread]
    pub fn library(&self) -> Arc<[VoiceChoice]> {
        self.tables().library.clone()
    }

    /// Publishes the voices of a scan. [worker-thread]
    pub fn set_library(&self, library: Vec<VoiceChoice>) {
        self.tables().library = library.into();
    }

    /// Asks the loader for something. [main-thread]
    pub fn ask(&self, request: Request) {
        let mut tables = self.tables();
        // An editor that repeats itself must not pile up work.
        if !tables.requests.contains(&request) {
            tables.requests.push_back(request);
        }
        drop(tables);
        self.announce();
    }

    /// The oldest request not yet served. [worker-thread]
    pub fn next_request(&self) -> Option<Request> {
        self.tables().requests.pop_front()
    }

    /// Grows with each change. [thread-safe]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Names the thread to wake on changes; the first one counts. [main-thread]
    pub fn set_loader(&self, loader: Thread) {
        // A second loader would be a second instance's: sessions are not shared.
        let _ = self.loader.set(loader);
    }

    fn announce(&self) {
        self.version.fetch_add(1, Ordering::Release);
        if let Some(loader) = self.loader.get() {
            loader.unpark();
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Every critical section leaves whole values behind, so a panic elsewhere does not spoil them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortened(mut voice: VoiceRef) -> VoiceRef {
    for text in [&mut voice.name, &mut voice.id] {
        if text.len() > MAX_NAME {
            let end = (0..=MAX_NAME).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
    }
    voice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(name: &str) -> VoiceRef {
        VoiceRef { name: name.to_owned(), id: String::new() }
    }

    #[test]
    fn a_late_finding_does_not_mark_a_newer_voice() {
        let session = Session::default();
        session.set_slot(2, Some(voice("old")));
        session.set_slot(2, Some(voice("new")));
        session.set_slot_state(2, Some(&voice("old")), SlotState::Missing);
        assert_eq!(session.slot_states()[2], SlotState::Loading);
    }

    #[test]
    fn hostile_names_and_slots_are_bounded() {
        let session = Session::default();
        session.set_slots((0..1_000).map(|_| Some(voice(&"ü".repeat(10_000)))));
        assert_eq!(session.slots().len(), VOICE_SLOTS);
        assert!(session.slot_name(15).is_some_and(|name| name.len() <= MAX_NAME));
        session.set_slot(usize::MAX, None);
        assert_eq!(session.slot_name(usize::MAX), None);
    }

    #[test]
    fn repeated_requests_are_kept_once() {
        let session = Session::default();
        session.ask(Request::LookForVoices);
        session.ask(Request::LearnProfile);
        session.ask(Request::LookForVoices);
        assert_eq!(session.next_request(), Some(Request::LookForVoices));
        assert_eq!(session.next_request(), Some(Request::LearnProfile));
        assert_eq!(session.next_request(), None);
    }
}
