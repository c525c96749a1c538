//! Microsoft's Visual C++ runtime: ONNX Runtime for Windows needs it, and a fresh Windows has none.
//!
//! A process has each of these libraries once, and some programs bring old ones of their own, which every plugin then has
//! to do with.

#[cfg(windows)]
mod windows;

use std::path::PathBuf;

/// The libraries that ONNX Runtime names, apart from what every Windows has since version 10.
pub const LIBRARIES: [&str; 4] = ["MSVCP140.dll", "MSVCP140_1.dll", "VCRUNTIME140.dll", "VCRUNTIME140_1.dll"];

/// Programs of newer compilers crash with a library that is older than this: its locks were laid out differently.
const OLDEST: (u16, u16) = (14, 40);

/// The version of a file, as Windows counts.
pub type Version = [u16; 4];

/// What there is of the libraries for the calling process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VisualC {
    /// Those of [`LIBRARIES`] that cannot be found.
    pub missing: Vec<&'static str>,
    /// The first one, the main one.
    pub main: Option<(PathBuf, Option<Version>)>,
}

impl VisualC {
    /// Looks for them as the system does for this process. Nothing is missing where nothing is needed.
    pub fn of_this_process() -> Self {
        #[cfg(windows)]
        return windows::look();
        #[cfg(not(windows))]
        Self::default()
    }

    /// Whether the main library is so old that a newer program may crash with it.
    pub fn is_old(&self) -> bool {
        let version = self.main.as_ref().and_then(|(_, version)| *version);
        version.is_some_and(|[major, minor, ..]| (major, minor) < OLDEST)
    }

    /// The main library in words.
    pub fn describe(&self) -> Option<String> {
        let (path, _) = self.main.as_ref()?;
        Some(format!("{} at {}", self.version().as_deref().unwrap_or("of unknown version"), path.display()))
    }

    /// The main library's version in words.
    pub fn version(&self) -> Option<String> {
        let (_, version) = self.main.as_ref()?;
        version.map(|version| version.map(|part| part.to_string()).join("."))
    }
}

/// What is wrong with the libraries when the system's loader gave this reason; `None` when it is something else.
pub(super) fn explain(reason: &str, found: &VisualC) -> Option<String> {
    let is = |code: u32| reason.contains(&format!("error {code})"));
    // "A library that this one needs was not found": the system does not say which.
    if is(126) && !found.missing.is_empty() {
        let (last, others) = found.missing.split_last()?;
        return Some(match others {
            [] => format!("{last} is missing"),
            others => format!("{} and {last} are missing", others.join(", ")),
        });
    }
    // "A function was not found" and "the library did not start".
    if (is(127) || is(1114)) && found.is_old() {
        return Some(format!("the one in this process is too old ({})", found.describe()?));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_FOUND: &str = "The specified module could not be found. (os error 126)";
    const NOT_STARTED: &str = "A dynamic link library (DLL) initialization routine failed. (os error 1114)";

    fn version(minor: u16) -> VisualC {
        VisualC { missing: Vec::new(), main: Some(("x/MSVCP140.dll".into(), Some([14, minor, 3, 0]))) }
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |names: &[&'static str]| VisualC { missing: names.to_vec(), main: None };
        assert_eq!(explain(NOT_FOUND, &missing(&LIBRARIES[..1])).as_deref(), Some("MSVCP140.dll is missing"));
        let all = explain(NOT_FOUND, &missing(&LIBRARIES)).expect("known");
        assert_eq!(all, "MSVCP140.dll, MSVCP140_1.dll, VCRUNTIME140.dll and VCRUNTIME140_1.dll are missing");
        assert_eq!(explain(NOT_FOUND, &VisualC::default()), None, "another library is");
        assert_eq!(explain("%1 is not a valid Win32 application. (os error 193)", &missing(&LIBRARIES)), None);
    }

    #[test]
    fn what_is_too_old_is_named_with_its_place() {
        let said = explain(NOT_STARTED, &version(29)).expect("known");
        assert_eq!(said, "the one in this process is too old (14.29.3.0 at x/MSVCP140.dll)");
        assert_eq!(explain(NOT_STARTED, &version(40)), None);
        assert_eq!(explain(NOT_FOUND, &version(29)), None);
        assert!(!VisualC::default().is_old());
        // As with Wine, whose libraries say no version.
        let unknown = VisualC { missing: Vec::new(), main: Some(("x/MSVCP140.dll".into(), None)) };
        assert_eq!((unknown.is_old(), explain(NOT_STARTED, &unknown)), (false, None));
        assert_eq!(unknown.describe().as_deref(), Some("of unknown version at x/MSVCP140.dll"));
    }

    #[test]
    fn this_process_has_what_it_needs() {
        let found = VisualC::of_this_process();
        assert!(found.missing.is_empty(), "{found:?}");
        assert_eq!(found.describe().is_some(), cfg!(windows), "{found:?}");
    }
}
