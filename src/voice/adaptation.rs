//! What was learned about one voice for a network of the engine: a linear addition to its last layer.
//!
//! Data only, of any size within bounds: which network it belongs to is said by the name of its hidden space, and what it
//! adds to is that network's business.

use super::VoiceError;
use super::manifest::ElementType;
use super::package::{Package, PackageWriter};

/// Member with the map.
const WEIGHTS_PATH: &str = "refine/adaptation";

/// Member with the name of the hidden space.
const SPACE_PATH: &str = "refine/space";

/// Longest name of a hidden space, in bytes.
const MAX_SPACE_LEN: usize = 64;

/// Most rows and columns.
const MAX_SIDE: usize = 1024;

/// Largest weight that a file may hold. Fitted ones stay below 1.
const MAX_WEIGHT: f32 = 10.0;

/// A linear map from hidden values to additions to the outputs.
#[derive(Clone, PartialEq)]
pub struct Adaptation {
    space: String,
    /// Rows, which are the hidden values and a constant, and columns, which are the outputs.
    shape: [usize; 2],
    /// Row-major, the last row is the constant.
    weights: Box<[f32]>,
}

impl std::fmt::Debug for Adaptation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Adaptation({}, {:?})", self.space, self.shape)
    }
}

impl Adaptation {
    /// A map of this shape, rows and columns, for the hidden values called `space`; `None` when the weights are not as
    /// many, not finite or larger than a file may hold, or when shape or name are out of bounds.
    pub fn new(space: &str, shape: [usize; 2], weights: Vec<f32>) -> Option<Self> {
        let is_bounded = shape.iter().all(|side| (1..=MAX_SIDE).contains(side));
        let fits = is_bounded && weights.len() == shape[0] * shape[1];
        let is_plausible = weights.iter().all(|weight| weight.abs() <= MAX_WEIGHT);
        let is_named = !space.is_empty() && space.len() <= MAX_SPACE_LEN;
        (fits && is_plausible && is_named).then(|| Self { space: space.to_owned(), shape, weights: weights.into() })
    }

    /// Whether it was made for a network with this hidden space and this shape; of no use to any other.
    pub fn is_for(&self, space: &str, shape: [usize; 2]) -> bool {
        self.space == space && self.shape == shape
    }

    /// Name of the hidden space that it belongs to.
    pub fn space(&self) -> &str {
        &self.space
    }

    /// Adds `share` of what `hidden` means to `outputs`. Shorter slices are done as far as they go.
    ///
    /// # Realtime safety
    /// Neither allocates nor locks.
    pub fn add_to(&self, hidden: &[f32], share: f32, outputs: &mut [f32]) {
        for (row, value) in self.weights.chunks_exact(self.shape[1]).zip(hidden.iter().chain([&1.0])) {
            let value = share * value;
            outputs.iter_mut().zip(row).for_each(|(output, weight)| *output += value * weight);
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
        let (shape, weights) = package.f32_matrix(WEIGHTS_PATH, MAX_SIDE, -MAX_WEIGHT..=MAX_WEIGHT)?;
        let strange = |found: String| VoiceError::Shape {
            member: SPACE_PATH.to_owned(),
            found,
            expected: format!("a name of at most {MAX_SPACE_LEN} bytes"),
        };
        let name = package.bytes(SPACE_PATH).ok_or_else(|| strange("nothing".into()))??;
        let space = std::str::from_utf8(name).map_err(|_| strange("no text".into()))?;
        Self::new(space, shape, weights).map(Some).ok_or_else(|| strange(format!("{} bytes", name.len())))
    }

    /// Adds the members to a container.
    pub(super) fn write(&self, writer: &mut PackageWriter) {
        writer.push_f32(WEIGHTS_PATH, &self.shape, &self.weights);
        let name = self.space.as_bytes();
        writer.push(SPACE_PATH, ElementType::U8, &[name.len()], name.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three hidden values and a constant, five outputs.
    const SHAPE: [usize; 2] = [4, 5];

    #[test]
    fn it_adds_what_the_rows_say() {
        let weights = (0..20).map(|n| (n / 5) as f32 / 100.0).collect();
        let adaptation = Adaptation::new("space", SHAPE, weights).expect("fits");
        let mut outputs = [1.0; 5];
        adaptation.add_to(&[7.0, 2.0, -1.0], 0.5, &mut outputs);
        let expected = 1.0 + 0.5 * (2.0 * 0.01 - 0.02 + 0.03);
        assert!(outputs.iter().all(|output| (output - expected).abs() < 1e-6), "{}", outputs[0]);
        assert!(adaptation.is_for("space", SHAPE));
        assert!(!adaptation.is_for("other", SHAPE) && !adaptation.is_for("space", [5, 4]));
    }

    #[test]
    fn strange_maps_are_refused() {
        let zeros = || vec![0.0; 20];
        assert!(Adaptation::new("space", SHAPE, zeros()).is_some());
        assert!(Adaptation::new("", SHAPE, zeros()).is_none());
        assert!(Adaptation::new(&"x".repeat(MAX_SPACE_LEN + 1), SHAPE, zeros()).is_none());
        assert!(Adaptation::new("space", SHAPE, zeros()[1..].to_vec()).is_none());
        for shape in [[0, 5], [5, 0], [usize::MAX, 2], [MAX_SIDE + 1, 1]] {
            let len = shape[0].checked_mul(shape[1]).unwrap_or(20);
            assert!(Adaptation::new("space", shape, vec![0.0; len]).is_none(), "{shape:?}");
        }
        for bad in [f32::NAN, f32::INFINITY, 11.0] {
            let mut weights = zeros();
            weights[7] = bad;
            assert!(Adaptation::new("space", SHAPE, weights).is_none());
        }
    }
}
