//! The `coffre` command: parse, call, map the error to an exit code.

fn main() {}
