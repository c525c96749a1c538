//! The bank: content keys of a speaker's frames and the spectral shape that belongs to each.
//!
//! Plain data shared by all instances. The search is in the engine. Keys and shapes are integers: small, fast to compare,
//! and with the same result on every processor.

use super::VoiceError;
use super::manifest::ElementType;
use super::package::{Package, PackageWriter};

/// Dimensions of a content key.
pub const KEY_LEN: usize = 64;

/// Bands of a spectral shape. The same number as the engine's envelope; the engine asserts it.
pub const SHAPE_BANDS: usize = 86;

/// Most frames of one bank: 65 536 frames are 11 minutes at 100 frames a second.
pub const MAX_BANK_FRAMES: usize = 65_536;

const F0_STEPS_PER_HZ: f32 = 16.0;

/// One frame before it is quantised.
#[derive(Clone, Debug, PartialEq)]
pub struct BankFrame {
    /// Content key with the speaker's mean key subtracted.
    pub key: [f32; KEY_LEN],
    /// Envelope minus loudness, natural-log power per band.
    pub shape: [f32; SHAPE_BANDS],
    /// F0 in Hz; 0.0 = unvoiced.
    pub f0_hz: f32,
}

/// Keys, shapes and F0 of a speaker's frames, in the order of the recordings.
#[derive(Clone, Debug, PartialEq)]
pub struct Bank {
    /// `[frames, KEY_LEN]`, key × `key_scale`. In `-127..=127`, held as i16 because products of i16 are what every
    /// processor multiplies and adds in one instruction.
    keys: Vec<i16>,
    /// Squared length of each key, in the same units.
    norms: Vec<i32>,
    /// `[frames, SHAPE_BANDS]`.
    shapes: Vec<i8>,
    /// `[frames]`, in 1/16 Hz; 0 = unvoiced.
    f0: Vec<u16>,
    key_scale: f32,
    shape_offset: [f32; SHAPE_BANDS],
    shape_scale: [f32; SHAPE_BANDS],
}

impl Default for Bank {
    fn default() -> Self {
        Self::quantise(&[])
    }
}

impl Bank {
    /// Quantises frames. Frames beyond [`MAX_BANK_FRAMES`] are left out.
    ///
    /// The key scale puts the largest key component but one in ten thousand on 127, the shape scale maps each band's
    /// own range onto 8 bits: about 0.1 dB of error, far below the spread of the neighbours that are averaged.
    pub fn quantise(frames: &[BankFrame]) -> Self {
        let frames = &frames[..frames.len().min(MAX_BANK_FRAMES)];
        let mut sizes: Vec<f32> = frames.iter().flat_map(|frame| frame.key.iter().map(|v| v.abs())).collect();
        sizes.sort_by(f32::total_cmp);
        let largest = sizes.get(sizes.len().saturating_sub(1 + sizes.len() / 10_000)).copied().unwrap_or(1.0);
        let key_scale = 127.0 / largest.max(0.1);
        let mut shape_offset = [0.0; SHAPE_BANDS];
        let mut shape_scale = [1.0; SHAPE_BANDS];
        for band in 0..SHAPE_BANDS {
            let values = || frames.iter().map(|frame| frame.shape[band]);
            let low = values().fold(f32::INFINITY, f32::min);
            let high = values().fold(f32::NEG_INFINITY, f32::max);
            if low <= high {
                shape_offset[band] = 0.5 * (low + high);
                shape_scale[band] = ((high - low) / 254.0).max(1e-4);
            }
        }
        let keys: Vec<i8> = frames.iter().flat_map(|f| f.key.iter().map(|&v| to_i8(v * key_scale))).collect();
        let shapes = frames
            .iter()
            .flat_map(|f| (0..SHAPE_BANDS).map(|b| to_i8((f.shape[b] - shape_offset[b]) / shape_scale[b])))
            .collect();
        let f0 = frames.iter().map(|f| to_u16(f.f0_hz * F0_STEPS_PER_HZ)).collect();
        Self::assemble(&keys, shapes, f0, key_scale, shape_offset, shape_scale)
    }

