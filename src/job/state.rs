//! Where a job stands, and the one table of how it may go on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Accepted, no worker has it.
    Queued,
    /// A worker holds its lease.
    Running,
    /// Put back until a time, without fault of the job; or its value waits for a verdict from outside.
    Waiting,
    /// Its worker was lost; it will be claimed again.
    Recovering,
    /// Ended: the value is valid.
    Completed,
    /// Ended: no valid value could be had.
    Failed,
    /// Ended: somebody asked for that.
    Cancelled,
    /// Ended: the answer was cut and what was reached is kept.
    Incomplete,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The value satisfies the schema.
    Completed,
    /// No valid value could be had.
    Failed,
    /// Somebody asked for the end.
    Cancelled,
    /// The answer was cut; what was reached is kept.
    Incomplete,
}

/// What can happen to a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transition {
    /// A worker takes it.
    Claim,
    /// The worker puts it back without fault: rate limit, drain, no budget.
    Defer,
    /// The worker's lease ran out.
    LoseLease,
    /// The time of a waiting job has come.
    Promote,
    /// It ends.
    End(Outcome),
}

/// A transition that the table does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a job that is {from} cannot {event:?}")]
pub struct Illegal {
    /// Where the job stands.
    pub from: JobState,
    /// What was tried.
    pub event: Transition,
}

/// The transition table: total, and the only place that says how a job may go on.
pub fn next(from: JobState, event: Transition) -> Result<JobState, Illegal> {
    use JobState::{Cancelled, Completed, Failed, Incomplete, Queued, Recovering, Running, Waiting};
    match (from, event) {
        (Queued | Recovering, Transition::Claim) => Ok(Running),
        (Running, Transition::Defer) => Ok(Waiting),
        (Running, Transition::LoseLease) => Ok(Recovering),
        (Waiting, Transition::Promote) => Ok(Queued),
        (Running, Transition::End(outcome)) => Ok(outcome.into()),
        // A valid value that waited for a verdict from outside.
        (Waiting, Transition::End(Outcome::Completed)) => Ok(Completed),
        (Queued | Waiting | Recovering, Transition::End(Outcome::Cancelled)) => Ok(Cancelled),
        // Poison: lost too often. Expiry of what nobody claimed.
        (Queued | Waiting | Recovering, Transition::End(Outcome::Failed)) => Ok(Failed),
        (Completed | Failed | Cancelled | Incomplete, _)
        | (Queued | Recovering, Transition::End(Outcome::Completed | Outcome::Incomplete))
        | (Waiting, Transition::End(Outcome::Incomplete))
        | (Running | Waiting, Transition::Claim)
        | (Queued | Waiting | Recovering, Transition::Defer | Transition::LoseLease)
        | (Queued | Running | Recovering, Transition::Promote) => Err(Illegal { from, event }),
    }
}

impl JobState {
    /// Whether the job has ended.
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Incomplete
        )
    }

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Recovering => "recovering",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Incomplete => "incomplete",
        }
    }
}

impl From<Outcome> for JobState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Completed => Self::Completed,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Incomplete => Self::Incomplete,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
