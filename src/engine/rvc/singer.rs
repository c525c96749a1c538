//! The singer: what is known of the register, and whoever learns it beside the conversion.
//!
//! Used on the engine's thread.

use std::sync::Arc;

use crate::engine::profile::SourceProfile;
use crate::engine::{Engine, HOP_LEN, HopParams};

/// What this engine knows of a singer.
pub(super) struct Singer {
    /// Median F0, in Hz.
    median_hz: f32,
    /// Whether that was learned.
    is_known: bool,
    /// Listens while the singer is being learned; this engine needs only the median itself, but a profile is the
    /// singer's for all engines.
    listener: Option<Box<dyn Engine>>,
    is_learning: bool,
}

impl Singer {
    /// Nobody in particular.
    pub(super) fn new() -> Self {
        let median_hz = SourceProfile::population().median_f0_hz;
        Self { median_hz, is_known: false, listener: None, is_learning: false }
    }

    /// The one of this profile.
    pub(super) fn set_profile(&mut self, profile: Option<Arc<SourceProfile>>) {
        self.is_known = profile.is_some();
        self.median_hz = profile.unwrap_or_else(SourceProfile::population).median_f0_hz;
    }

    /// Median F0, in Hz.
    pub(super) fn median_hz(&self) -> f32 {
        self.median_hz
    }

    /// Whether that was learned.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// Lets `listener` learn from now on.
    pub(super) fn set_listener(&mut self, listener: Box<dyn Engine>) {
        self.listener = Some(listener);
    }

    /// Begins to learn, or stops; without a listener nothing happens.
    pub(super) fn learn(&mut self, is_on: bool) {
        if let Some(listener) = &mut self.listener {
            listener.reset();
            listener.learn_profile(is_on);
            self.is_learning = is_on;
        }
    }

    /// The learned profile, once.
    pub(super) fn take_profile(&mut self) -> Option<SourceProfile> {
        let learned = self.listener.as_mut().filter(|_| self.is_learning)?.take_profile()?;
        self.is_learning = false;
        Some(learned)
    }

    /// Lets the listener hear a hop while it learns; gives its progress.
    pub(super) fn listen(&mut self, params: &HopParams, input: &[f32]) -> f32 {
        let Some(listener) = self.listener.as_mut().filter(|_| self.is_learning) else { return 1.0 };
        // Its slots are empty; what it makes is not heard.
        let mut ignored = [0.0; HOP_LEN];
        listener.process_hop(params, input, &mut ignored).map_or(0.0, |report| report.profile_progress)
    }
}
