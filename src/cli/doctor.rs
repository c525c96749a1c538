//! `doctor`: what works on this machine, what does not, and how to fix it.

use std::path::PathBuf;
use std::time::Instant;

use coffre::engine::Mode;
use coffre::engine::content::{ContentEncoder, ContentFrame, MEL_BANDS};
use coffre::onnx::Runtime;
use coffre::onnx::device::{self, Device};
use coffre::onnx::locate::{Format, Places};
use coffre::onnx::reporting;
use coffre::onnx::visual_c::VisualC;
use coffre::settings;
use coffre::voice::Library;
use coffre::voice::import::eight_bit;
use coffre::voice::library::{FolderState, Origin};
use serde_json::{Value, json};

use super::{CliError, output, voices};

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Checks everything; the exit code is that of the first thing that keeps Coffre from converting.
pub fn run(options: &Options) -> Result<(), CliError> {
    let (settings, settings_path) = (settings::applied(), settings::path());
    let runtime = Runtime::get();
    let content = runtime.as_ref().map_err(ToString::to_string).and_then(|runtime| content(runtime));
    let visual_c = VisualC::of_this_process();
    let device = runtime.as_ref().ok().and_then(|runtime| device::probe(runtime).ok());
    // Only JSON shows ids.
    let library = if options.json { Library::scan(&[]) } else { Library::look(&[]) };
    let plugins = plugins();

    let problem = match (&runtime, &content, library.voices().next()) {
        (Err(error), ..) => Some((error.to_string(), 5)),
        (_, Err(error), _) => Some((error.clone(), 5)),
        (.., None) => Some(("there are no voices. Put `.coffre` files into one of the voice folders".into(), 4)),
        _ => None,
    };
    if options.json {
        output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ok": problem.is_none(),
            "runtime": {
                "ok": runtime.is_ok(),
                "path": runtime.as_ref().ok().map(|runtime| output::path(runtime.path())),
                "version": runtime.as_ref().ok().map(|runtime| runtime.version()),
                "error": runtime.as_ref().err().map(ToString::to_string),
                "folders": paths(&Places::current().folders()),
                "traces": paths(&reporting::traces()),
                "visual_c": cfg!(windows).then(|| json!({
                    "missing": visual_c.missing,
                    "version": visual_c.version(),
                    "path": visual_c.main.as_ref().map(|(path, _)| output::path(path)),
                    "is_old": visual_c.is_old(),
                })),
            },
            "content": match &content {
                Ok(content) => json!({ "ok": true, "space": content.space, "call_ms": content.call_ms, "error": null }),
                Err(error) => json!({ "ok": false, "space": null, "call_ms": null, "error": error }),
            },
            "devices": runtime.as_ref().map(|runtime| runtime.devices()).unwrap_or_default(),
            "rvc_device": {
                "known": Device::all().map(Device::word).collect::<Vec<_>>(),
                "offered": Device::offered().map(Device::word).collect::<Vec<_>>(),
                "chosen": device::chosen().word(),
                "stored": settings.device.map(Device::word),
                "settings": settings_path.as_ref().map(output::path),
                "settings_trouble": Some(&settings.note).filter(|note| !note.is_empty()),
                "runs_on": device.map(Device::word),
                "trouble": device::trouble(),
                "content_8_bit": eight_bit::is_chosen(),
            },
            "voices": library.entries().iter().map(voices::as_json).collect::<Vec<_>>(),
            "voice_folders": folders(&library).map(|(path, state)| folder(path, state)).collect::<Vec<_>>(),
            "plugins": plugins.iter().map(Plugin::as_json).collect::<Vec<_>>(),
        }));
    } else {
        output::line(format_args!("Coffre {}", env!("CARGO_PKG_VERSION")));
        match &runtime {
            Ok(runtime) => {
                output::line(format_args!("ok   ONNX Runtime {} at {}", runtime.version(), runtime.path().display()));
                output::line(format_args!("ok   runs on: {}", runtime.devices().join(", ")));
            }
            Err(error) => output::line(format_args!("BAD  {error}")),
        }
        for name in &visual_c.missing {
            output::line(format_args!("BAD  {name} of Microsoft's Visual C++ runtime is missing"));
        }
        if let Some(main) = visual_c.describe() {
            let age = if visual_c.is_old() { ": old, update it should a host with Coffre crash" } else { "" };
            output::line(format_args!("     Visual C++ runtime {main}{age}"));
        }
        for folder in reporting::traces() {
            output::line(format_args!(
                "     {}: left behind by an ONNX Runtime that reports to its maker, in an early build of Coffre or another \
                 program. Nothing of Coffre needs it: you may delete it",
                folder.display()
            ));
        }
        if let Some(device) = device {
            output::line(format_args!("ok   RVC voices run on: {}", device.title()));
        }
        if eight_bit::is_chosen() {
            output::line(format_args!("     {} = 1: ContentVec calculates in 8 bits on the CPU", eight_bit::VARIABLE));
        }
        if let Some(reason) = device::trouble() {
            output::line(format_args!("     not as chosen: {reason}"));
        }
        let offered: Vec<&str> = Device::offered().map(Device::word).collect();
        output::line(format_args!("     {} chooses another device: {}", device::VARIABLE, offered.join(", ")));
        if let (Some(stored), Some(path)) = (settings.device, &settings_path) {
            let overruled =
                if device::is_fixed() { format!(", but {} decides", device::VARIABLE) } else { String::new() };
            output::line(format_args!("     chosen in {}: {}{overruled}", path.display(), stored.title()));
        }
        if !settings.note.is_empty() {
            output::line(format_args!("     {}", settings.note));
        }
        match &content {
            Ok(content) => output::line(format_args!(
                "ok   content graph `{}`, {} ms per 10 ms of audio",
                content.space, content.call_ms
            )),
            Err(_) if runtime.is_err() => output::line("     the content graph was not tried"),
            Err(error) => output::line(format_args!("BAD  {error}")),
        }
        let names: Vec<&str> = library.voices().map(|entry| entry.name.as_str()).collect();
        match names.is_empty() {
            true => output::line("BAD  there are no voices"),
            false => output::line(format_args!("ok   {} voices: {}", names.len(), names.join(", "))),
        }
        for entry in library.entries() {
            if let Err(error) = &entry.manifest {
                output::line(format_args!("BAD  {}: {error}", entry.path.display()));
            }
        }
        for (path, state) in folders(&library) {
            let (mark, state) = match state {
                FolderState::There => ("    ", ""),
                FolderState::Absent => ("    ", " (does not exist)"),
                FolderState::Silent => ("BAD ", " does not answer; its voices are left out"),
            };
            output::line(format_args!("{mark} voice folder {}{state}", path.display()));
        }
        for plugin in &plugins {
            let state = if plugin.path.exists() { "ok   " } else { "     not installed: " };
            output::line(format_args!("{state}{} {}", plugin.format.name(), plugin.path.display()));
        }
    }
    match problem {
        Some((problem, exit_code)) => Err(CliError::Unhealthy { problem, exit_code }),
        None => Ok(()),
    }
}

