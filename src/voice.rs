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
pub mod package;
pub mod rvc;
pub mod signature;
pub mod tensors;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

pub use adaptation::Adaptation;
pub use bank::{Bank, BankFrame, KEY_LEN, SHAPE_BANDS};
pub use error::VoiceError;
pub use extras::{Extras, Portrait};
pub use library::{Library, Origin, VoiceEntry};
pub use manifest::{Consent, ConsentGround, Delivery, Kind, Manifest};
pub use package::Package;
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

/// Average spectral shapes of a speaker, natural-log power per band relative to the frame's loudness.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanShapes {
    /// Over active voiced frames.
    pub voiced: [f32; SHAPE_BANDS],
    /// Over active unvoiced frames.
    pub unvoiced: [f32; SHAPE_BANDS],
}

/// Variance that retrieval loses, and the factors that restore it.
///
/// The mean of neighbours is smoother than speech. `ratio` is the per-band standard deviation of the speaker's own
/// frames over that of smoothed retrieved ones, measured when the voice was built by asking every recording of the
/// bank without its own frames; in `1.0..=1.7`.
#[derive(Clone, Debug, PartialEq)]
pub struct Restoration {
    /// Mean of the retrieved shapes, around which the ratio acts: voiced, unvoiced.
    pub mean: [[f32; SHAPE_BANDS]; 2],
    /// Factor on the deviation from the mean: voiced, unvoiced.
    pub ratio: [[f32; SHAPE_BANDS]; 2],
}

/// An opened voice.
#[derive(Debug)]
pub struct Voice {
    id: VoiceId,
    manifest: Manifest,
    signature: Signature,
    bank: Bank,
    shapes: MeanShapes,
    restoration: Restoration,
    absolute_share: f32,
    adaptation: Option<Adaptation>,
    /// What the RVC engine needs; such a voice has nothing of the above.
    rvc: Option<rvc::RvcVoice>,
}

/// What is needed to write a voice file besides its manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct VoiceParts {
    /// Keys and shapes.
    pub bank: Bank,
    /// Mean shapes.
    pub shapes: MeanShapes,
    /// Variance restoration.
    pub restoration: Restoration,
    /// See [`Voice::absolute_share`].
    pub absolute_share: f32,
    /// See [`Voice::adaptation`].
    pub adaptation: Option<Adaptation>,
}

/// Member with the share of the absolute map; optional.
const ABSOLUTE_PATH: &str = "stats/absolute_share";

