//! Stands in for the native engine until that is in the tree: passes audio through unchanged.

use std::sync::Arc;

use coffre::engine::content::ContentEncoder;
use coffre::engine::profile::SourceProfile;
use coffre::engine::{Engine, EngineError, HopParams, HopReport, IdentityEngine, Mode};
use coffre::voice::Voice;

pub struct NativeEngine(IdentityEngine);
impl NativeEngine {
    pub fn new(mode: Mode, _content: Option<ContentEncoder>, _profile: Arc<SourceProfile>) -> Self {
        Self(IdentityEngine::new(if mode == Mode::Live { 1464 } else { 9000 }))
    }
    pub fn start_learning(&mut self) {}
    pub fn stop_learning(&mut self) {}
    pub fn take_learned(&mut self) -> Option<SourceProfile> {
        None
    }
    pub fn take_learned_early(&mut self) -> Option<SourceProfile> {
        None
    }
}
impl Engine for NativeEngine {
    fn latency_len(&self) -> usize {
        self.0.latency_len()
    }
    fn tail_len(&self) -> usize {
        self.0.tail_len()
    }
    fn set_voice(&mut self, slot: usize, voice: Option<Arc<Voice>>) {
        self.0.set_voice(slot, voice)
    }
    fn reset(&mut self) {
        self.0.reset()
    }
    fn process_hop(&mut self, p: &HopParams, i: &[f32], o: &mut [f32]) -> Result<HopReport, EngineError> {
        self.0.process_hop(p, i, o)
    }
}
