//! `coffre models get` against a server in this process: taken, resumed, bounded, and refused when it is another file.
#![cfg(feature = "fetch")]

mod common;
#[path = "rvc/stand_in.rs"]
mod stand_in;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use coffre::onnx::model::{Dim, GraphWriter};
use coffre::voice::VoiceId;
use serde_json::Value;

/// How the server behaves.
#[derive(Clone)]
struct Behaviour {
    content: Vec<u8>,
    content_type: &'static str,
    etag: Option<&'static str>,
    /// Bytes of a body after which the connection ends.
    breaks_after: usize,
    /// Does not end the connection then: nothing more comes.
    stalls: bool,
    /// Says more bytes than any graph has, or sends without saying how many.
    claims: Claim,
    status: Option<&'static str>,
    /// Where to send the asker instead.
    redirect: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Claim {
    True,
    Huge,
    Nothing,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            content: stand_in::stand_in().to_vec(),
            content_type: "application/octet-stream",
            etag: Some("\"one\""),
            breaks_after: usize::MAX,
            stalls: false,
            claims: Claim::True,
            status: None,
            redirect: None,
        }
    }
}

struct Server {
    address: String,
    behaviour: Arc<Mutex<Behaviour>>,
    /// The `Range` headers of all requests, empty without one.
    ranges: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/graph.onnx", listener.local_addr().expect("an address"));
        let (behaviour, ranges) = (Arc::new(Mutex::new(behaviour)), Arc::new(Mutex::new(Vec::new())));
        let server = Self { address, behaviour: behaviour.clone(), ranges: ranges.clone() };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let behaviour = behaviour.lock().expect("no panic").clone();
                // An asker that hangs up in the middle is part of the tests.
                let _ = answer(stream, &behaviour, &ranges);
            }
        });
        server
    }

    fn set(&self, edit: impl FnOnce(&mut Behaviour)) {
        edit(&mut self.behaviour.lock().expect("no panic"));
    }

    fn ranges(&self) -> Vec<String> {
        std::mem::take(&mut self.ranges.lock().expect("no panic"))
    }
}

fn answer(mut stream: TcpStream, behaviour: &Behaviour, ranges: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut range, mut if_range) = (String::new(), None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim();
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        match name.to_ascii_lowercase().as_str() {
            "" => break,
            "range" => range = value.to_owned(),
            "if-range" => if_range = Some(value.to_owned()),
            _ => {}
        }
    }
    ranges.lock().expect("no panic").push(range.clone());
    if let Some(redirect) = &behaviour.redirect {
        return write!(stream, "HTTP/1.1 302 Found\r\nLocation: {redirect}\r\nContent-Length: 0\r\n\r\n");
    }
    if let Some(status) = behaviour.status {
        return write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let total = behaviour.content.len();
    let wanted = range.strip_prefix("bytes=").and_then(|text| text.strip_suffix('-')?.parse::<usize>().ok());
    let begin = wanted.filter(|_| if_range.as_deref() == behaviour.etag).unwrap_or(0);
    match begin {
        0 => write!(stream, "HTTP/1.1 200 OK\r\n")?,
        begin if begin >= total => {
            return write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n");
        }
        _ => write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {begin}-{}/{total}\r\n", total - 1)?,
    }
    if let Some(etag) = behaviour.etag {
        write!(stream, "ETag: {etag}\r\n")?;
    }
    match behaviour.claims {
        Claim::True => write!(stream, "Content-Length: {}\r\n", total - begin)?,
        Claim::Huge => write!(stream, "Content-Length: {}\r\n", 1u64 << 40)?,
        Claim::Nothing => {}
    }
    write!(stream, "Content-Type: {}\r\nConnection: close\r\n\r\n", behaviour.content_type)?;
    let body = &behaviour.content[begin..];
    stream.write_all(&body[..body.len().min(behaviour.breaks_after)])?;
    if behaviour.stalls && body.len() > behaviour.breaks_after {
        // Never closed.
        std::mem::forget(stream.try_clone()?);
    }
    Ok(())
}

