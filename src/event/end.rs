//! How a job ended.

use serde::{Deserialize, Serialize};

use crate::job::{AttemptError, AttemptUsage, Outcome, Usage};

/// The end of a job: exactly one in its log. The value is not in it: it is the fold, always.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct End {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for every end but `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<EndError>,
    /// SHA-256 of the compact JSON of the value, hexadecimal; for `completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The last answer that was whole but invalid, compact JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
    /// Tokens of all attempts together.
    pub usage: Usage,
    /// Tokens per attempt.
    pub attempts: Vec<AttemptUsage>,
    /// How long things took.
    pub timings: Timings,
    /// False where the end could not be stored: it is told all the same, and after a restart the job may run again.
    #[serde(default = "durable", skip_serializing_if = "Clone::clone")]
    pub durable: bool,
}

/// What an end is unless it says otherwise.
pub(crate) const fn durable() -> bool {
    true
}

/// Why a job ended without a valid value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndError {
    /// A word from the codes table.
    pub code: String,
    /// What happened, in words that may be shown.
    pub message: String,
    /// What was wrong with the last answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<AttemptError>,
}

/// How long things took, ms; absent where it did not come to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Timings {
    /// From submission to the first claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<u64>,
    /// From the first claim to the first change of the draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_change_ms: Option<u64>,
    /// From submission to the end.
    #[serde(default)]
    pub total_ms: u64,
}

impl EndError {
    /// An error without errors of an answer.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            errors: Vec::new(),
        }
    }
}
