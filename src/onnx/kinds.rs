//! The table of devices: one row for each kind, with all that is known of it.
//!
//! A new kind is a variant of [`Device`] and a row here. Says nothing of what was chosen or what runs.

use std::path::Path;

use ort::ep::{self, ArbitrarilyConfigurableExecutionProvider, ExecutionProvider, ExecutionProviderDispatch};

use super::cuda;
use super::device::Device;

/// One kind of device.
#[derive(Debug)]
pub(super) struct Kind {
    pub device: Device,
    /// [`Device::word`].
    pub word: &'static str,
    /// [`Device::title`].
    pub title: &'static str,
    /// The systems that may have it.
    pub systems: &'static str,
    /// Whether this is one.
    pub is_here: bool,
    /// The runtime's provider for it; `None` = the runtime needs none.
    pub provider: Option<Provider>,
}

/// A part of the runtime that reaches a device.
#[derive(Debug)]
pub(super) struct Provider {
    /// Short name in messages.
    pub name: &'static str,
    /// Name under which the runtime lists its devices.
    pub id: &'static str,
    /// How it is had from a runtime that was built with it; tried first.
    pub built_in: Option<BuiltIn>,
    /// How it is had from a library of its own beside the runtime.
    pub library: Option<Library>,
    /// Settings, in the provider's words.
    pub options: &'static [(&'static str, &'static str)],
    /// Whether a graph that does not fit on it whole is found out soon, so that it can be asked first.
    pub is_quick_to_refuse: bool,
    /// Done once before its first use, with the file that holds the provider.
    pub prepare: fn(&Path),
    /// Makes plain words of the runtime's for what went wrong; `None` = they will do.
    pub explain: fn(&str) -> Option<String>,
    /// What to do where it is not there.
    pub remedy: &'static str,
}

/// A provider inside the runtime's own library.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub is_there: fn() -> bool,
    pub build: fn(&[(&str, &str)]) -> ExecutionProviderDispatch,
}

impl BuiltIn {
    const fn of<P>() -> Self
    where
        P: Default + ExecutionProvider + ArbitrarilyConfigurableExecutionProvider + Into<ExecutionProviderDispatch>,
    {
        Self { is_there: is_there::<P>, build: build::<P> }
    }
}

fn is_there<P: ExecutionProvider>() -> bool {
    P::is_available().unwrap_or(false)
}

fn build<P>(options: &[(&str, &str)]) -> ExecutionProviderDispatch
where
    P: Default + ArbitrarilyConfigurableExecutionProvider + Into<ExecutionProviderDispatch>,
{
    let provider = options.iter().fold(P::default(), |it, (key, value)| it.with_arbitrary_config(key, value));
    // Otherwise a provider that cannot start silently means the processor.
    provider.into().error_on_failure()
}

/// A provider in a library of its own.
#[derive(Debug)]
pub(super) struct Library {
    /// Environment variable that names the file; without it the one beside the runtime counts.
    pub variable: &'static str,
    /// Name of the file.
    pub file: &'static str,
}

/// Nothing to prepare.
fn nothing(_: &Path) {}

/// Nothing to explain.
fn as_it_is(_: &str) -> Option<String> {
    None
}

/// File of the provider with this short name.
macro_rules! library_name {
    ($name:literal) => {
        if cfg!(windows) {
            concat!("onnxruntime_providers_", $name, ".dll")
        } else if cfg!(target_os = "macos") {
            concat!("libonnxruntime_providers_", $name, ".dylib")
        } else {
            concat!("libonnxruntime_providers_", $name, ".so")
        }
    };
}
/// All kinds, in the order of [`Device`].
pub(super) static KINDS: [Kind; 4] = [
    Kind { device: Device::Cpu, word: "cpu", title: "CPU", systems: "all", is_here: true, provider: None },
    Kind {
        device: Device::WebGpu,
        word: "webgpu",
        title: "graphics card (WebGPU)",
        systems: "all",
        is_here: true,
        provider: Some(Provider {
            name: "WebGPU",
            id: "WebGpuExecutionProvider",
            built_in: None,
            library: Some(Library { variable: "COFFRE_WEBGPU", file: library_name!("webgpu") }),
            options: &[],
            is_quick_to_refuse: true,
            prepare: nothing,
            explain: as_it_is,
            remedy: "Put that file of the package onnxruntime-ep-webgpu there, or name it in COFFRE_WEBGPU",
        }),
    },
    Kind {
        device: Device::CoreMl,
        word: "coreml",
        title: "Apple graphics (CoreML)",
        systems: "macOS",
        is_here: cfg!(target_os = "macos"),
        provider: Some(Provider {
            name: "CoreML",
            id: "CoreMLExecutionProvider",
            built_in: Some(BuiltIn::of::<ep::CoreML>()),
            library: None,
            options: &[
                // The older format lacks layers of RVC's networks.
                ("ModelFormat", "MLProgram"),
                // Parts of open length would be compiled anew for each length, in the midst of a song.
                ("RequireStaticInputShapes", "1"),
                // The neural engine counts in 16 bits.
                ("MLComputeUnits", "CPUAndGPU"),
                ("AllowLowPrecisionAccumulationOnGPU", "0"),
            ],
            // It compiles its parts before the runtime looks whether they are all there are.
            is_quick_to_refuse: false,
            prepare: nothing,
            explain: as_it_is,
            remedy: "Use the ONNX Runtime that Coffre installs",
        }),
    },
    Kind {
        device: Device::Cuda,
        word: "cuda",
        title: "NVIDIA graphics card (CUDA)",
        systems: "Linux and Windows",
        is_here: !cfg!(target_os = "macos"),
        provider: Some(Provider {
            name: "CUDA",
            id: "CUDAExecutionProvider",
            built_in: Some(BuiltIn::of::<ep::CUDA>()),
            library: Some(Library { variable: "COFFRE_CUDA", file: library_name!("cuda") }),
            options: &[
                // On by default, and good for three digits only: a voice must sound as it does on the processor.
                ("use_tf32", "0"),
                // By default every algorithm is measured at the first run of each layer, which takes minutes.
                ("cudnn_conv_algo_search", "HEURISTIC"),
                // By default each growth doubles the arena, up to all of the card. What goes beyond the limit, in bytes
                // and per graph, runs on the processor.
                ("arena_extend_strategy", "kSameAsRequested"),
                ("gpu_mem_limit", "2147483648"),
            ],
            is_quick_to_refuse: true,
            prepare: cuda::preload,
            explain: cuda::explain,
            remedy: "Name the runtime of your package onnxruntime-gpu in COFFRE_ONNXRUNTIME, or the file of your package \
                     onnxruntime-ep-cuda13 in COFFRE_CUDA",
        }),
    },
];

impl Device {
    pub(super) fn kind(self) -> &'static Kind {
        &KINDS[self as usize]
    }
}
