//! Named arrays of a network, as stored in a file: fp16 stays fp16 until the numbers are read.
//!
//! Voice files keep them in the safetensors layout: the length of a JSON table, the table, the bytes. Does not know what the
//! arrays mean.

use std::collections::BTreeMap;

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use super::import::ImportError;

/// Most arrays together, also where a voice has them in several members.
pub const MAX_ARRAYS: usize = 8_192;

/// Longest table, in bytes.
pub const MAX_TABLE_BYTES: usize = 4 << 20;

/// Element type of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FloatType {
    /// IEEE half precision.
    F16,
    /// Half precision with the exponent of single precision.
    #[serde(rename = "BF16")]
    Bf16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl FloatType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Where one array lies.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    float: FloatType,
    shape: Vec<usize>,
    /// First byte in the data.
    start: usize,
}

/// One line of the table of a file.
#[derive(Serialize, Deserialize)]
struct TableLine {
    dtype: FloatType,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Named arrays over one block of bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensors {
    data: Vec<u8>,
    entries: BTreeMap<String, Entry>,
}

/// Elements of a shape, if that many fit into `limit`.
pub(crate) fn elements(shape: &[usize], limit: usize) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size)).filter(|&count| count <= limit)
}

impl Tensors {
    /// Nothing yet, over these bytes.
    pub(crate) fn over(data: Vec<u8>) -> Self {
        Self { data, entries: BTreeMap::new() }
    }

    /// Names an array that lies contiguously at `start`.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when it reaches beyond the data.
    pub(crate) fn add(
        &mut self,
        name: &str,
        float: FloatType,
        shape: Vec<usize>,
        start: usize,
    ) -> Result<(), ImportError> {
        let outside = || ImportError::damaged("a tensor reaches beyond its data");
        let count = elements(&shape, self.data.len()).ok_or_else(outside)?;
        let len = count.checked_mul(float.bytes()).ok_or_else(outside)?;
        if start.checked_add(len).is_none_or(|end| end > self.data.len()) {
            return Err(outside());
        }
        if self.entries.len() >= MAX_ARRAYS {
            return Err(ImportError::damaged(format!("it holds more than {MAX_ARRAYS} tensors")));
        }
        self.entries.insert(name.to_owned(), Entry { float, shape, start });
        Ok(())
    }

    /// Checks the total size of all arrays. They may overlap, as tied weights do; without a limit a small file could be
    /// written as a huge one.
    ///
    /// # Errors
    /// [`ImportError::Damaged`].
    pub(crate) fn check_total(&self) -> Result<(), ImportError> {
        let total = self.entries.values().fold(0_usize, |sum, entry| sum.saturating_add(self.bytes(entry).len()));
        match total > 2 * self.data.len() {
            true => Err(ImportError::damaged("its tensors are larger than the file")),
            false => Ok(()),
        }
    }

