//! Fuzzes manifest and members of a `.coffre` file, in a sound container.

#![no_main]
#![allow(dead_code, reason = "each target uses a part of what the tests share")]

#[path = "../common/counting.rs"]
mod counting;
#[path = "../common/forge.rs"]
mod forge;
#[path = "../common/readers.rs"]
mod readers;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    readers::coffre(&forge::container(data));
});
