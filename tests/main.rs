//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod harness;
mod llm_scripted;
mod partial_properties;
mod pipeline;
mod schema;
mod server_guard;
mod server_http;
mod server_socket;
