//! Which module may name which: the arrows of the architecture, read from the sources.
//!
//! Looks at code alone, without comments and test modules. `crate::` paths are taken apart wherever they stand, and
//! what must not occur in a module is looked for as whole words.

use std::collections::BTreeSet;
use std::path::Path;

/// A module of the library (`cli` is the binary's), and the modules whose items it may name.
///
/// Beyond the drawing: `params` makes the audio path's `Controls`, `onnx` flushes denormals, and the `worker` asks
/// `onnx` for the runtime to say why there is none.
const MAY_NAME: [(&str, &[&str]); 18] = [
    ("plugin", &["audio", "bridge", "editor", "engine", "params", "worker"]),
    ("parameter", &["engine"]),
    ("loading", &["engine", "onnx", "voice"]),
    ("standalone", &["plugin"]),
    ("params", &["audio", "bridge", "engine", "parameter"]),
    ("editor", &["audio_file", "bridge", "clone", "engine", "parameter", "params", "voice"]),
    ("audio", &["bridge", "dsp", "engine"]),
    ("bridge", &["engine", "voice"]),
    ("worker", &["bridge", "engine", "loading", "onnx", "settings", "voice"]),
    ("engine", &["dsp", "onnx", "provenance", "voice"]),
    ("clone", &["audio_file", "dsp", "engine", "new_file", "onnx", "voice"]),
    ("onnx", &["dsp"]),
    ("provenance", &["dsp", "voice"]),
    ("dsp", &[]),
    ("voice", &["new_file"]),
    ("settings", &["new_file", "onnx", "voice"]),
    ("audio_file", &["dsp", "new_file"]),
    ("new_file", &[]),
];

/// Where a module may name another, but only some of its items: data that crosses threads, never the engine itself.
const ONLY_ITEMS: [(&str, &str, &[&str]); 6] = [
    ("audio", "engine", &["HopParams"]),
    ("bridge", "engine", &["EngineId", "HopParams", "HopReport", "Setup", "VOICE_SLOTS"]),
    ("bridge", "voice", &["ConsentGround"]),
    ("editor", "engine", &["EngineId", "VOICE_SLOTS"]),
    ("params", "audio", &["Controls", "Fallback"]),
    ("params", "engine", &["HopParams", "Mode", "RegisterMode", "VOICE_SLOTS"]),
];

/// Reads a download on a thread of its own, which alone can be given up when nothing comes any more.
const TRANSFER: &str = "cli/models/transfer.rs";

/// Words, and the modules or files that alone may hold them.
///
/// Locks and atomics: `bridge` has what the audio thread shares with others; the `worker`'s two threads talk by standard
/// channels that no third one sees, and so do those of `clone` and of the editor's file window and pictures, far from any audio; sessions and voices are shared by all
/// instances behind locks in `onnx` and `voice/library.rs`, and so is what is known of voice folders, in its `catalogue.rs`; the framework's trait asks for a lock around the window size
/// in `params.rs`; four files of `plugin` keep the framework's and the host's threads apart.
const ONLY_IN: [(&[&str], &[&str]); 12] = [
    (&["ort"], &["onnx"]),
    (&["ringbuf", "atomic_float"], &["bridge"]),
    (&["nice_plug"], &["plugin", "params", "standalone", "editor/window.rs", "editor/host_window.rs"]),
    (&["egui", "nice_plug_egui"], &["editor"]),
    (&["symphonia", "opus_decoder", "flacenc"], &["audio_file"]),
    (
        &["Mutex", "RwLock", "Condvar", "mpsc", "AtomicBool", "AtomicU32", "AtomicU64", "AtomicUsize", "AtomicF32"],
        &[
            "bridge",
            "worker",
            "onnx",
            "voice/library.rs",
            "voice/library/catalogue.rs",
            "params.rs",
            "clone/cloner.rs",
            "clone/job.rs",
            "plugin/clap.rs",
            "plugin/clap/passage.rs",
            "plugin/restart.rs",
            "plugin/stillness.rs",
            "clone/improve/job.rs",
            "editor/dialog.rs",
            "editor/portrait.rs",
            "clone/listen.rs",
            // Which files this process has begun; several conversions at once.
            "new_file.rs",
            "cli/convert/batch.rs",
            TRANSFER,
        ],
    ),
    (&["RwLock"], &["params.rs"]),
    // A latency is summed where its terms have names; everybody else asks for `stream()` or `total()`.
    (&["resampler_in", "resampler_out"], &["engine/latency.rs"]),
    (&["set_latency_samples"], &["plugin.rs"]),
    // On the audio thread waiting has one place, for hosts that render; `worker` waits for its threads to end, and a
    // cloning job, on its own thread, for the track.
    (
        &["sleep", "yield_now"],
        // The host's main thread, for the end of a window that it closes.
        &["audio/wet.rs", "worker", "onnx", "cli", "clone/job.rs", "plugin/restart.rs", "editor/host_window.rs"],
    ),
    // A window for files waits for a person: only where nobody waits for it.
    (&["rfd"], &["editor/dialog.rs"]),
    // What decodes pictures of any origin stands where they are bounded.
    (&["image"], &["editor/portrait.rs"]),
];

/// Words that must not stand in a module.
const NEVER: [(&str, &[&str]); 4] = [
    ("audio", &["fs", "File", "Mutex", "mpsc", "log", "tracing", "println", "eprintln", "format", "String", "spawn"]),
    ("engine", &["thread", "Instant", "SystemTime", "fs", "File", "println", "spawn"]),
    ("dsp", &["thread", "Instant", "SystemTime", "fs", "File", "println", "spawn"]),
    ("bridge", &["fs", "File", "spawn", "sleep", "println"]),
];

