//! What `GET /v1/jobs/{id}/attempts` answers.

use serde::Serialize;

use crate::job::{Attempt, JobState, Usage};

/// The attempts of a job, the running one included.
#[derive(Clone, Debug, Serialize)]
pub struct JobAttempts {
    /// The job.
    pub job_id: String,
    /// Where it stands.
    pub status: JobState,
    /// In their order.
    pub attempts: Vec<AttemptNow>,
}

/// An attempt, and what it came to.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptNow {
    /// Its number, why it was made, and what was wrong before it.
    #[serde(flatten)]
    pub attempt: Attempt,
    /// The model that was asked last in it, once the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its tokens, once the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Places of its text that were put right, once the job has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repairs: Option<u64>,
}
