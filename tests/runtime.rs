//! Bad files in the place of ONNX Runtime. One test alone: a process can load the runtime only once, so the order
//! matters.

use std::path::{Path, PathBuf};
use std::process::Command;

use coffre::onnx::locate::Places;
use coffre::onnx::{Runtime, RuntimeError};

/// Builds a small library from Rust source.
fn library(dir: &Path, name: &str, source: &str) -> PathBuf {
    let (code, file) = (dir.join(format!("{name}.rs")), dir.join(format!("lib{name}.so")));
    std::fs::write(&code, source).expect("a source file");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    rustc.args(["--crate-type=cdylib", "--edition=2024", "-Cpanic=abort", "-o"]).arg(&file).arg(&code);
    let status = rustc.current_dir(dir).status().expect("rustc runs");
    assert!(status.success(), "{name} does not build");
    file
}

/// A library with the entry point of ONNX Runtime that reports `version` and has no interface to give.
fn pretender(version: &str) -> String {
    format!(
        r#"
        use std::ffi::{{c_char, c_void}};
        #[repr(C)]
        pub struct Base {{
            get: extern "C" fn(u32) -> *const c_void,
            version: extern "C" fn() -> *const c_char,
        }}
        extern "C" fn get(_: u32) -> *const c_void {{ std::ptr::null() }}
        extern "C" fn version() -> *const c_char {{ c"{version}".as_ptr() }}
        static BASE: Base = Base {{ get, version }};
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base {{ &BASE }}
        "#
    )
}

#[test]
fn bad_files_are_named_with_the_reason_and_a_good_one_still_loads() {
    let dir = tempfile::tempdir().expect("a folder");
    let missing = dir.path().join("missing.so");
    let garbage = dir.path().join("garbage.so");
    std::fs::write(&garbage, [0x42; 5000]).expect("a file");
    let good = Places::current().candidates();
    let good = good.first().expect("ONNX Runtime is installed (`cargo xtask setup`)");
    let truncated = dir.path().join("truncated.so");
    std::fs::write(&truncated, &std::fs::read(good).expect("readable")[..100_000]).expect("a file");
    let stranger = library(dir.path(), "stranger", "#[unsafe(no_mangle)] pub extern \"C\" fn hello() {}");
    let old = library(dir.path(), "old", &pretender("1.17.1"));

    let get = |paths: &[&PathBuf]| {
        let paths: Vec<PathBuf> = paths.iter().map(|path| (*path).clone()).collect();
        Runtime::get_from(&paths).map(|runtime| runtime.path().to_path_buf())
    };
    assert_eq!(get(&[]), Err(RuntimeError::NotFound { searched: Vec::new() }));
    for file in [&missing, &garbage, &truncated] {
        let error = get(&[file]).expect_err("not a library");
        assert!(matches!(&error, RuntimeError::Unloadable { path, .. } if path == file), "{error:?}");
    }
    let error = get(&[&garbage]).expect_err("not a library").to_string();
    assert!(error.contains("invalid ELF header") || cfg!(not(target_os = "linux")), "the loader's reason: {error}");
    assert_eq!(get(&[&stranger]), Err(RuntimeError::NotOnnxRuntime { path: stranger.clone() }));
    assert_eq!(get(&[&old]), Err(RuntimeError::TooOld { path: old.clone(), found: "1.17.1".into() }));
    assert!(matches!(get(&[&PathBuf::from("relative.so")]), Err(RuntimeError::Unloadable { .. })));

    // The first refusal is the one reported; a usable file further down the list serves all the same.
    assert!(matches!(get(&[&old, &garbage]), Err(RuntimeError::TooOld { .. })));
    assert_eq!(get(&[&garbage, &old, good]).as_ref(), Ok(good));
    // From then on the process has its runtime.
    assert_eq!(get(&[&missing]).as_ref(), Ok(good));
    let version = Runtime::get_from(&[]).expect("loaded").version();
    assert!(version.starts_with("1."), "{version}");
}