    /// Appends bytes and gives their place.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> usize {
        self.data.extend_from_slice(bytes);
        self.data.len() - bytes.len()
    }

    /// The bytes that all arrays lie in.
    pub(crate) fn data(&self) -> &[u8] {
        &self.data
    }

    /// Names of all arrays.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Shape of an array; `None` without it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// Whether there is such an array.
    pub fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The numbers of an array that must have the given shape.
    ///
    /// # Errors
    /// [`ImportError::MissingTensor`], [`ImportError::Shape`], or [`ImportError::Damaged`] for numbers that are none.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ImportError> {
        let entry = self.entries.get(name).ok_or_else(|| ImportError::MissingTensor { name: name.to_owned() })?;
        if entry.shape != shape {
            return Err(ImportError::Shape {
                name: name.to_owned(),
                found: entry.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let bytes = self.bytes(entry);
        #[expect(clippy::cast_possible_truncation, reason = "what does not fit becomes infinite and is refused")]
        let values: Vec<f32> = match entry.float {
            FloatType::F16 => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            FloatType::Bf16 => bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            FloatType::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            FloatType::F64 => bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32).collect(),
        };
        match values.iter().all(|value| value.is_finite()) {
            true => Ok(values),
            false => Err(ImportError::damaged(format!("the tensor `{name}` holds values that are not finite"))),
        }
    }

    fn bytes(&self, entry: &Entry) -> &[u8] {
        let count: usize = entry.shape.iter().product();
        &self.data[entry.start..entry.start + count * entry.float.bytes()]
    }

    /// The arrays whose names pass, in the layout of a file.
    pub fn to_bytes(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<u8> {
        let wanted = || self.entries.iter().filter(|(name, _)| is_wanted(name));
        let mut at = 0;
        let table: BTreeMap<&str, TableLine> = wanted()
            .map(|(name, entry)| {
                let start = at;
                at += self.bytes(entry).len();
                let line = TableLine { dtype: entry.float, shape: entry.shape.clone(), data_offsets: [start, at] };
                (name.as_str(), line)
            })
            .collect();
        let table = serde_json::to_vec(&table).unwrap_or_default();
        let mut file = Vec::with_capacity(8 + table.len() + at);
        file.extend_from_slice(&(table.len() as u64).to_le_bytes());
        file.extend_from_slice(&table);
        wanted().for_each(|(_, entry)| file.extend_from_slice(self.bytes(entry)));
        file
    }

    /// Adds the arrays of a file in this layout.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] when table and bytes do not fit together.
    pub fn read(&mut self, file: &[u8]) -> Result<(), ImportError> {
        let cut = || ImportError::damaged("its table of tensors is truncated");
        let (len, rest) = file.split_first_chunk::<8>().ok_or_else(cut)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok().filter(|&len| len <= MAX_TABLE_BYTES);
        let (table, data) = len.and_then(|len| rest.split_at_checked(len)).ok_or_else(cut)?;
        let table: BTreeMap<String, TableLine> =
            serde_json::from_slice(table).map_err(|error| ImportError::damaged(format!("its table: {error}")))?;
        let base = self.append(data);
        for (name, line) in table {
            let [start, end] = line.data_offsets;
            let count = elements(&line.shape, data.len()).ok_or_else(cut)?;
            if end > data.len() || end.checked_sub(start) != count.checked_mul(line.dtype.bytes()) {
                return Err(ImportError::damaged(format!("the tensor `{name}` does not fit its place")));
            }
            self.add(&name, line.dtype, line.shape, base + start)?;
        }
        self.check_total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Tensors {
        let mut tensors = Tensors::default();
        let halves: Vec<u8> = [1.0, -2.5, 0.0, 4.0].iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
        let at = tensors.append(&halves);
        tensors.add("a.weight", FloatType::F16, vec![2, 2], at).expect("inside");
        let at = tensors.append(&0.1_f32.to_le_bytes());
        tensors.add("b", FloatType::F32, vec![1], at).expect("inside");
        tensors
    }

    #[test]
    fn arrays_survive_a_file_bit_by_bit() {
        let mut again = Tensors::default();
        again.read(&some().to_bytes(|_| true)).expect("readable");
        assert_eq!(again.floats("a.weight", &[2, 2]), Ok(vec![1.0, -2.5, 0.0, 4.0]));
        assert_eq!(again.floats("b", &[1]), Ok(vec![0.1]));
        let mut part = Tensors::default();
        part.read(&some().to_bytes(|name| name == "b")).expect("readable");
        assert_eq!(part.names().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn wrong_shapes_and_cut_files_are_refused() {
        let tensors = some();
        assert!(matches!(tensors.floats("a.weight", &[4]), Err(ImportError::Shape { .. })));
        assert!(matches!(tensors.floats("c", &[4]), Err(ImportError::MissingTensor { .. })));
        let whole = tensors.to_bytes(|_| true);
        for len in 0..whole.len() {
            assert!(Tensors::default().read(&whole[..len]).is_err(), "{len} bytes");
        }
        assert!(Tensors::over(vec![0; 8]).add("x", FloatType::F32, vec![usize::MAX, 2], 0).is_err());
        assert!(Tensors::over(vec![0; 8]).add("x", FloatType::F32, vec![1], usize::MAX).is_err());
    }
}
