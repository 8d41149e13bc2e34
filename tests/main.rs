//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod wire_roundtrip;
mod wire_samples;
