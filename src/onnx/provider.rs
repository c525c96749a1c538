//! Reaches the devices of the table: makes their providers known to the runtime, tries them, and opens sessions on them.
//!
//! A provider that is there and takes no work is the usual way in which everything silently runs on the processor.
//! So a device counts only when it did a trial's work alone and came to the right numbers. Called from worker threads
//! and the command line.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ort::session::Session;
use ort::session::builder::SessionBuilder;
use ort::value::Tensor;

use super::device::{self, Device};
use super::kinds::{Kind, Provider};
use super::model::{Attribute, Dim, GraphWriter};
use super::{Runtime, graph, queue, reporting};

/// Longest reason that is shown, in letters.
const LONGEST_REASON: usize = 300;

/// Longest wait for those who use a device already.
const PATIENCE: Duration = Duration::from_secs(10);

/// Part of the name of a file that lies beside providers which fit no other runtime than the one beside them.
const BRIDGE: &str = "onnxruntime_providers_shared";

/// What came of a trial, and of which choice.
type Trials = Vec<(Device, u32, Result<(), String>)>;

/// Looks whether a device can be used, the first time by using it. Success counts for good, failure until a device is
/// chosen again.
pub(super) fn ready(runtime: &Runtime, device: Device) -> Result<(), String> {
    static TRIALS: Mutex<Trials> = Mutex::new(Vec::new());
    let Kind { systems, is_here, provider: Some(provider), .. } = device.kind() else { return Ok(()) };
    let chosen = |reason: String| format!("{} was chosen, and {reason}", provider.name);
    if !is_here {
        return Err(chosen(format!("it is for {systems} only")));
    }
    let mut trials = TRIALS.lock().unwrap_or_else(PoisonError::into_inner);
    let version = device::version();
    if let Some((.., result)) =
        trials.iter().find(|(of, at, result)| *of == device && (result.is_ok() || *at == version))
    {
        return result.clone();
    }
    // Asked each time while it is not there: it may be put there meanwhile.
    let way = way(runtime, provider).map_err(chosen)?;
    let result = register(runtime, provider, &way).and_then(|()| attempt(runtime, device).map_err(chosen));
    trials.retain(|(of, ..)| *of != device);
    trials.push((device, version, result.clone()));
    result
}

/// Where a provider is.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// In the runtime's own library.
    BuiltIn,
    /// In this one.
    Library(PathBuf),
}

fn way(runtime: &Runtime, provider: &Provider) -> Result<Way, String> {
    if provider.built_in.as_ref().is_some_and(|built_in| (built_in.is_there)()) {
        return Ok(Way::BuiltIn);
    }
    let Some(library) = &provider.library else {
        return Err(format!("{} was built without it. {}", runtime.path().display(), provider.remedy));
    };
    let named = std::env::var_os(library.variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = named.unwrap_or_else(|| runtime.path().with_file_name(library.file));
    if !path.is_file() {
        return Err(format!("there is no {}. {}", path.display(), provider.remedy));
    }
    if path.parent() != runtime.path().parent() && is_bridge(&path) {
        return Err(format!(
            "{} fits only the ONNX Runtime beside it. Name that in COFFRE_ONNXRUNTIME",
            path.display()
        ));
    }
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    if let Some(remedy) = reporting::refusal(&path).map_err(unreadable)? {
        return Err(format!(
            "{} reports to its maker over the network, so Coffre does not load it. Use an older version of the package \
             that does not (onnxruntime-ep-webgpu up to 0.2.1), or {remedy}",
            path.display()
        ));
    }
    Ok(Way::Library(path))
}

/// Whether a provider is of the kind that calls into the runtime that it was built with: another one's would be taken
/// for it, and the process would end.
fn is_bridge(path: &Path) -> bool {
    let siblings = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    siblings.is_some_and(|siblings| {
        siblings.flatten().any(|sibling| sibling.file_name().to_string_lossy().contains(BRIDGE))
    })
}

/// Makes a provider known to the runtime, once per process, and looks whether it has a device: an empty list would
/// silently mean the processor.
fn register(runtime: &Runtime, provider: &Provider, way: &Way) -> Result<(), String> {
    static REGISTERED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let Way::Library(path) = way else {
        (provider.prepare)(runtime.path());
        return Ok(());
    };
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !registered.contains(&provider.id) {
        (provider.prepare)(path);
        let refused =
            |error: ort::Error| format!("{} cannot be used: {}", path.display(), plain(provider, &error.to_string()));
        runtime.environment().register_ep_library(provider.name, path).map_err(refused)?;
        registered.push(provider.id);
    }
    match devices(runtime, provider).next() {
        Some(_) => Ok(()),
        None => Err(format!("{} was chosen, and no graphics card was found that it can use", provider.name)),
    }
}

/// The provider's devices.
fn devices<'r>(runtime: &'r Runtime, provider: &Provider) -> impl Iterator<Item = ort::device::Device<'r>> {
    runtime.environment().devices().filter(|device| device.ep().is_ok_and(|name| name == provider.id))
}

