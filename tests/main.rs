//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod partial_properties;
mod schema;
