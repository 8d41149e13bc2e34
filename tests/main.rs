//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod llm_scripted;
mod wire_roundtrip;
mod wire_samples;
