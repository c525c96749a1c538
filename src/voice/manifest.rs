//! `manifest.json`: what a voice file says about itself.
//!
//! Unknown fields are ignored, so a newer Coffre of the same major format may add some. Everything read here is
//! untrusted until [`Manifest::validate`] has passed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::VoiceError;

/// Largest major format version that this Coffre reads.
pub const FORMAT_MAJOR: u32 = 1;

/// Minor format version that this Coffre writes. A higher one in a file is read, its additions are ignored.
pub const FORMAT_MINOR: u32 = 4;

/// Name of the embedded engine.
pub const ENGINE_NATIVE: &str = "native";

/// Name of the engine for RVC voices. Their pitch statistics are not known: `voiced_seconds` is 0 then.
pub const ENGINE_RVC: &str = "rvc";

/// Most members that a file may list.
pub const MAX_MEMBERS: usize = 64;

/// Largest product of a member's shape times its element size, in bytes.
pub const MAX_MEMBER_BYTES: u64 = 512 << 20;

/// Most bytes of all members together, uncompressed.
pub const MAX_TOTAL_BYTES: u64 = 768 << 20;

/// Most former ids that a file may name.
pub const MAX_PREVIOUS_IDS: usize = 64;

const MAX_NAME_CHARS: usize = 120;
const MAX_TEXT_CHARS: usize = 8_000;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A voice to convert to.
    Voice,
    /// The profile of a singer to convert from.
    Singer,
}

impl Kind {
    /// The kind as it is written in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Singer => "singer",
        }
    }
}

/// Version of the file format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormatVersion {
    /// Changes when older programs cannot read the file any more.
    pub major: u32,
    /// Changes when something was added that older programs may ignore.
    pub minor: u32,
}

/// Element type of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// Signed byte.
    I8,
    /// Unsigned byte; also for members that are not arrays (pictures, audio), whose shape is `[bytes]`.
    U8,
    /// Unsigned 16-bit integer, little endian.
    U16,
    /// 32-bit float, little endian.
    F32,
}

impl ElementType {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::U16 => 2,
            Self::F32 => 4,
        }
    }
}

/// One binary member of the archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Path inside the archive: lower-case letters, digits, `/`, `_`, `-`, `.`; no `..`, no leading `/`.
    pub path: String,
    /// Element type.
    pub dtype: ElementType,
    /// Shape, row-major.
    pub shape: Vec<u32>,
    /// SHA-256 of the uncompressed bytes, lower-case hexadecimal.
    pub sha256: String,
}

impl Member {
    /// Uncompressed length in bytes, or `None` when it overflows or exceeds [`MAX_MEMBER_BYTES`].
    pub fn byte_len(&self) -> Option<u64> {
        let elements = self.shape.iter().try_fold(1_u64, |product, &n| product.checked_mul(u64::from(n)))?;
        elements.checked_mul(self.dtype.bytes()).filter(|&bytes| bytes <= MAX_MEMBER_BYTES)
    }
}

/// On what ground a voice may be imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentGround {
    /// The maker cloned the own voice.
    OwnVoice,
    /// The speaker agreed in writing.
    WrittenConsent,
    /// The recordings carry a licence that allows it.
    LicensedData,
}

/// How the recordings behind a voice's pitch were delivered. A voice that is known from speech sings higher than it speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// Spoken.
    #[default]
    Spoken,
    /// Sung.
    Sung,
}

impl Delivery {
    /// The default, which is left out of a manifest.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    fn is_spoken(&self) -> bool {
        *self == Self::Spoken
    }
}

/// Whose voice it is and on what ground it may be used. Absent means: origin unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    /// The ground.
    pub ground: ConsentGround,
    /// In words: who agreed to what.
    pub statement: String,
    /// Day of the statement, ISO 8601 (`2026-01-31`), when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// SHA-256 over the recordings the voice was built from, lower-case hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recordings_sha256: Option<String>,
}

impl Consent {
    /// Checks what later code shows and compares.
    fn validate(&self) -> Result<(), VoiceError> {
        if self.statement.chars().count() > MAX_TEXT_CHARS {
            return Err(VoiceError::manifest(format!("`statement` is longer than {MAX_TEXT_CHARS} characters")));
        }
        check_line("date", self.date.as_deref().unwrap_or_default(), 40)?;
        match &self.recordings_sha256 {
            Some(hash) if !is_hash(hash) => Err(VoiceError::manifest("`recordings_sha256` is not a hash")),
            _ => Ok(()),
        }
    }
}

