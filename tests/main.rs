//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod client_follower;
mod backend_contract;
mod llm_scripted;
mod partial_properties;
mod pipeline;
mod schema;
