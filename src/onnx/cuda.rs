//! What is peculiar to CUDA: its libraries are the user's, lie where the user put them, and may be missing in part.

use std::path::{Path, PathBuf};

/// The libraries that the provider needs, each after those that it needs itself.
const LIBRARIES: [&str; 8] = ["cudart", "nvJitLink", "nvrtc", "cublasLt", "cublas", "curand", "cufft", "cudnn"];

/// Loads CUDA's libraries from NVIDIA's Python packages where `file`, the runtime or the provider, is of such a package
/// too: the system's loader does not look there. What cannot be loaded is left to the system's loader, which says so.
pub(super) fn preload(file: &Path) {
    for path in found(file) {
        let _ = ort::util::preload_dylib(&path);
    }
}

/// Libraries in the packages beside the one that holds `file`, in the order of [`LIBRARIES`].
fn found(file: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    // The file is in a package, or in a folder of one.
    let packages = file.ancestors().skip(2).take(2).map(|site| site.join("nvidia"));
    let files: Vec<PathBuf> = packages
        .flat_map(entries)
        .flat_map(|package| entries(package.join(if cfg!(windows) { "bin" } else { "lib" })))
        .collect();
    let is_named = |path: &Path, library: &str| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let start = if cfg!(windows) { format!("{library}64_") } else { format!("lib{library}.so.") };
        name.starts_with(&start)
    };
    LIBRARIES.iter().flat_map(|library| files.iter().filter(move |path| is_named(path, library)).cloned()).collect()
}

/// Plain words for what the runtime says when CUDA does not start.
pub(super) fn explain(error: &str) -> Option<String> {
    if let Some((before, _)) = error.split_once(": cannot open shared object file") {
        let library = before.rsplit(char::is_whitespace).next().unwrap_or_default();
        return Some(if library.starts_with("libcuda.so") {
            format!("{library} is missing, a part of NVIDIA's driver. Install the driver of your card")
        } else {
            missing(library)
        });
    }
    // The loader's number for "a library that this one needs was not found", and it does not say which.
    if cfg!(windows) && error.contains("error 126") {
        return Some(missing("a library"));
    }
    // After CUDA's own words come the card, the computer's name and places in source files.
    let (_, said) = error.split_once("CUDA failure ")?;
    let said = said.split(" ;").next().unwrap_or(said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("CUDA reports failure {said}. Look whether NVIDIA's driver sees the card (`nvidia-smi`)"))
}

fn missing(library: &str) -> String {
    format!(
        "{library} is missing, which CUDA or cuDNN brings. Install both in the versions that this ONNX Runtime wants \
         (`pip install onnxruntime-gpu[cuda,cudnn]` does), or name their folder in the system's library path"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(windows))]
    #[test]
    fn libraries_of_the_same_site_are_found_in_the_order_of_their_needs() {
        let site = tempfile::tempdir().expect("a folder");
        for path in [
            "cu13/lib/libcublas.so.13",
            "cu13/lib/libcublasLt.so.13",
            "cu13/lib/libcudart.so.13",
            "cudnn/lib/libcudnn.so.9",
        ] {
            let path = site.path().join("nvidia").join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
            std::fs::write(path, b"").expect("written");
        }
        for file in
            ["onnxruntime/capi/libonnxruntime.so.1.31.1", "onnxruntime_ep_cuda/libonnxruntime_providers_cuda.so"]
        {
            let found = found(&site.path().join(file));
            let names: Vec<_> = found.iter().map(|path| path.file_name().and_then(|name| name.to_str())).collect();
            assert_eq!(
                names,
                ["libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcudnn.so.9"].map(Some),
                "{file}"
            );
        }
        assert_eq!(found(Path::new("/nowhere/lib.so")), Vec::<PathBuf>::new());
        // Nothing of this is a library, and nothing happens.
        preload(&site.path().join("onnxruntime/capi/libonnxruntime.so.1.31.1"));
    }

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let error = "Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open \
                     shared object file: No such file or directory";
        let said = explain(error).expect("known");
        assert!(said.starts_with("libcublasLt.so.13 is missing") && said.contains("pip install"), "{said}");
        let said = explain("x libcuda.so.1: cannot open shared object file: No").expect("known");
        assert!(said.starts_with("libcuda.so.1 is missing") && said.contains("driver"), "{said}");
        let error = "/src/cuda_call.cc:129 bool CudaCall() CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; \
                     hostname=secret ; file=/src/x.cc ; line=282 ; expr=cudaSetDevice();";
        let said = explain(error).expect("known");
        assert!(said.starts_with("CUDA reports failure 100: no CUDA-capable device is detected. Look "), "{said}");
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(explain("no kernel image"), None);
    }
}