/// Adds a device to a session's choices; where it is missing by now, an error.
pub(super) fn add(builder: SessionBuilder, runtime: &Runtime, device: Device) -> ort::Result<SessionBuilder> {
    let Some(provider) = &device.kind().provider else { return Ok(builder) };
    if let Some(built_in) = provider.built_in.as_ref().filter(|built_in| (built_in.is_there)()) {
        return Ok(builder.with_execution_providers([(built_in.build)(provider.options)])?);
    }
    // Providers take one device for each session.
    let first = devices(runtime, provider).next().ok_or_else(|| ort::Error::new("the device is gone"))?;
    let option = |(key, value): &(&str, &str)| (format!("{}.{key}", provider.id), (*value).to_owned());
    let options: Vec<_> = provider.options.iter().map(option).collect();
    Ok(builder.with_devices([first], Some(&options))?)
}

/// Opens a graph on a device, and tells whether all of it is there. The runtime does not tell how much of it is when it
/// is not all.
pub(super) fn open(runtime: &Runtime, bytes: &[u8], threads: usize, device: Device) -> ort::Result<(Session, bool)> {
    let provider = device.kind().provider.as_ref();
    if provider.is_some_and(|provider| provider.is_quick_to_refuse)
        && let Ok(session) = graph::session(runtime, bytes, threads, device, true)
    {
        return Ok((session, true));
    }
    Ok((graph::session(runtime, bytes, threads, device, false)?, provider.is_none()))
}

/// What went wrong on a device, in words for the person who has to mend it.
pub(super) fn reason(device: Device, error: &str) -> String {
    device.kind().provider.as_ref().map_or_else(|| error.to_owned(), |provider| plain(provider, error))
}

fn plain(provider: &Provider, error: &str) -> String {
    let words = (provider.explain)(error).unwrap_or_else(|| error.split_whitespace().collect::<Vec<_>>().join(" "));
    words.chars().take(LONGEST_REASON).collect()
}

/// Input and output of [`trial_graph`].
pub(super) const TRIAL_PORTS: [&str; 2] = ["x", "y"];

/// Shape of both.
pub(super) const TRIAL_SHAPE: [usize; 3] = [1, 8, 8];

/// A convolution and a product of matrices, which is what RVC's networks are made of: ones become ones, but for the
/// first and the last column.
pub(super) fn trial_graph() -> Vec<u8> {
    let [input, output] = TRIAL_PORTS;
    let shape = TRIAL_SHAPE.map(Dim::Fixed);
    let mut graph = GraphWriter::new();
    let x = graph.input(input, &shape);
    let kernels = graph.floats(&[8, 8, 3], &[1.0 / 24.0; 192]);
    let identity: Vec<f32> = (0..64).map(|n| if n % 9 == 0 { 1.0 } else { 0.0 }).collect();
    let identity = graph.floats(&[8, 8], &identity);
    let x = graph.node("Conv", &[&x, &kernels], &[("pads", Attribute::Ints(&[1, 1]))]);
    let x = graph.node("MatMul", &[&x, &identity], &[]);
    graph.output(&x, output, &shape);
    graph.finish("trial", &[])
}

/// Has the device do a trial's work without the processor's help.
fn attempt(runtime: &Runtime, device: Device) -> Result<(), String> {
    let [input, output] = TRIAL_PORTS;
    let _turn = queue::turn(PATIENCE).ok_or("another graph does not end")?;
    let run = || -> ort::Result<bool> {
        let mut session = graph::session(runtime, &trial_graph(), 1, device, true)?;
        let ones = Tensor::from_array((TRIAL_SHAPE, vec![1.0f32; 64]))?;
        let outputs = session.run(ort::inputs![input => ones])?;
        let (_, values) = outputs[output].try_extract_tensor::<f32>()?;
        Ok(values.chunks_exact(8).all(|row| row[1..7].iter().all(|value| (value - 1.0).abs() < 1e-3)))
    };
    match run() {
        Ok(true) => Ok(()),
        Ok(false) => Err("the device gave wrong numbers".to_owned()),
        Err(error) => Err(format!("a trial failed: {}", reason(device, &error.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> &'static Runtime {
        Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)")
    }

    #[test]
    fn the_trial_finds_the_right_numbers_where_they_are_right() {
        assert_eq!(attempt(runtime(), Device::Cpu), Ok(()));
        assert_eq!(ready(runtime(), Device::Cpu), Ok(()));
    }

    #[test]
    fn a_provider_that_is_bound_to_another_runtime_is_not_tried() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("libonnxruntime_providers_cuda.so");
        std::fs::write(&path, b"").expect("written");
        assert!(!is_bridge(&path));
        std::fs::write(folder.path().join("libonnxruntime_providers_shared.so"), b"").expect("written");
        assert!(is_bridge(&path));
        assert!(!is_bridge(Path::new("/nowhere/at/all.so")));
    }

    #[cfg(not(target_os = "macos"))]
    #[test]
    fn a_device_of_another_system_is_named_so() {
        let reason = ready(runtime(), Device::CoreMl).expect_err("it is not here");
        assert_eq!(reason, "CoreML was chosen, and it is for macOS only");
    }
}
