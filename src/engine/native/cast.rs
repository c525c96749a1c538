//! The voices in the slots: which two of them a moment is about, and whose mark the sound carries.
//!
//! Runs on the engine's thread. Knows no audio.

use super::mapping::Side;
use super::target::Target;
use crate::engine::{HopParams, VOICE_SLOTS};
use crate::provenance::{EngineKind, Mark};
use crate::voice::VoiceId;

/// The watermark names the voice with the larger share of the sound. It switches to the other one only this far beyond the
/// middle, so that automation around the middle does not break it up.
const MARK_MARGIN: f32 = 0.05;

/// Voices by slot, and the leading one.
pub struct Cast {
    slots: [Option<Target>; VOICE_SLOTS],
    /// The voice that has most of the sound: which one, its id, its mark.
    leading: Side,
    marked_voice: Option<VoiceId>,
    mark: Mark,
}

/// Whom a moment is about.
pub struct Choice {
    /// Voice A and voice B.
    pub voices: [Option<Target>; 2],
    /// How far from voice A to voice B, in `0.0..=1.0`.
    pub morph: f32,
}

impl Cast {
    /// Empty slots.
    pub fn new() -> Self {
        Self {
            slots: Default::default(),
            leading: Side::A,
            marked_voice: None,
            mark: Mark::new(EngineKind::Native, None),
        }
    }

    /// Puts a voice into a slot, or empties it.
    pub fn put(&mut self, slot: usize, target: Option<Target>) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = target;
        }
    }

    /// The voice in a slot.
    pub fn voice(&self, slot: usize) -> Option<&Target> {
        self.slots[slot.min(VOICE_SLOTS - 1)].as_ref()
    }

    /// The second voice and how far the way to it is gone; `None` where there is no such way.
    pub fn morph(&self, params: &HopParams) -> Option<(&Target, f32)> {
        if params.morph.is_nan() || params.morph <= 0.0 {
            return None;
        }
        let b = self.second(params)?;
        Some((b, params.morph.min(1.0)))
    }

    /// The second voice, unless it is the first one.
    fn second(&self, params: &HopParams) -> Option<&Target> {
        let a = self.voice(params.voice_slot);
        self.voice(params.voice_b_slot).filter(|b| a.is_none_or(|a| a.id() != b.id()))
    }

    /// Whether voice A and voice B can be heard where `heard` are and under parameters that came since.
    pub fn sides<'a>(&self, heard: [bool; 2], params: impl Iterator<Item = &'a HopParams>) -> [bool; 2] {
        params.fold(heard, |sides, params| {
            let morph = self.morph(params).map_or(0.0, |(_, morph)| morph);
            [sides[0] || morph < 1.0, sides[1] || morph > 0.0]
        })
    }

    /// The voices of a moment; takes the mark of the leading one.
    pub fn choose(&mut self, params: &HopParams) -> Choice {
        let a = self.voice(params.voice_slot).cloned();
        let (b, morph) = match self.morph(params) {
            Some((b, morph)) => (Some(b.clone()), morph),
            // At its beginning the way is there too, unless it leads nowhere.
            None => (self.second(params).cloned(), 0.0),
        };
        let middle = match self.leading {
            Side::A => 0.5 + MARK_MARGIN,
            Side::B => 0.5 - MARK_MARGIN,
        };
        self.leading = if b.is_some() && morph > middle { Side::B } else { Side::A };
        let leading = if self.leading == Side::B { &b } else { &a };
        let id = leading.as_ref().map(Target::id);
        if id != self.marked_voice {
            self.mark = Mark::new(EngineKind::Native, leading.as_ref().map(|target| &**target.voice()));
            self.marked_voice = id;
        }
        Choice { voices: [a, b], morph }
    }

    /// The mark of the voice that leads.
    pub fn mark(&self) -> Mark {
        self.mark
    }

    /// Voice A leads again.
    pub fn reset(&mut self) {
        self.leading = Side::A;
    }
}

/// Marks of the newest hops that were made, oldest first: that of the hop that comes out, and of those that wait in the
/// stages behind.
pub struct MarkLine(Box<[Option<Mark>]>);

impl MarkLine {
    /// Hops come out so many hops after they are made.
    pub fn new(delay_hops: usize) -> Self {
        Self(vec![None; delay_hops + 1].into())
    }

    /// A hop is made with this mark.
    pub fn push(&mut self, mark: Option<Mark>, is_first: bool) {
        if is_first {
            // Nothing waits yet.
            self.0.fill(mark);
        }
        self.0.rotate_left(1);
        if let Some(newest) = self.0.last_mut() {
            *newest = mark;
        }
    }

    /// The mark of the hop that comes out.
    pub fn heard(&self) -> Option<Mark> {
        self.0[0]
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.0.fill(None);
    }
}
