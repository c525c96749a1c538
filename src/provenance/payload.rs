//! The payload of a mark as bits: version, engine, short hashes of the voice and of its consent record, and a checksum.

use sha2::{Digest, Sha256};

use crate::voice::{Consent, ConsentGround, Voice, VoiceId};

/// Version of the mark's content that this Coffre writes and reads.
pub const VERSION: u8 = 0;

/// Bits of content and check together.
pub const PAYLOAD_BITS: usize = 48;

const VERSION_BITS: u32 = 2;
const ENGINE_BITS: u32 = 2;
const VOICE_BITS: u32 = 18;
const CONSENT_BITS: u32 = 12;
const CRC_BITS: u32 = 14;

/// CRC-14 of GSM: x^14 + x^13 + x^5 + x^3 + x^2 + 1, started with ones so that an empty message does not check.
const CRC_POLYNOMIAL: u64 = 0x202d;

/// Which engine converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngineKind {
    /// The embedded engine.
    Native,
    /// Converted by a voice model of the RVC family.
    Rvc,
    /// A number that this Coffre does not know, in `2..4`.
    Other(u8),
}

impl EngineKind {
    fn number(self) -> u8 {
        match self {
            Self::Native => 0,
            Self::Rvc => 1,
            Self::Other(number) => number & 3,
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Native,
            1 => Self::Rvc,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Native => f.write_str("native"),
            Self::Rvc => f.write_str("rvc"),
            Self::Other(number) => write!(f, "unknown ({number})"),
        }
    }
}

/// What a mark says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Which engine converted.
    pub engine: EngineKind,
    /// Short hash of the voice, see [`voice_hash`]; 0 = no voice, only register and colour were changed.
    pub voice: u32,
    /// Short hash of the consent record, see [`consent_hash`]; 0 = the voice has none.
    pub consent: u32,
}

impl Mark {
    /// The mark of a conversion to `voice`. Does not allocate.
    pub fn new(engine: EngineKind, voice: Option<&Voice>) -> Self {
        let consent = voice.and_then(|voice| voice.manifest().consent.as_ref());
        Self { engine, voice: voice.map_or(0, |voice| voice_hash(&voice.id())), consent: consent_hash(consent) }
    }

    /// The mark with its check, first bit first.
    pub fn to_bits(self) -> [bool; PAYLOAD_BITS] {
        let mut word = u64::from(VERSION);
        word = word << ENGINE_BITS | u64::from(self.engine.number());
        word = word << VOICE_BITS | u64::from(self.voice) & ((1 << VOICE_BITS) - 1);
        word = word << CONSENT_BITS | u64::from(self.consent) & ((1 << CONSENT_BITS) - 1);
        word = word << CRC_BITS | crc(word);
        std::array::from_fn(|bit| word >> (PAYLOAD_BITS - 1 - bit) & 1 == 1)
    }

    /// Reads what [`Mark::to_bits`] wrote; `None` when the check fails or the version is a later one.
    pub fn from_bits(bits: &[bool; PAYLOAD_BITS]) -> Option<Self> {
        let word = bits.iter().fold(0_u64, |word, bit| word << 1 | u64::from(*bit));
        let content = word >> CRC_BITS;
        let field = |shift: u32, len: u32| (content >> shift & ((1 << len) - 1)) as u32;
        let version = field(CONSENT_BITS + VOICE_BITS + ENGINE_BITS, VERSION_BITS);
        let is_whole = word & ((1 << CRC_BITS) - 1) == crc(content) && version == u32::from(VERSION);
        is_whole.then(|| Self {
            engine: EngineKind::from_number(field(CONSENT_BITS + VOICE_BITS, ENGINE_BITS) as u8),
            voice: field(CONSENT_BITS, VOICE_BITS),
            consent: field(0, CONSENT_BITS),
        })
    }
}

/// The voice's id in 18 bits, never 0: one in 262 143 other voices has the same.
pub fn voice_hash(id: &VoiceId) -> u32 {
    shortened(id.as_bytes(), VOICE_BITS)
}

/// The consent record in 12 bits; 0 = there is none. Over ground, statement, date and hash of the recordings.
pub fn consent_hash(consent: Option<&Consent>) -> u32 {
    let Some(consent) = consent else { return 0 };
    let ground = match consent.ground {
        ConsentGround::OwnVoice => "own_voice",
        ConsentGround::WrittenConsent => "written_consent",
        ConsentGround::LicensedData => "licensed_data",
    };
    let mut hash = Sha256::new();
    for part in [
        ground,
        &consent.statement,
        consent.date.as_deref().unwrap_or_default(),
        consent.recordings_sha256.as_deref().unwrap_or_default(),
    ] {
        hash.update(part);
        hash.update([0]);
    }
    shortened(&hash.finalize(), CONSENT_BITS)
}

fn shortened(hash: &[u8], bits: u32) -> u32 {
    let number = hash.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
    1 + number % ((1 << bits) - 1)
}

fn crc(content: u64) -> u64 {
    let top = 1 << (CRC_BITS - 1);
    (0..PAYLOAD_BITS as u32 - CRC_BITS).rev().fold((1 << CRC_BITS) - 1, |register: u64, bit| {
        let is_set = (register & top != 0) != (content >> bit & 1 == 1);
        let shifted = register << 1 & ((1 << CRC_BITS) - 1);
        if is_set { shifted ^ CRC_POLYNOMIAL } else { shifted }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: Mark = Mark { engine: EngineKind::Native, voice: 0x2_a5c3, consent: 0x9e1 };

    #[test]
    fn marks_survive_the_way_through_bits() {
        for engine in [EngineKind::Native, EngineKind::Rvc, EngineKind::Other(3)] {
            for (voice, consent) in [(0, 0), (1, 4_095), (262_143, 1)] {
                let mark = Mark { engine, voice, consent };
                assert_eq!(Mark::from_bits(&mark.to_bits()), Some(mark));
            }
        }
    }

    #[test]
    fn one_two_or_a_burst_of_wrong_bits_are_noticed() {
        let bits = MARK.to_bits();
        for first in 0..PAYLOAD_BITS {
            for second in first..PAYLOAD_BITS {
                let mut wrong = bits;
                wrong[first] = !wrong[first];
                if second != first {
                    wrong[second] = !wrong[second];
                }
                assert_eq!(Mark::from_bits(&wrong), None, "{first}, {second}");
            }
        }
        assert_eq!(Mark::from_bits(&[false; PAYLOAD_BITS]), None);
        assert_eq!(Mark::from_bits(&[true; PAYLOAD_BITS]), None);
    }

    #[test]
    fn hashes_fit_their_bits_and_tell_records_apart() {
        let consent = |statement: &str, date: Option<&str>| Consent {
            ground: ConsentGround::OwnVoice,
            statement: statement.into(),
            date: date.map(Into::into),
            recordings_sha256: None,
        };
        let hashes = [
            consent_hash(None),
            consent_hash(Some(&consent("mine", None))),
            consent_hash(Some(&consent("mine", Some("2026-01-31")))),
            consent_hash(Some(&consent("mine2026-01-31", None))),
        ];
        assert_eq!(hashes[0], 0);
        for (index, hash) in hashes.iter().enumerate() {
            assert!(*hash < 4_096 && !hashes[..index].contains(hash), "{hashes:?}");
        }
        assert!((1..1 << 18).contains(&voice_hash(&VoiceId::of(b"a voice"))));
    }
}
