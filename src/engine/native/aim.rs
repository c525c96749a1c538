//! What a frame aims at: one voice, a mixture of two, or none. Plain data, told to every stage after the map.

use crate::voice::{NativeVoice, VoiceId};

/// One of the voices that a frame aims at.
#[derive(Clone, Copy, Debug)]
pub struct Aimed<'a> {
    /// Which.
    pub id: VoiceId,
    /// What is known of it.
    pub body: &'a NativeVoice,
}

/// The voices that a frame aims at.
#[derive(Clone, Copy, Debug)]
pub struct Aim<'a> {
    voices: [Option<Aimed<'a>>; 2],
    /// How far from the first to the second, in `0.0..=1.0`.
    weight: f32,
}

impl<'a> Aim<'a> {
    /// No voice.
    pub const NONE: Self = Self { voices: [None; 2], weight: 0.0 };

    /// So far from one voice to another, in `0.0..=1.0`; where one of them is none, that part of the sound is the
    /// singer's.
    pub fn new([a, b]: [Option<Aimed<'a>>; 2], weight: f32) -> Self {
        Self { voices: [a.filter(|_| weight < 1.0), b.filter(|_| weight > 0.0)], weight }
    }

    /// How much of the sound is a voice at all, in `0.0..=1.0`.
    pub fn share(&self) -> f32 {
        match self.voices {
            [Some(_), Some(_)] => 1.0,
            [Some(_), None] => 1.0 - self.weight,
            [None, Some(_)] => self.weight,
            [None, None] => 0.0,
        }
    }

    /// The voices that are heard.
    pub fn ids(&self) -> [Option<VoiceId>; 2] {
        self.voices.map(|voice| voice.map(|voice| voice.id))
    }

    /// Each voice with its share of what is a voice.
    pub fn shares(&self) -> [Option<(Aimed<'a>, f32)>; 2] {
        let [a, b] = self.voices;
        // One that is heard alone has all of it.
        let shares = if a.is_some() && b.is_some() { [1.0 - self.weight, self.weight] } else { [1.0; 2] };
        [a.map(|a| (a, shares[0])), b.map(|b| (b, shares[1]))]
    }

    /// What `say` says of the voices, mixed by their shares; 0 without a voice.
    pub fn mixed<const N: usize>(&self, say: impl Fn(&NativeVoice) -> [f32; N]) -> [f32; N] {
        match self.voices.map(|voice| voice.map(|voice| say(voice.body))) {
            [Some(a), Some(b)] => std::array::from_fn(|n| a[n] + self.weight * (b[n] - a[n])),
            [Some(one), None] | [None, Some(one)] => one,
            [None, None] => [0.0; N],
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::voice::{Bank, MeanShapes, Restoration, SHAPE_BANDS};

    /// A voice with these values everywhere in its mean shapes, and no bank.
    pub(in crate::engine::native) fn flat(value: f32) -> NativeVoice {
        NativeVoice {
            bank: Bank::default(),
            shapes: MeanShapes { voiced: [value; SHAPE_BANDS], unvoiced: [value; SHAPE_BANDS] },
            restoration: Restoration { mean: [[0.0; SHAPE_BANDS]; 2], ratio: [[1.0; SHAPE_BANDS]; 2] },
            absolute_share: 0.0,
            adaptation: None,
        }
    }

    #[test]
    fn shares_by_table() {
        let (low, high) = (flat(1.0), flat(3.0));
        let [a, b] = [(b"a", &low), (b"b", &high)].map(|(id, body)| Some(Aimed { id: VoiceId::of(id), body }));
        for (voices, weight, share, shares, said) in [
            ([None, None], 0.5, 0.0, [None, None], 0.0),
            ([a, None], 0.0, 1.0, [Some(1.0), None], 1.0),
            ([a, None], 0.25, 0.75, [Some(1.0), None], 1.0),
            ([None, b], 0.25, 0.25, [None, Some(1.0)], 3.0),
            ([a, b], 0.25, 1.0, [Some(0.75), Some(0.25)], 1.5),
            ([a, b], 0.0, 1.0, [Some(1.0), None], 1.0),
            ([a, b], 1.0, 1.0, [None, Some(1.0)], 3.0),
            ([a, None], 1.0, 0.0, [None, None], 0.0),
        ] {
            let aim = Aim::new(voices, weight);
            assert_eq!(aim.share(), share);
            assert_eq!(aim.shares().map(|one| one.map(|(_, share)| share)), shares);
            assert_eq!(aim.ids().map(|id| id.is_some()), shares.map(|share| share.is_some()));
            assert_eq!(aim.mixed(|body| [body.shapes.voiced[0]]), [said]);
        }
    }
}
