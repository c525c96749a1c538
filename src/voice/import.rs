//! Voices of other programs, read as data only: RVC checkpoints (`.pth`), retrieval indexes (`.index`), ONNX exports.
//!
//! Every byte is hostile: no code in a file is ever run, nothing is allocated by a number from the file before that
//! number was compared with the file's own length. Knows no engine, no runtime and no thread.

pub mod checkpoint;
mod error;
pub mod faiss;
pub mod pickle;
pub mod torch;

pub use checkpoint::{Checkpoint, RvcConfig};
pub use error::ImportError;

use std::io::Read as _;
use std::path::Path;

/// Largest accepted file of another program, in bytes. A voice has 55 to 120 MB, an index of 200 000 frames 600 MB.
pub const MAX_FOREIGN_BYTES: u64 = 1 << 30;

/// Reads a file of another program into memory.
///
/// # Errors
/// [`ImportError::Unreadable`] or [`ImportError::TooLarge`].
pub fn read_file(path: &Path) -> Result<Vec<u8>, ImportError> {
    let unreadable =
        |error: std::io::Error| ImportError::Unreadable { path: path.display().to_string(), reason: error.to_string() };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(std::io::Error::other("not a regular file")));
    }
    let too_large = |bytes| ImportError::TooLarge { bytes, limit: MAX_FOREIGN_BYTES };
    if metadata.len() > MAX_FOREIGN_BYTES {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // The file may grow while it is read.
    file.take(MAX_FOREIGN_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FOREIGN_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}
