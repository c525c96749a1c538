//! What runs large graphs: the processor, or a graphics card by way of a provider library beside the runtime.
//!
//! The processor unless the user chose otherwise: by [`VARIABLE`], or in the editor, which is remembered for the
//! computer elsewhere. Nothing here fails: what cannot run on the chosen device runs on the
//! processor, and the reason is kept to be shown. Called from worker threads and the command line.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::model::{Dim, GraphWriter};
use super::{Graph, GraphError, LooseInput, Runtime, Settings};

/// Environment variable that names the device: `cpu` or `webgpu`.
pub const VARIABLE: &str = "COFFRE_DEVICE";

/// Environment variable that names the WebGPU provider's file; without it the one beside the runtime counts.
pub const PROVIDER_VARIABLE: &str = "COFFRE_WEBGPU";

/// Name under which the runtime lists devices of the provider.
const PROVIDER: &str = "WebGpuExecutionProvider";

const PROVIDER_FILE: &str = if cfg!(windows) {
    "onnxruntime_providers_webgpu.dll"
} else if cfg!(target_os = "macos") {
    "libonnxruntime_providers_webgpu.dylib"
} else {
    "libonnxruntime_providers_webgpu.so"
};

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A graphics card of any maker.
    WebGpu,
}

impl Device {
    /// All kinds, for a list to choose from.
    pub const ALL: [Self; 2] = [Self::Cpu, Self::WebGpu];

    /// What it is called in [`VARIABLE`].
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::WebGpu => "webgpu",
        }
    }

    /// What it is called in front of people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::WebGpu => "graphics card (WebGPU)",
        }
    }

    /// The kind that a word names, in any case of its letters.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|device| device.word().eq_ignore_ascii_case(word.trim()))
    }
}

/// What [`choose`] was told: place in [`Device::ALL`] plus one; 0 = nothing.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// What [`remember`] was told, in the same way.
static REMEMBERED: AtomicU8 = AtomicU8::new(0);

/// Grows with each choice.
static VERSION: AtomicU32 = AtomicU32::new(0);

/// Why the processor runs what was meant for another device.
static TROUBLE: Mutex<Option<String>> = Mutex::new(None);

/// Chooses the device for graphs that are opened from now on, whatever else was said; `None` leaves it to [`VARIABLE`].
pub fn choose(device: Option<Device>) {
    set(&CHOSEN, device);
}

/// Says what serves where [`VARIABLE`] says nothing: what was chosen on this computer. For graphs that are opened from
/// now on.
pub fn remember(device: Option<Device>) {
    set(&REMEMBERED, device);
}

/// Changes with each [`choose`] and [`remember`]: graphs that are open by then still run where they did.
pub fn version() -> u32 {
    VERSION.load(Ordering::Relaxed)
}

fn set(place: &AtomicU8, device: Option<Device>) {
    let index = device.and_then(|device| Device::ALL.iter().position(|known| *known == device));
    place.store(index.map_or(0, |index| index as u8 + 1), Ordering::Relaxed);
    *TROUBLE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    VERSION.fetch_add(1, Ordering::Relaxed);
}

fn get(place: &AtomicU8) -> Option<Device> {
    usize::from(place.load(Ordering::Relaxed)).checked_sub(1).map(|index| Device::ALL[index])
}

/// Whether [`VARIABLE`] decides, so that what is remembered does not count.
pub fn is_fixed() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|word| !word.to_string_lossy().trim().is_empty())
}

/// The device that large graphs are meant for.
pub fn chosen() -> Device {
    if let Some(device) = get(&CHOSEN) {
        return device;
    }
    if !is_fixed() {
        return get(&REMEMBERED).unwrap_or(Device::Cpu);
    }
    let word = std::env::var_os(VARIABLE).unwrap_or_default().to_string_lossy().into_owned();
    Device::from_word(&word).unwrap_or_else(|| {
        let known = Device::ALL.map(Device::word).join(" and ");
        set_trouble(format!("{VARIABLE} says `{word}`, and only {known} are known"));
        Device::Cpu
    })
}

/// Why the processor runs what was meant for another device; `None` = everything runs where it was meant to.
pub fn trouble() -> Option<String> {
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn set_trouble(reason: String) {
    *TROUBLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

/// The chosen device if it can be had, else the processor; [`trouble`] says why then.
pub fn usable(runtime: &Runtime) -> Device {
    match chosen() {
        Device::Cpu => Device::Cpu,
        Device::WebGpu => match register(runtime) {
            Ok(()) => Device::WebGpu,
            Err(reason) => {
                set_trouble(reason);
                Device::Cpu
            }
        },
    }
}

/// Runs a small graph where large ones would run, and says where that was.
///
/// # Errors
/// [`GraphError`] when it does not run on the processor either.
/// [worker-thread]
pub fn probe(runtime: &Runtime) -> Result<Device, GraphError> {
    let mut graph = GraphWriter::new();
    let input = graph.input("x", &[Dim::Fixed(8), Dim::Fixed(8)]);
    let output = graph.node("MatMul", &[&input, &input], &[]);
    graph.output(&output, "y", &[Dim::Fixed(8), Dim::Fixed(8)]);
    let bytes = graph.finish("probe", &[]);
    let graph = Graph::open_built(runtime, "probe", [0x9d; 32], Settings::large(), || Ok(bytes.into()))?;
    graph.run_loose(&[LooseInput { name: "x", shape: &[8, 8], values: &[1.0; 64] }])?;
    Ok(graph.device())
}

/// Makes the provider known to the runtime, once per process, and looks whether it has a device: an empty list would
/// silently mean the processor.
fn register(runtime: &Runtime) -> Result<(), String> {
    static REGISTERED: OnceLock<Result<(), String>> = OnceLock::new();
    let path = provider_path(runtime);
    // Asked each time: the file may be put there meanwhile.
    if REGISTERED.get().is_none() && !path.is_file() {
        return Err(format!(
            "WebGPU was chosen, and there is no {}. Put that file of the package onnxruntime-ep-webgpu there, or name it \
             in {PROVIDER_VARIABLE}",
            path.display()
        ));
    }
    REGISTERED
        .get_or_init(|| {
            let environment = runtime.environment();
            let refused = |error: ort::Error| format!("{} cannot be used: {error}", path.display());
            environment.register_ep_library("WebGPU", &path).map_err(refused)?;
            match devices(runtime).next() {
                Some(_) => Ok(()),
                None => Err("WebGPU was chosen, and no graphics card was found that it can use".to_owned()),
            }
        })
        .clone()
}

fn provider_path(runtime: &Runtime) -> PathBuf {
    match std::env::var_os(PROVIDER_VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => runtime.path().with_file_name(PROVIDER_FILE),
    }
}

/// The provider's devices.
pub(super) fn devices(runtime: &Runtime) -> impl Iterator<Item = ort::device::Device<'_>> {
    runtime.environment().devices().filter(|device| device.ep().is_ok_and(|name| name == PROVIDER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_devices() {
        for device in Device::ALL {
            assert_eq!(Device::from_word(&device.word().to_uppercase()), Some(device));
        }
        assert_eq!(Device::from_word("cuda"), None);
    }
}
