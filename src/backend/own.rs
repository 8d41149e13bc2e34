//! The events that an engine writes itself, where no worker does: changes of state, and ends that nobody holds a lease for.

use crate::event::{End, EndError, Event, StatusChange, Timings};
use crate::job::{AttemptError, AttemptRecord, JobState, Outcome};

/// What a job is thought to cost beside the text that it asks about, tokens.
const ANSWER_TOKENS: usize = 1_000;
/// Bytes of text that make a token, about.
const TOKEN_BYTES: usize = 4;

/// What a job is thought to cost that asks so many bytes, tokens: that is what its tenant is charged when it is first
/// given to a worker, and it is put right when it has ended.
pub(super) const fn estimate(asked_bytes: usize) -> u64 {
    (ANSWER_TOKENS + asked_bytes / TOKEN_BYTES) as u64
}

/// What a job is charged at most, tokens. The figure is a provider's, who may say anything, and one that is out of all
/// reason would keep the tenant from being served for as long as it is remembered; this is more than models read and write
/// over all attempts of a job.
const COST_MAX: u64 = 10_000_000;

/// What a job is charged at least that ran, tokens: it has had a worker. A tenant whose jobs all fail before a model has said
/// anything would otherwise be the one that was served least for as long as it has any.
const COST_MIN: u64 = 100;

/// What a job has cost that ran and ends so, tokens, as its tenant is charged for it.
pub(super) fn cost(end: &End) -> u64 {
    end.usage.tokens().clamp(COST_MIN, COST_MAX)
}

/// A job stands elsewhere.
pub(super) fn status(status: JobState, reason: Option<&str>, until_ms: Option<u64>) -> Event {
    Event::Status(StatusChange {
        status,
        reason: reason.map(str::to_owned),
        until_ms,
    })
}

/// Somebody asked for the end, or nobody has viewed the job for so many ms.
pub(super) fn cancelled(unviewed_ms: Option<u32>) -> (Outcome, EndError) {
    let error = match unviewed_ms {
        Some(ms) => {
            let seconds = f64::from(ms) / 1_000.0;
            EndError::new("unviewed", format!("nobody has viewed the job for {seconds} s"))
        }
        None => EndError::new("cancelled", "the job was cancelled"),
    };
    (Outcome::Cancelled, error)
}

/// The value was not accepted, and no re-ask is left.
pub(super) fn rejected(attempts: u32, errors: Vec<AttemptError>) -> (Outcome, EndError) {
    let message = format!("no answer in {attempts} attempts was accepted");
    let error = EndError {
        errors,
        ..EndError::new("invalid_output", message)
    };
    (Outcome::Failed, error)
}

/// The process ended again and again while the job ran.
pub(super) fn crashed(restarts: u32) -> (Outcome, EndError) {
    let message = format!("the server ended {restarts} times in a row while this job ran, without progress");
    (Outcome::Failed, EndError::new("poison", message))
}

/// The job lost worker after worker.
pub(super) fn poison(losses: u32) -> (Outcome, EndError) {
    let message = format!("{losses} workers in a row were lost on this job without progress");
    (Outcome::Failed, EndError::new("poison", message))
}

/// When what happened to a job that no worker holds, ms since 1970, all by one clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) submitted_ms: u64,
    pub(super) claimed_ms: Option<u64>,
    pub(super) now_ms: u64,
}

/// The end of a job that no worker holds.
pub(super) fn end(record: &AttemptRecord, times: Times, outcome: Outcome, error: Option<EndError>) -> End {
    let since = |at: u64| at.saturating_sub(times.submitted_ms);
    let claimed_ms = times.claimed_ms.unwrap_or(times.submitted_ms);
    End {
        error,
        sha256: None,
        best: record.best_beside(outcome),
        outcome,
        usage: record.total(),
        attempts: record.usage.clone(),
        timings: Timings {
            queued_ms: times.claimed_ms.map(since),
            first_change_ms: record.changed_ms.map(|at| at.saturating_sub(claimed_ms)),
            total_ms: since(times.now_ms),
        },
        durable: true,
    }
}
