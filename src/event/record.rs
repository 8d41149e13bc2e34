//! What is kept of a job when its log is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::end::End;
use super::position::Position;
use super::snapshot::Fold;
use crate::job::JobId;
use crate::partial::Shape;

/// A job as the archive is told of it: once when it is kept, once when it has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: String,
    /// The model that was asked for.
    pub model: String,
    /// The client's own words about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// When it was submitted, ms since 1970.
    pub submitted_ms: u64,
    /// How it ended, once it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// The end of a job, with its value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// How.
    pub end: End,
    /// The value it reached, compact JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// How its log ended; `None` in what older versions wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<LogEnd>,
}

/// How a log ended: what a viewer is told that comes when the log itself is gone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LogEnd {
    /// Where the end stands.
    pub position: Position,
    /// The state before it. Its value is the one beside, and not here.
    pub before: Fold,
    /// What the schema declares, for viewers that want unseen members as `null`.
    pub shape: Arc<Shape>,
}
