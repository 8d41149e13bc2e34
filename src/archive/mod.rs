//! What became of jobs: listable, for bills and for looking back, long after the engine has let go of them.
//!
//! The engine tells of a job twice, when it is kept and when it has ended, by rows of its outbox that are written in
//! the same transaction as what they tell of. [`Archive::drain`] moves them here in another, so the hot path never
//! waits for it and no end is lost on the way: what cannot be read is set aside as it is. Whoever asks of a job that has
//! ended ([`Archive::recall`]) is told what the engine would have told.

mod list;
mod recall;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use self::list::{Listed, Page, Query, UNKNOWN};
pub use self::recall::Recalled;
use crate::clock;
use crate::event::Record;
use crate::job::{AttemptUsage, JobState, Usage};
use crate::store::archive::{ArchiveRow, Aside, AttemptRow, UsageColumns};
use crate::store::column::number;
use crate::store::{Store, StoreError};

/// How long ended jobs are kept, how many, and how they come in and go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArchiveOptions {
    /// How long an ended job is kept, ms. Default: 30 days.
    pub retention_ms: u64,
    /// How many ended jobs are kept. Default: 100,000.
    pub jobs_max: u64,
    /// Jobs in one page of a list, at most. Default: 200.
    pub page_max: u32,
    /// Jobs that have not ended which one page looks at, at most, where only some states of them are asked for.
    /// Default: 1,000.
    pub looked_max: u32,
    /// How often the outbox is looked at, ms. Default: 500.
    pub outbox_ms: u64,
    /// How often what is past its retention is dropped, ms. Default: 60,000.
    pub forget_ms: u64,
    /// Rows that are moved in one transaction. Default: 256.
    pub batch_max: u32,
    /// Jobs that are dropped in one transaction. Default: 64.
    pub forget_max: u32,
    /// Free pages of 4 KiB that are given back to the disk each time that jobs are dropped. Default: 1,024.
    pub shrink_pages_max: u32,
}

impl Default for ArchiveOptions {
    fn default() -> Self {
        Self {
            retention_ms: 30 * 24 * 60 * 60 * 1_000,
            jobs_max: 100_000,
            page_max: 200,
            looked_max: 1_000,
            outbox_ms: 500,
            forget_ms: 60_000,
            batch_max: 256,
            forget_max: 64,
            shrink_pages_max: 1_024,
        }
    }
}

/// The archive.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<Store>,
    options: ArchiveOptions,
    /// Held while the outbox is moved: what was read of a job before its end must not be written behind it.
    moving: Arc<Mutex<()>>,
}

impl Archive {
    /// The archive in a store.
    pub fn new(store: Arc<Store>, options: ArchiveOptions) -> Self {
        Self {
            store,
            options,
            moving: Arc::default(),
        }
    }

    /// Its options.
    pub const fn options(&self) -> &ArchiveOptions {
        &self.options
    }

    /// Moves what the outbox holds, some rows at a time; true if there may be more.
    ///
    /// # Errors
    /// The store cannot be used; what was not moved stays in the outbox.
    pub async fn drain(&self) -> Result<bool, StoreError> {
        let _moving = self.moving.lock().await;
        let limit = i64::from(self.options.batch_max);
        let rows = self.store.outbox(limit).await?;
        let done: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let mut jobs = Vec::with_capacity(rows.len());
        let mut aside = Vec::new();
        for row in rows {
            match serde_json::from_str::<Record>(&row.record) {
                Ok(record) => jobs.push(archived(&record)),
                // It would stop all that come behind it.
                Err(error) => {
                    tracing::error!(job = row.job, %error, "a record cannot be read: it is set aside");
                    aside.push(Aside {
                        row,
                        at_ms: number(clock::now_ms()),
                    });
                }
            }
        }
        if !done.is_empty() {
            self.store.archive(&jobs, &done, &aside).await?;
        }
        Ok(i64::try_from(done.len()).is_ok_and(|moved| moved == limit))
    }

    /// Drops what is past its retention, some jobs at a time; true if there may be more.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn forget(&self, now_ms: u64) -> Result<bool, StoreError> {
        let before = number(now_ms.saturating_sub(self.options.retention_ms));
        let keep = number(self.options.jobs_max);
        let limit = i64::from(self.options.forget_max);
        let dropped = self.store.forget_archived(before, keep, limit).await?;
        Ok(i64::try_from(dropped).is_ok_and(|dropped| dropped == limit))
    }

    /// Behind what was dropped: what was set aside is dropped past the same retention, and the file shrinks.
    ///
    /// # Errors
    /// The store cannot be used.
    pub async fn tidy(&self, now_ms: u64) -> Result<(), StoreError> {
        let before = number(now_ms.saturating_sub(self.options.retention_ms));
        self.store.tidy(before, self.options.shrink_pages_max).await
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
        status: end.map_or_else(|| word(&JobState::Queued), |end| word(&end.outcome)),
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
        log_end: ended.and_then(|ended| ended.log.as_ref()).map(json),
    };
    let attempts = end.map(|end| end.attempts.iter().map(attempt).collect());
    (row, attempts.unwrap_or_default())
}

fn attempt(attempt: &AttemptUsage) -> AttemptRow {
    AttemptRow {
        n: attempt.n.into(),
        model: attempt.model.clone(),
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
        cost: usage.cost.map(|cost| number(cost.as_micros())),
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