/// A models folder.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn coffre(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
        command.arg("models").args(arguments).env("COFFRE_MODELS", self.0.path());
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied()).output().expect("the command starts")
    }

    #[track_caller]
    fn expect(&self, exit_code: i32, arguments: &[&str]) -> String {
        let output = self.coffre(arguments, &[]);
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert_eq!(output.status.code(), Some(exit_code), "{arguments:?}: {said}");
        said
    }

    fn get(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path("contentvec-768.onnx")).ok()
    }

    fn files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.0.path()).expect("a folder").flatten();
        let mut names: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_body_that_stalls_is_given_up_and_goes_on_where_it_stopped() {
    let third = stand_in::stand_in().len() / 3 + 1;
    let stalling = Behaviour { breaks_after: third, stalls: true, ..Behaviour::default() };
    let (place, server) = (Place::new(), Server::new(stalling));
    let begin = std::time::Instant::now();
    place.expect(0, &["get", "--from", &server.address, "--patience", "1"]);
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(place.get().as_deref() == Some(stand_in::stand_in()));
    let ranges = server.ranges();
    assert_eq!(ranges, [String::new(), format!("bytes={third}-"), format!("bytes={}-", 2 * third)]);

    // Nothing comes any more: a clear word, and what is there is kept.
    let place = Place::new();
    server.set(|behaviour| behaviour.breaks_after = third);
    let begin = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while server.ranges.lock().expect("no panic").is_empty() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            server.set(|behaviour| behaviour.breaks_after = 0);
        });
        let said = place.expect(5, &["get", "--from", &server.address, "--patience", "1"]);
        let total = stand_in::stand_in().len();
        assert!(said.contains(&format!("sent nothing for 1 s after {third} of {total} bytes")), "{said}");
    });
    assert!(begin.elapsed() < std::time::Duration::from_secs(60), "{:?}", begin.elapsed());
    assert_eq!(place.files(), ["contentvec-768.part", "contentvec-768.part.json"]);
    server.set(|behaviour| behaviour.stalls = false);
    server.set(|behaviour| behaviour.breaks_after = usize::MAX);
    server.ranges();
    place.expect(0, &["get", "--from", &server.address]);
    assert!(place.get().as_deref() == Some(stand_in::stand_in()));
    assert_eq!(server.ranges(), [format!("bytes={third}-")]);
}

#[test]
fn a_graph_is_fetched_once_and_its_checksum_kept() {
    let (place, server) = (Place::new(), Server::new(Behaviour::default()));
    let said = place.expect(0, &["get", "--from", &server.address]);
    let sha256 = VoiceId::of(stand_in::stand_in()).to_string();
    assert!(said.contains(&sha256) && said.contains("content features for RVC v2"), "{said}");
    assert!(place.get().as_deref() == Some(stand_in::stand_in()));
    let record: Value =
        serde_json::from_slice(&std::fs::read(place.path("fetched.json")).expect("a record")).expect("JSON");
    assert_eq!(record["contentvec-768.onnx"]["sha256"], sha256);
    assert_eq!(record["contentvec-768.onnx"]["address"], server.address);
    assert_eq!(place.files(), ["contentvec-768.onnx", "fetched.json"], "nothing else stays");
    assert_eq!(server.ranges().len(), 1);

    let said = place.expect(0, &["get", "--from", &server.address]);
    assert!(said.contains("there already") && server.ranges().is_empty(), "{said}");
    place.expect(0, &["get", "--again", "--from", &server.address]);
    assert_eq!(server.ranges(), [""]);
}

