//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod cli;
mod cli_parse;
mod client_follower;
mod client_following;
mod llm_openai;
mod llm_scripted;
mod llm_sse;
mod partial_properties;
mod pipeline;
mod schema;
