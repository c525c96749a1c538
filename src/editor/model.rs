//! What the editor shows, as plain data. Filled on the editor's thread from telemetry and the voice library; the
//! views read nothing else, so that they run alike in a plugin window and without one.

use super::trace::PitchTrace;
use crate::engine::VOICE_SLOTS;

/// Everything one picture of the editor is drawn from.
#[derive(Clone, Debug, Default)]
pub struct EditorModel {
    /// The latest report of audio and worker.
    pub reading: Reading,
    /// F0 of the source and of the output over the last seconds.
    pub trace: PitchTrace,
    /// The voices of the library, in the order of the list.
    pub voices: Vec<VoiceRow>,
    /// What each slot holds; the parameter `voice` picks one of them.
    pub slots: [SlotContent; VOICE_SLOTS],
    /// What is missing or broken, most serious first.
    pub troubles: Vec<Trouble>,
    /// What runs the graphs, in the reader's words: "CPU", "GPU: <name>"; empty while unknown.
    pub device: String,
    /// Folder in which a reader may put voices; empty when there is none.
    pub voices_folder: String,
}

/// Latest numbers from audio thread and worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// What the converter does at the moment.
    pub run: RunState,
    /// Host sample rate in Hz; 0.0 before the host has started the plugin.
    pub sample_rate_hz: f32,
    /// Latency reported to the host, in samples at the host's rate.
    pub latency_samples: u32,
    /// Late hops since the plugin was started.
    pub late_hops: u64,
    /// Computing time of a hop as a share of its duration, smoothed; 0.0 = not known.
    pub load: f32,
    /// Largest absolute input sample since the last reading, linear, after the input gain.
    pub input_peak: f32,
    /// Largest absolute output sample since the last reading, linear.
    pub output_peak: f32,
    /// Confidence in the content features, in `0.0..=1.0`.
    pub confidence: f32,
    /// The source profile.
    pub profile: ProfileState,
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            run: RunState::Idle,
            sample_rate_hz: 0.0,
            latency_samples: 0,
            late_hops: 0,
            load: 0.0,
            input_peak: 0.0,
            output_peak: 0.0,
            confidence: 0.0,
            profile: ProfileState::Nothing,
        }
    }
}

/// What the converter does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RunState {
    /// The host has not started the plugin, or has stopped it.
    #[default]
    Idle,
    /// Voices and graphs are being loaded; the fallback sounds.
    Starting,
    /// Converting.
    Live,
    /// The last hop was late; the fallback sounds until the next one is there.
    Late,
    /// The worker has stopped; the fallback sounds.
    Stopped,
}

/// How far the source profile is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ProfileState {
    /// Nothing learned: the general profile serves.
    #[default]
    Nothing,
    /// Collecting voiced sound; the share collected, in `0.0..=1.0`.
    Learning(f32),
    /// Learned and frozen.
    Learned,
}

/// One voice of the library.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoiceRow {
    /// Content hash; identifies the voice.
    pub id: String,
    /// Display name.
    pub name: String,
    /// One sentence about the voice; may be empty.
    pub description: String,
    /// Where the voice is at home, as note names ("A2 – D5"); may be empty.
    pub range: String,
    /// Short name of the licence ("CC0"); may be empty.
    pub licence: String,
    /// Who the voice is from, as the licence asks it to be said; may be empty.
    pub attribution: String,
    /// What is known about the consent of the voice's owner.
    pub consent: Consent,
    /// Whether it comes with Coffre rather than from a folder.
    pub embedded: bool,
}

/// What a voice file says about the consent of the person whose voice it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consent {
    /// The file says nothing.
    #[default]
    Unknown,
    /// The file states that the person agreed.
    Stated,
    /// Made from recordings given to the public for any use.
    PublicDomain,
}

/// What a slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SlotContent {
    /// No voice.
    #[default]
    Empty,
    /// A voice is being opened.
    Loading {
        /// Display name.
        name: String,
    },
    /// A voice that sounds.
    Ready {
        /// Content hash.
        id: String,
        /// Display name.
        name: String,
    },
    /// The session names a voice that is nowhere to be found.
    Missing {
        /// Display name, as the session has it.
        name: String,
    },
}

impl SlotContent {
    /// Display name of the voice, if the slot names one.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Empty => None,
            Self::Loading { name } | Self::Ready { name, .. } | Self::Missing { name } => Some(name),
        }
    }
}

/// Something that keeps Coffre from doing what the reader expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// ONNX Runtime was not found or could not be used.
    Runtime {
        /// The loader's own words.
        reason: String,
    },
    /// The session names a voice that is nowhere to be found.
    VoiceMissing {
        /// Slot, counted from 0.
        slot: usize,
        /// Display name.
        name: String,
    },
    /// A voice file was refused.
    VoiceRefused {
        /// Display name or file name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The worker stopped or a graph failed.
    Stopped {
        /// What was caught.
        reason: String,
    },
    /// The host runs at another rate than it announced, or the like; nothing to do but to know it.
    Host {
        /// The finding.
        reason: String,
    },
}

/// What the reader asks for with the mouse or the keyboard, beyond parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Put a voice into a slot.
    PutVoice {
        /// Slot, in `0..VOICE_SLOTS`.
        slot: usize,
        /// Content hash of the voice.
        id: String,
    },
    /// Empty a slot.
    EmptySlot {
        /// Slot, in `0..VOICE_SLOTS`.
        slot: usize,
    },
    /// Forget the source profile and learn it again from what is sung next.
    LearnAgain,
    /// Forget the source profile and go back to the general one.
    ClearProfile,
    /// Look through the voice folders again.
    LookForVoices,
    /// Set the count of late hops to zero.
    ForgetLateHops,
}
