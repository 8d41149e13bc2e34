//! The hot frame: `{"j":tag,"s":seq,"o":ops,"at":[…]?}`, encoded once by the worker and forwarded as it is.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::places::Places;
use crate::job::Tag;
use crate::partial::{Op, parse_ops};

/// A patch frame, read.
#[derive(Clone, PartialEq, Debug)]
pub struct Patch {
    /// Its number in the log.
    pub seq: u64,
    /// The changes, in order.
    pub ops: Vec<Op>,
    /// The open places, where they changed; whole, or relative to the cursor behind the ops.
    pub at: Option<Places>,
}

/// Text that is no patch frame.
#[derive(Debug, thiserror::Error)]
pub enum BadPatch {
    /// The envelope is not one.
    #[error("{0}")]
    Envelope(#[from] serde_json::Error),
    /// The ops are not.
    #[error("{0}")]
    Ops(String),
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(alias = "seq")]
    s: u64,
    #[serde(borrow, alias = "ops")]
    o: &'a RawValue,
    #[serde(default)]
    at: Option<Places>,
}

/// Writes a frame. `ops` are comma-separated, without brackets, and `at`, where it changed, is JSON: as
/// [`crate::partial::OpEncoder`] gives them.
pub fn encode(tag: Tag, seq: u64, ops: &str, at: Option<&str>) -> String {
    let mut frame = String::with_capacity(ops.len() + at.map_or(0, str::len) + 48);
    frame.push_str("{\"j\":\"");
    frame.push_str(tag.as_str());
    frame.push_str("\",\"s\":");
    frame.push_str(&seq.to_string());
    frame.push_str(",\"o\":[");
    frame.push_str(ops);
    frame.push(']');
    if let Some(at) = at {
        frame.push_str(",\"at\":");
        frame.push_str(at);
    }
    frame.push('}');
    frame
}

/// Reads a frame, in its short form or as `job.patch`.
pub fn decode(frame: &str) -> Result<Patch, BadPatch> {
    let frame: Frame<'_> = serde_json::from_str(frame)?;
    let ops = parse_ops(frame.o.get()).map_err(|error| BadPatch::Ops(error.to_string()))?;
    Ok(Patch {
        seq: frame.s,
        ops,
        at: frame.at,
    })
}
