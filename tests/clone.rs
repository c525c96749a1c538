//! Cloning and the library on the command line: the check's messages, consent, extras, signatures,
//! imports and deletions, and that a killed process never breaks the library. Needs no ONNX Runtime.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coffre::voice::NativeVoice;
use coffre::voice::package::Package;
use coffre::voice::{Bank, BankFrame, ConsentGround, Extras, KEY_LEN, Library, Manifest, Origin, Voice, VoiceError};
use serde_json::Value;

/// A speaker of the test data, 5 s, twice: enough for a voice.
fn vocal() -> String {
    format!("{}/tests/data/vocal.flac", env!("CARGO_MANIFEST_DIR"))
}

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn text(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.args(arguments).env("HOME", self.0.path()).env("XDG_DATA_HOME", self.0.path().join("data"));
        command.env("XDG_DATA_DIRS", self.0.path().join("none")).env_remove("COFFRE_VOICES").current_dir(self.0.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the command starts")
    }

    /// Runs what has to succeed.
    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8_lossy(&said.stdout).into_owned()
    }

    /// Runs what has to fail, with the given code, and gives its words.
    #[track_caller]
    fn bad(&self, code: i32, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        let words = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(code), "{arguments:?}: {words}");
        assert!(!words.contains("panicked"), "{words}");
        words
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(arguments)).expect("JSON")
    }

    /// Clones the test speaker without a content encoder.
    #[track_caller]
    fn clone(&self, more: &[&str]) -> Value {
        let vocal = vocal();
        self.json(&[&["clone", &vocal, &vocal, "--no-content", "--json"], more].concat())
    }

    fn voices_folder(&self) -> PathBuf {
        self.0.path().join("data/coffre/voices")
    }
}

