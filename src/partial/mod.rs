//! The draft engine: bytes of growing JSON in, an always-valid partial value and its changes out.
//!
//! This module imports nothing of the rest of the house and can be used alone.

mod calls;
mod closing;
mod decimal;
mod draft;
mod error;
mod flush;
mod guide;
mod lenient;
mod machine;
mod map;
mod markdown;
mod notes;
mod number;
mod op;
mod op_json;
mod options;
pub mod path;
mod repair;
mod shape;
mod spine;
mod text;
mod value;

pub use closing::Closed;
pub use decimal::Decimal;
pub use draft::{Draft, End, Outcome, parse, parse_written};
pub use error::{ParseError, ParseErrorKind};
pub use guide::{Guide, NodeId};
pub use map::Map;
pub use notes::{Note, NoteKind};
pub use op::{Folded, Misfit, Op, OpEncoder, OpSink};
pub use op_json::{OpsError, parse_ops};
pub use options::{DraftOptions, Lenient, Limits, Mode, RootKinds};
pub use repair::{Repair, RepairKind};
pub use shape::{Shape, ShapeNode};
pub use value::{Number, Value, write_json_string};
