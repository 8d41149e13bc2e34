//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod fold_vectors;
mod llm_scripted;
mod partial_properties;
mod pipeline;
mod schema;
mod wire_docs;
mod wire_roundtrip;
mod wire_samples;
mod wire_schema;