fn open(path: &str) -> Voice {
    Voice::open(Path::new(path)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn recordings_become_a_voice_that_says_what_it_is() {
    let home = Home::new();
    let out = home.text("kate.coffre");
    let told = ["--consent", "written", "--statement", "Kate agreed on paper", "--language", "en-US"];
    let report = home.clone(&[&["--name", "Kate", "-o", &out, "--author", "Me"], &told[..]].concat());
    let check = &report["check"];
    assert!((check["seconds"].as_f64().expect("a number") - 10.1).abs() < 0.2, "{check}");
    assert!(check["voiced_seconds"].as_f64() > Some(3.0) && check["median_f0_hz"].as_f64() > Some(120.0), "{check}");
    assert_eq!(check["clipped_per_minute"], 0.0);
    let topics: Vec<_> = report["findings"].as_array().expect("a list").iter().map(|f| f["topic"].clone()).collect();
    assert!(topics.contains(&"Length".into()) && topics.contains(&"Noise".into()), "{topics:?}");

    let voice = open(&out);
    let manifest = voice.manifest();
    assert_eq!((manifest.name.as_str(), manifest.author.as_str()), ("Kate", "Me"));
    let consent = manifest.consent.as_ref().expect("stated");
    assert_eq!((consent.ground, consent.statement.as_str()), (ConsentGround::WrittenConsent, "Kate agreed on paper"));
    assert!(consent.date.as_ref().is_some_and(|date| date.len() == 10 && date.starts_with("20")));
    assert!(consent.recordings_sha256.as_ref().is_some_and(|hash| hash.len() == 64));
    assert!(report["bytes"].as_u64() < Some(500_000), "{report}");
    let extras = Extras::read(&Package::open(&std::fs::read(&out).expect("there")).expect("good")).expect("good");
    assert!(extras.preview.is_some() && extras.recordings.is_none());
    let said = home.good(&["inspect", &out]);
    for part in ["written consent (20", "Kate agreed on paper", "preview.flac", "unsigned"] {
        assert!(said.contains(part), "`{part}` in {said}");
    }
    home.good(&["convert", &vocal(), "-o", &home.text("out.wav"), "--voice", &out, "--no-content", "--no-profile"]);
}

#[test]
fn a_check_alone_writes_nothing_and_says_what_to_do() {
    let home = Home::new();
    let said = home.good(&["clone", &vocal(), "--check", "--no-content"]);
    assert!(said.contains("Length") && said.contains("30 s"), "{said}");
    assert!(std::fs::read_dir(home.0.path()).expect("a folder").next().is_none());
}

#[test]
fn what_cannot_be_cloned_is_said_with_its_exit_code() {
    let home = Home::new();
    let empty = home.text("empty");
    std::fs::create_dir(&empty).expect("made");
    let out = home.text("x.coffre");
    let fails = |code: i32, first: &[&str]| {
        home.bad(code, &[&["clone"], first, &["--name", "X", "--no-content", "-o", &out]].concat())
    };
    home.bad(2, &["clone", &vocal(), "--no-content"]);
    assert!(fails(2, &[&vocal(), "--consent", "written"]).contains("--statement"));
    assert!(fails(3, &[&empty]).contains("no audio file"));
    assert!(fails(3, &[&home.text("missing.wav")]).contains("missing.wav"));
    std::fs::write(home.text("text.wav"), "These are words. ".repeat(500)).expect("written");
    fails(3, &[&home.text("text.wav")]);
    std::fs::write(home.text("bad.png"), "no picture").expect("written");
    assert!(fails(4, &[&vocal(), "--portrait", &home.text("bad.png")]).contains("PNG"));
    assert!(!Path::new(&out).exists());
}

#[test]
fn kept_recordings_make_the_voice_anew() {
    let home = Home::new();
    let (one, two) = (home.text("one.coffre"), home.text("two.coffre"));
    home.clone(&["--name", "One", "-o", &one, "--keep-recordings", "--consent", "own", "--description", "Soft."]);
    home.good(&["clone", &one, "--no-content", "--name", "Two", "-o", &two]);
    let (one_voice, two_voice) = (open(&one), open(&two));
    assert_eq!(two_voice.manifest().consent, one_voice.manifest().consent, "consent stays with the recordings");
    assert_eq!(two_voice.manifest().description, "Soft.");
    assert!((two_voice.median_f0_hz() / one_voice.median_f0_hz() - 1.0).abs() < 0.02);
    let [one_body, two_body] = [&one_voice, &two_voice].map(|voice| voice.native().expect("of the native engine"));
    for (a, b) in one_body.shapes.voiced.iter().zip(two_body.shapes.voiced) {
        assert!((a - b).abs() < 0.2, "16 bits change little: {a} {b}");
    }
    let without = home.text("without.coffre");
    home.clone(&["--name", "Without", "-o", &without]);
    let words = home.bad(4, &["clone", &without, "--no-content", "--name", "Y", "-o", &two, "--force"]);
    assert!(words.contains("enrolment/recordings.flac"), "{words}");
}

/// A short voice with a bank: the first frames of one that comes with Coffre.
fn own_voice(home: &Home) -> String {
    let file = home.text("mine.coffre");
    home.good(&["voices", "export", "Quartz", "-o", &file]);
    let quartz = open(&file);
    let body = quartz.native().expect("of the native engine");
    let bank = &body.bank;
    let frame = |at: usize| BankFrame {
        key: std::array::from_fn(|n| f32::from(bank.keys()[at * KEY_LEN + n]) / bank.key_scale()),
        shape: bank.shape(at),
        f0_hz: bank.f0_hz(at),
    };
    let parts =
        NativeVoice { bank: Bank::quantise(&(0..800).map(frame).collect::<Vec<_>>()), ..NativeVoice::clone(body) };
    let manifest = Manifest { name: "Mine".into(), ..quartz.manifest().clone() };
    std::fs::write(&file, Voice::write(manifest, &parts).expect("a voice")).expect("written");
    file
}

#[test]
fn an_improved_voice_stands_beside_the_old_one() {
    let home = Home::new();
    let out = home.text("better.coffre");
    let file = own_voice(&home);
    let before = std::fs::read(&file).expect("there");
    let report = home.json(&["improve", &file, "-o", &out, "--json"]);
    assert_eq!(std::fs::read(&file).expect("there"), before, "the old one stays as it is");
    let better = open(&out);
    assert_eq!(report["resumed_at"], 0.0);
    assert_eq!((better.name(), report["id"].as_str()), ("Mine (improved)", Some(better.id().to_string().as_str())));
    assert_eq!(better.manifest().improved_from, Some(open(&file).id().to_string()));
    assert!(home.good(&["inspect", &out]).contains("improved     from"));
    assert!(home.bad(4, &["improve", &out]).contains("already"));
    assert!(home.bad(4, &["improve", "Nobody"]).contains("Nobody"));
    home.good(&["voices", "import", &out]);
    let names = home.json(&["voices", "--json"]);
    assert!(names.as_array().expect("a list").iter().any(|voice| voice["name"] == "Mine (improved)"));
    home.good(&["convert", &vocal(), "-o", &home.text("out.wav"), "--voice", &out, "--no-content", "--no-profile"]);
    let bare = home.text("bare.coffre");
    home.clone(&["--name", "Bare", "-o", &bare]);
    assert!(home.bad(4, &["improve", &bare]).contains("no bank"));
}

#[test]
fn a_killed_improvement_goes_on_where_it_was() {
    let home = Home::new();
    let (whole, resumed) = (home.text("whole.coffre"), home.text("resumed.coffre"));
    let file = own_voice(&home);
    home.good(&["improve", &file, "-o", &whole, "-q"]);
    let mut child = home.command(&["improve", &file, "-o", &resumed, "-q"]).spawn().expect("started");
    let folder = home.voices_folder().join(".improving");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    let kept = || {
        std::fs::read_dir(&folder)
            .is_ok_and(|files| files.flatten().any(|f| f.file_name().to_string_lossy().ends_with(".work")))
    };
    while !kept() {
        assert!(child.try_wait().expect("asked").is_none(), "it ended before anything was kept");
        assert!(std::time::Instant::now() < deadline);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(!Path::new(&resumed).exists());
    let report = home.json(&["improve", &file, "-o", &resumed, "--json"]);
    assert!(report["resumed_at"].as_f64() > Some(0.0), "{report}");
    assert_eq!(std::fs::read(&resumed).expect("there"), std::fs::read(&whole).expect("there"));
    assert!(!kept(), "what is done is cleared away");
    // The library never saw anything of it.
    assert!(
        Library::scan_folders(&[(Origin::User, home.voices_folder())])
            .entries()
            .iter()
            .all(|e| e.origin == Origin::Embedded)
    );
}

#[test]
fn a_signed_voice_shows_every_change() {
    let home = Home::new();
    let (out, key) = (home.text("signed.coffre"), home.text("my.key"));
    home.clone(&["--name", "Signed", "-o", &out, "--sign", &key]);
    home.clone(&["--name", "Again", "-o", &home.text("again.coffre"), "--sign", &key]);
    let public = home.json(&["inspect", &out, "--json"])["signature"].as_str().expect("signed").to_owned();
    assert_eq!(home.json(&["inspect", &home.text("again.coffre"), "--json"])["signature"], public.as_str());
    assert!(home.good(&["inspect", &out]).contains(&format!("signed by the key {public}")));
    let bytes = std::fs::read(&out).expect("there");
    let named = |bytes: Vec<u8>, from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|part| part == from);
        at.map(|at| [&bytes[..at], to, &bytes[at + from.len()..]].concat())
    };
    // The manifest is deflated, so the name is changed by packing it anew.
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(&bytes)).expect("a zip");
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).expect("an entry");
        let (mut data, name) = (Vec::new(), entry.name().expect("a name").into_owned());
        std::io::copy(&mut entry, &mut data).expect("readable");
        if name == "manifest.json" {
            data = named(data, b"\"Signed\"", b"\"Forged\"").expect("the name is there");
        }
        writer.start_file(name, zip::write::SimpleFileOptions::default()).expect("new");
        std::io::Write::write_all(&mut writer, &data).expect("memory");
    }
    let forged = writer.finish().expect("memory").into_inner();
    assert!(matches!(Voice::from_bytes(&forged), Err(VoiceError::BrokenSignature { .. })));
    std::fs::write(&out, forged).expect("written");
    assert!(home.bad(4, &["inspect", &out]).contains("signature is broken"));
}

