//! Fuzzes the description inside a `.pth` file, in a sound archive.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of what the tests share")]

#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/forge.rs"]
mod forge;
#[path = "../common/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    readers::pth(&forge::torch(data, &forge::STORAGES));
});