/// The manifest of a voice or singer file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the file format.
    pub format: FormatVersion,
    /// What the file is.
    pub kind: Kind,
    /// Engine that can use it.
    pub engine: String,
    /// Identifies the content encoder that made the keys; a bank is only usable with that encoder. Empty: no bank.
    pub content_space: String,
    /// Display name.
    pub name: String,
    /// One or two sentences on range and timbre.
    #[serde(default)]
    pub description: String,
    /// Languages of the recordings, BCP 47.
    #[serde(default)]
    pub languages: Vec<String>,
    /// Who made the file.
    #[serde(default)]
    pub author: String,
    /// Licence of the file, SPDX where possible.
    #[serde(default)]
    pub licence: String,
    /// Attribution that must or should be shown.
    #[serde(default)]
    pub attribution: String,
    /// Consent record; `None` = origin unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<Consent>,
    /// Median F0 of the voiced frames, in Hz.
    pub median_f0_hz: f32,
    /// 5th and 95th percentile of the F0, in Hz.
    pub range_hz: [f32; 2],
    /// Whether median and range are of speech or of song; absent means speech.
    #[serde(default, skip_serializing_if = "Delivery::is_spoken")]
    pub delivery: Delivery,
    /// Highest frequency with real signal in the recordings, in Hz.
    pub bandwidth_hz: f32,
    /// Seconds of voiced audio behind the statistics.
    #[serde(default)]
    pub voiced_seconds: f32,
    /// Ids that the voice had before it was renamed or its origin was stated, newest last: sessions still find it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous_ids: Vec<String>,
    /// Id of the voice that this one was improved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub improved_from: Option<String>,
    /// All binary members.
    pub members: Vec<Member>,
}

/// Stands in a file for the range of an imported voice whose register nobody stated: see [`Manifest::register_hz`].
pub const UNKNOWN_RANGE_HZ: [f32; 2] = [50.0, 1_100.0];

impl Manifest {
    /// The voice's median F0 in Hz; `None` for an imported voice whose register was never stated.
    pub fn register_hz(&self) -> Option<f32> {
        let is_placeholder =
            self.engine == ENGINE_RVC && self.voiced_seconds == 0.0 && self.range_hz == UNKNOWN_RANGE_HZ;
        (!is_placeholder).then_some(self.median_f0_hz)
    }

    /// Whether the pitch statistics are those of song.
    pub fn is_sung(&self) -> bool {
        self.delivery == Delivery::Sung
    }

    /// 5th and 95th percentile of the voice's F0 in Hz; `None` where [`Manifest::register_hz`] is.
    pub fn known_range_hz(&self) -> Option<[f32; 2]> {
        self.register_hz().map(|_| self.range_hz)
    }
}

/// Only the version, read before anything else so that a future format gives the right message.
#[derive(Deserialize)]
struct VersionOnly {
    format: FormatVersion,
}

