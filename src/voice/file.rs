//! Files of any origin: opened only when they are regular ones, told apart by length and time.
//!
//! A pipe, a device or a folder with a voice's name is refused without being opened, because opening it may wait for
//! ever. Not for the audio thread.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, Read, Result, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How exactly file systems keep a time; those that keep whole seconds (FAT: every other one) are told by that.
const TICK_NS: i64 = 100_000_000;
const COARSE_TICK_NS: i64 = 2_500_000_000;

/// Opens a regular file for reading; gives what the system says of the open file.
pub(super) fn open_regular(path: &Path) -> Result<(File, Metadata)> {
    let refuse_others = |about: &Metadata| match about.is_file() {
        true => Ok(()),
        false => Err(Error::other("not a regular file")),
    };
    // Asked before it is opened: a pipe would wait for somebody to write.
    refuse_others(&std::fs::metadata(path)?)?;
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    // It may have become a pipe since.
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    let file = options.open(path)?;
    let about = file.metadata()?;
    refuse_others(&about)?;
    Ok((file, about))
}

/// What stands for a file's content as long as nobody changes it: its length and the time of its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    /// Length in bytes.
    pub len: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
}

impl Stamp {
    /// The stamp in what the system says of a file.
    pub fn new(about: &Metadata) -> Self {
        Self { len: about.len(), modified_ns: about.modified().map_or(0, ns_since_epoch) }
    }

    /// The stamp of the file at a path; `None` when there is none or it is no regular file.
    pub fn of(path: &Path) -> Option<Self> {
        let about = std::fs::metadata(path).ok()?;
        about.is_file().then(|| Self::new(&about))
    }

    /// Whether the file was changed so lately that another change could leave the same time behind.
    pub fn is_fresh(&self, now: SystemTime) -> bool {
        let tick = if self.modified_ns % 1_000_000_000 == 0 { COARSE_TICK_NS } else { TICK_NS };
        // A time in the future is a wrong clock, not a change to come.
        (-tick..tick).contains(&ns_since_epoch(now).saturating_sub(self.modified_ns))
    }
}

fn ns_since_epoch(time: SystemTime) -> i64 {
    let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -ns(before.duration()), ns)
}

/// A reader that gives so many bytes and no more, wherever they are read from.
#[derive(Debug)]
pub(super) struct Budget<R> {
    inner: R,
    left: u64,
}

impl<R> Budget<R> {
    pub fn new(inner: R, bytes: u64) -> Self {
        Self { inner, left: bytes }
    }
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.left == 0 && !buffer.is_empty() {
            return Err(Error::other("more would have to be read than a manifest takes"));
        }
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl<R: Seek> Seek for Budget<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.inner.seek(to)
    }
}

/// A pipe, for tests: whoever opens it waits for ever.
#[cfg(all(test, unix))]
pub(super) fn make_pipe(path: &Path) {
    let name = std::ffi::CString::new(path.to_str().expect("UTF-8")).expect("a name");
    // SAFETY: a system call with a name that lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, pipe] = ["file", "pipe"].map(|name| folder.path().join(name));
        std::fs::write(&file, b"abc").expect("written");
        assert_eq!(open_regular(&file).expect("opens").1.len(), 3);
        assert!(open_regular(folder.path()).is_err());
        assert!(open_regular(&folder.path().join("absent")).is_err());
        assert_eq!(Stamp::of(&file).expect("a file").len, 3);
        assert_eq!(Stamp::of(folder.path()), None);
        #[cfg(unix)]
        {
            make_pipe(&pipe);
            assert!(open_regular(&pipe).is_err_and(|error| error.to_string().contains("regular")));
            assert_eq!(Stamp::of(&pipe), None);
        }
        #[cfg(target_os = "linux")]
        assert!(open_regular(Path::new("/dev/zero")).is_err());
        let _ = pipe;
    }

    #[test]
    fn what_was_changed_just_now_is_fresh() {
        let now = UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let stamp = |ms: i64| Stamp { len: 1, modified_ns: 1_000_000 * (1_700_000_000_000 + ms) };
        for (ms, is_fresh) in
            [(900, true), (850, true), (700, false), (0, true), (-1_000, true), (-2_000, false), (90_001, false)]
        {
            assert_eq!(stamp(ms).is_fresh(now), is_fresh, "{ms}");
        }
    }

    #[test]
    fn a_budget_ends() {
        let mut reader = Budget::new(std::io::Cursor::new([7; 100]), 10);
        let mut bytes = [0; 6];
        reader.read_exact(&mut bytes).expect("within");
        reader.seek(SeekFrom::Start(90)).expect("anywhere");
        assert!(reader.read_exact(&mut bytes).is_err());
    }
}
