//! Lists of jobs, page by page.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Archive, word};
use crate::event::StatusChange;
use crate::job::{JobId, JobState, Money, Usage};
use crate::store::StoreError;
use crate::store::archive::{ArchiveRow, ListFilter, UsageColumns};
use crate::store::column::{count, number};

/// What is to be listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Only jobs in this state.
    pub status: Option<JobState>,
    /// Only jobs of this model.
    pub model: Option<String>,
    /// Submitted at this time or later, ms since 1970.
    pub since_ms: Option<u64>,
    /// Submitted before this time, ms since 1970.
    pub until_ms: Option<u64>,
    /// Behind this job, the last of the page before.
    pub cursor: Option<JobId>,
    /// How many, at most; `None` for as many as a page may have.
    pub limit: Option<u32>,
}

/// Where a job stands that has not ended and that the engine does not know: nobody can say.
pub const UNKNOWN: &str = "unknown";

/// A page of a list, newest first. Where jobs stand that have not ended is to be put in by [`Page::stand`].
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Listed>,
    /// The cursor of the next page, where there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<JobId>,
    /// Only jobs in this state are wanted.
    #[serde(skip)]
    status: Option<JobState>,
    /// So many jobs.
    #[serde(skip)]
    limit: usize,
}

/// A job in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The job.
    pub job_id: JobId,
    /// The model that was asked for.
    pub model: String,
    /// Where it stands: a state's word, or [`UNKNOWN`].
    pub status: String,
    /// Of a job that waits, why: the reason of its last status, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Until when it waits, ms since 1970, where that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// When it was submitted, ms since 1970.
    pub submitted_ms: u64,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<u64>,
    /// The client's own words about it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Why it ended otherwise than completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<RawValue>>,
    /// Tokens of all attempts.
    pub usage: Usage,
    /// How long things took; `null` until it has ended.
    pub timings: Option<Box<RawValue>>,
}

impl Archive {
    /// A page of a tenant's jobs, newest first. Where a state is asked for in which a job has not ended, it has all that
    /// have not, as many as one page looks at: which of them are in that state is the engine's to say.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, tenant: &str, query: Query) -> Result<Page, StoreError> {
        let limit = query.limit.unwrap_or(u32::MAX).clamp(1, self.options.page_max);
        let (status, rows_max) = match query.status {
            None => (None, limit),
            Some(end) if end.is_end() => (Some(end), limit),
            Some(_) => (Some(JobState::Queued), limit.max(self.options.looked_max)),
        };
        let filter = ListFilter {
            tenant: tenant.to_owned(),
            status: status.map(|status| word(&status)),
            model: query.model,
            since_ms: query.since_ms.map(number),
            until_ms: query.until_ms.map(number),
            before: query.cursor.map(|job| job.to_string()),
            limit: rows_max.into(),
        };
        let rows = self.store.list(&filter).await?;
        let is_full = rows.len() == rows_max as usize;
        let jobs: Vec<Listed> = rows.into_iter().filter_map(listed).collect();
        Ok(Page {
            next: jobs.last().filter(|_| is_full).map(|job| job.job_id),
            jobs,
            status: query.status,
            limit: limit as usize,
        })
    }
}

impl Page {
    /// The jobs that have not ended, in their order: what is to be asked of the engine.
    pub fn unended(&self) -> Vec<JobId> {
        let unended = self.jobs.iter().filter(|job| job.ended_ms.is_none());
        unended.map(|job| job.job_id).collect()
    }

    /// Puts in where the [unended](Self::unended) jobs stand (`None` for one that the engine does not know), and keeps
    /// those that were asked for.
    pub fn stand(mut self, now: Vec<Option<StatusChange>>) -> Self {
        let unended = self.jobs.iter_mut().filter(|job| job.ended_ms.is_none());
        for (job, now) in unended.zip(now) {
            let Some(now) = now else {
                UNKNOWN.clone_into(&mut job.status);
                continue;
            };
            job.status = word(&now.status);
            (job.reason, job.until_ms) = (now.reason, now.until_ms);
        }
        if let Some(wanted) = self.status.map(|status| word(&status)) {
            self.jobs.retain(|job| job.status == wanted);
        }
        if self.jobs.len() > self.limit {
            self.jobs.truncate(self.limit);
            self.next = self.jobs.last().map(|job| job.job_id);
        }
        self
    }
}

fn listed(row: ArchiveRow) -> Option<Listed> {
    let raw = |text: String| RawValue::from_string(text).ok();
    Some(Listed {
        job_id: row.id.parse().ok()?,
        model: row.model,
        status: row.status,
        reason: None,
        until_ms: None,
        submitted_ms: count(row.submitted_ms),
        ended_ms: row.ended_ms.map(count),
        metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
        error: row.error.and_then(raw),
        usage: usage(row.usage),
        timings: Some(row.timings).filter(|text| text != "null").and_then(raw),
    })
}

pub(super) fn usage(columns: UsageColumns) -> Usage {
    Usage {
        input_tokens: count(columns.input),
        output_tokens: count(columns.output),
        reasoning_tokens: count(columns.reasoning),
        cached_input_tokens: count(columns.cached),
        estimated: columns.estimated,
        cost: columns.cost.map(|micros| Money::micros(count(micros))),
    }
}