impl Manifest {
    /// Reads and validates `manifest.json`.
    ///
    /// # Errors
    /// [`VoiceError::FutureVersion`], or [`VoiceError::Manifest`] with the reason.
    pub fn from_json(json: &[u8]) -> Result<Self, VoiceError> {
        let version: VersionOnly =
            serde_json::from_slice(json).map_err(|error| VoiceError::manifest(error.to_string()))?;
        if version.format.major > FORMAT_MAJOR {
            return Err(VoiceError::FutureVersion { found: version.format.major, supported: FORMAT_MAJOR });
        }
        let manifest: Self = serde_json::from_slice(json).map_err(|error| VoiceError::manifest(error.to_string()))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks every field that later code relies on.
    ///
    /// # Errors
    /// [`VoiceError::UnknownEngine`], or [`VoiceError::Manifest`] with the reason.
    pub fn validate(&self) -> Result<(), VoiceError> {
        if self.engine != ENGINE_NATIVE && self.engine != ENGINE_RVC {
            let shown = self.engine.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS);
            return Err(VoiceError::UnknownEngine { engine: shown.collect() });
        }
        if self.format.major == 0 {
            return Err(VoiceError::manifest("format version 0 does not exist"));
        }
        check_line("name", &self.name, MAX_NAME_CHARS)?;
        if self.name.trim().is_empty() {
            return Err(VoiceError::manifest("the name is empty"));
        }
        check_line("content_space", &self.content_space, MAX_NAME_CHARS)?;
        check_line("licence", &self.licence, MAX_NAME_CHARS)?;
        check_line("author", &self.author, MAX_NAME_CHARS)?;
        for (field, text) in [("description", &self.description), ("attribution", &self.attribution)] {
            if text.chars().count() > MAX_TEXT_CHARS {
                return Err(VoiceError::manifest(format!("`{field}` is longer than {MAX_TEXT_CHARS} characters")));
            }
        }
        if self.languages.len() > 32 {
            return Err(VoiceError::manifest("more than 32 languages"));
        }
        for language in &self.languages {
            check_line("languages", language, 40)?;
        }
        for (field, hz) in
            [("median_f0_hz", self.median_f0_hz), ("range_hz[0]", self.range_hz[0]), ("range_hz[1]", self.range_hz[1])]
        {
            if !(20.0..=4_000.0).contains(&hz) {
                return Err(VoiceError::manifest(format!("`{field}` must be in 20..=4000 Hz")));
            }
        }
        if !(1_000.0..=48_000.0).contains(&self.bandwidth_hz) {
            return Err(VoiceError::manifest("`bandwidth_hz` must be in 1000..=48000"));
        }
        if !(0.0..=1.0e7).contains(&self.voiced_seconds) {
            return Err(VoiceError::manifest("`voiced_seconds` is impossible"));
        }
        if self.previous_ids.len() > MAX_PREVIOUS_IDS || self.previous_ids.iter().any(|id| !is_hash(id)) {
            return Err(VoiceError::manifest("`previous_ids` holds something that is not an id, or too many"));
        }
        if self.improved_from.as_ref().is_some_and(|id| !is_hash(id)) {
            return Err(VoiceError::manifest("`improved_from` is not an id"));
        }
        if let Some(consent) = &self.consent {
            consent.validate()?;
        }
        self.validate_members()
    }

    fn validate_members(&self) -> Result<(), VoiceError> {
        if self.members.len() > MAX_MEMBERS {
            return Err(VoiceError::manifest(format!("more than {MAX_MEMBERS} members")));
        }
        let mut seen = BTreeSet::new();
        for member in &self.members {
            if !is_safe_path(&member.path) {
                return Err(VoiceError::manifest("a member has a forbidden path"));
            }
            if !seen.insert(member.path.as_str()) {
                return Err(VoiceError::manifest(format!("`{}` is listed twice", member.path)));
            }
            if member.shape.len() > 4 || member.byte_len().is_none() {
                return Err(VoiceError::manifest(format!("`{}` is too large", member.path)));
            }
            if !is_hash(&member.sha256) {
                return Err(VoiceError::manifest(format!("`{}` has no valid hash", member.path)));
            }
        }
        if self.total_bytes() > MAX_TOTAL_BYTES {
            return Err(VoiceError::manifest(format!("the members are larger than {} MiB", MAX_TOTAL_BYTES >> 20)));
        }
        Ok(())
    }

    /// Bytes of all members together, uncompressed. At most [`MAX_TOTAL_BYTES`] once validated.
    pub fn total_bytes(&self) -> u64 {
        self.members.iter().filter_map(Member::byte_len).sum()
    }
}

/// Whether a text is a SHA-256 in hexadecimal.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Refuses over-long text and control characters in what is shown on one line.
fn check_line(field: &str, text: &str, limit: usize) -> Result<(), VoiceError> {
    if text.chars().count() > limit {
        return Err(VoiceError::manifest(format!("`{field}` is longer than {limit} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(VoiceError::manifest(format!("`{field}` holds control characters")));
    }
    Ok(())
}

/// Whether a member's path is plain and relative, so that unpacking a voice can never write elsewhere.
pub(crate) fn is_safe_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'/' | b'_' | b'-' | b'.');
    !path.is_empty()
        && path.len() <= 100
        && path.bytes().all(plain)
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && path != super::package::MANIFEST_PATH
        && path != super::package::SIGNATURE_PATH
}
