//! Downloads one file over HTTP into a part file: resumable, bounded, and never mistaken for complete when it is not.
//!
//! Proxies come from the usual variables (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

/// Attempts in a row without progress before giving up.
const ATTEMPTS: u32 = 4;

/// Redirects that are followed: homes send to their storage.
const REDIRECTS: u32 = 8;

/// Why a download failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The connection, or the proxy; another attempt may work.
    #[error("{0}")]
    Broken(String),
    /// The server's answer; another attempt will not help.
    #[error("{0}")]
    Refused(String),
    /// The disk.
    #[error("{path}: {reason}")]
    Disk {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
}

/// What is known about a part file.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    address: String,
    /// `ETag` or `Last-Modified`: tells whether the rest still belongs to it.
    validator: String,
}

/// What bounds a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of the file.
    pub limit: u64,
    /// Longest wait for a connection, for the beginning of an answer and for each further piece of it.
    pub patience: Duration,
}

/// Fetches `address` into `part`. `progress` is told bytes so far and in all.
pub fn fetch(
    address: &str,
    part: &Path,
    bounds: Bounds,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<(), TransferError> {
    let agent: Agent = Agent::config_builder()
        // A home that was asked for securely must not send elsewhere.
        .https_only(!address.starts_with("http://"))
        .http_status_as_error(false)
        .max_redirects(REDIRECTS)
        .timeout_connect(Some(bounds.patience))
        .timeout_recv_response(Some(bounds.patience))
        .user_agent(concat!("coffre/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut idle = 0;
    loop {
        let before = len_of(part);
        match attempt(&agent, address, part, bounds, progress) {
            Err(TransferError::Broken(reason)) => {
                idle = if len_of(part) > before { 0 } else { idle + 1 };
                if idle == ATTEMPTS {
                    return Err(TransferError::Broken(reason));
                }
                std::thread::sleep(Duration::from_millis(100) * 4u32.pow(idle));
            }
            result => return result,
        }
    }
}

/// Forgets what was fetched so far.
pub fn forget(part: &Path) {
    // What is not there need not go.
    let _ = std::fs::remove_file(part);
    let _ = std::fs::remove_file(note_of(part));
}

fn attempt(
    agent: &Agent,
    address: &str,
    part: &Path,
    bounds: Bounds,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<(), TransferError> {
    let note = read_note(part).filter(|note| note.address == address);
    let have = if note.is_some() { len_of(part) } else { 0 };
    let mut request = agent.get(address).header("Accept-Encoding", "identity");
    if let Some(note) = note.filter(|_| have > 0) {
        request = request.header("Range", format!("bytes={have}-")).header("If-Range", note.validator);
    }
    let answer = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::RequireHttpsOnly(_) | ureq::Error::Http(_) => {
            TransferError::Refused(error.to_string())
        }
        error => TransferError::Broken(error.to_string()),
    })?;
    let text = |name: &str| header(answer.headers(), name);
    let (begin, total) = match answer.status().as_u16() {
        200 => (0, text("content-length").and_then(|len| len.parse().ok())),
        206 => range(text("content-range").as_deref(), have)?,
        // What is here is longer than what is there, or the same: begin again, and let the size decide.
        416 if have > 0 => {
            forget(part);
            return Err(TransferError::Broken("the file there is shorter than before".to_owned()));
        }
        code @ (408 | 429 | 500..=599) => return Err(TransferError::Broken(format!("the server answers {code}"))),
        code => return Err(TransferError::Refused(format!("the server answers {code}{}", meaning(code)))),
    };
    let kind = text("content-type").unwrap_or_default().to_ascii_lowercase();
    if kind.starts_with("text/") || kind.contains("json") || kind.contains("xml") {
        return Err(TransferError::Refused(format!(
            "the address gives {kind} instead of a graph: a page, not the file"
        )));
    }
    if total.is_some_and(|total| total > bounds.limit) {
        return Err(too_large(bounds.limit));
    }
    let validator = text("etag").filter(|tag| !tag.starts_with("W/")).or_else(|| text("last-modified"));
    write_note(part, address, validator)?;
    receive(answer, part, begin, total, bounds, progress)
}

/// Appends the body to the first `begin` bytes of the part file.
fn receive(
    answer: Response<Body>,
    part: &Path,
    begin: u64,
    total: Option<u64>,
    bounds: Bounds,
    progress: &dyn Fn(u64, Option<u64>),
) -> Result<(), TransferError> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(part).map_err(disk(part))?;
    let mut len = begin;
    seek_to(&mut file, len).map_err(disk(part))?;
    let pieces = pieces(answer);
    let of_all = total.map_or_else(String::new, |total| format!(" of {total}"));
    loop {
        progress(len, total);
        let piece = match pieces.recv_timeout(bounds.patience) {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                let reason = format!("the connection broke off after {len}{of_all} bytes: {error}");
                return Err(TransferError::Broken(reason));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let waited = bounds.patience.as_secs_f32();
                let reason = format!("the server sent nothing for {waited} s after {len}{of_all} bytes");
                return Err(TransferError::Broken(reason));
            }
        };
        len += piece.len() as u64;
        if len > bounds.limit {
            forget(part);
            return Err(too_large(bounds.limit));
        }
        file.write_all(&piece).map_err(disk(part))?;
    }
    file.sync_all().map_err(disk(part))?;
    match total {
        Some(total) if len < total => {
            Err(TransferError::Broken(format!("the connection broke off after {len} of {total} bytes")))
        }
        _ => Ok(()),
    }
}

