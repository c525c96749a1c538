//! The gate: loads the library once per process and owns its environment.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::locate::Places;
use super::visual_c::{self, VisualC};
use super::{RuntimeError, module, reporting, whole};

/// The one environment of the process. Never dropped: `ort` allows no second one, and sessions may outlive any instance.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The library that `ort` has accepted. It keeps the first for good, even if the environment could not be built.
static LOADED: OnceLock<PathBuf> = OnceLock::new();

/// Held while loading, so that two instances that start together do it once.
static LOADING: Mutex<()> = Mutex::new(());

/// ONNX Runtime, loaded and started: the token without which no graph can be opened.
#[derive(Debug)]
pub struct Runtime {
    environment: ort::environment::Environment,
    path: PathBuf,
    version: String,
}

impl Runtime {
    /// The process's runtime; loads it at the first call from the places that [`super::locate`] lists.
    ///
    /// Takes some 20 ms at the first call. A failure is not remembered: the next call looks again, so that a runtime
    /// installed meanwhile is found.
    ///
    /// # Errors
    /// [`RuntimeError`] with the remedy; the first file's error when several were refused.
    /// [worker-thread]
    pub fn get() -> Result<&'static Self, RuntimeError> {
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let places = Places::current();
        let candidates = places.candidates();
        if let Some(chosen) = places.chosen.as_ref().filter(|chosen| !chosen.is_file()) {
            return Err(RuntimeError::OverrideMissing { path: chosen.clone() });
        }
        match Self::get_from(&candidates) {
            Err(RuntimeError::NotFound { .. }) => Err(RuntimeError::NotFound { searched: places.folders() }),
            result => result,
        }
    }

    /// Like [`Runtime::get`], from the first of `candidates` (absolute paths) that loads. Once the process has a
    /// runtime, that one is returned whatever `candidates` says.
    ///
    /// # Errors
    /// As [`Runtime::get`]; [`RuntimeError::NotFound`] for an empty list.
    /// [worker-thread]
    pub fn get_from(candidates: &[PathBuf]) -> Result<&'static Self, RuntimeError> {
        let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = RUNTIME.get() {
            return Ok(runtime);
        }
        let mut first_error = None;
        for path in candidates {
            match load(path) {
                Ok(runtime) => return Ok(RUNTIME.get_or_init(|| runtime)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(RuntimeError::NotFound { searched: candidates.to_vec() }))
    }

    /// The library's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Version of the library, such as `1.28.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The devices on which graphs run, in words.
    pub fn devices(&self) -> Vec<String> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // Graphs of one frame have nothing to share out, so every session runs on its caller's thread.
        vec![format!("processor ({threads} threads, one per instance used)")]
    }

    /// For [`super::graph`] alone.
    pub(super) fn environment(&self) -> &ort::environment::Environment {
        &self.environment
    }
}

/// Loads one file and starts its environment.
fn load(path: &Path) -> Result<Runtime, RuntimeError> {
    if !path.is_absolute() {
        return Err(RuntimeError::Unloadable { path: path.into(), reason: "the path is not absolute".into() });
    }
    if let Some(reason) = whole::why_incomplete(path) {
        return Err(RuntimeError::Unloadable { path: path.into(), reason });
    }
    let unloadable = |error: std::io::Error| RuntimeError::Unloadable { path: path.into(), reason: error.to_string() };
    if let Some(remedy) = reporting::refusal(path).map_err(unloadable)? {
        return Err(RuntimeError::Reports { path: path.into(), remedy });
    }
    // The environment and the watchdog must not lose their code when a host unloads the plugin.
    module::pin_own_module();
    // `ort` asserts what a library called ONNX Runtime should never violate; such a file must not take the host along.
    let started = catch_unwind(AssertUnwindSafe(|| {
        let builder = ort::init_from(path).map_err(|error| refused(path, &error))?;
        let path = LOADED.get_or_init(|| path.to_path_buf());
        let environment = builder
            .with_name("coffre")
            .with_telemetry(false)
            .build()
            .map_err(|error| RuntimeError::NotStarted { path: path.clone(), reason: error.to_string() })?;
        // Whoever calls us reports errors; the runtime must not write into the host's terminal as well.
        environment.set_log_level(ort::logging::LogLevel::Fatal);
        let version = module::runtime_version(path).unwrap_or_else(|| "of unknown version".into());
        Ok(Runtime { environment, path: path.clone(), version })
    }));
    started.unwrap_or_else(|_| {
        Err(RuntimeError::NotStarted { path: path.into(), reason: "it gave no usable interface".into() })
    })
}

/// The loader's error in our words.
fn refused(path: &Path, error: &ort::LoadDynamicError) -> RuntimeError {
    let path = path.to_path_buf();
    match error {
        ort::LoadDynamicError::Dlopen { error, .. } => {
            // The outer text only says that `dlopen` failed; its source holds the system's reason.
            let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            match visual_c::explain(&reason, &VisualC::of_this_process()) {
                Some(reason) => RuntimeError::VisualC { path, reason },
                None => RuntimeError::Unloadable { path, reason },
            }
        }
        ort::LoadDynamicError::MissingApi { .. } => RuntimeError::NotOnnxRuntime { path },
        ort::LoadDynamicError::BadVersion { version_str, .. } => {
            RuntimeError::TooOld { path, found: version_str.clone() }
        }
        ort::LoadDynamicError::InvalidVersionString => {
            RuntimeError::NotStarted { path, reason: "its version is not readable".into() }
        }
    }
}
