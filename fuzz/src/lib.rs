//! The draft engine, the protocol and the readers of models' answers alone, built from their own folders (the pure modules
//! of the house), and what must hold of them.

#[path = "../../src/event/mod.rs"]
pub mod event;
#[path = "../../src/server/frame.rs"]
#[allow(dead_code, reason = "what a server writes is not read here")]
pub(crate) mod frame;
#[path = "../../src/job/mod.rs"]
pub mod job;
pub mod llm;
#[path = "../../src/nearest.rs"]
pub mod nearest;
#[path = "../../src/partial/mod.rs"]
pub mod partial;
#[path = "../../src/wire/mod.rs"]
pub mod wire;

pub mod checks;
