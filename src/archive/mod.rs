//! What became of jobs: listable, for bills and for looking back, long after the engine has let go of them.
//!
//! The engine tells of a job twice, when it is kept and when it has ended, by rows of its outbox that are written in
//! the same transaction as what they tell of. [`Archive::drain`] moves them here in another, so the hot path never
//! waits for it and no end is lost on the way.

mod list;

use std::sync::Arc;

pub use self::list::{Listed, Page, Query};
use crate::event::Record;
use crate::job::{AttemptUsage, Usage};
use crate::store::archive::{ArchiveRow, AttemptRow, UsageColumns};
use crate::store::column::number;
use crate::store::{Store, StoreError};

/// Rows that are moved in one transaction.
const MOVED_MAX: i64 = 256;
/// Jobs that are dropped in one transaction.
const DROPPED_MAX: i64 = 256;

/// How long ended jobs are kept, and how many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveOptions {
    /// How long an ended job is kept, ms. Default: 30 days.
    pub retention_ms: u64,
    /// How many ended jobs are kept. Default: 100,000.
    pub jobs_max: u64,
    /// Jobs in one page of a list, at most. Default: 200.
    pub page_max: u32,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            retention_ms: 30 * 24 * 60 * 60 * 1_000,
            jobs_max: 100_000,
            page_max: 200,
        }
    }
}

/// The archive.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<Store>,
    options: ArchiveOptions,
}

impl Archive {
    /// The archive in a store.
    pub const fn new(store: Arc<Store>, options: ArchiveOptions) -> Self {
        Self { store, options }
    }

    /// Moves what the outbox holds, some rows at a time; true if there may be more.
    ///
    /// # Errors
    /// The store cannot be used; what was not moved stays in the outbox.
    pub async fn drain(&self) -> Result<bool, StoreError> {
        let rows = self.store.outbox(MOVED_MAX).await?;
        let done: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            match serde_json::from_str::<Record>(&row.record) {
                Ok(record) => jobs.push(archived(&record)),
                // It would stop all that come behind it.
                Err(error) => tracing::error!(job = row.job, %error, "a record cannot be archived"),
            }
        }
        if !done.is_empty() {
            self.store.archive(&jobs, &done).await?;
        }
        Ok(i64::try_from(done.len()).is_ok_and(|moved| moved == MOVED_MAX))
    }

    /// Drops what is past its retention, some jobs at a time; true if there may be more.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn forget(&self, now_ms: u64) -> Result<bool, StoreError> {
        let before = number(now_ms.saturating_sub(self.options.retention_ms));
        let keep = number(self.options.jobs_max);
        let dropped = self.store.forget_archived(before, keep, DROPPED_MAX).await?;
        Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped == DROPPED_MAX))
    }
}

fn archived(record: &Record) -> (ArchiveRow, Vec<AttemptRow>) {
    let ended = record.ended.as_ref();
    let end = ended.map(|ended| &ended.end);
    let row = ArchiveRow {
        id: record.job.to_string(),
        tenant: record.tenant.clone(),
        model: record.model.clone(),
        metadata: json(&record.metadata),
        status: end.map_or_else(|| "queued".to_owned(), |end| word(&end.outcome)),
        submitted_ms: number(record.submitted_ms),
        ended_ms: ended.map(|ended| number(ended.at_ms)),
        error_code: end
            .and_then(|end| end.error.as_ref())
            .map(|error| error.code.clone()),
        error: end.and_then(|end| end.error.as_ref()).map(json),
        value: ended.and_then(|ended| ended.value.clone()),
        sha256: end.and_then(|end| end.sha256.clone()),
        best: end.and_then(|end| end.best.clone()),
        usage: end.map(|end| columns(end.usage)).unwrap_or_default(),
        timings: json(&end.map(|end| end.timings)),
    };
    let attempts = end.map(|end| end.attempts.iter().map(attempt).collect());
    (row, attempts.unwrap_or_default())
}

fn attempt(attempt: &AttemptUsage) -> AttemptRow {
    AttemptRow {
        n: attempt.n.into(),
        usage: columns(attempt.usage),
        repairs: number(attempt.repairs),
    }
}

fn columns(usage: Usage) -> UsageColumns {
    UsageColumns {
        input: number(usage.input_tokens),
        output: number(usage.output_tokens),
        reasoning: number(usage.reasoning_tokens),
        cached: number(usage.cached_input_tokens),
        estimated: usage.estimated,
    }
}

/// Plain data: writing it does not fail.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The word of a state or outcome.
fn word(value: &impl serde::Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}
