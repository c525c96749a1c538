//! Which files are meant when people name files and folders. Reads no sound.

use std::path::{Path, PathBuf};

/// Names of audio files end so.
pub const AUDIO: [&str; 22] = [
    "aac", "aif", "aifc", "aiff", "alac", "au", "bwf", "caf", "flac", "m4a", "m4b", "mp2", "mp3", "mp4", "oga", "ogg",
    "opus", "rf64", "snd", "w64", "wav", "wave",
];

/// What programs put beside recordings: peaks, projects, settings.
const BESIDE: [&str; 26] = [
    "als", "asd", "aup", "aup3", "bak", "cpr", "cue", "db", "flp", "gpk", "ini", "lnk", "logicx", "npr", "ovw", "peak",
    "pk", "pkf", "ptf", "ptx", "reapeaks", "rpp", "rpp-bak", "sfk", "sfl", "wfm",
];

/// Most files of one call, and how deep folders are followed.
const MAX_FILES: usize = 100_000;
const MAX_DEPTH: usize = 32;

/// An audio file that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meant {
    /// Where it is.
    pub path: PathBuf,
    /// Its place below the folder that was named; the file name alone where the file itself was named.
    pub below: PathBuf,
}

/// What paths mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Audio files: as named, those of a folder by name.
    pub files: Vec<Meant>,
    /// By-products of systems and audio programs that were passed over.
    pub beside: usize,
    /// Other files that were passed over.
    pub others: Vec<PathBuf>,
    /// Folders in folders that were not looked into.
    pub folders: Vec<PathBuf>,
    /// Files and folders that the system would not show.
    pub closed: Vec<PathBuf>,
}

impl Look {
    /// What was left out, a line for each kind; empty when nothing was.
    pub fn left_out(&self) -> Vec<String> {
        let named = |paths: &[PathBuf], what: &str| {
            let shown: Vec<String> = paths.iter().take(5).map(|path| path.display().to_string()).collect();
            let more = if paths.len() > 5 { format!(" and {} more", paths.len() - 5) } else { String::new() };
            (!paths.is_empty()).then(|| format!("{what}: {}{more}", shown.join(", ")))
        };
        let beside = (self.beside > 0).then(|| format!("{} files of other programs were passed over", self.beside));
        let kinds = [
            beside,
            named(&self.others, "no audio by their names, passed over"),
            named(&self.folders, "not looked into; --recursive does"),
            named(&self.closed, "cannot be read"),
        ];
        kinds.into_iter().flatten().collect()
    }
}

/// The audio files that paths mean: a file is meant whatever its name, a folder stands for the audio files in it, and in
/// the folders in it where `is_recursive`. Nothing below `without` is meant. A link to a folder is followed only where it is
/// named itself.
pub fn look(paths: &[PathBuf], is_recursive: bool, without: Option<&Path>) -> Look {
    let mut look = Look::default();
    let without = without.and_then(|path| std::fs::canonicalize(path).ok());
    for path in paths {
        if path.is_dir() {
            into_folder(path, Path::new(""), is_recursive, without.as_deref(), 0, &mut look);
        } else {
            let below = path.file_name().map_or_else(|| path.clone(), PathBuf::from);
            look.files.push(Meant { path: path.clone(), below });
        }
    }
    look
}

fn into_folder(folder: &Path, below: &Path, is_recursive: bool, without: Option<&Path>, depth: usize, look: &mut Look) {
    if without.is_some_and(|without| std::fs::canonicalize(folder).is_ok_and(|folder| folder == without)) {
        return;
    }
    let Ok(listing) = std::fs::read_dir(folder) else {
        look.closed.push(folder.into());
        return;
    };
    let mut items: Vec<_> = listing.flatten().collect();
    items.sort_by_key(std::fs::DirEntry::file_name);
    for item in items {
        let (path, below) = (item.path(), below.join(item.file_name()));
        let name = item.file_name().to_string_lossy().to_lowercase();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let is_one_of = |kinds: &[&str]| extension.as_deref().is_some_and(|extension| kinds.contains(&extension));
        // A link counts as what it leads to, but is no folder to go into: it may lead back.
        let kind = item.file_type().ok();
        let leads_to = std::fs::metadata(&path).ok();
        if name.starts_with('.') || name == "thumbs.db" || name == "desktop.ini" {
            look.beside += 1;
        } else if kind.is_some_and(|kind| kind.is_dir()) {
            match is_one_of(&BESIDE) {
                true => look.beside += 1,
                false if is_recursive && depth < MAX_DEPTH => {
                    into_folder(&path, &below, is_recursive, without, depth + 1, look);
                }
                false => look.folders.push(path),
            }
        } else if !leads_to.is_some_and(|about| about.is_file()) {
            look.others.push(path);
        } else if is_one_of(&AUDIO) && look.files.len() < MAX_FILES {
            look.files.push(Meant { path, below });
        } else if is_one_of(&BESIDE) {
            look.beside += 1;
        } else {
            look.others.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_stand_for_their_audio_and_what_is_left_out_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/c")).expect("made");
        std::fs::create_dir_all(root.join("out")).expect("made");
        let files = ["z.wav", "a.MP3", "._a.wav", ".DS_Store", "a.wav.reapeaks", "song.rpp", "notes.txt"];
        for name in files.into_iter().chain(["b/x.opus", "b/c/x.flac", "out/z.wav"]) {
            std::fs::write(root.join(name), b"x").expect("written");
        }
        let paths = [root.to_path_buf()];
        let names = |look: &Look| look.files.iter().map(|file| file.below.clone()).collect::<Vec<_>>();
        let flat = look(&paths, false, Some(&root.join("out")));
        assert_eq!(names(&flat), ["a.MP3", "z.wav"].map(PathBuf::from));
        assert_eq!((flat.beside, flat.others.len(), flat.folders.len()), (4, 1, 2));
        assert_eq!(flat.left_out().len(), 3);
        let deep = look(&paths, true, Some(&root.join("out")));
        assert_eq!(names(&deep), ["a.MP3", "b/c/x.flac", "b/x.opus", "z.wav"].map(PathBuf::from));
        assert!(deep.folders.is_empty());
        let named = look(&[root.join("notes.txt")], false, None);
        assert_eq!(names(&named), [PathBuf::from("notes.txt")]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_back_is_not_followed_and_a_pipe_is_no_audio() {
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).expect("linked");
        let pipe = folder.path().join("p.wav");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("a program").success());
        let found = look(&[folder.path().to_path_buf()], true, None);
        assert!(found.files.is_empty() && found.others.len() == 2, "{found:?}");
    }
}
