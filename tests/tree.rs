//! The tree itself: nothing in it belongs to one machine, is unfinished, or has outgrown its purpose.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Longest Rust file, in lines.
const LONGEST: usize = 600;

/// Largest file in the tree, in bytes; embedded graphs and voices have to stay below it too.
const LARGEST: u64 = 16 << 20;

/// Everything in `models/` together, in bytes: what a download may cost.
const MODELS: u64 = 60_000_000;

/// Most words of the first page, and most bytes of the clips that can be heard from it.
const FIRST_PAGE: usize = 900;
const CLIPS: u64 = 300_000;

/// The files under version control, or all but the ignored ones in a tree without git.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let git = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    let listed = git.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let mut found: Vec<PathBuf> = listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| root.join(String::from_utf8_lossy(name).as_ref()))
        .filter(|path| path.is_file())
        .collect();
    if found.is_empty() {
        for top in ["src", "tests", "xtask", "models", "docs"] {
            walk(&root.join(top), &mut found);
        }
    }
    assert!(found.len() > 20, "only {} files found in {}", found.len(), root.display());
    found
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every line of every text file, with its place; lock files and this file are left out.
fn lines() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for path in files() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name == "tree.rs" || name.ends_with(".lock") {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let place = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path).display().to_string();
        all.extend(text.lines().enumerate().map(|(index, line)| (format!("{place}:{}", index + 1), line.to_owned())));
    }
    all
}

/// Whether `word` stands in `line` with nothing of a longer path or name before it.
fn stands_alone(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(|c| c.is_alphanumeric() || "_.-".contains(c)) && !after.is_some_and(char::is_alphanumeric)
    })
}

#[track_caller]
fn assert_nowhere(what: &str, found: impl Fn(&str, &str) -> bool) {
    let hits: Vec<String> = lines()
        .iter()
        .filter(|(place, line)| found(place, line))
        .map(|(place, line)| format!("{place}: {line}"))
        .collect();
    assert!(hits.is_empty(), "{what}:\n{}", hits.join("\n"));
}

#[test]
fn no_path_of_one_machine_stands_in_the_tree() {
    let folders = ["/work", "/farm", "/root", "/home/user", "/tmp/bash_jobs", "/opt/validators"];
    assert_nowhere("paths of one machine", |_, line| folders.iter().any(|folder| stands_alone(line, folder)));
}

#[test]
fn packages_are_named_and_not_linked() {
    let hosts = ["pythonhosted", "pypi.org", "static.crates.io", "index.crates.io", "registry.npmjs", "deb.debian.org"];
    assert_nowhere("addresses of registries", |_, line| hosts.iter().any(|host| line.contains(host)));
}

#[test]
fn no_unfinished_mark_stands_in_the_code() {
    let marks = ["todo!(", "unimplemented!(", "#[ignore", "dbg!(", "FIXME", "XXX"];
    let code = |place: &str| place.contains(".rs:") || place.contains(".py:") || place.starts_with(".ci/");
    assert_nowhere("unfinished marks", |place, line| code(place) && marks.iter().any(|mark| line.contains(mark)));
}

#[test]
fn every_rust_file_has_one_purpose_and_says_it_first() {
    let mut wrong = Vec::new();
    for path in files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if text.lines().count() > LONGEST {
            wrong.push(format!("{} is longer than {LONGEST} lines", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not open with what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_large_by_accident() {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
    let large: Vec<_> = files().into_iter().filter(|path| size(path) > LARGEST).collect();
    assert!(large.is_empty(), "{large:?}");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    let total: u64 = files().iter().filter(|path| path.starts_with(&models)).map(size).sum();
    assert!(total <= MODELS, "models/ holds {total} bytes");
}

#[test]
fn the_first_page_is_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let words = page.split_whitespace().count();
    assert!(words <= FIRST_PAGE, "README.md has {words} words");
    let is_clip = |path: &&PathBuf| path.extension().is_some_and(|extension| extension == "mp3");
    let clips: Vec<PathBuf> = files().iter().filter(is_clip).cloned().collect();
    let total: u64 = clips.iter().map(|path| std::fs::metadata(path).map_or(0, |data| data.len())).sum();
    assert!(clips.len() >= 2 && total <= CLIPS, "{} clips of {total} bytes", clips.len());
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut followed = 0;
    for page in files().iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let text = std::fs::read_to_string(page).unwrap_or_default();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            let is_there = file.exists() && (anchor.is_empty() || headings(&file).iter().any(|name| name == anchor));
            if !is_there {
                wrong.push(format!("{}: {target}", page.display()));
            }
            followed += 1;
        }
    }
    assert!(wrong.is_empty() && followed > 20, "{followed} links, of which lead nowhere:\n{}", wrong.join("\n"));
}

/// The headings of a page as links name them: lower case, hyphens for spaces, no punctuation.
fn headings(page: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(page).unwrap_or_default();
    let name = |line: &str| {
        let kept = line.trim_start_matches('#').trim().to_lowercase();
        kept.replace(' ', "-").chars().filter(|c| c.is_alphanumeric() || *c == '-').collect()
    };
    text.lines().filter(|line| line.starts_with('#')).map(name).collect()
}

#[test]
fn the_search_itself_finds_what_it_should() {
    assert!(stands_alone("see /work/file", "/work"));
    assert!(stands_alone("\"/root\"", "/root"));
    assert!(!stands_alone("src/work/file", "/work"));
    assert!(!stands_alone("/workshop", "/work"));
}
