//! RVC's retrieval index: an inverted file with flat vectors as faiss writes it (`IwFl`).
//!
//! Every count in the file is compared with the remaining bytes before anything is allocated. `read` reads what `write`
//! writes, so voice files keep the same layout.

use super::ImportError;

/// Longest vector.
const MAX_DIM: usize = 4_096;

/// Most lists.
const MAX_LISTS: usize = 1 << 20;

/// Vectors in lists, each list around a centroid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RetrievalIndex {
    /// Length of a vector.
    pub dim: usize,
    /// `[lists, dim]`.
    pub centroids: Vec<f32>,
    /// First row of each list, and the number of rows at the end: `[lists + 1]`.
    pub starts: Vec<usize>,
    /// `[rows, dim]`, list after list.
    pub vectors: Vec<f32>,
    /// What the file calls each row: its place in the order of training.
    pub ids: Vec<u32>,
}

impl RetrievalIndex {
    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is nothing to retrieve.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Reads a `.index` file.
    ///
    /// # Errors
    /// [`ImportError::Unsupported`] for other kinds of index, [`ImportError::Damaged`] for what does not fit together.
    pub fn read(bytes: &[u8]) -> Result<Self, ImportError> {
        let mut input = Input { rest: bytes };
        let kind = input.take(4)?;
        if kind != b"IwFl" {
            let shown: String = String::from_utf8_lossy(kind).chars().filter(|c| c.is_ascii_graphic()).collect();
            return Err(ImportError::unsupported(format!(
                "the index is of the kind `{shown}`; RVC makes `IwFl` (IVF, Flat). Give the file called added_*.index"
            )));
        }
        let header = input.header()?;
        let lists = input.count(MAX_LISTS)?;
        input.count(usize::MAX)?; // how many lists a search looks at; RVC says 1 and this reader does so
        let quantiser = input.take(4)?;
        if ![b"IxF2".as_slice(), b"IxFI", b"IxFl"].contains(&quantiser) {
            return Err(ImportError::unsupported("the index has centroids of an unknown kind"));
        }
        let inner = input.header()?;
        let values = input.count(usize::MAX)?;
        if inner.dim != header.dim || inner.count != lists || lists.checked_mul(header.dim) != Some(values) {
            return Err(contradiction());
        }
        let centroids = input.floats(values)?;
        input.direct_map()?;
        if input.take(4)? != b"ilar" {
            return Err(ImportError::unsupported("the index keeps its vectors in another file. Use a complete one"));
        }
        if input.count(MAX_LISTS)? != lists || Some(input.count(usize::MAX)?) != header.dim.checked_mul(4) {
            return Err(contradiction());
        }
        let lengths = input.list_lengths(lists)?;
        let total = lengths.iter().try_fold(0_usize, |sum, &len| sum.checked_add(len)).ok_or_else(contradiction)?;
        if total != header.count {
            return Err(contradiction());
        }
        // A row takes its vector and an id: more than the file holds is refused before memory is taken.
        if total.checked_mul(4 * header.dim + 8).is_none_or(|need| need > input.rest.len()) {
            return Err(cut());
        }
        let mut index = Self {
            dim: header.dim,
            centroids,
            starts: vec![0],
            vectors: Vec::with_capacity(total * header.dim),
            ids: Vec::with_capacity(total),
        };
        for len in lengths {
            index.vectors.extend(input.floats(len * header.dim)?);
            for id in input.take(8 * len)?.as_chunks::<8>().0 {
                let id = u32::try_from(i64::from_le_bytes(*id)).map_err(|_| contradiction())?;
                index.ids.push(id);
            }
            index.starts.push(index.ids.len());
        }
        let finite = |values: &[f32]| values.iter().all(|value| value.is_finite() && value.abs() < 1e9);
        if !finite(&index.centroids) || !finite(&index.vectors) {
            return Err(ImportError::damaged("the index holds values that are not finite"));
        }
        if index.is_empty() {
            return Err(ImportError::unsupported(
                "the index holds no vectors: it is the file called trained_*.index. Give the one called added_*.index",
            ));
        }
        Ok(index)
    }

