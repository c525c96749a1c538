//! Many files at once, pipes, names that are taken, and what is left of a run that was stopped.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{CD, Folder, code, coffre, json, read, vocal};

const PLAIN: [&str; 3] = ["--voice", "none", "--no-content"];

fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for item in std::fs::read_dir(folder).expect("a folder").flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        match item.path().is_dir() {
            true => names.extend(self::names(&item.path()).into_iter().map(|below| format!("{name}/{below}"))),
            false => names.push(name),
        }
    }
    names.sort();
    names
}

#[test]
fn a_folder_is_converted_goes_on_where_it_was_and_one_bad_file_stops_nothing() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("in/b")).expect("made");
    for name in ["in/a.wav", "in/b/a.flac", "in/c.aif.wav"] {
        folder.sing(name, CD, 30_000);
    }
    folder.put("in/bad.wav", b"no audio");
    folder.put("in/._a.wav", b"of a Mac");
    let (input, output) = (folder.text("in"), folder.text("out"));
    let run = |more: &[&str]| {
        coffre(&[&["convert", &input, "-o", &output, "--recursive", "--jobs", "3"], &PLAIN[..], more].concat())
    };
    let first = run(&[]);
    let (exit_code, text) = code(&first);
    assert_eq!(exit_code, 3, "{text}");
    assert!(text.contains("1 of 4 files failed") && text.contains("bad.wav"), "{text}");
    assert_eq!(names(&folder.path("out")), ["a.wav", "b/a.flac", "c.aif.wav"]);
    // Each is what a run of its own makes.
    let alone = folder.text("alone.flac");
    assert!(coffre(&[&["convert", &folder.text("in/b/a.flac"), "-o", &alone], &PLAIN[..]].concat()).status.success());
    assert!(std::fs::read(&alone).expect("there") == std::fs::read(folder.path("out/b/a.flac")).expect("there"));

    std::fs::remove_file(folder.path("in/bad.wav")).expect("removed");
    std::fs::remove_file(folder.path("out/a.wav")).expect("removed");
    std::fs::write(folder.path("out/c.aif.wav"), b"mine").expect("written");
    let second = run(&["--json"]);
    assert!(second.status.success(), "{second:?}");
    let said = json(&second);
    let skipped = said.as_array().expect("a list").iter().filter(|item| item["skipped"] == true).count();
    assert_eq!((said.as_array().map(Vec::len), skipped), (Some(3), 2), "{said}");
    assert_eq!(std::fs::read(folder.path("out/c.aif.wav")).expect("there"), b"mine");
    assert!(run(&["--force", "-q"]).status.success());
    assert_eq!(read(&folder.path("out/c.aif.wav")).1.len(), 30_000);
}

#[test]
fn a_file_sounds_the_same_whichever_came_before() {
    let folder = Folder::new();
    let other = folder.sing("other.wav", CD, 60_000);
    let vocal = vocal();
    let voice = ["--voice", "celadon", "-q"];
    let output = folder.text("out");
    assert!(
        coffre(&[&["convert", &other, &vocal, &other, "-o", &output, "-j", "1"], &voice[..]].concat()).status.success()
    );
    let alone = folder.text("alone.flac");
    assert!(coffre(&[&["convert", &vocal, "-o", &alone], &voice[..]].concat()).status.success());
    assert!(read(&folder.path("alone.flac")).1 == read(&folder.path("out/vocal.flac")).1);
}

#[test]
fn what_makes_no_sense_for_several_files_is_said() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 5_000);
    let profile = folder.text("p.profile");
    for (arguments, word) in [
        (vec![input.as_str(), &input, "-o", "x.wav"], "go into a folder"),
        (vec![&input, "-", "-o", "x"], "standard input"),
        (vec![&input, &input, "-o", "-"], "standard output"),
        (vec![&input, &input, "-o", "x", "--save-profile", &profile], "--save-profile"),
    ] {
        let (exit_code, text) = code(&coffre(&[&["convert"], &arguments[..], &PLAIN[..]].concat()));
        assert_eq!(exit_code, 2, "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn nothing_is_replaced_unless_told_to() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 60_000);
    let kept = folder.put("kept.wav", b"mine");
    let voice = folder.put("kept.coffre", b"mine");
    let quartz = format!("{}/models/voices/quartz.coffre", env!("CARGO_MANIFEST_DIR"));
    for arguments in [
        vec!["convert", &input, "-o", &kept, "--voice", "none", "--no-profile"],
        vec!["clone", &input, "--name", "x", "-o", &voice, "--no-content", "--consent", "own"],
        vec!["improve", &quartz, "-o", &voice],
        vec!["import", &input, "-o", &voice],
        vec!["voices", "export", "quartz", "-o", &voice],
    ] {
        let (exit_code, text) = code(&coffre(&arguments));
        assert_eq!(exit_code, 6, "{arguments:?}: {text}");
        assert!(text.contains("already") && text.contains("--force"), "{arguments:?}: {text}");
    }
    for name in ["kept.wav", "kept.coffre"] {
        assert_eq!(std::fs::read(folder.path(name)).expect("there"), b"mine", "{name}");
    }
    let forced = ["convert", &input, "-o", &kept, "--voice", "none", "--no-profile", "--force"];
    assert!(coffre(&forced).status.success());
    assert!(coffre(&["voices", "export", "quartz", "-o", &voice, "--force"]).status.success());
    assert!(read(Path::new(&kept)).1.len() == 60_000 && std::fs::read(&voice).expect("there").len() > 1_000);
}

#[test]
#[cfg(unix)]
fn sound_comes_and_goes_through_pipes() {
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 30_000);
    let bytes = std::fs::read(&input).expect("readable");
    let output = folder.text("b.wav");
    assert!(coffre(&[&["convert", &input, "-o", &output], &PLAIN[..]].concat()).status.success());
    let wanted = std::fs::read(&output).expect("there");

    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command.args(["convert", "-", "-o", "-"]).args(PLAIN);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(&bytes).expect("it listens");
    let said = child.wait_with_output().expect("it ends");
    assert!(said.status.success() && said.stdout == wanted, "{} bytes", said.stdout.len());

    let pipe = folder.path("p.wav");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("a program").success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, bytes).expect("somebody listens")
    });
    let again = folder.text("c.wav");
    let said = coffre(&[&["convert", pipe.to_str().expect("UTF-8"), "-o", &again], &PLAIN[..]].concat());
    assert!(said.status.success(), "{said:?}");
    writer.join().expect("written");
    assert!(std::fs::read(&again).expect("there") == wanted);
}

