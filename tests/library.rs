//! A large library on disk, folders with things in them that are no voices, and many processes that write at once.
#![cfg(target_os = "linux")]

#[path = "common/forge.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod forge;

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use coffre::audio::{Controls, Processor, wet};
use coffre::bridge::link::LinkConfig;
use coffre::bridge::{RunState, Session, Telemetry, VoiceRef};
use coffre::engine::Mode;
use coffre::engine::Prepared;
use coffre::engine::latency::{Latency, slack_len};
use coffre::voice::library::{FOLDERS_VARIABLE, Library, Origin};
use coffre::voice::{Package, VoiceId};
use coffre::worker::backend::{NativeBackend, embedded_voices};
use coffre::worker::{Backend as _, Instance, VoiceProblem};
use serde_json::Value;

/// Bytes of the large member of a forged voice.
const LARGE: usize = 60_000_000;

/// Forges a voice of RVC's kind with a generator of zeros that takes no room on disk. Returns its length.
fn forge_large(path: &Path, name: &str) -> u64 {
    let manifest = serde_json::json!({
        "format": { "major": 1, "minor": 3 }, "kind": "voice", "engine": "rvc", "content_space": "", "name": name,
        "median_f0_hz": 200.0, "range_hz": [100.0, 400.0], "bandwidth_hz": 20_000.0,
        "members": [{ "path": "rvc/generator.onnx", "dtype": "u8", "shape": [LARGE], "sha256": "0".repeat(64) }],
    });
    let manifest = manifest.to_string();
    // Local headers, each with its data; then the directory. Layout: APPNOTE.TXT 4.3. The sum of a member that nobody
    // reads is of no account.
    let common = |name: &str, sum: u32, len: usize| {
        let mut bytes = [20_u16, 0, 0, 0, 0x21].map(u16::to_le_bytes).concat();
        bytes.extend([sum, len as u32, len as u32].map(u32::to_le_bytes).concat());
        bytes.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        bytes
    };
    let members = [
        ("manifest.json", common("manifest.json", forge::crc32(manifest.as_bytes()), manifest.len()), manifest.len()),
        ("rvc/generator.onnx", common("rvc/generator.onnx", 0, LARGE), LARGE),
    ];
    let file = std::fs::File::create(path).expect("a file");
    let (mut at, mut directory) = (0_u64, Vec::new());
    for (name, common, len) in &members {
        directory.extend([b"PK\x01\x02\x14\0", common.as_slice(), &[0; 10], &(at as u32).to_le_bytes()].concat());
        directory.extend(name.as_bytes());
        let header = [b"PK\x03\x04", common.as_slice(), name.as_bytes()].concat();
        file.write_all_at(&header, at).expect("written");
        if at == 0 {
            file.write_all_at(manifest.as_bytes(), header.len() as u64).expect("written");
        }
        at += (header.len() + len) as u64;
    }
    let mut end = b"PK\x05\x06\0\0\0\0\x02\0\x02\0".to_vec();
    end.extend([directory.len() as u32, at as u32].map(u32::to_le_bytes).concat());
    end.extend([0; 2]);
    file.write_all_at(&[directory, end].concat(), at).expect("written");
    file.set_modified(SystemTime::now() - Duration::from_secs(100)).expect("aged");
    file.metadata().expect("there").len()
}

