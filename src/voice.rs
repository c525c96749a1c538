//! Voices: what the user picks. A voice is a `.coffre` file, read as data only.
//!
//! Opened off the audio thread, then immutable and shared by all instances. Knows no engine, host or thread.

pub mod adaptation;
pub mod bank;
pub mod error;
pub mod extras;
mod file;
pub mod foundation;
pub mod import;
pub mod library;
pub mod manifest;
pub mod native;
pub mod package;
pub mod rvc;
pub mod signature;
pub mod tensors;

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use adaptation::Adaptation;
pub use bank::{Bank, BankFrame, KEY_LEN, SHAPE_BANDS};
pub use error::VoiceError;
pub use extras::{Extras, Portrait};
pub use library::{Library, Origin, VoiceEntry};
pub use manifest::{Consent, ConsentGround, Delivery, Kind, Manifest};
pub use native::{MeanShapes, NativeVoice, Restoration};
pub use package::Package;
pub use rvc::RvcVoice;
pub use signature::{Signature, Signer};

use package::PackageWriter;

/// SHA-256 of a voice file's content: the same file has the same id everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VoiceId([u8; 32]);

impl VoiceId {
    /// The id of a file with this content.
    pub fn of(file_content: &[u8]) -> Self {
        Self(Sha256::digest(file_content).into())
    }

    /// The raw hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for VoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&package::hex(&self.0))
    }
}

impl fmt::Debug for VoiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VoiceId({self})")
    }
}

impl FromStr for VoiceId {
    type Err = VoiceError;

    /// Reads 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, VoiceError> {
        let bad = || VoiceError::manifest("a voice id has 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut id = [0; 32];
        for (byte, digits) in id.iter_mut().zip(text.as_bytes().as_chunks::<2>().0) {
            let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(id))
    }
}

/// An opened voice: what every voice has, and what its engine needs.
#[derive(Debug)]
pub struct Voice {
    id: VoiceId,
    manifest: Manifest,
    signature: Signature,
    body: VoiceBody,
}

/// What the engine of a voice needs, shared so that the engine can hold it beside the voice. A third kind joins here, with
/// a module of its own.
#[derive(Clone, Debug)]
pub enum VoiceBody {
    /// For the native engine.
    Native(Arc<NativeVoice>),
    /// For the RVC engine.
    Rvc(Arc<RvcVoice>),
}

impl Voice {
    /// Opens a voice file.
    ///
    /// # Errors
    /// [`VoiceError`]: what is wrong and what to do.
    pub fn open(path: &Path) -> Result<Self, VoiceError> {
        Self::from_bytes(&Package::read_file(path)?)
    }

    /// Opens a voice from the content of its file.
    ///
    /// # Errors
    /// [`VoiceError`]: what is wrong and what to do.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VoiceError> {
        let mut package = Package::open(bytes)?;
        expect_kind(&package.manifest, Kind::Voice)?;
        let body = match package.manifest.engine.as_str() {
            manifest::ENGINE_RVC => VoiceBody::Rvc(Arc::new(RvcVoice::read(&mut package)?)),
            // Others are refused with the manifest.
            _ => VoiceBody::Native(Arc::new(NativeVoice::read(&package)?)),
        };
        let Package { id, manifest, signature, .. } = package;
        Ok(Self { id, manifest, signature, body })
    }

    /// A voice of the RVC engine that is not in a file yet, as when a checkpoint is used directly. `id` is the hash of
    /// what it was read from.
    pub fn from_rvc(id: VoiceId, manifest: Manifest, voice: RvcVoice) -> Self {
        Self { id, manifest, signature: Signature::Unsigned, body: VoiceBody::Rvc(Arc::new(voice)) }
    }

    /// Writes a voice file of the RVC engine.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid, [`VoiceError::Foreign`] when index and generator do not
    /// belong together.
    pub fn write_rvc(manifest: Manifest, voice: &RvcVoice) -> Result<Vec<u8>, VoiceError> {
        voice.validate()?;
        let engine = manifest::ENGINE_RVC.to_owned();
        let mut writer = PackageWriter::new(Manifest { kind: Kind::Voice, engine, ..manifest });
        voice.write(&mut writer);
        writer.finish()
    }

    /// Writes a voice file.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid.
    pub fn write(manifest: Manifest, body: &NativeVoice) -> Result<Vec<u8>, VoiceError> {
        Self::write_with(manifest, body, Extras::default(), None)
    }

    /// Writes a voice file with extras, signed when there is a signer.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid.
    pub fn write_with(
        manifest: Manifest,
        body: &NativeVoice,
        extras: Extras,
        signer: Option<&Signer>,
    ) -> Result<Vec<u8>, VoiceError> {
        let mut writer = PackageWriter::new(Manifest { kind: Kind::Voice, ..manifest });
        body.write(&mut writer);
        extras.write(&mut writer);
        writer.finish_signed(signer)
    }

    /// SHA-256 of the file content.
    pub fn id(&self) -> VoiceId {
        self.id
    }

    /// Display name.
    pub fn name(&self) -> &str {
        &self.manifest.name
    }

    /// Whether the file is signed.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Everything the file says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Median F0 of the voiced frames in Hz.
    pub fn median_f0_hz(&self) -> f32 {
        self.manifest.median_f0_hz
    }

    /// Highest frequency with real signal in the recordings, in Hz.
    pub fn bandwidth_hz(&self) -> f32 {
        self.manifest.bandwidth_hz
    }

    /// What its engine needs.
    pub fn body(&self) -> &VoiceBody {
        &self.body
    }

    /// What the native engine needs; `None` for a voice of another one.
    pub fn native(&self) -> Option<&Arc<NativeVoice>> {
        match &self.body {
            VoiceBody::Native(body) => Some(body),
            VoiceBody::Rvc(_) => None,
        }
    }

    /// What the RVC engine needs; `None` for a voice of another one.
    pub fn rvc(&self) -> Option<&Arc<RvcVoice>> {
        match &self.body {
            VoiceBody::Rvc(body) => Some(body),
            VoiceBody::Native(_) => None,
        }
    }

    /// Several lines in plain words, for `coffre inspect`.
    pub fn describe(&self) -> String {
        match &self.body {
            VoiceBody::Rvc(body) => describe_rvc(&self.id, &self.manifest, body),
            VoiceBody::Native(body) => describe(&self.id, &self.manifest, body.bank.len(), self.signature),
        }
    }
}