/// A content graph that answered.
struct Content {
    space: String,
    call_ms: f64,
}

/// Loads the content graph and asks it something.
fn content(runtime: &Runtime) -> Result<Content, String> {
    let mut encoder = ContentEncoder::new(runtime, Mode::Live).map_err(|error| error.to_string())?;
    let mut frame = ContentFrame::default();
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let start = Instant::now();
        encoder.step(&[0.0; MEL_BANDS], &mut frame).map_err(|error| error.to_string())?;
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Content { space: encoder.space().to_owned(), call_ms: output::rounded(best) })
}

/// A place in which hosts look for a plugin.
struct Plugin {
    format: Format,
    path: PathBuf,
}

impl Plugin {
    fn as_json(&self) -> Value {
        json!({ "format": self.format.name(), "path": output::path(&self.path), "installed": self.path.exists() })
    }
}

/// Where hosts of this system look for Coffre.
fn plugins() -> Vec<Plugin> {
    Places::current().plugins().into_iter().map(|(format, path)| Plugin { format, path }).collect()
}

fn paths(paths: &[PathBuf]) -> Vec<Value> {
    paths.iter().map(output::path).collect()
}

/// The folders that were searched; one beside the project is only worth a word when there is one.
fn folders(library: &Library) -> impl Iterator<Item = (&std::path::Path, FolderState)> {
    let searched = library.folders().iter();
    let told = searched.filter(|(origin, _, state)| (*origin, *state) != (Origin::Project, FolderState::Absent));
    told.map(|(_, path, state)| (path.as_path(), *state))
}

fn folder(path: &std::path::Path, state: FolderState) -> Value {
    json!({ "path": output::path(path), "exists": state == FolderState::There, "answers": state != FolderState::Silent })
}
