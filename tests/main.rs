//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod llm_scripted;
mod wire_roundtrip;
mod wire_samples;
mod partial_properties;
mod pipeline;
mod schema;
