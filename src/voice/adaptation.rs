//! What was learned about one voice for the refiner of mix mode: a linear addition to its last layer.
//!
//! Data only: `engine::native::refine` uses it, `clone::improve` fits it.

use super::VoiceError;
use super::manifest::ElementType;
use super::package::{Package, PackageWriter};

/// Values that the refiner's last layer sees.
pub const HIDDEN_LEN: usize = 192;

/// Bins that it answers for.
pub const GAIN_BINS: usize = 241;

/// Rows of the map: the hidden values and a constant.
pub const ROWS: usize = HIDDEN_LEN + 1;

/// Member with the map.
const WEIGHTS_PATH: &str = "refine/adaptation";

/// Member with the name of the hidden space.
const SPACE_PATH: &str = "refine/space";

/// Longest name of a hidden space, in bytes.
const MAX_SPACE_LEN: usize = 64;

/// Largest weight that a file may hold. Fitted ones stay below 1.
const MAX_WEIGHT: f32 = 10.0;

/// A linear map from hidden values to additions to the gains.
#[derive(Clone, PartialEq)]
pub struct Adaptation {
    space: String,
    /// `[ROWS, GAIN_BINS]`, the last row is the constant.
    weights: Box<[f32]>,
}

impl std::fmt::Debug for Adaptation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Adaptation({})", self.space)
    }
}

impl Adaptation {
    /// A map `[ROWS, GAIN_BINS]` for the hidden values called `space`; `None` when it has another length, values that are
    /// not finite or larger than a file may hold, or no proper name.
    pub fn new(space: &str, weights: Vec<f32>) -> Option<Self> {
        let fits = weights.len() == ROWS * GAIN_BINS && weights.iter().all(|weight| weight.abs() <= MAX_WEIGHT);
        let is_named = !space.is_empty() && space.len() <= MAX_SPACE_LEN;
        (fits && is_named).then(|| Self { space: space.to_owned(), weights: weights.into() })
    }

    /// Name of the hidden space that it belongs to; of no use to any other.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Adds `share` of what `hidden` means to `gains`, natural logarithms of amplitude. Shorter slices are
    /// done as far as they go.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks.
    pub fn add_to(&self, hidden: &[f32], share: f32, gains: &mut [f32]) {
        let (rows, _) = self.weights.as_chunks::<GAIN_BINS>();
        for (row, value) in rows.iter().zip(hidden.iter().chain([&1.0])) {
            let value = share * value;
            gains.iter_mut().zip(row).for_each(|(gain, weight)| *gain += value * weight);
        }
    }

    /// Reads the members; `None` when the file has none.
    ///
    /// # Errors
    /// Any [`VoiceError`] about the members.
    pub(super) fn read(package: &Package) -> Result<Option<Self>, VoiceError> {
        if !package.has(WEIGHTS_PATH) {
            return Ok(None);
        }
        let weights = package.f32_array(WEIGHTS_PATH, &[ROWS as u32, GAIN_BINS as u32], -MAX_WEIGHT..=MAX_WEIGHT)?;
        let strange = |found: String| VoiceError::Shape {
            member: SPACE_PATH.to_owned(),
            found,
            expected: format!("a name of at most {MAX_SPACE_LEN} bytes"),
        };
        let name = package.bytes(SPACE_PATH).ok_or_else(|| strange("nothing".into()))??;
        let space = std::str::from_utf8(name).map_err(|_| strange("no text".into()))?;
        Self::new(space, weights).map(Some).ok_or_else(|| strange(format!("{} bytes", name.len())))
    }

    /// Adds the members to a container.
    pub(super) fn write(&self, writer: &mut PackageWriter) {
        writer.push_f32(WEIGHTS_PATH, &[ROWS, GAIN_BINS], &self.weights);
        let name = self.space.as_bytes();
        writer.push(SPACE_PATH, ElementType::U8, &[name.len()], name.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_adds_what_the_rows_say() {
        let weights = (0..ROWS * GAIN_BINS).map(|n| (n / GAIN_BINS) as f32 / 100.0).collect();
        let adaptation = Adaptation::new("space", weights).expect("fits");
        let mut hidden = [0.0; HIDDEN_LEN];
        (hidden[3], hidden[10]) = (2.0, -1.0);
        let mut gains = [1.0; GAIN_BINS];
        adaptation.add_to(&hidden, 0.5, &mut gains);
        let expected = 1.0 + 0.5 * (2.0 * 0.03 - 0.10 + 1.92);
        assert!(gains.iter().all(|gain| (gain - expected).abs() < 1e-5), "{}", gains[0]);
    }

    #[test]
    fn strange_maps_are_refused() {
        let zeros = || vec![0.0; ROWS * GAIN_BINS];
        assert!(Adaptation::new("space", zeros()).is_some());
        assert!(Adaptation::new("", zeros()).is_none() && Adaptation::new(&"x".repeat(65), zeros()).is_none());
        assert!(Adaptation::new("space", zeros()[1..].to_vec()).is_none());
        for bad in [f32::NAN, f32::INFINITY, 11.0] {
            let mut weights = zeros();
            weights[77] = bad;
            assert!(Adaptation::new("space", weights).is_none());
        }
    }
}