/// Largest share of the absolute map that a file may ask for.
pub const MAX_ABSOLUTE_SHARE: f32 = 0.5;

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
        if package.manifest.engine == manifest::ENGINE_RVC {
            let voice = rvc::RvcVoice::read(&mut package)?;
            return Ok(Self::from_rvc(package.id, package.manifest, voice));
        }
        let bank = Bank::read(&package)?;
        let shapes = read_mean_shapes(&package)?;
        let mean = package.f32_array("stats/retrieved_mean", &[2, 86], -100.0..=100.0)?;
        let ratio = package.f32_array("stats/variance_ratio", &[2, 86], 0.5..=4.0)?;
        let restoration = Restoration { mean: two_rows(&mean), ratio: two_rows(&ratio) };
        let absolute_share = match package.has(ABSOLUTE_PATH) {
            true => package.f32_array(ABSOLUTE_PATH, &[1], 0.0..=MAX_ABSOLUTE_SHARE)?[0],
            false => 0.0,
        };
        let adaptation = Adaptation::read(&package)?;
        let Package { id, manifest, signature, .. } = package;
        Ok(Self { id, manifest, signature, bank, shapes, restoration, absolute_share, adaptation, rvc: None })
    }

    /// A voice of the RVC engine that is not in a file yet, as when a checkpoint is used directly. `id` is the hash of
    /// what it was read from.
    pub fn from_rvc(id: VoiceId, manifest: Manifest, voice: rvc::RvcVoice) -> Self {
        let flat = [0.0; SHAPE_BANDS];
        Self {
            id,
            manifest,
            signature: Signature::Unsigned,
            bank: Bank::default(),
            shapes: MeanShapes { voiced: flat, unvoiced: flat },
            restoration: Restoration { mean: [flat; 2], ratio: [[1.0; SHAPE_BANDS]; 2] },
            absolute_share: 0.0,
            adaptation: None,
            rvc: Some(voice),
        }
    }

    /// Writes a voice file of the RVC engine.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid, [`VoiceError::Foreign`] when index and generator do not
    /// belong together.
    pub fn write_rvc(manifest: Manifest, voice: &rvc::RvcVoice) -> Result<Vec<u8>, VoiceError> {
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
    pub fn write(manifest: Manifest, parts: &VoiceParts) -> Result<Vec<u8>, VoiceError> {
        Self::write_with(manifest, parts, Extras::default(), None)
    }

    /// Writes a voice file with extras, signed when there is a signer.
    ///
    /// # Errors
    /// [`VoiceError::Manifest`] when the manifest is not valid.
    pub fn write_with(
        manifest: Manifest,
        parts: &VoiceParts,
        extras: Extras,
        signer: Option<&Signer>,
    ) -> Result<Vec<u8>, VoiceError> {
        let mut writer = PackageWriter::new(Manifest { kind: Kind::Voice, ..manifest });
        parts.bank.write(&mut writer);
        write_mean_shapes(&parts.shapes, &mut writer);
        writer.push_f32("stats/retrieved_mean", &[2, SHAPE_BANDS], parts.restoration.mean.as_flattened());
        writer.push_f32("stats/variance_ratio", &[2, SHAPE_BANDS], parts.restoration.ratio.as_flattened());
        if parts.absolute_share > 0.0 {
            writer.push_f32(ABSOLUTE_PATH, &[1], &[parts.absolute_share]);
        }
        if let Some(adaptation) = &parts.adaptation {
            adaptation.write(&mut writer);
        }
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

    /// Keys and shapes; empty in a voice that only has average shapes.
    pub fn bank(&self) -> &Bank {
        &self.bank
    }

    /// Average shapes.
    pub fn shapes(&self) -> &MeanShapes {
        &self.shapes
    }

    /// Variance restoration for absolute retrieval.
    pub fn restoration(&self) -> &Restoration {
        &self.restoration
    }

    /// Share of the absolute map at the default likeness, in `0.0..=`[`MAX_ABSOLUTE_SHARE`]: the rest is the differential
    /// map. 0 unless the voice was improved.
    pub fn absolute_share(&self) -> f32 {
        self.absolute_share
    }

    /// The refiner's adaptation to this voice, for mix mode; clones have one unless their recordings were short.
    pub fn adaptation(&self) -> Option<&Adaptation> {
        self.adaptation.as_ref()
    }

    /// What is needed to write the file again.
    pub fn parts(&self) -> VoiceParts {
        VoiceParts {
            bank: self.bank.clone(),
            shapes: self.shapes.clone(),
            restoration: self.restoration.clone(),
            absolute_share: self.absolute_share,
            adaptation: self.adaptation.clone(),
        }
    }

    /// What the RVC engine needs; `None` for a voice of the native engine.
    pub fn rvc(&self) -> Option<&rvc::RvcVoice> {
        self.rvc.as_ref()
    }

    /// Several lines in plain words, for `coffre inspect`.
    pub fn describe(&self) -> String {
        match &self.rvc {
            Some(voice) => describe_rvc(&self.id, &self.manifest, voice),
            None => describe(&self.id, &self.manifest, self.bank.len(), self.signature),
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
fn describe_rvc(id: &VoiceId, manifest: &Manifest, voice: &rvc::RvcVoice) -> String {
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

/// Reads the member `stats/shapes`.
pub(crate) fn read_mean_shapes(package: &Package) -> Result<MeanShapes, VoiceError> {
    let [voiced, unvoiced] = two_rows(&package.f32_array("stats/shapes", &[2, 86], -100.0..=100.0)?);
    Ok(MeanShapes { voiced, unvoiced })
}

/// Writes the member `stats/shapes`.
pub(crate) fn write_mean_shapes(shapes: &MeanShapes, writer: &mut PackageWriter) {
    let rows = [shapes.voiced, shapes.unvoiced];
    writer.push_f32("stats/shapes", &[2, SHAPE_BANDS], rows.as_flattened());
}

/// Splits `[2, SHAPE_BANDS]`; the length was checked with the member's shape.
fn two_rows(values: &[f32]) -> [[f32; SHAPE_BANDS]; 2] {
    std::array::from_fn(|row| std::array::from_fn(|band| values[row * SHAPE_BANDS + band]))
}
