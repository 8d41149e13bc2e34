//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod backend_contract;
mod llm_openai;
mod llm_scripted;
mod llm_sse;
mod cli_parse;
mod partial_properties;
mod pipeline;
mod schema;
