//! What is valid: compile, judge, and say it to a provider and to a viewer.

mod compile;
pub mod dialect;
mod error;
mod limits;
mod violation;

pub use compile::Schema;
pub use error::{SchemaError, SchemaErrorCode};
pub use limits::SchemaLimits;
pub use violation::Violation;