#[test]
fn a_broken_download_goes_on_where_it_stopped() {
    let server = Server::new(Behaviour { breaks_after: 400_000, ..Behaviour::default() });
    let len = stand_in::stand_in().len();
    // In one run, as long as every attempt brings something.
    let place = Place::new();
    place.expect(0, &["get", "--from", &server.address]);
    assert!(place.get().as_deref() == Some(stand_in::stand_in()));
    let wanted: Vec<String> =
        (0..len).step_by(400_000).map(|at| if at == 0 { String::new() } else { format!("bytes={at}-") }).collect();
    assert_eq!(server.ranges(), wanted);

    // In another run, after one that gave up.
    let place = Place::new();
    server.set(|behaviour| behaviour.breaks_after = 0);
    std::fs::write(place.path("contentvec-768.part"), &stand_in::stand_in()[..100_000]).expect("written");
    let note = format!("{{\"address\":\"{}\",\"validator\":\"\\\"one\\\"\"}}", server.address);
    std::fs::write(place.path("contentvec-768.part.json"), note).expect("written");
    let said = place.expect(5, &["get", "--from", &server.address]);
    assert!(said.contains("broke off after 100000"), "{said}");
    assert!(server.ranges().iter().all(|range| range == "bytes=100000-"), "nothing was lost");
    server.set(|behaviour| behaviour.breaks_after = usize::MAX);
    place.expect(0, &["get", "--from", &server.address]);
    assert_eq!(server.ranges(), ["bytes=100000-"]);
    assert!(place.get().as_deref() == Some(stand_in::stand_in()));
}

#[test]
fn parts_of_different_files_are_never_joined() {
    for etag in [Some("\"two\""), None] {
        let (place, server) = (Place::new(), Server::new(Behaviour { etag, ..Behaviour::default() }));
        std::fs::write(place.path("contentvec-768.part"), vec![7; 100_000]).expect("written");
        let note = format!("{{\"address\":\"{}\",\"validator\":\"\\\"one\\\"\"}}", server.address);
        std::fs::write(place.path("contentvec-768.part.json"), note).expect("written");
        place.expect(0, &["get", "--from", &server.address]);
        assert!(place.get().as_deref() == Some(stand_in::stand_in()), "{etag:?}");
    }
    // A part of unknown origin, and one that is longer than the file.
    for (note, len) in [("", 100_000), ("\"one\"", 9_000_000)] {
        let (place, server) = (Place::new(), Server::new(Behaviour::default()));
        std::fs::write(place.path("contentvec-768.part"), vec![7; len]).expect("written");
        let note = serde_json::json!({ "address": server.address, "validator": note });
        std::fs::write(place.path("contentvec-768.part.json"), note.to_string()).expect("written");
        place.expect(0, &["get", "--from", &server.address]);
        assert!(place.get().as_deref() == Some(stand_in::stand_in()), "{len}");
    }
}

#[test]
fn what_is_no_graph_is_refused_and_nothing_stays() {
    let mel = {
        let mut graph = GraphWriter::new();
        let input = graph.input("mel", &[Dim::Fixed(1), Dim::Fixed(128), Dim::Open("frames")]);
        let weights = graph.floats(&[360, 128, 1], &vec![0.0; 360 * 128]);
        let output = graph.node("Conv", &[&input, &weights], &[]);
        graph.output(&output, "hidden", &[Dim::Fixed(1), Dim::Fixed(360), Dim::Open("frames")]);
        graph.finish("rmvpe", &[])
    };
    let base = Behaviour::default;
    for (behaviour, part) in [
        (Behaviour { content_type: "text/html; charset=utf-8", ..base() }, "a page, not the file"),
        (Behaviour { claims: Claim::Huge, ..base() }, "larger than 1024 MB"),
        (Behaviour { content: vec![0x42; 3_000], ..base() }, "coffre: "),
        (Behaviour { content: mel, ..base() }, "it gives rmvpe and not contentvec-768"),
        (Behaviour { status: Some("404 Not Found"), ..base() }, "not there any more"),
        (Behaviour { status: Some("401 Unauthorized"), ..base() }, "a login"),
    ] {
        let (place, server) = (Place::new(), Server::new(behaviour));
        let said = place.expect(5, &["get", "--from", &server.address]);
        assert!(said.contains(part) && said.contains(&server.address), "{said}");
        assert!(place.get().is_none());
        assert!(!place.files().iter().any(|name| name.ends_with(".onnx")), "{:?}", place.files());
    }
    // Without a length, the end of the connection is the end of the file.
    let (place, server) = (Place::new(), Server::new(Behaviour { claims: Claim::Nothing, ..base() }));
    place.expect(0, &["get", "--from", &server.address]);
    // Nobody there.
    let place = Place::new();
    let said = place.expect(5, &["get", "--from", "http://127.0.0.1:9/graph.onnx"]);
    assert!(said.contains("127.0.0.1:9"), "{said}");
    place.expect(2, &["get", "--from", "ftp://127.0.0.1/graph.onnx"]);
}

