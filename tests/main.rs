//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod cli_parse;
mod llm_openai;
mod llm_scripted;
mod llm_sse;
mod partial_properties;
mod schema;