#[test]
#[cfg(unix)]
fn nothing_is_left_of_a_run_that_was_stopped() {
    let folder = Folder::new();
    let (input, output) = (folder.sing("a.wav", CD, 20_000_000), folder.text("out.wav"));
    for signal in ["INT", "TERM", "KILL"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.args(["convert", &input, "-o", &output, "--no-profile", "-q"]).args(PLAIN);
        let mut child = command.spawn().expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        while names(&folder.path("")).len() == 1 {
            assert!(Instant::now() < deadline && child.try_wait().expect("its child").is_none(), "it never began");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().expect("a program").success());
        let status = child.wait().expect("it ends");
        assert!(!status.success());
        if signal != "KILL" {
            assert_eq!((status.code(), names(&folder.path(""))), (Some(130), vec!["a.wav".to_owned()]), "{signal}");
        }
    }
    // What a kill left goes with the next run.
    let left = names(&folder.path(""));
    assert_eq!(left.len(), 2, "{left:?}");
    std::thread::sleep(Duration::from_secs(3));
    let short = folder.sing("b.wav", CD, 500);
    assert!(coffre(&[&["convert", &short, "-o", &output, "--no-profile"], &PLAIN[..]].concat()).status.success());
    assert_eq!(names(&folder.path("")), ["a.wav", "b.wav", "out.wav"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_link_is_followed_and_a_protected_file_or_a_device_stays() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = Folder::new();
    let input = folder.sing("a.wav", CD, 5_000);
    let real = folder.put("real.wav", b"old");
    symlink(&real, folder.path("link.wav")).expect("linked");
    let to =
        |output: &str| coffre(&[&["convert", &input, "-o", output, "--no-profile", "--force"], &PLAIN[..]].concat());
    assert!(to(&folder.text("link.wav")).status.success());
    assert!(read(Path::new(&real)).1.len() == 5_000 && folder.path("link.wav").is_symlink());
    std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o444)).expect("its owner's");
    symlink("/dev/full", folder.path("full.wav")).expect("linked");
    for (output, word) in [(real.as_str(), "write-protected"), (&folder.text("full.wav"), "device")] {
        let (exit_code, text) = code(&to(output));
        assert_eq!(exit_code, 6, "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn channels_that_are_empty_or_turned_over_do_not_weaken_the_voice() {
    use super::{AudioSpec, AudioWriter, SampleFormat};
    let folder = Folder::new();
    let (_, voice) = read(Path::new(&vocal()));
    let power = |samples: &[f32]| samples.iter().map(|x| f64::from(x * x)).sum::<f64>();
    let convert = |name: &str, gains: &[f32], more: &[&str]| {
        let spec = AudioSpec { rate: 48_000, channels: gains.len(), format: SampleFormat::Float };
        let mut writer = AudioWriter::create(&folder.path(name), spec).expect("created");
        writer
            .write(&voice.iter().flat_map(|x| gains.iter().map(move |gain| gain * x)).collect::<Vec<_>>())
            .expect("written");
        writer.finish().expect("finished");
        let output = folder.text("made.wav");
        let arguments = ["convert", &folder.text(name), "-o", &output, "--force", "--no-profile", "--transpose", "0"];
        let said = coffre(&[&arguments[..], &PLAIN[..], more].concat());
        assert!(said.status.success(), "{said:?}");
        let first: Vec<f32> = read(Path::new(&output)).1.iter().step_by(gains.len()).copied().collect();
        (power(&first), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let (wanted, _) = convert("mono.wav", &[1.0], &[]);
    for (name, gains, is_told) in [
        ("left.wav", &[1.0, 0.0][..], false),
        ("right.wav", &[0.0, 1.0], false),
        ("inverted.wav", &[1.0, -1.0], true),
        ("nearly.wav", &[1.0, -0.95], true),
        ("six.wav", &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], false),
    ] {
        let (found, said) = convert(name, gains, &[]);
        let difference_db = 10.0 * (found / wanted).log10();
        assert!(difference_db.abs() < 0.5, "{name}: {difference_db:.2} dB");
        assert_eq!(said.contains("cancel each other"), is_told, "{name}: {said}");
    }
    let (left, _) = convert("both.wav", &[1.0, 0.5], &["--channels", "left"]);
    let (right, _) = convert("both.wav", &[1.0, 0.5], &["--channels", "right"]);
    assert!((10.0 * (left / right).log10() - 6.0).abs() < 0.7, "{left} {right}");
}