#[test]
fn another_file_than_before_is_refused_until_it_is_accepted() {
    let (place, server) = (Place::new(), Server::new(Behaviour::default()));
    place.expect(0, &["get", "--from", &server.address]);
    let mut changed = stand_in::stand_in().to_vec();
    // The last bytes belong to a weight or a name: still the same kind of graph.
    let at = changed.len() / 2;
    changed[at] ^= 1;
    server.set(|behaviour| (behaviour.content, behaviour.etag) = (changed.clone(), Some("\"two\"")));
    std::fs::remove_file(place.path("contentvec-768.onnx")).expect("removed");
    let said = place.expect(5, &["get", "--from", &server.address]);
    assert!(said.contains("another file than before") && said.contains("--accept-change"), "{said}");
    assert!(said.contains(&VoiceId::of(&changed).to_string()), "{said}");
    assert!(place.get().is_none());
    place.expect(0, &["get", "--accept-change", "--from", &server.address]);
    assert!(place.get() == Some(changed));

    std::fs::write(place.path("fetched.json"), b"{").expect("written");
    let said = place.expect(2, &["get", "--again", "--from", &server.address]);
    assert!(said.contains("fetched.json"), "{said}");
}

#[test]
fn the_table_of_homes_can_be_replaced_and_redirects_are_followed() {
    let (place, server) = (Place::new(), Server::new(Behaviour::default()));
    let first = Server::new(Behaviour { redirect: Some(server.address.clone()), ..Behaviour::default() });
    let table = format!("{{\"contentvec-768\":\"{}\"}}", first.address);
    std::fs::write(place.path("homes.json"), &table).expect("written");
    place.expect(0, &["get"]);
    assert!(place.get().is_some());
    let said = place.expect(2, &["get", "rmvpe"]);
    assert!(said.contains("has no address for rmvpe"), "{said}");

    let other = place.path("other.json").display().to_string();
    std::fs::write(&other, "no table").expect("written");
    let output = place.coffre(&["get", "--again"], &[("COFFRE_MODEL_HOMES", &other)]);
    assert_eq!(output.status.code(), Some(2));
    std::fs::write(&other, &table).expect("written");
    let output = place.coffre(&["get", "--again"], &[("COFFRE_MODEL_HOMES", &other)]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_proxy_from_the_environment_is_used() {
    let place = Place::new();
    let proxy = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", proxy.local_addr().expect("an address"));
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().expect("somebody asks");
        let mut line = String::new();
        BufReader::new(stream.try_clone().expect("a second handle")).read_line(&mut line).expect("a line");
        let _ = write!(stream, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        // Later attempts find nobody.
        line
    });
    let arguments = ["get", "--from", "https://graphs.invalid/graph.onnx"];
    let output = place.coffre(&arguments, &[("https_proxy", &address)]);
    assert_eq!(output.status.code(), Some(5));
    let line = asked.join().expect("no panic");
    assert!(line.starts_with("CONNECT graphs.invalid:443"), "{line}");
}
