//! Keeps out libraries that report to their maker.
//!
//! From 1.29 on, the published builds of ONNX Runtime for Linux and macOS carry a telemetry client: at every start it
//! writes a device id and an event file below the user's cache folder, and a process that lives longer than some ten
//! seconds looks up its maker's event server. Published provider libraries have it too (WebGPU from 0.3.0 on). The
//! environment's `with_telemetry(false)` comes too late: the client starts with the environment. Coffre promises no
//! network and no traces, so:
//!
//! - the shipped version, [`super::RUNTIME_VERSION`], is the last one without the client;
//! - any other file is looked through before the system's loader sees it. One that holds the client is refused unless
//!   the process runs with [`SWITCH`] = 1, the maker's own off switch, which it reads once when it is loaded;
//! - Coffre's own programs set that switch for themselves first thing ([`switch_off`]). A plugin does not set it: the
//!   environment belongs to the host, and changing it while other threads read it is undefined behaviour.
//!
//! The published builds for Windows have no such client: they link no network library, and neither [`SWITCH`] nor the
//! server is in them (looked for in 1.28 and 1.32; `cargo xtask setup` looks for all three). They offer events to
//! Windows' own tracing, as provider `Microsoft.ML.ONNXRuntime` of Microsoft's telemetry group, which Windows may pass on
//! where its diagnostic data are switched on. There `with_telemetry(false)` comes in time: it stops the events before the
//! first session. It is Windows that could ask for them again, when a trace begins while the process runs.
//!
//! Called from worker threads and the command line. Knows nothing of what the libraries do otherwise.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;

/// The environment variable that switches the client off when it is `1` before the library is loaded.
pub const SWITCH: &str = "ORT_DISABLE_TELEMETRY";

/// The server that the client reports to. A library that names it and does not know [`SWITCH`] cannot be kept quiet.
const SERVER: &str = "events.data.microsoft.com";

/// Where the client keeps its files, below the user's cache folder.
const TRACES: &str = "Microsoft/DeveloperTools/.onnxruntime";

/// Bytes looked through at a time.
const PORTION: usize = 1 << 20;

/// Switches the client off for this process, unless the user decided otherwise.
///
/// # Safety
/// No other thread may run yet: call it at the very start of `main`.
/// [main-thread]
pub unsafe fn switch_off() {
    if std::env::var_os(SWITCH).is_none() {
        // SAFETY: the caller guarantees that no other thread reads the environment meanwhile.
        unsafe { std::env::set_var(SWITCH, "1") };
    }
}

/// The folders in which such a client keeps its device id and events, as far as they exist. Coffre up to the version that
/// shipped ONNX Runtime 1.32 left one behind, but so does every other program with such a runtime, and the files do not
/// say whose they are: `doctor` names them, nothing deletes them.
pub fn traces() -> Vec<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = absolute("HOME");
    let caches = [absolute("XDG_CACHE_HOME"), home.map(|home| home.join(".cache"))];
    let mut found: Vec<PathBuf> =
        caches.into_iter().flatten().map(|cache| cache.join(TRACES)).filter(|folder| folder.is_dir()).collect();
    found.dedup();
    found
}

/// How a library stands to reporting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    /// It holds no client.
    None,
    /// It holds one that [`SWITCH`] silences.
    Switchable,
    /// It holds one, and no switch that is known.
    Unknown,
}

/// Why a library must not be loaded in this process because it would report; `None` when nothing speaks against it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn refusal(path: &Path) -> io::Result<Option<String>> {
    let is_off = std::env::var_os(SWITCH).is_some_and(|value| value == "1");
    Ok(match client(path)? {
        Client::None => None,
        Client::Switchable if is_off => None,
        Client::Switchable => Some(format!("set {SWITCH}=1 before the host is started")),
        Client::Unknown => Some("it has no switch that Coffre knows".into()),
    })
}

/// Looks through the whole file: some 10 ms for a runtime.
fn client(path: &Path) -> io::Result<Client> {
    // On Windows texts may stand in 16-bit units.
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (wide_switch, wide_server) = (wide(SWITCH), wide(SERVER));
    let switches = [Finder::new(SWITCH), Finder::new(&wide_switch)];
    let servers = [Finder::new(SERVER), Finder::new(&wide_server)];
    let overlap = wide_switch.len().max(wide_server.len()) - 1;
    let (mut has_switch, mut has_server) = (false, false);
    let mut file = File::open(path)?;
    let mut bytes = vec![0; overlap + PORTION];
    let mut kept = 0;
    loop {
        let read = file.read(&mut bytes[kept..])?;
        if read == 0 {
            break;
        }
        let seen = &bytes[..kept + read];
        has_switch = has_switch || switches.iter().any(|text| text.find(seen).is_some());
        has_server = has_server || servers.iter().any(|text| text.find(seen).is_some());
        // What lies across two portions is found too.
        let end = seen.len();
        kept = overlap.min(end);
        bytes.copy_within(end - kept..end, 0);
    }
    Ok(match (has_switch, has_server) {
        (false, false) => Client::None,
        (true, _) => Client::Switchable,
        (false, true) => Client::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found_wherever_it_lies() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("lib.so");
        let overlap = 2 * SWITCH.len().max(SERVER.len()) - 1;
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for (text, expected) in [
            (SWITCH.as_bytes().to_vec(), Client::Switchable),
            (SERVER.as_bytes().to_vec(), Client::Unknown),
            (wide(SWITCH), Client::Switchable),
            (wide(SERVER), Client::Unknown),
        ] {
            // At the start, across the border of two portions byte by byte, and at the very end.
            let border = overlap + PORTION;
            for at in [0, 5, PORTION - 3, border + 7, 3 * PORTION].into_iter().chain(border - text.len()..=border) {
                let mut bytes = vec![0x55; at];
                bytes.extend_from_slice(&text);
                std::fs::write(&file, &bytes).expect("written");
                assert_eq!(client(&file).expect("readable"), expected, "{text:?} at {at}");
                // The last character of 16 bits ends with a zero.
                bytes.truncate(bytes.len() - 2);
                std::fs::write(&file, &bytes).expect("written");
                assert_eq!(client(&file).expect("readable"), Client::None, "{text:?} cut at {at}");
            }
        }
        std::fs::write(&file, [SERVER, SWITCH].concat()).expect("written");
        assert_eq!(client(&file).expect("readable"), Client::Switchable);
        std::fs::write(&file, "").expect("written");
        assert_eq!(client(&file).expect("readable"), Client::None);
        assert!(client(&dir.path().join("nowhere")).is_err());
    }
}
