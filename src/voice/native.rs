//! A voice of the native engine: a bank of what was said and how it sounded, and averages. Plain data.

use super::adaptation::Adaptation;
use super::bank::{Bank, SHAPE_BANDS};
use super::error::VoiceError;
use super::package::{Package, PackageWriter};

/// Member with the share of the absolute map; optional.
const ABSOLUTE_PATH: &str = "stats/absolute_share";

/// Largest share of the absolute map that a file may ask for.
pub const MAX_ABSOLUTE_SHARE: f32 = 0.5;

/// Average spectral shapes of a speaker, natural-log power per band relative to the frame's loudness.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanShapes {
    /// Over active voiced frames.
    pub voiced: [f32; SHAPE_BANDS],
    /// Over active unvoiced frames.
    pub unvoiced: [f32; SHAPE_BANDS],
}

impl MeanShapes {
    /// Reads the member `stats/shapes`.
    pub(crate) fn read(package: &Package) -> Result<Self, VoiceError> {
        let [voiced, unvoiced] = two_rows(&package.f32_array("stats/shapes", &[2, 86], -100.0..=100.0)?);
        Ok(Self { voiced, unvoiced })
    }

    /// Writes the member `stats/shapes`.
    pub(crate) fn write(&self, writer: &mut PackageWriter) {
        let rows = [self.voiced, self.unvoiced];
        writer.push_f32("stats/shapes", &[2, SHAPE_BANDS], rows.as_flattened());
    }
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

/// What the native engine needs of a voice, and all that its file holds besides the manifest and the extras.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeVoice {
    /// Keys and shapes; empty in a voice that only has average shapes.
    pub bank: Bank,
    /// Average shapes.
    pub shapes: MeanShapes,
    /// Variance restoration for absolute retrieval.
    pub restoration: Restoration,
    /// Share of the absolute map at the default likeness, in `0.0..=`[`MAX_ABSOLUTE_SHARE`]: the rest is the differential
    /// map. 0 unless the voice was improved.
    pub absolute_share: f32,
    /// The refiner's adaptation to this voice, for mix mode; clones have one unless their recordings were short.
    pub adaptation: Option<Adaptation>,
}

impl NativeVoice {
    /// Reads the members.
    ///
    /// # Errors
    /// [`VoiceError`] naming what is missing or does not fit.
    pub(super) fn read(package: &Package) -> Result<Self, VoiceError> {
        let bank = Bank::read(package)?;
        let shapes = MeanShapes::read(package)?;
        let mean = package.f32_array("stats/retrieved_mean", &[2, 86], -100.0..=100.0)?;
        let ratio = package.f32_array("stats/variance_ratio", &[2, 86], 0.5..=4.0)?;
        let absolute_share = match package.has(ABSOLUTE_PATH) {
            true => package.f32_array(ABSOLUTE_PATH, &[1], 0.0..=MAX_ABSOLUTE_SHARE)?[0],
            false => 0.0,
        };
        let restoration = Restoration { mean: two_rows(&mean), ratio: two_rows(&ratio) };
        Ok(Self { bank, shapes, restoration, absolute_share, adaptation: Adaptation::read(package)? })
    }

    /// Adds the members to a container.
    pub(super) fn write(&self, writer: &mut PackageWriter) {
        self.bank.write(writer);
        self.shapes.write(writer);
        writer.push_f32("stats/retrieved_mean", &[2, SHAPE_BANDS], self.restoration.mean.as_flattened());
        writer.push_f32("stats/variance_ratio", &[2, SHAPE_BANDS], self.restoration.ratio.as_flattened());
        if self.absolute_share > 0.0 {
            writer.push_f32(ABSOLUTE_PATH, &[1], &[self.absolute_share]);
        }
        if let Some(adaptation) = &self.adaptation {
            adaptation.write(writer);
        }
    }
}

/// Splits `[2, SHAPE_BANDS]`; the length was checked with the member's shape.
fn two_rows(values: &[f32]) -> [[f32; SHAPE_BANDS]; 2] {
    std::array::from_fn(|row| std::array::from_fn(|band| values[row * SHAPE_BANDS + band]))
}