/// One source file: its path below `src`, and its code.
struct Source {
    path: String,
    code: String,
}

impl Source {
    fn module(&self) -> &str {
        let top = self.path.split('/').next().unwrap_or_default();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    fn is_in(&self, place: &str) -> bool {
        self.path == place || self.module() == place
    }

    fn words(&self) -> BTreeSet<&str> {
        self.code.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect()
    }

    /// The paths below `root` that the code names, such as `engine::latency::Latency`.
    fn paths(&self, root: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (at, _) in self.code.match_indices(root) {
            let before = self.code[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                expand(&self.code[at + root.len()..], String::new(), &mut found);
            }
        }
        found
    }
}

/// Takes a path or a tree of paths apart and returns what follows it.
fn expand<'a>(mut text: &'a str, mut path: String, found: &mut Vec<String>) -> &'a str {
    loop {
        text = text.trim_start();
        if let Some(inside) = text.strip_prefix('{') {
            text = inside;
            loop {
                text = expand(text, path.clone(), found).trim_start();
                let Some(next) = text.strip_prefix(',') else { break };
                text = next;
            }
            return text.strip_prefix('}').unwrap_or(text);
        }
        let len = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
        path.push_str(&text[..len]);
        text = &text[len..];
        match text.strip_prefix("::") {
            Some(next) => {
                path.push_str("::");
                text = next;
            }
            None => {
                if !path.is_empty() && !path.ends_with("::") {
                    found.push(path);
                }
                return text;
            }
        }
    }
}

/// Code without comments and without its test module, which stands last in a file.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let kept = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    kept.collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                let code = code_of(&std::fs::read_to_string(&path).expect("a source"));
                let path = path.strip_prefix(&root).expect("below src").to_string_lossy().replace('\\', "/");
                found.push(Source { path, code });
            }
        }
    }
    assert!(found.len() > 50, "only {} sources", found.len());
    found
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_name_only_what_the_arrows_allow() {
    let mut wrong = Vec::new();
    for source in &sources() {
        let module = source.module();
        if ["lib", "main", "cli"].contains(&module) {
            continue;
        }
        let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: no rule for this module", source.path));
            continue;
        };
        for path in source.paths("crate::") {
            let (target, rest) = path.split_once("::").unwrap_or((&path, ""));
            if target != module && !allowed.contains(&target) {
                wrong.push(format!("{} names {path}", source.path));
            }
            let item = rest.split("::").next().unwrap_or_default();
            let only = ONLY_ITEMS.iter().find(|(from, to, _)| (*from, *to) == (module, target));
            if only.is_some_and(|(_, _, items)| !items.contains(&item)) {
                wrong.push(format!("{} names {path}: of {target} only some items", source.path));
            }
        }
    }
    assert_none(&wrong);
}

/// An engine is a file and a folder of its own; what several of them use stands beside them and knows none.
#[test]
fn engines_do_not_name_each_other_and_their_common_rooms_name_none() {
    let engines = ["native", "rvc"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("engine/")) {
        let room = source.path["engine/".len()..].split('/').next().unwrap_or_default();
        let room = room.strip_suffix(".rs").unwrap_or(room);
        for root in ["crate::engine::", "super::"] {
            let named = source.paths(root).into_iter().filter(|path| {
                let first = path.split("::").find(|part| *part != "super").unwrap_or_default();
                engines.contains(&first) && first != room
            });
            wrong.extend(named.map(|path| format!("{} names {path}", source.path)));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_command_line_shares_the_engine_and_not_the_plugin() {
    let allowed = [
        "audio_file",
        "clone",
        "dsp",
        "engine",
        "loading",
        "new_file",
        "onnx",
        "parameter",
        "provenance",
        "settings",
        "voice",
    ];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| ["main", "cli"].contains(&source.module())) {
        let paths = source.paths("coffre::");
        let is_wrong = |path: &&String| !allowed.contains(&path.split("::").next().unwrap_or_default());
        wrong.extend(paths.iter().filter(is_wrong).map(|path| format!("{} names {path}", source.path)));
    }
    assert_none(&wrong);
}

#[test]
fn crates_locks_and_sums_stand_where_they_belong() {
    let mut wrong = Vec::new();
    for source in &sources() {
        let words = source.words();
        let mut forbid = |names: &[&str]| {
            let held = names.iter().filter(|name| words.contains(*name));
            wrong.extend(held.map(|name| format!("{} holds `{name}`", source.path)));
        };
        for (names, places) in ONLY_IN {
            if !places.iter().any(|place| source.is_in(place)) {
                forbid(names);
            }
        }
        for (module, names) in NEVER {
            if source.module() == module {
                forbid(names);
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_rule_is_about_something() {
    let sources = sources();
    for (names, places) in ONLY_IN {
        for name in names {
            let used = sources.iter().any(|source| source.words().contains(name));
            assert!(used || name.starts_with("Atomic"), "nothing holds `{name}`: in {places:?}");
        }
    }
    for (module, _) in MAY_NAME {
        assert!(sources.iter().any(|source| source.module() == module), "there is no module {module}");
    }
}

#[test]
fn the_search_itself_finds_what_it_should() {
    let code = code_of(
        "use crate::{a::b, c::{d, e::F as G}}; // crate::no\nlet x = crate::h::i(); xcrate::j::k();\n#[cfg(test)]\nmod tests { crate::l }",
    );
    let source = Source { path: "audio/wet.rs".to_owned(), code };
    assert_eq!(source.paths("crate::"), ["a::b", "c::d", "c::e::F", "h::i"]);
    assert_eq!(source.module(), "audio");
    assert!(source.is_in("audio") && source.is_in("audio/wet.rs") && !source.is_in("audio.rs"));
}
