//! What a session keeps besides parameters: which voice is in which slot, and the source profile.
//!
//! Shared by the plugin's saved state, the editor and the loader. A version number tells the loader that something changed;
//! the editor's requests are in a queue beside it. The audio thread reads only one atomic word: which engine each slot
//! needs.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use serde::{Deserialize, Serialize};

use super::capture::CaptureTap;
use super::preview::{PreviewReport, PreviewSound, PreviewSource};
use crate::engine::{EngineId, VOICE_SLOTS};
use crate::voice::ConsentGround;

/// Longest name kept, in bytes: names come from files and saved states of any origin.
const MAX_NAME: usize = 200;

/// A voice as a session names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "SavedVoice", into = "SavedVoice")]
pub struct VoiceRef {
    /// Display name, so that a missing voice can be named.
    pub name: String,
    /// SHA-256 of the voice file in hexadecimal; finds the voice wherever it lies.
    pub id: String,
    /// The engine that converts to it. Saved, because the latency depends on it and the host asks for that before the
    /// file can be looked at; the file's own word replaces it.
    pub engine: EngineId,
}

impl VoiceRef {
    /// Whether both name the same file.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.id) == (&other.name, &other.id)
    }
}

/// [`VoiceRef`] as saved sessions hold it.
#[derive(Serialize, Deserialize)]
struct SavedVoice {
    #[serde(default)]
    name: String,
    #[serde(default)]
    id: String,
    /// [`EngineId::word`]; absent means the embedded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    /// How sessions named the engine when there were two.
    #[serde(default, skip_serializing)]
    is_rvc: bool,
}

impl From<SavedVoice> for VoiceRef {
    fn from(saved: SavedVoice) -> Self {
        let SavedVoice { name, id, engine, is_rvc } = saved;
        let former = if is_rvc { EngineId::Rvc } else { EngineId::Native };
        // The file corrects a word that is not known.
        Self { name, id, engine: engine.and_then(|word| EngineId::from_word(&word)).unwrap_or(former) }
    }
}

impl From<VoiceRef> for SavedVoice {
    fn from(voice: VoiceRef) -> Self {
        let VoiceRef { name, id, engine } = voice;
        let engine = (engine != EngineId::default()).then(|| engine.word().to_owned());
        Self { name, id, engine, is_rvc: false }
    }
}

/// What the audio thread has to know of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotNeed {
    /// Nothing: it is empty, any engine serves.
    Nothing,
    /// This engine.
    Engine(EngineId),
    /// This engine, for a voice that cannot sound: see the troubles. No other engine stands in for it.
    Unusable(EngineId),
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
    /// Its file, or the file's name if it comes with Coffre.
    pub path: PathBuf,
    /// Whether the file says that it carries a few seconds to listen to.
    pub has_preview: bool,
    /// Whether the file says that it carries a picture.
    pub has_portrait: bool,
}

/// What the editor asks for beyond parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Look through the voice folders again.
    LookForVoices,
    /// Let a kind of device run RVC voices, by its word, and keep that for this computer.
    ChooseDevice(String),
    /// Forget the source profile and learn it again from what is sung next.
    LearnProfile,
    /// Forget the source profile and go back to the general one.
    ClearProfile,
    /// Write into a voice file whose voice it is.
    StateOrigin {
        /// The voice.
        voice: VoiceRef,
        /// On what ground it may be imitated.
        ground: ConsentGround,
        /// The same in words.
        statement: String,
    },
}

#[derive(Debug, Default)]
struct Tables {
    slots: [Option<VoiceRef>; VOICE_SLOTS],
    states: [SlotState; VOICE_SLOTS],
    profile: Arc<[u8]>,
    profile_version: u64,
    library: Arc<[VoiceChoice]>,
    requests: VecDeque<Request>,
    capture: Option<CaptureTap>,
    preview: Option<PreviewSource>,
    /// Number of the latest preview; 0 is none.
    preview_number: u32,
}