/// Reads the body on a thread of its own, so that a stalled connection can be abandoned. The channel closes at the end of
/// the body. An abandoned thread ends with its connection, at the latest with the command.
fn pieces(answer: Response<Body>) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(4);
    let read = move || {
        let mut body = answer.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let piece = match body.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => Ok(buffer[..count].to_vec()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_over = piece.is_err();
            if sender.send(piece).is_err() || is_over {
                return;
            }
        }
    };
    if let Err(error) = std::thread::Builder::new().name("coffre-fetch".to_owned()).spawn(read) {
        let (sender, failed) = sync_channel(1);
        // There is room for one.
        let _ = sender.send(Err(error));
        return failed;
    }
    receiver
}

/// Begin and total of `Content-Range: bytes BEGIN-END/TOTAL`.
fn range(text: Option<&str>, have: u64) -> Result<(u64, Option<u64>), TransferError> {
    let parsed = text.and_then(|text| {
        let (span, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let begin: u64 = span.split_once('-')?.0.parse().ok()?;
        Some((begin, total.parse().ok()))
    });
    match parsed {
        Some((begin, total)) if begin == have => Ok((begin, total)),
        _ => Err(TransferError::Refused("the server sends another part of the file than it was asked for".to_owned())),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn meaning(code: u16) -> &'static str {
    match code {
        401 | 403 => ": it wants a login, or does not give this file to everybody",
        404 | 410 => ": the file is not there any more; give another address with --from",
        407 => ": the proxy wants a login",
        _ => "",
    }
}

fn too_large(limit: u64) -> TransferError {
    TransferError::Refused(format!("the file is larger than {} MB: no graph that Coffre knows is", limit >> 20))
}

fn disk(path: &Path) -> impl Fn(std::io::Error) -> TransferError {
    move |error| TransferError::Disk { path: path.display().to_string(), reason: error.to_string() }
}

fn seek_to(file: &mut File, len: u64) -> std::io::Result<()> {
    use std::io::Seek as _;
    file.set_len(len)?;
    file.seek(std::io::SeekFrom::Start(len)).map(drop)
}

fn len_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

fn note_of(part: &Path) -> PathBuf {
    part.with_extension("part.json")
}

fn read_note(part: &Path) -> Option<Note> {
    let mut text = String::new();
    File::open(note_of(part)).ok()?.take(1 << 16).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok().filter(|note: &Note| !note.validator.is_empty())
}

/// Without a validator nothing can be resumed, and what is noted says so.
fn write_note(part: &Path, address: &str, validator: Option<String>) -> Result<(), TransferError> {
    let note = Note { address: address.to_owned(), validator: validator.unwrap_or_default() };
    let place = note_of(part);
    std::fs::write(&place, serde_json::to_vec(&note).unwrap_or_default()).map_err(disk(&place))
}
