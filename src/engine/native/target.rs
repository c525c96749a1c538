//! A voice as this engine holds it: what every voice has, beside what only its own voices have. Plain data.

use std::sync::Arc;

use crate::voice::{NativeVoice, Voice, VoiceId};

/// A voice that this engine can aim at.
#[derive(Clone, Debug)]
pub struct Target {
    voice: Arc<Voice>,
    body: Arc<NativeVoice>,
}

impl Target {
    /// `None` for a voice of another engine.
    pub fn of(voice: &Arc<Voice>) -> Option<Self> {
        voice.native().map(|body| Self::new(voice, body))
    }

    /// A voice with its own body.
    pub(crate) fn new(voice: &Arc<Voice>, body: &Arc<NativeVoice>) -> Self {
        Self { voice: Arc::clone(voice), body: Arc::clone(body) }
    }

    /// The voice.
    pub fn voice(&self) -> &Arc<Voice> {
        &self.voice
    }

    /// What only voices of this engine have.
    pub fn body(&self) -> &NativeVoice {
        &self.body
    }

    /// The voice's id.
    pub fn id(&self) -> VoiceId {
        self.voice.id()
    }
}
