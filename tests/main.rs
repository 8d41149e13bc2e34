//! The one test binary: every file beside this one is a module of it.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod architecture;
mod backend_contract;
mod cli;
mod cli_parse;
mod client_follower;
mod client_following;
mod conversation_node;
mod conversation_socket;
mod conversations;
mod delivery;
mod fold_vectors;
mod fuzz_corpus;
mod harness;
mod json_cases;
mod llm_openai;
mod llm_scripted;
mod llm_sse;
mod log_model;
mod partial_allocations;
mod partial_calls;
mod partial_golden;
mod partial_properties;
mod pipeline;
mod schema;
mod server_guard;
mod server_http;
mod server_socket;
mod session;
mod simulation;
mod wire_docs;
mod wire_refusals;
mod wire_roundtrip;
mod wire_samples;
mod wire_schema;
mod wire_strategies;
