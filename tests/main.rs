//! The one test binary: every file beside this one is a module of it.

mod architecture;
mod client_follower;
mod llm_scripted;
