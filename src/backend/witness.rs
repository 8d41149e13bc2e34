//! What operators are told of a job: its entries, counted and logged where they are written.

use crate::event::{Entry, Event};
use crate::job::{JobId, JobState};
use crate::metrics;

/// An engine calls it once for every entry it has written. The log tells ids, states and counts; never a text.
pub(super) fn witness(job: JobId, entry: &Entry) {
    metrics::written(entry);
    let seq = entry.position.seq;
    match &entry.event {
        Event::Status(change) => {
            let reason = change.reason.as_deref().unwrap_or_default();
            tracing::debug!(%job, seq, status = %change.status, reason, "a job stands elsewhere");
        }
        Event::Attempt(begins) => {
            tracing::debug!(%job, seq, attempt = begins.attempt, reason = ?begins.reason, "an attempt begins");
        }
        Event::End(end) => tracing::info!(
            %job,
            seq,
            outcome = %JobState::from(end.outcome),
            code = end.error.as_ref().map_or("", |error| &error.code),
            attempts = end.attempts.len(),
            input_tokens = end.usage.input_tokens,
            output_tokens = end.usage.output_tokens,
            cost = end.usage.cost.map(tracing::field::display),
            queued_ms = end.timings.queued_ms,
            first_change_ms = end.timings.first_change_ms,
            total_ms = end.timings.total_ms,
            "a job has ended"
        ),
        Event::Patch(_) | Event::Note(_) | Event::Hook(_) | Event::State(_) => {}
    }
}
