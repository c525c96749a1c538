//! Fuzzes whole `.onnx` files.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of what the tests share")]

#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    readers::onnx(data);
});
