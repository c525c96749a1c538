//! What can go wrong with the runtime and its graphs, in words for the person who has to mend it.

use std::path::PathBuf;

use super::{OLDEST_MINOR, RUNTIME_VERSION};

/// Why ONNX Runtime is not available. Every message ends with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// No candidate file exists.
    #[error(
        "ONNX Runtime was not found. Coffre looked for {} in: {}. Run `cargo xtask setup`, put the file of ONNX Runtime \
         {RUNTIME_VERSION} into one of these folders, or name it in COFFRE_ONNXRUNTIME",
        super::locate::FILE_NAME,
        list(.searched)
    )]
    NotFound {
        /// The folders that were searched, in order.
        searched: Vec<PathBuf>,
    },
    /// The file named by `COFFRE_ONNXRUNTIME` does not exist.
    #[error(
        "there is no file at {}, which COFFRE_ONNXRUNTIME names. Correct the variable, or unset it to use the runtime \
         that was installed with Coffre",
        .path.display()
    )]
    OverrideMissing {
        /// What the variable says, made absolute.
        path: PathBuf,
    },
    /// The system's loader refused the file: truncated, for another processor, or a library that it needs is missing.
    #[error(
        "{} cannot be loaded ({reason}). The file is damaged or made for another system: replace it by ONNX Runtime \
         {RUNTIME_VERSION} (`cargo xtask setup` does)",
        .path.display()
    )]
    Unloadable {
        /// The refused file.
        path: PathBuf,
        /// The loader's own words.
        reason: String,
    },
    /// Windows only: the runtime is there, and the libraries of Microsoft's compiler that it needs are not, or are old.
    #[error(
        "{} cannot be loaded: it needs Microsoft's Visual C++ runtime, and {reason}. Install the \"Visual C++ \
         Redistributable\" of Microsoft for this processor (vc_redist.{}.exe), then restart the host",
        .path.display(),
        if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" }
    )]
    VisualC {
        /// The file that needs it.
        path: PathBuf,
        /// What is missing or old.
        reason: String,
    },
    /// A library, but without the entry point of ONNX Runtime.
    #[error(
        "{} is a library but not ONNX Runtime (it has no `OrtGetApiBase`). Replace it by ONNX Runtime {RUNTIME_VERSION} \
         (`cargo xtask setup` does)",
        .path.display()
    )]
    NotOnnxRuntime {
        /// The refused file.
        path: PathBuf,
    },
    /// ONNX Runtime older than 1.[`OLDEST_MINOR`].
    #[error(
        "{} is ONNX Runtime {found}, and Coffre needs 1.{OLDEST_MINOR} or newer. Replace it by {RUNTIME_VERSION} \
         (`cargo xtask setup` does)",
        .path.display()
    )]
    TooOld {
        /// The refused file.
        path: PathBuf,
        /// Its version as it reports it.
        found: String,
    },
    /// The library reports to its maker and is not switched off.
    #[error(
        "{} reports to its maker over the network, as ONNX Runtime does from 1.29 on, so Coffre does not load it ({remedy}). \
         Replace it by {RUNTIME_VERSION} (`cargo xtask setup` does), which does not report",
        .path.display()
    )]
    Reports {
        /// The refused file.
        path: PathBuf,
        /// How it could be used all the same.
        remedy: String,
    },
    /// The library loaded but did not start.
    #[error("{} loaded but did not start ({reason}). Replace it by ONNX Runtime {RUNTIME_VERSION}, then restart the host", .path.display())]
    NotStarted {
        /// The loaded file.
        path: PathBuf,
        /// The runtime's own words.
        reason: String,
    },
}

/// Paths as one readable line.
fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Why a graph could not be loaded or run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// The runtime refused the file: damaged, or with operators that it does not know.
    #[error("the graph `{graph}` cannot be loaded: {reason}")]
    Load {
        /// Name of the graph.
        graph: &'static str,
        /// The runtime's own words.
        reason: String,
    },
    /// The graph has other inputs, outputs or metadata than the engine expects.
    #[error("the graph `{graph}` does not fit this version of Coffre: {reason}")]
    Contract {
        /// Name of the graph.
        graph: &'static str,
        /// Expected and found.
        reason: String,
    },
    /// The runtime refused to run the graph.
    #[error("the graph `{graph}` failed: {reason}")]
    Run {
        /// Name of the graph.
        graph: &'static str,
        /// The runtime's own words.
        reason: String,
    },
    /// A run was stopped because it did not end, or did not even start because another one did not end.
    #[error("the graph `{graph}` gave no answer within {limit_ms} ms")]
    TimedOut {
        /// Name of the graph.
        graph: &'static str,
        /// The time allowed.
        limit_ms: u64,
    },
}

impl GraphError {
    /// Name of the graph concerned.
    pub fn graph(&self) -> &'static str {
        match self {
            Self::Load { graph, .. }
            | Self::Contract { graph, .. }
            | Self::Run { graph, .. }
            | Self::TimedOut { graph, .. } => graph,
        }
    }

    /// The reason alone, without the graph's name.
    pub fn reason(&self) -> String {
        match self {
            Self::Load { reason, .. } | Self::Contract { reason, .. } | Self::Run { reason, .. } => reason.clone(),
            Self::TimedOut { limit_ms, .. } => format!("no answer within {limit_ms} ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_error_names_the_file_and_the_remedy() {
        let path = PathBuf::from("/somewhere/lib");
        let errors = [
            RuntimeError::NotFound { searched: vec!["/somewhere".into(), "/else".into()] },
            RuntimeError::OverrideMissing { path: path.clone() },
            RuntimeError::Unloadable { path: path.clone(), reason: "file too short".into() },
            RuntimeError::VisualC { path: path.clone(), reason: "MSVCP140.dll is missing".into() },
            RuntimeError::NotOnnxRuntime { path: path.clone() },
            RuntimeError::TooOld { path: path.clone(), found: "1.10.0".into() },
            RuntimeError::Reports { path: path.clone(), remedy: "set SWITCH=1 first".into() },
            RuntimeError::NotStarted { path, reason: "no".into() },
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("/somewhere"), "{text}");
            assert!(
                ["Run ", "Replace ", "replace ", "Correct ", "Install "].iter().any(|remedy| text.contains(remedy)),
                "no remedy in: {text}"
            );
        }
    }
}
