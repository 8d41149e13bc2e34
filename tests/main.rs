//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod cli_parse;
mod partial_calls;
mod partial_golden;
mod partial_properties;
mod schema;