    fn assemble(
        keys: &[i8],
        shapes: Vec<i8>,
        f0: Vec<u16>,
        key_scale: f32,
        shape_offset: [f32; SHAPE_BANDS],
        shape_scale: [f32; SHAPE_BANDS],
    ) -> Self {
        let keys: Vec<i16> = keys.iter().map(|&v| i16::from(v)).collect();
        let norms = keys.chunks_exact(KEY_LEN).map(|key| key.iter().map(|&v| i32::from(v) * i32::from(v)).sum());
        Self { norms: norms.collect(), keys, shapes, f0, key_scale, shape_offset, shape_scale }
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether there is nothing to retrieve.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// Quantised keys, `[frames, KEY_LEN]`.
    pub fn keys(&self) -> &[i16] {
        &self.keys
    }

    /// Squared lengths of the quantised keys.
    pub fn norms(&self) -> &[i32] {
        &self.norms
    }

    /// Factor from keys to quantised keys.
    pub fn key_scale(&self) -> f32 {
        self.key_scale
    }

    /// Whether a frame is voiced.
    pub fn is_voiced(&self, frame: usize) -> bool {
        self.f0[frame] > 0
    }

    /// F0 values in 1/16 Hz; 0 = unvoiced.
    pub fn f0_steps(&self) -> &[u16] {
        &self.f0
    }

    /// F0 of a frame in Hz; 0.0 = unvoiced.
    pub fn f0_hz(&self, frame: usize) -> f32 {
        f32::from(self.f0[frame]) / F0_STEPS_PER_HZ
    }

    /// Adds `weight` × the quantised shape of a frame to `sum`; [`Bank::finish_shape`] turns the sum into a shape.
    pub fn add_shape(&self, frame: usize, weight: f32, sum: &mut [f32; SHAPE_BANDS]) {
        let row = &self.shapes[frame * SHAPE_BANDS..(frame + 1) * SHAPE_BANDS];
        for (total, &value) in sum.iter_mut().zip(row) {
            *total += weight * f32::from(value);
        }
    }

    /// Converts a weighted mean of quantised shapes into natural-log power per band.
    pub fn finish_shape(&self, sum: &mut [f32; SHAPE_BANDS]) {
        for (band, value) in sum.iter_mut().enumerate() {
            *value = self.shape_offset[band] + self.shape_scale[band] * *value;
        }
    }

    /// The shape of one frame.
    pub fn shape(&self, frame: usize) -> [f32; SHAPE_BANDS] {
        let mut shape = [0.0; SHAPE_BANDS];
        self.add_shape(frame, 1.0, &mut shape);
        self.finish_shape(&mut shape);
        shape
    }

    /// Adds the members `bank/*` to a container.
    pub(crate) fn write(&self, writer: &mut PackageWriter) {
        // In -127..=127 by construction, so the narrowing keeps the value.
        let keys: Vec<i8> = self.keys.iter().map(|&v| to_i8(f32::from(v))).collect();
        writer.push_i8("bank/keys", &[self.len(), KEY_LEN], &keys);
        writer.push_i8("bank/shapes", &[self.len(), SHAPE_BANDS], &self.shapes);
        writer.push_u16("bank/f0", &self.f0);
        writer.push_f32("bank/key_scale", &[1], &[self.key_scale]);
        let ranges: Vec<f32> = self.shape_offset.iter().chain(&self.shape_scale).copied().collect();
        writer.push_f32("bank/shape_range", &[2, SHAPE_BANDS], &ranges);
    }

    /// Reads the members `bank/*`; a container without them has an empty bank.
    ///
    /// # Errors
    /// [`VoiceError`] naming the member that is missing, misshapen or impossible.
    pub(crate) fn read(package: &Package) -> Result<Self, VoiceError> {
        if !package.has("bank/keys") {
            return Ok(Self::default());
        }
        let keys = package.i8_matrix("bank/keys", KEY_LEN, MAX_BANK_FRAMES)?;
        let frames = keys.len() / KEY_LEN;
        let shapes = package.i8_matrix("bank/shapes", SHAPE_BANDS, MAX_BANK_FRAMES)?;
        if shapes.len() != frames * SHAPE_BANDS {
            return Err(VoiceError::Shape {
                member: "bank/shapes".to_owned(),
                found: format!("{} rows", shapes.len() / SHAPE_BANDS),
                expected: format!("{frames} rows, as in bank/keys"),
            });
        }
        let f0 = package.u16_list("bank/f0", frames)?;
        let key_scale = package.f32_array("bank/key_scale", &[1], 1e-3..=1e5)?[0];
        let ranges = package.f32_array("bank/shape_range", &[2, 86], -200.0..=200.0)?;
        let mut shape_offset = [0.0; SHAPE_BANDS];
        let mut shape_scale = [0.0; SHAPE_BANDS];
        shape_offset.copy_from_slice(&ranges[..SHAPE_BANDS]);
        shape_scale.copy_from_slice(&ranges[SHAPE_BANDS..]);
        if let Some(band) = shape_scale.iter().position(|&scale| !(0.0..=2.0).contains(&scale)) {
            return Err(VoiceError::Value { member: "bank/shape_range".to_owned(), position: SHAPE_BANDS + band });
        }
        Ok(Self::assemble(&keys, shapes, f0, key_scale, shape_offset, shape_scale))
    }

    /// Element types of the members, for the format's documentation and tests.
    pub const MEMBERS: [(&'static str, ElementType); 5] = [
        ("bank/keys", ElementType::I8),
        ("bank/shapes", ElementType::I8),
        ("bank/f0", ElementType::U16),
        ("bank/key_scale", ElementType::F32),
        ("bank/shape_range", ElementType::F32),
    ];
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the range first; NaN becomes 0")]
fn to_i8(value: f32) -> i8 {
    value.round().clamp(-127.0, 127.0) as i8
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range first; NaN becomes 0"
)]
fn to_u16(value: f32) -> u16 {
    value.round().clamp(0.0, 65_535.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(i: usize) -> BankFrame {
        let wave = |n: usize, step: f32| ((i * 7 + n) as f32 * step).sin();
        BankFrame {
            key: std::array::from_fn(|n| 3.0 * wave(n, 0.37)),
            shape: std::array::from_fn(|n| -6.0 + 5.0 * wave(n, 0.11)),
            f0_hz: if i.is_multiple_of(3) { 0.0 } else { 100.0 + i as f32 },
        }
    }

    #[test]
    fn quantised_shapes_stay_within_a_tenth_of_a_decibel() {
        let frames: Vec<BankFrame> = (0..200).map(frame).collect();
        let bank = Bank::quantise(&frames);
        for (i, original) in frames.iter().enumerate() {
            for (kept, wanted) in bank.shape(i).iter().zip(original.shape) {
                // Natural-log power: 0.1 dB = 0.023.
                assert!((kept - wanted).abs() < 0.023, "{kept} {wanted}");
            }
            assert!((bank.f0_hz(i) - original.f0_hz).abs() < 0.04);
            assert_eq!(bank.is_voiced(i), original.f0_hz > 0.0);
        }
    }

    #[test]
    fn quantised_keys_keep_distances() {
        let frames: Vec<BankFrame> = (0..50).map(frame).collect();
        let bank = Bank::quantise(&frames);
        let stored = |i: usize, n: usize| f32::from(bank.keys()[i * KEY_LEN + n]) / bank.key_scale();
        for i in 1..50 {
            let exact: f32 = (0..KEY_LEN).map(|n| (frames[i].key[n] - frames[0].key[n]).powi(2)).sum::<f32>().sqrt();
            let kept: f32 = (0..KEY_LEN).map(|n| (stored(i, n) - stored(0, n)).powi(2)).sum::<f32>().sqrt();
            assert!((exact - kept).abs() < 0.02 * exact.max(1.0), "{exact} {kept}");
        }
    }
}