/// The command on a machine with exactly these voice folders.
fn command(home: &Path, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command.args(arguments).env("HOME", home).env(FOLDERS_VARIABLE, folder).current_dir(home);
    for name in ["XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_DIRS"] {
        command.env_remove(name);
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(command: &mut Command) -> Output {
    finish(command.spawn().expect("it starts"))
}

/// Waits for the end, but not for ever.
fn finish(mut child: Child) -> Output {
    let begin = Instant::now();
    while child.try_wait().expect("asked").is_none() {
        if begin.elapsed() > Duration::from_secs(120) {
            child.kill().expect("ended");
            panic!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("its words")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Bytes that this process has read so far.
fn bytes_read() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").expect("readable");
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn listing_reads_manifests_and_hashing_happens_once() {
    const CHILD: &str = "COFFRE_TEST_CHILD";
    const NAME: &str = "listing_reads_manifests_and_hashing_happens_once";
    if std::env::var_os(CHILD).is_some() {
        let before = bytes_read();
        let library = Library::look(&[]);
        println!("names {}", library.voices().filter(|entry| entry.name.starts_with("Large")).count());
        println!("read {}", bytes_read() - before);
        return;
    }
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("voices");
    std::fs::create_dir(&folder).expect("made");
    let len: u64 = (0..4).map(|n| forge_large(&folder.join(format!("{n}.coffre")), &format!("Large {n}"))).sum();
    // A process of its own, in which nothing else reads.
    let look = || {
        let mut child = Command::new(std::env::current_exe().expect("this program"));
        child.args(["--exact", NAME, "--nocapture"]).env(CHILD, "1");
        child.env("HOME", home.path()).env(FOLDERS_VARIABLE, &folder).env_remove("XDG_CACHE_HOME");
        let text = String::from_utf8(child.output().expect("it runs").stdout).expect("UTF-8");
        let number = |key: &str| {
            let line = text.lines().find_map(|line| line.split(key).nth(1));
            line.and_then(|word| word.trim().parse::<u64>().ok()).unwrap_or_else(|| panic!("{text}"))
        };
        (number("names "), number("read "))
    };
    let (names, read) = look();
    assert_eq!(names, 4);
    assert!(read < 1_000_000, "{read} of {len} bytes were read");
    // Ids are asked for: every file is hashed, and its id kept.
    let ids = |output: &Output| -> Vec<String> {
        let list = json(output);
        let large = list
            .as_array()
            .expect("a list")
            .iter()
            .filter(|voice| voice["name"].as_str().is_some_and(|name| name.starts_with("Large")));
        large.map(|voice| voice["id"].as_str().expect("an id").to_owned()).collect()
    };
    let first = ids(&output(&mut command(home.path(), &folder, &["voices", "--json"])));
    let index = home.path().join(".cache/coffre/voices.index");
    let text = std::fs::read_to_string(&index).expect("it is kept");
    assert!(first.len() == 4 && first.iter().all(|id| text.contains(id)), "{text}");
    let bytes = std::fs::read(folder.join("0.coffre")).expect("read");
    assert!(first.contains(&VoiceId::of(&bytes).to_string()));
    // The next process believes it: an id that only the index can have said comes back.
    let other = VoiceId::of(b"other").to_string();
    std::fs::write(&index, text.replace(&first[1], &other)).expect("written");
    let again = ids(&output(&mut command(home.path(), &folder, &["voices", "--json"])));
    assert_eq!((again.len(), &again[0], &again[1]), (4, &first[0], &other));
    // It may be deleted or spoilt.
    for text in ["", "nonsense", &text[..text.len() / 2]] {
        std::fs::write(&index, text).expect("written");
        assert_eq!(ids(&output(&mut command(home.path(), &folder, &["voices", "--json"]))), first);
    }
    std::fs::remove_file(&index).expect("deleted");
    assert_eq!(ids(&output(&mut command(home.path(), &folder, &["voices", "--json"]))), first);
}

#[test]
fn what_blocks_in_a_folder_is_passed_over() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path().join("voices");
    std::fs::create_dir_all(folder.join("folder.coffre")).expect("made");
    let pipe = folder.join("pipe.coffre");
    let name = std::ffi::CString::new(pipe.to_str().expect("UTF-8")).expect("a name");
    // SAFETY: a system call with a name that lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    std::os::unix::fs::symlink("/dev/zero", folder.join("zero.coffre")).expect("linked");
    let bytes = include_bytes!("../models/voices/quartz.coffre");
    let own = coffre::voice::extras::rewrite(bytes, |manifest| manifest.name = "Own".to_owned()).expect("renamed");
    std::fs::write(folder.join("own.coffre"), &own).expect("written");
    for arguments in [&["voices"][..], &["voices", "--json"]] {
        let output = output(&mut command(home.path(), &folder, arguments));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("Own") && output.stderr.is_empty(), "{output:?}");
        assert!(!["pipe", "folder.coffre", "zero"].iter().any(|name| text.contains(name)), "{text}");
    }
    let output = output(&mut command(home.path(), &folder, &["inspect", pipe.to_str().expect("UTF-8")]));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"), "{output:?}");
}

#[test]
fn many_processes_at_once_overwrite_nothing() {
    const COUNT: usize = 24;
    let home = tempfile::tempdir().expect("a folder");
    let sources: Vec<PathBuf> = (0..COUNT)
        .map(|n| {
            let bytes = include_bytes!("../models/voices/quartz.coffre");
            let edit = |manifest: &mut coffre::voice::Manifest| {
                (manifest.name, manifest.description) = ("Kate".to_owned(), format!("Take {n}."));
            };
            let path = home.path().join(format!("{n}.coffre"));
            std::fs::write(&path, coffre::voice::extras::rewrite(bytes, edit).expect("renamed")).expect("written");
            path
        })
        .collect();
    let target = home.path().join("target");
    let start = |path: &PathBuf| {
        let paths = [path, &target].map(|path| path.to_str().expect("UTF-8"));
        command(home.path(), &target, &["voices", "import", paths[0], "--folder", paths[1]]).spawn().expect("it starts")
    };
    let children: Vec<Child> = sources.iter().map(start).collect();
    for child in children {
        let output = finish(child);
        assert!(output.status.success(), "{output:?}");
    }
    let library = Library::scan_folders(&[(Origin::User, target)]);
    let kates = library.voices().filter(|entry| entry.name == "Kate").count();
    assert_eq!(kates, COUNT, "voices were lost");
}

#[test]
fn a_session_finds_its_voice_before_it_is_hashed_and_never_a_wrong_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |file: &str, text: &str| {
        let bytes = include_bytes!("../models/voices/quartz.coffre");
        let edit = |manifest: &mut coffre::voice::Manifest| {
            (manifest.name, manifest.description) = ("Kate".to_owned(), text.to_owned());
        };
        let bytes = coffre::voice::extras::rewrite(bytes, edit).expect("renamed");
        std::fs::write(folder.path().join(file), &bytes).expect("written");
        VoiceId::of(&bytes)
    };
    let ids = [put("1.coffre", "One."), put("2.coffre", "Two."), put("3.coffre", "Three.")];
    // Enough to hash for a while, and shorter than them: it is hashed first.
    for n in 0..20 {
        forge_large(&folder.path().join(format!("large-{n}.coffre")), &format!("Large {n}"));
    }
    let folders = vec![(Origin::User, folder.path().to_owned())];
    let mut backend = NativeBackend::with_folders(folders.clone());
    backend.scan();
    for id in ids.iter().rev() {
        let wanted = VoiceRef { name: "Kate".into(), id: id.to_string(), ..VoiceRef::default() };
        let setup = Mode::Live.into();
        let begin = Instant::now();
        let voice = loop {
            match backend.load_voice(&wanted, setup) {
                Ok(Prepared::Native(target)) => break target,
                Err(VoiceProblem::Pending) if begin.elapsed() < Duration::from_secs(60) => {
                    backend.wait_for_change(Duration::from_millis(10));
                    backend.known_voices();
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(voice.id(), *id, "another Kate");
    }
    // A file that was replaced behind everybody's back, with the same length and time.
    let (path, other) = (folder.path().join("1.coffre"), folder.path().join("2.coffre"));
    let library = Library::scan_folders(&folders);
    let time = std::fs::metadata(&path).and_then(|about| about.modified()).expect("a time");
    assert_eq!(std::fs::metadata(&path).expect("there").len(), std::fs::metadata(&other).expect("there").len());
    std::fs::write(&path, std::fs::read(&other).expect("read")).expect("written");
    std::fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("set");
    let found = library.open(Some(ids[0]), "Kate").expect("opens").expect("by its name, which is all that is left");
    assert_ne!(found.id(), ids[0]);
    assert!(Package::read_file(&path).is_ok_and(|bytes| VoiceId::of(&bytes) == ids[1]));
}

/// An instance that was started and activated, with the embedded voices in its slots; the time until it sounds.
fn first_sound(folders: &[(Origin, PathBuf)]) -> (Duration, Instance) {
    const RATE: u32 = 48_000;
    const BLOCK: usize = 512;
    let begin = Instant::now();
    let (session, telemetry) = (Arc::new(Session::default()), Arc::new(Telemetry::default()));
    session.set_slots(embedded_voices().iter().map(|voice| Some(voice.clone())));
    let backend = NativeBackend::with_folders(folders.to_vec());
    let instance = Instance::start(Box::new(backend), session, telemetry.clone()).expect("threads");
    let setup = Mode::Live.into();
    let delays = instance.delays(setup);
    let slack = slack_len(RATE, BLOCK as u32, delays.compute_len);
    let latency = Latency::new(RATE, delays.latency_len, slack);
    let link = instance.attach(LinkConfig {
        host_rate: RATE,
        setup,
        stream_latency: latency.stream(),
        slack,
        ring_len: wet::ring_len(RATE, latency.total(), BLOCK),
    });
    let mut processor = Processor::new(link, telemetry.clone(), latency.total(), BLOCK);
    while telemetry.run() != RunState::Converting {
        assert!(begin.elapsed() < Duration::from_secs(120), "no sound: {:?}", telemetry.troubles());
        processor.process(&mut [&mut [0.0; 16]], 1, &Controls::default(), false);
        std::thread::sleep(Duration::from_millis(1));
    }
    (begin.elapsed(), instance)
}

#[test]
fn an_instance_sounds_whatever_is_in_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("pipe.coffre");
    let name = std::ffi::CString::new(name.to_str().expect("UTF-8")).expect("a name");
    // SAFETY: a system call with a name that lives as long as the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    for n in 0..20 {
        forge_large(&folder.path().join(format!("{n}.coffre")), &format!("Large {n}"));
    }
    let folders = [(Origin::User, folder.path().to_owned())];
    let before = bytes_read();
    let (first, one) = first_sound(&folders);
    let (second, two) = first_sound(&folders);
    println!("first sound {first:?}, second instance {second:?}, {} MB read meanwhile", (bytes_read() - before) >> 20);
    drop((one, two));
}

/// Figures for a folder of one's own, such as 200 voices of 60 MB: name it in `COFFRE_TEST_LIBRARY`.
#[test]
fn figures_for_a_large_library() {
    let Some(folder) = std::env::var_os("COFFRE_TEST_LIBRARY").map(PathBuf::from) else { return };
    let folders = [(Origin::User, folder)];
    let (first, one) = first_sound(&folders);
    let (second, two) = first_sound(&folders);
    let (third, three) = first_sound(&folders);
    println!("first sound {first:?}, second instance {second:?}, third {third:?}");
    drop((one, two, three));
}
