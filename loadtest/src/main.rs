//! Load scenarios for livedraft.
fn main() {}
