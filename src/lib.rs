//! livedraft: structured LLM output, live from the first token.
//!
//! The way of the data, and the order to read in:
//!
//! ```text
//!  socket ─1→ session ─2→ submit ─3→ JobQueue ══╗                client arc
//!    ▲                                          ║ 4 claim
//!    │10                                        ▼
//!   viewer ←9─ hub ←8─ EventLog ←7─ judge ←6─ draft ←5─ llm ←─ worker      worker arc
//! ```
//!
//! The data goes round, the imports go down (`tests/architecture.rs` holds the table). The two arcs never import
//! each other: they meet in plain types and in the backend's traits.

pub mod hex;
pub mod job;
pub mod nearest;
pub mod partial;
pub mod recent;
pub mod schema;

pub mod access;
pub mod event;
pub mod wire;

pub mod session;

pub mod archive;
pub mod backend;
pub mod clock;
pub mod compiler;
pub mod hub;
pub mod llm;
pub mod metrics;
pub mod store;

pub mod outbox;
pub mod submit;
pub mod worker;

pub mod client;
pub mod server;

pub mod app;
pub mod cli;
pub mod config;
