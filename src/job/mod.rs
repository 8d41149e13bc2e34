//! The job: what was asked, where it stands, what it has cost.

mod script;

pub use script::{Script, ScriptLimit};