    /// Writes the index as faiss would, with full lists.
    pub fn write(&self) -> Vec<u8> {
        let lists = self.starts.len() - 1;
        let mut out =
            Vec::with_capacity(4 * (self.centroids.len() + self.vectors.len()) + 8 * (self.len() + lists) + 200);
        let word = |out: &mut Vec<u8>, value: usize| out.extend_from_slice(&(value as u64).to_le_bytes());
        let header = |out: &mut Vec<u8>, rows: usize| {
            out.extend_from_slice(&(self.dim as u32).to_le_bytes());
            word(out, rows);
            [1 << 20, 1 << 20].iter().for_each(|&dummy| word(out, dummy));
            out.push(1);
            out.extend_from_slice(&1_u32.to_le_bytes());
        };
        out.extend_from_slice(b"IwFl");
        header(&mut out, self.len());
        word(&mut out, lists);
        word(&mut out, 1);
        out.extend_from_slice(b"IxF2");
        header(&mut out, lists);
        word(&mut out, self.centroids.len());
        self.centroids.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
        out.push(0);
        word(&mut out, 0);
        out.extend_from_slice(b"ilar");
        word(&mut out, lists);
        word(&mut out, 4 * self.dim);
        out.extend_from_slice(b"full");
        word(&mut out, lists);
        self.starts.windows(2).for_each(|pair| word(&mut out, pair[1] - pair[0]));
        for rows in self.starts.windows(2).map(|pair| pair[0]..pair[1]) {
            let values = &self.vectors[rows.start * self.dim..rows.end * self.dim];
            values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            self.ids[rows].iter().for_each(|&id| word(&mut out, id as usize));
        }
        out
    }
}

struct Header {
    dim: usize,
    count: usize,
}

struct Input<'b> {
    rest: &'b [u8],
}

fn cut() -> ImportError {
    ImportError::damaged("the index ends too early")
}

fn contradiction() -> ImportError {
    ImportError::damaged("the numbers in the index contradict each other")
}

impl<'b> Input<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], ImportError> {
        let (part, rest) = self.rest.split_at_checked(len).ok_or_else(cut)?;
        self.rest = rest;
        Ok(part)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        self.take(N)?.try_into().map_err(|_| cut())
    }

    fn count(&mut self, limit: usize) -> Result<usize, ImportError> {
        let value = usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| contradiction())?;
        if value > limit { Err(contradiction()) } else { Ok(value) }
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f32>, ImportError> {
        let bytes = self.take(count.checked_mul(4).ok_or_else(cut)?)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|quad| f32::from_le_bytes(*quad)).collect())
    }

    fn header(&mut self) -> Result<Header, ImportError> {
        let dim = u32::from_le_bytes(self.array()?) as usize;
        let count = self.count(u32::MAX as usize)?;
        self.take(16)?;
        let is_trained = self.array::<1>()?[0];
        let metric = i32::from_le_bytes(self.array()?);
        if dim == 0 || dim > MAX_DIM || is_trained != 1 {
            return Err(contradiction());
        }
        if metric != 1 {
            return Err(ImportError::unsupported(
                "the index compares by another measure than distance, as RVC never does",
            ));
        }
        Ok(Header { dim, count })
    }

    /// A table from ids to rows, which nothing here needs.
    fn direct_map(&mut self) -> Result<(), ImportError> {
        let kind = self.array::<1>()?[0];
        let entries = self.count(usize::MAX)?;
        self.take(entries.checked_mul(8).ok_or_else(cut)?)?;
        if kind == 2 {
            let pairs = self.count(usize::MAX)?;
            self.take(pairs.checked_mul(16).ok_or_else(cut)?)?;
        }
        Ok(())
    }

    fn list_lengths(&mut self, lists: usize) -> Result<Vec<usize>, ImportError> {
        let kind = self.take(4)?;
        let words = self.count(usize::MAX)?;
        let bytes = self.take(words.checked_mul(8).ok_or_else(cut)?)?;
        let values: Option<Vec<usize>> =
            bytes.as_chunks::<8>().0.iter().map(|word| usize::try_from(u64::from_le_bytes(*word)).ok()).collect();
        let values = values.ok_or_else(contradiction)?;
        match kind {
            b"full" if values.len() == lists => Ok(values),
            b"sprs" => {
                // Lists come at most a few hundred times as many as the file has bytes for: bounded by `MAX_LISTS`.
                let mut lengths = vec![0; lists];
                let (pairs, []) = values.as_chunks::<2>() else { return Err(contradiction()) };
                for [list, len] in pairs {
                    *lengths.get_mut(*list).ok_or_else(contradiction)? = *len;
                }
                Ok(lengths)
            }
            _ => Err(contradiction()),
        }
    }
}
