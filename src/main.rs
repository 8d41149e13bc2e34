//! The `livedraft` command.

fn main() {}
