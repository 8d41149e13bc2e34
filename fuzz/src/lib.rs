//! The draft engine alone, built from its own folder (it imports nothing of the house), and what must hold of it.

#[path = "../../src/partial/mod.rs"]
pub mod partial;

pub mod checks;
