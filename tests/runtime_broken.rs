//! A library that claims to be a new ONNX Runtime and has no interface. In a program of its own, because `ort` keeps the
//! first library that it accepts.

use std::process::Command;

use coffre::onnx::{Runtime, RuntimeError};

#[test]
fn a_library_without_an_interface_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().expect("a folder");
    let (code, file) = (dir.path().join("broken.rs"), dir.path().join("libbroken.so"));
    let source = r#"
        use std::ffi::{c_char, c_void};
        #[repr(C)]
        pub struct Base {
            get: extern "C" fn(u32) -> *const c_void,
            version: extern "C" fn() -> *const c_char,
        }
        extern "C" fn get(_: u32) -> *const c_void { std::ptr::null() }
        extern "C" fn version() -> *const c_char { c"1.99.0".as_ptr() }
        static BASE: Base = Base { get, version };
        #[unsafe(no_mangle)]
        pub extern "C" fn OrtGetApiBase() -> *const Base { &BASE }
    "#;
    std::fs::write(&code, source).expect("a source file");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut rustc = Command::new(rustc);
    rustc.args(["--crate-type=cdylib", "--edition=2024", "-Cpanic=abort", "-o"]).arg(&file).arg(&code);
    assert!(rustc.current_dir(dir.path()).status().expect("rustc runs").success());
    for _ in 0..2 {
        let error = Runtime::get_from(std::slice::from_ref(&file)).expect_err("no interface");
        assert!(matches!(&error, RuntimeError::NotStarted { path, .. } if path == &file), "{error:?}");
    }
}
