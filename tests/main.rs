//! The one test binary: every file beside this one is a module of it.

mod architecture;
<<<<<<< HEAD
mod backend_contract;
mod pipeline;
mod llm_scripted;
=======
mod partial_properties;
mod schema;
>>>>>>> schema
