//! What is kept of a job when its log is gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::end::End;
use crate::job::JobId;

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
}
