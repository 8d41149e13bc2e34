//! What is valid: compile, judge, and say it to a provider and to a viewer.
//!
//! A schema comes from outside, so it is measured before it is compiled: [`Schema::compile`] reads it as a graph
//! (`graph`), bounds it (`guard`, `patterns`), asks which types can occur at all (`kinds`), and makes the places
//! that steer the draft and the viewers (`places`, `streams`). Only then does the validator judge (`judge`).

mod bound;
mod checks;
mod closing;
mod compile;
pub mod dialect;
mod error;
mod excerpt;
mod formats;
mod forms;
mod graph;
mod guard;
mod judge;
mod kinds;
mod limits;
mod mend;
mod numeric;
mod part;
mod patterns;
mod places;
mod reference;
mod streams;
mod tree;
mod violation;
mod waits;
mod wrap;

pub use closing::Closing;
pub use compile::Schema;
pub use error::{SchemaError, SchemaErrorCode};
pub use limits::SchemaLimits;
pub use mend::BadPlace;
pub use violation::Violation;
pub use wrap::Wrap;