#[test]
fn a_voice_without_a_record_is_marked_until_its_origin_is_stated() {
    let home = Home::new();
    home.clone(&["--name", "Someone"]);
    assert!(home.good(&["voices"]).lines().any(|line| line.contains("Someone") && line.contains("[origin unknown]")));
    let entry = |home: &Home, name: &str| -> Value {
        let list = home.json(&["voices", "--json"]);
        list.as_array().expect("a list").iter().find(|v| v["name"] == name).cloned().expect("listed")
    };
    let before = entry(&home, "Someone");
    assert_eq!(before["origin_unknown"], true);
    home.good(&["voices", "state", "Someone", "--consent", "licensed", "--statement", "CC0 recordings"]);
    let after = entry(&home, "Someone");
    assert_eq!(
        (after["origin_unknown"].clone(), after["consent"]["statement"].clone()),
        (false.into(), "CC0 recordings".into())
    );
    assert_ne!(before["id"], after["id"]);
    // A session that knows the old id still finds the voice, also after another name.
    home.good(&["voices", "rename", "Someone", "Somebody"]);
    let library = Library::scan_folders(&[(Origin::User, home.voices_folder())]);
    let old_id = before["id"].as_str().and_then(|id| id.parse().ok());
    assert_eq!(library.find(old_id, "gone").map(|entry| entry.name.as_str()), Some("Somebody"));
}