/// The session of one plugin instance.
#[derive(Debug, Default)]
pub struct Session {
    tables: Mutex<Tables>,
    /// Grows with each change the loader has to see.
    version: AtomicU64,
    /// By slot four bits: see [`need_code`].
    needs: AtomicU64,
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
            self.publish_needs(&tables);
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
        self.publish_needs(&tables);
        drop(tables);
        self.announce();
    }

    /// Records what is known about a slot, unless its voice was changed meanwhile. [worker-thread]
    pub fn set_slot_state(&self, slot: usize, voice: Option<&VoiceRef>, state: SlotState) {
        let mut tables = self.tables();
        if slot < VOICE_SLOTS && tables.slots[slot].as_ref() == voice {
            tables.states[slot] = state;
            self.publish_needs(&tables);
        }
    }

    /// Corrects which engine the voice of a slot needs, unless the voice was changed meanwhile; gives the corrected
    /// name. [worker-thread]
    pub fn set_slot_engine(&self, slot: usize, voice: &VoiceRef, engine: EngineId) -> VoiceRef {
        let corrected = VoiceRef { engine, ..voice.clone() };
        let mut tables = self.tables();
        if let Some(Some(held)) = tables.slots.get_mut(slot)
            && held == voice
        {
            held.clone_from(&corrected);
            self.publish_needs(&tables);
        }
        corrected
    }

    /// What a slot needs. Neither locks nor allocates. [audio-thread]
    pub fn need(&self, slot: usize) -> SlotNeed {
        if slot >= VOICE_SLOTS {
            return SlotNeed::Nothing;
        }
        let code = self.needs.load(Ordering::Relaxed) >> (NEED_BITS * slot) & NEED_MASK;
        need_of(code)
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

    /// Lets the worker record what it is given from now on; an older capture ends. [main-thread]
    pub fn start_capture(&self, tap: CaptureTap) {
        self.tables().capture = Some(tap);
        self.announce();
    }

    /// The capture not yet handed to the worker. [worker-thread]
    pub fn take_capture(&self) -> Option<CaptureTap> {
        self.tables().capture.take()
    }

    /// Takes the way to the output of a new activation; what the old one plays ends. [main-thread]
    pub fn set_preview(&self, source: PreviewSource) {
        self.tables().preview = Some(source);
    }

    /// Rate in Hz that a preview must have; `None` before the first activation. [main-thread]
    pub fn preview_rate(&self) -> Option<u32> {
        self.tables().preview.as_ref().map(PreviewSource::rate)
    }

    /// Calls of the audio thread so far, counted round: does the host run it? [main-thread]
    pub fn audio_calls(&self) -> u32 {
        self.tables().preview.as_ref().map_or(0, PreviewSource::calls)
    }

    /// Lets a sound of `rate` Hz be heard instead of the one before; gives its number, or `None` when the audio runs at
    /// another rate by now, or takes none. [main-thread]
    pub fn play_preview(&self, samples: Box<[f32]>, rate: u32) -> Option<u32> {
        let mut tables = self.tables();
        let number = tables.preview_number.checked_add(1).unwrap_or(1);
        let source = tables.preview.as_mut().filter(|source| source.rate() == rate)?;
        let is_sent = source.play(PreviewSound { number, samples });
        tables.preview_number = number;
        is_sent.then_some(number)
    }

    /// Lets the preview fade out. [main-thread]
    pub fn stop_preview(&self) {
        if let Some(source) = &mut self.tables().preview {
            source.stop();
        }
    }

    /// What became of a preview. [main-thread]
    pub fn preview_report(&self, number: u32) -> PreviewReport {
        self.tables().preview.as_ref().map_or(PreviewReport::Over, |source| source.report(number))
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

    fn publish_needs(&self, tables: &Tables) {
        let slots = tables.slots.iter().zip(&tables.states).enumerate();
        let needs = slots.map(|(slot, (voice, state))| need_code(voice.as_ref(), *state) << (NEED_BITS * slot));
        self.needs.store(needs.fold(0, |all, bits| all | bits), Ordering::Relaxed);
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

/// Bits of a slot in the word of needs; sixteen slots fill it.
const NEED_BITS: usize = 4;
const NEED_MASK: u64 = (1 << NEED_BITS) - 1;
const _: () = assert!(NEED_BITS * VOICE_SLOTS <= 64 && 2 * EngineId::ALL.len() < 1 << NEED_BITS);

/// The bits of a slot: 0 = nothing, then two codes for each engine, the second for a voice that cannot sound.
fn need_code(voice: Option<&VoiceRef>, state: SlotState) -> u64 {
    let Some(engine) = voice.map(|voice| voice.engine) else { return 0 };
    // Without its voice the embedded engine still converts register and formants.
    let is_unusable = engine != EngineId::Native && state == SlotState::Missing;
    1 + 2 * engine.index() as u64 + u64::from(is_unusable)
}

/// What a slot's bits mean.
fn need_of(code: u64) -> SlotNeed {
    let Some(place) = code.checked_sub(1) else { return SlotNeed::Nothing };
    let engine = EngineId::ALL.get(place as usize / 2).map_or(EngineId::Native, |(engine, _)| *engine);
    if place.is_multiple_of(2) { SlotNeed::Engine(engine) } else { SlotNeed::Unusable(engine) }
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
        VoiceRef { name: name.to_owned(), ..VoiceRef::default() }
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
    fn the_audio_thread_sees_what_a_slot_needs() {
        let session = Session::default();
        let rvc = VoiceRef { engine: EngineId::Rvc, ..voice("rvc") };
        session.set_slots([Some(voice("native")), Some(rvc.clone()), None]);
        let needs = |slots: [usize; 3]| slots.map(|slot| session.need(slot));
        let [native, other] = [EngineId::Native, EngineId::Rvc].map(SlotNeed::Engine);
        assert_eq!(needs([0, 1, 2]), [native, other, SlotNeed::Nothing]);
        session.set_slot_state(1, Some(&rvc), SlotState::Missing);
        session.set_slot_state(0, Some(&voice("native")), SlotState::Missing);
        assert_eq!(needs([0, 1, usize::MAX]), [native, SlotNeed::Unusable(EngineId::Rvc), SlotNeed::Nothing]);
        assert_eq!(session.set_slot_engine(0, &voice("native"), EngineId::Rvc).engine, EngineId::Rvc);
        assert_eq!(session.need(0), SlotNeed::Unusable(EngineId::Rvc));
        session.set_slot(15, Some(rvc));
        assert_eq!(needs([15, 2, 3]), [other, SlotNeed::Nothing, SlotNeed::Nothing]);
        assert!(!serde_json::to_string(&voice("native")).expect("writable").contains("engine"));
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
