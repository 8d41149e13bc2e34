//! The draft engine: bytes of growing JSON in, an always-valid partial value and its changes out.
//!
//! This module imports nothing of the rest of the house and can be used alone.

mod op;
pub mod path;
mod shape;
mod value;

pub use op::{Folded, Misfit, Op, OpEncoder, OpSink};
pub use shape::{Shape, ShapeNode};
pub use value::{Map, Number, Value, write_json_string};
