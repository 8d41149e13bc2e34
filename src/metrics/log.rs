//! What is counted of a job: the entries of its log.

use super::all;
use crate::event::{End, Entry, Event};
use crate::job::{JobState, Reason};

/// Counts an entry that was written; an engine calls it once for each, whoever asked for it.
pub fn written(entry: &Entry) {
    let all = all();
    match &entry.event {
        Event::Patch(frame) => {
            all.patches.one();
            all.patch_bytes.add(frame.len());
        }
        Event::Status(change) => match change.status {
            JobState::Queued if entry.position.seq == 1 => all.jobs_accepted.one(),
            JobState::Running => all.claims.one(),
            JobState::Waiting => all.deferrals.one([change.reason.as_deref().unwrap_or_default()]),
            JobState::Recovering => all.leases_lost.one(),
            JobState::Queued
            | JobState::Completed
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Incomplete => {}
        },
        Event::Attempt(begins) => all.attempts.one([reason(begins.reason)]),
        Event::End(end) => ended(end),
        Event::Note(_) | Event::Hook(_) | Event::State(_) => {}
    }
}

const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::First => "first",
        Reason::Invalid => "invalid",
        Reason::Provider => "provider",
        Reason::Truncated => "truncated",
        Reason::WorkerLost => "worker_lost",
        Reason::Astray => "astray",
    }
}

fn ended(end: &End) {
    let all = all();
    let code = end.error.as_ref().map_or("", |error| &error.code);
    all.jobs_ended.one([JobState::from(end.outcome).as_str(), code]);
    all.tokens.add(["in"], end.usage.input_tokens);
    all.tokens.add(["out"], end.usage.output_tokens);
    for attempt in &end.attempts {
        if let (Some(model), Some(cost)) = (&attempt.model, attempt.usage.cost) {
            let provider = model.split('/').next().unwrap_or_default();
            all.cost.add([provider], cost.as_micros());
        }
    }
    let repairs: u64 = end.attempts.iter().map(|attempt| attempt.repairs).sum();
    all.repairs.add(usize::try_from(repairs).unwrap_or(usize::MAX));
    if let Some(queued_ms) = end.timings.queued_ms {
        all.queue_seconds.took_ms(queued_ms);
    }
    if let Some(first_change_ms) = end.timings.first_change_ms {
        all.first_change_seconds.took_ms(first_change_ms);
    }
    all.total_seconds.took_ms(end.timings.total_ms);
}