/// Several lines in plain words about a voice or singer file.
fn describe(id: &VoiceId, manifest: &Manifest, bank_frames: usize, signature: Signature) -> String {
    // A text with line breaks could imitate the lines below it.
    let one_line = |text: &str| text.replace(char::is_control, " ");
    let or_unknown = |text: &str| if text.is_empty() { "not stated".to_owned() } else { one_line(text) };
    let consent = match &manifest.consent {
        None => "no record: origin unknown".to_owned(),
        Some(consent) => {
            let ground = match consent.ground {
                ConsentGround::OwnVoice => "own voice",
                ConsentGround::WrittenConsent => "written consent",
                ConsentGround::LicensedData => "licensed recordings",
            };
            let date = consent.date.as_ref().map(|date| format!(" ({date})")).unwrap_or_default();
            let recordings = consent.recordings_sha256.as_ref().map(|hash| format!("\n  recordings   {hash}"));
            format!("{ground}{date}: {}{}", one_line(&consent.statement), recordings.unwrap_or_default())
        }
    };
    let extras: Vec<&str> =
        manifest.members.iter().filter(|m| extras::is_extra(&m.path)).map(|m| m.path.as_str()).collect();
    let extras = if extras.is_empty() { "none".to_owned() } else { extras.join(", ") };
    let signature = signature.key().map_or("unsigned".to_owned(), |key| format!("signed by the key {key}"));
    let [low, high] = manifest.range_hz;
    [
        format!("{} ({})", manifest.name, manifest.kind.as_str()),
        one_line(&manifest.description),
        format!("  id           {id}"),
        format!("  format       {}.{}, engine {}", manifest.format.major, manifest.format.minor, manifest.engine),
        format!("  content      {}", or_unknown(&manifest.content_space)),
        format!("  languages    {}", or_unknown(&manifest.languages.join(", "))),
        format!("  pitch        median {:.0} Hz, {low:.0} to {high:.0} Hz", manifest.median_f0_hz),
        format!("  bandwidth    {:.1} kHz", manifest.bandwidth_hz / 1000.0),
        format!("  bank         {bank_frames} frames, {:.0} s of voiced audio", manifest.voiced_seconds),
        format!("  author       {}", or_unknown(&manifest.author)),
        format!("  licence      {}", or_unknown(&manifest.licence)),
        format!("  attribution  {}", or_unknown(&manifest.attribution)),
        format!("  consent      {consent}"),
        format!("  extras       {extras}"),
        format!("  signature    {signature}"),
        manifest.improved_from.as_ref().map(|from| format!("  improved     from {from}")).unwrap_or_default(),
    ]
    .into_iter()
    .filter(|line| !line.is_empty())
    .collect::<Vec<_>>()
    .join("\n")
}

/// Several lines in plain words about a voice of the RVC engine.
fn describe_rvc(id: &VoiceId, manifest: &Manifest, voice: &RvcVoice) -> String {
    let mut lines = vec![
        format!("{} (voice)", manifest.name),
        format!("  id           {id}"),
        format!("  engine       {}", voice.describe()),
        format!("  needs        ContentVec with {} features", voice.features()),
    ];
    if let rvc::Generator::Weights(checkpoint) = &voice.generator {
        lines.push(format!("  speakers     {}", checkpoint.config.speakers));
        lines.extend(checkpoint.notes.iter().map(|(key, text)| format!("  {key:<11}  {text}")));
    }
    lines.push(match manifest.register_hz() {
        Some(median) => format!("  register     about {median:.0} Hz"),
        None => "  register     unknown: the register stays the singer's (coffre import --range)".to_owned(),
    });
    let origin = if manifest.consent.is_some() { "recorded" } else { "no record: origin unknown" };
    lines.push(format!("  consent      {origin}"));
    lines.join("\n")
}

/// Refuses a file of another kind.
pub(crate) fn expect_kind(manifest: &Manifest, kind: Kind) -> Result<(), VoiceError> {
    if manifest.kind == kind {
        return Ok(());
    }
    Err(VoiceError::WrongKind { found: manifest.kind.as_str().to_owned(), expected: kind.as_str() })
}
