//! Errors of voice files, worded so that the user knows what to do.

/// Why a voice or singer file was refused. A refused file never replaces what is playing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum VoiceError {
    /// The file could not be read at all.
    #[error("`{path}` cannot be read: {reason}. Check that the file exists and may be read")]
    Unreadable {
        /// The path as it was given.
        path: String,
        /// The system's own words.
        reason: String,
    },
    /// It could not be written.
    #[error(transparent)]
    Unwritable(#[from] crate::new_file::WriteError),
    /// More bytes than any voice may have.
    #[error("the file is {bytes} bytes long; a voice has at most {limit}. This is not a voice file")]
    TooLarge {
        /// Length of the file.
        bytes: u64,
        /// The largest accepted length.
        limit: u64,
    },
    /// Not a zip archive, or a truncated or damaged one.
    #[error("not a voice file, or a damaged one: {reason}. Copy or download it again")]
    Container {
        /// What is wrong with the archive.
        reason: String,
    },
    /// The manifest is missing or says something impossible.
    #[error("the manifest is invalid: {reason}. Ask the maker of this file for a correct one")]
    Manifest {
        /// What is wrong with the manifest.
        reason: String,
    },
    /// Written by a newer Coffre in a format that this one cannot read.
    #[error("the file has format {found}, this Coffre reads up to {supported}. Update Coffre to use it")]
    FutureVersion {
        /// Major format version of the file.
        found: u32,
        /// Largest major format version that is understood.
        supported: u32,
    },
    /// The file is of another kind than was asked for.
    #[error("the file holds a {found}, a {expected} is needed here")]
    WrongKind {
        /// Kind named in the manifest.
        found: String,
        /// Kind that was asked for.
        expected: &'static str,
    },
    /// Made for another engine.
    #[error("the voice is made for the engine `{engine}`, which this Coffre does not have. Update Coffre to use it")]
    UnknownEngine {
        /// Engine named in the manifest.
        engine: String,
    },
    /// A member that the manifest promises, or that every voice needs, is absent.
    #[error("the member `{member}` is missing. Copy or download the file again")]
    MissingMember {
        /// Path inside the archive.
        member: String,
    },
    /// A member differs from its recorded hash.
    #[error("the member `{member}` was changed or damaged (its hash differs). Copy or download the file again")]
    HashMismatch {
        /// Path inside the archive.
        member: String,
    },
    /// The file is signed, and not as its signer made it.
    #[error("the signature is broken: {reason}. Get the file from its maker again")]
    BrokenSignature {
        /// What does not fit.
        reason: String,
    },
    /// A member has another type or shape than the format asks for.
    #[error("the member `{member}` has shape {found}, expected {expected}")]
    Shape {
        /// Path inside the archive.
        member: String,
        /// What was found.
        found: String,
        /// What the format asks for.
        expected: String,
    },
    /// A member holds a value that is not a number or out of its range.
    #[error("the member `{member}` holds an impossible value at position {position}")]
    Value {
        /// Path inside the archive.
        member: String,
        /// Index of the first bad value.
        position: usize,
    },
    /// A voice that cannot be changed.
    #[error("{name} cannot be changed: {reason}")]
    Fixed {
        /// Its display name.
        name: String,
        /// Why not.
        reason: String,
    },
    /// What came from another program and was put into the file is not usable.
    #[error("{0}")]
    Foreign(#[from] super::import::ImportError),
    /// No voice answers to a name or id.
    #[error("no voice called `{wanted}`. Known voices: {known}")]
    NotFound {
        /// Name or id that was asked for.
        wanted: String,
        /// Display names of the voices found.
        known: String,
    },
}

impl VoiceError {
    /// A damaged archive, with the reason in words.
    pub(crate) fn container(reason: impl AsRef<str>) -> Self {
        Self::Container { reason: presentable(reason.as_ref()) }
    }

    /// An invalid manifest, with the reason in words.
    pub(crate) fn manifest(reason: impl AsRef<str>) -> Self {
        Self::Manifest { reason: presentable(reason.as_ref()) }
    }
}

/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 600;

/// A text without control characters and of bounded length: reasons quote names out of hostile files, and are shown in
/// terminals.
pub(super) fn presentable(text: &str) -> String {
    let mut plain: String = text.chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARS + 1).collect();
    if let Some((cut, _)) = plain.char_indices().nth(MAX_REASON_CHARS) {
        plain.truncate(cut);
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert_eq!(presentable("`a\u{1b}[2J\n` é"), "`a[2J` é");
        assert_eq!(presentable(&"é".repeat(600)), "é".repeat(600));
        assert_eq!(presentable(&"é".repeat(90_000)).chars().count(), 601);
    }
}
