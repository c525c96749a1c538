//! `notices`: the list of crates in THIRD-PARTY-NOTICES.md, and the licence texts that go into a bundle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::bundle::cargo;
use crate::target::{ELSEWHERE, Target};
use crate::{paths, stage};

#[derive(clap::Args)]
pub struct Options {
    /// Change nothing; fail if the list is not up to date
    #[arg(long)]
    check: bool,
}

const FILE: &str = "THIRD-PARTY-NOTICES.md";

/// The list stands between these lines.
const BEGIN: &str = "<!-- crates: written by `cargo xtask notices` -->";
const END: &str = "<!-- end of crates -->";

/// Licences under which a crate may be linked into what we ship; one of an `OR` has to be among them, all of an `AND`.
const ACCEPTED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    // Of the list of certificate authorities, which is data.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    // Weak: it covers the crate's own files, which we use unchanged and which are public under their name and version.
    "MPL-2.0",
    "OFL-1.1",
    "Ubuntu-font-1.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Writes the list, or checks it.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.check {
        return check();
    }
    let file = paths::root().join(FILE);
    let text = std::fs::read_to_string(&file).context(FILE)?;
    let text = with_list(&text, &list(&linked()?)?)?;
    std::fs::write(&file, text).context(FILE)
}

/// Fails if a linked crate is not listed, or its licence is not accepted.
pub fn check() -> anyhow::Result<()> {
    let text = std::fs::read_to_string(paths::root().join(FILE)).context(FILE)?;
    let current = with_list(&text, &list(&linked()?)?)? == text;
    ensure!(current, "the list of crates in {FILE} is not up to date: run `cargo xtask notices`");
    Ok(())
}

/// The licence texts of all crates that are linked for a target, each text once with the crates that carry it.
pub fn licence_texts(target: &Target) -> anyhow::Result<String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in linked_for(&platform(target))? {
        let dir = package.manifest_path.parent().unwrap_or(Path::new("."));
        for text in licence_files(dir)? {
            texts.entry(text).or_default().insert(format!("{} {}", package.name, package.version));
        }
    }
    let mut all = String::from("Licences of the Rust crates that are part of Coffre.\n");
    for (text, packages) in &texts {
        let names: Vec<&str> = packages.iter().map(String::as_str).collect();
        write!(all, "\n{}\n{}\n{}\n\n{}\n", "=".repeat(78), names.join(", "), "=".repeat(78), text.trim_end())?;
    }
    Ok(all)
}

/// Files of a crate that hold a licence, a copyright or a notice.
fn licence_files(dir: &Path) -> anyhow::Result<Vec<String>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && ["LICEN", "COPYING", "COPYRIGHT", "NOTICE"].iter().any(|start| name.starts_with(start))
    });
    files.sort();
    Ok(files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect())
}

/// The crates that are linked into what we ship, on whatever system it is for.
fn linked() -> anyhow::Result<Vec<Package>> {
    let mut packages = linked_for(&platform(&Target::host()))?;
    for triple in ELSEWHERE {
        packages.extend(linked_for(triple)?);
    }
    packages.sort_by(|a, b| a.id.cmp(&b.id));
    packages.dedup_by(|a, b| a.id == b.id);
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

/// How Rust names what a target runs on; of this machine's C library it is not of interest which one it is.
fn platform(target: &Target) -> String {
    target.triple.clone().unwrap_or_else(|| match target.os.as_str() {
        "windows" => format!("{}-pc-windows-msvc", target.arch),
        "macos" => format!("{}-apple-darwin", target.arch),
        _ => format!("{}-unknown-linux-gnu", target.arch),
    })
}

/// The crates that are linked for a platform: everything below `coffre` that is not a build or test dependency.
fn linked_for(triple: &str) -> anyhow::Result<Vec<Package>> {
    let mut command = cargo();
    command.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--features",
        "coffre/standalone",
        "--filter-platform",
    ]);
    let metadata: Metadata =
        serde_json::from_str(&stage::run_quietly(command.arg(triple))?).context("`cargo metadata`")?;
    let nodes: BTreeMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let own = metadata.packages.iter().find(|package| package.name == "coffre").context("no package `coffre`")?;
    let (mut seen, mut open) = (BTreeSet::new(), vec![own.id.as_str()]);
    while let Some(id) = open.pop() {
        if !seen.insert(id.to_owned()) {
            continue;
        }
        let node = nodes.get(id).with_context(|| format!("no node for {id}"))?;
        let normal = |dependency: &&Dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
        open.extend(node.deps.iter().filter(normal).map(|dependency| dependency.pkg.as_str()));
    }
    let own_id = own.id.clone();
    let mut packages = metadata.packages;
    packages.retain(|package| seen.contains(&package.id) && package.id != own_id);
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    Ok(packages)
}

/// The crates as lines, licence by licence.
fn list(packages: &[Package]) -> anyhow::Result<String> {
    let mut by_licence: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let licence = package.license.as_deref().unwrap_or("none stated");
        ensure!(accepted(licence), "the licence of {} {} is not accepted: {licence}", package.name, package.version);
        by_licence.entry(licence).or_default().insert(&package.name);
    }
    let mut text = String::new();
    for (licence, names) in by_licence {
        let names: Vec<&str> = names.into_iter().collect();
        writeln!(text, "- **{licence}**: {}", names.join(", "))?;
    }
    Ok(text)
}

/// Whether an SPDX expression (or the older form with slashes) can be met with accepted licences.
fn accepted(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // `AND` binds tighter than `OR`; brackets around an `OR` inside an `AND` ask for both sides here, which is stricter.
    expression.split(" OR ").any(|part| part.split(" AND ").all(|name| ACCEPTED.contains(&name.trim())))
}

fn with_list(text: &str, list: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("{FILE} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{FILE} has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{list}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_accepted_by_their_expression() {
        assert!(accepted("MIT OR Apache-2.0"));
        assert!(accepted("GPL-3.0-only OR MIT"));
        assert!(accepted("Unlicense/MIT"));
        assert!(accepted("(MIT OR Apache-2.0) AND OFL-1.1"));
        assert!(!accepted("GPL-3.0-only"));
        assert!(!accepted("MIT AND GPL-3.0-only"));
        assert!(!accepted("none stated"));
    }

    #[test]
    fn the_list_replaces_the_old_one_and_nothing_else() {
        let text = format!("head\n{BEGIN}\n\nold\n\n{END}\ntail\n");
        let new = with_list(&text, "new\n").expect("markers");
        assert_eq!(new, format!("head\n{BEGIN}\n\nnew\n\n{END}\ntail\n"));
        assert_eq!(with_list(&new, "new\n").expect("markers"), new);
        assert!(with_list("no markers", "new").is_err());
    }
}