#[test]
fn the_library_imports_exports_deletes_and_restores() {
    let home = Home::new();
    let file = home.text("a.coffre");
    home.clone(&["--name", "Anna", "-o", &file]);
    assert!(home.good(&["voices", "import", &file]).contains("imported"));
    assert!(home.good(&["voices", "import", &file]).contains("already there"));
    assert_eq!(std::fs::read_dir(home.voices_folder()).expect("made").count(), 1);
    let copy = home.text("copy.coffre");
    home.good(&["voices", "export", "anna", "-o", &copy]);
    assert_eq!(std::fs::read(&copy).expect("there"), std::fs::read(&file).expect("there"));
    home.good(&["voices", "export", "Quartz", "-o", &copy, "--force"]);
    assert_eq!(open(&copy).name(), "Quartz");
    for change in [&["delete", "Quartz"][..], &["rename", "Quartz", "Mine"]] {
        assert!(home.bad(4, &[&["voices"], change].concat()).contains("part of Coffre"));
    }
    home.good(&["voices", "delete", "Anna"]);
    home.bad(4, &["inspect", "Anna"]);
    home.good(&["voices", "restore", "Anna"]);
    home.good(&["inspect", "Anna"]);
    home.bad(4, &["voices", "restore", "Anna"]);
    std::fs::write(home.text("bad.coffre"), b"no voice").expect("written");
    home.bad(4, &["voices", "import", &home.text("bad.coffre")]);
    // A folder beside the project is found from there.
    std::fs::create_dir(home.0.path().join("coffre-voices")).expect("made");
    std::fs::write(home.0.path().join("coffre-voices/p.coffre"), std::fs::read(&file).expect("there"))
        .expect("written");
    let origins = home.json(&["voices", "--json"]);
    assert!(origins.as_array().expect("a list").iter().any(|v| v["name"] == "Anna" && v["origin"] == "project"));
}

#[test]
fn a_killed_process_never_leaves_a_broken_library() {
    let home = Home::new();
    let file = home.text("a.coffre");
    home.clone(&["--name", "Anna", "-o", &file, "--keep-recordings"]);
    home.good(&["voices", "import", &file]);
    let target = home.voices_folder().join("anna.coffre");
    let target = target.to_str().expect("UTF-8");
    let vocal = vocal();
    let clone =
        ["clone", "--force", &vocal, &vocal, "--no-content", "--name", "Anna", "-o", target, "-q", "--keep-recordings"];
    let changes: [&[&str]; 3] = [&clone, &["voices", "rename", "Anna", "Anna"], &["voices", "import", &file]];
    let start = std::time::Instant::now();
    let mut child = home.command(&clone).spawn().expect("started");
    assert!(child.wait().expect("ended").success());
    let whole = start.elapsed();
    let mut killed = 0;
    for round in 0..24 {
        let mut child = home.command(changes[round % 3]).stdout(std::process::Stdio::null()).spawn().expect("started");
        // Late in the run is where files are written.
        let part = if round % 3 == 0 { 0.5 + 0.6 * (round as f64 / 24.0) } else { 0.002 * round as f64 };
        std::thread::sleep(whole.mul_f64(part));
        killed += usize::from(child.try_wait().expect("asked").is_none());
        let _ = child.kill();
        child.wait().expect("ended");
        let library = Library::scan_folders(&[(Origin::User, home.voices_folder())]);
        let bad: Vec<_> = library.entries().iter().filter_map(|entry| entry.manifest.as_ref().err()).collect();
        assert!(bad.is_empty(), "round {round}: {bad:?}");
        let ours: Vec<_> = library.entries().iter().filter(|entry| entry.origin == Origin::User).collect();
        assert!(!ours.is_empty(), "round {round}: the voice is gone");
        ours.iter().for_each(|entry| assert!(entry.load().is_ok(), "round {round}: {}", entry.path.display()));
    }
    assert!(killed > 5, "only {killed} of 24 were killed while they ran");
}
