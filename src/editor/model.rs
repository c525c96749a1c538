//! What the editor shows, as plain data. Filled on the editor's thread from telemetry and session; the views read
//! nothing else, so that they run alike in a plugin window and without one.

use std::path::PathBuf;
use std::sync::Arc;

use super::dialog::Purpose;
use super::listening::ListenState;
use super::portrait::PortraitState;
use super::trace::PitchTrace;
use crate::bridge::DeviceChoice;
use crate::bridge::session::{SlotState, VoiceChoice, VoiceRef};
use crate::bridge::telemetry::{Reading, Trouble};
use crate::clone::improve::job::ImproveState;
use crate::clone::job::{Answers, JobState};
use crate::engine::VOICE_SLOTS;
use crate::voice::ConsentGround;

/// Everything one picture of the editor is drawn from.
#[derive(Clone, Debug, Default)]
pub struct EditorModel {
    /// The latest report of audio and worker.
    pub reading: Reading,
    /// F0 of the source and of the output over the last seconds.
    pub trace: PitchTrace,
    /// The voices of the library, in the order of the list.
    pub voices: Arc<[VoiceChoice]>,
    /// What each slot holds; the parameter `voice` picks one of them.
    pub slots: [Option<VoiceRef>; VOICE_SLOTS],
    /// What is known about each slot.
    pub slot_states: [SlotState; VOICE_SLOTS],
    /// What is missing or broken, most serious first.
    pub troubles: Vec<Trouble>,
    /// What runs the graphs, in plain words: "CPU", "GPU: (its name)"; empty while unknown.
    pub device: String,
    /// What was chosen to run RVC voices, and what became of it.
    pub device_choice: DeviceChoice,
    /// Folder in which a person may put voices; empty when there is none.
    pub voices_folder: String,
    /// The cloning job, if there is one.
    pub clone: Option<JobState>,
    /// The improvement, if there is one.
    pub improve: Option<ImproveState>,
    /// Whether the system's window for choosing files is open, or what it brought is being imported.
    pub is_choosing: bool,
    /// What an import is doing.
    pub importing: Option<String>,
    /// What the last import said, and whether all went well.
    pub imported: Option<(String, bool)>,
    /// Which voice is listened to, or why nothing is heard.
    pub listening: ListenState,
    /// The picture of the chosen voice.
    pub portrait: PortraitState,
}

/// What a person asks for with the mouse or the keyboard, beyond parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put a voice into a slot, in `0..VOICE_SLOTS`.
    PutVoice(usize, VoiceRef),
    /// Empty a slot, in `0..VOICE_SLOTS`.
    EmptySlot(usize),
    /// Forget the source profile and learn it again from what is sung next.
    LearnProfile,
    /// Forget the source profile and go back to the general one.
    ClearProfile,
    /// Look through the voice folders again.
    LookForVoices,
    /// Read recordings for a new voice: files, or folders of them.
    StartClone(Vec<PathBuf>),
    /// Record the track for a new voice.
    StartCapture,
    /// What was recorded from the track is enough.
    EndCapture,
    /// Open the system's window for choosing files.
    ChooseFiles(Purpose),
    /// Record a sentence from the track and compare it with the recordings.
    HearSentence,
    /// Make a voice more like itself, in the background.
    Improve(VoiceRef),
    /// Stop improving, or take note of its end.
    EndImprove,
    /// Make the voice of the recordings that were read.
    MakeVoice(Answers),
    /// Write into a voice file whose voice it is, and in words on what ground.
    StateOrigin(VoiceRef, ConsentGround, String),
    /// Stop cloning and forget the recordings.
    CancelClone,
    /// Set the count of late hops to zero.
    ForgetLateHops,
    /// Let a kind of device run RVC voices, by its word.
    ChooseDevice(String),
    /// Play the preview of a voice.
    Listen(VoiceRef),
    /// Stop the preview.
    StopListening,
}
