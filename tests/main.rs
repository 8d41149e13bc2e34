//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod llm_scripted;
