//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod cli_parse;
mod client_follower;
mod fold_vectors;
mod llm_openai;
mod llm_scripted;
mod llm_sse;
mod partial_calls;
mod partial_golden;
mod partial_properties;
mod pipeline;
mod schema;
mod simulation;
mod wire_docs;
mod wire_roundtrip;
mod wire_samples;
mod wire_schema;
