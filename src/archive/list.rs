//! Lists of jobs, page by page.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Archive, word};
use crate::job::{JobId, JobState, Usage};
use crate::store::StoreError;
use crate::store::archive::{ArchiveRow, ListFilter, UsageColumns};
use crate::store::column::{count, number};

/// What is to be listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// Only jobs in this state; jobs that have not ended are `queued` here.
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

/// A page of a list, newest first.
#[derive(Clone, Debug, Serialize)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Listed>,
    /// The cursor of the next page, where there may be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A job in a list.
#[derive(Clone, Debug, Serialize)]
pub struct Listed {
    /// The job.
    pub job_id: String,
    /// The model that was asked for.
    pub model: String,
    /// Where it stands; `queued` until it has ended.
    pub status: String,
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
    /// A page of a tenant's jobs, newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn list(&self, tenant: &str, query: Query) -> Result<Page, StoreError> {
        let limit = query.limit.unwrap_or(u32::MAX).clamp(1, self.options.page_max);
        let filter = ListFilter {
            tenant: tenant.to_owned(),
            status: query.status.map(|status| word(&status)),
            model: query.model,
            since_ms: query.since_ms.map(number),
            until_ms: query.until_ms.map(number),
            before: query.cursor.map(|job| job.to_string()),
            limit: limit.into(),
        };
        let rows = self.store.list(&filter).await?;
        let full = rows.len() == limit as usize;
        let next = rows.last().filter(|_| full).map(|row| row.id.clone());
        Ok(Page {
            jobs: rows.into_iter().map(listed).collect(),
            next,
        })
    }
}

fn listed(row: ArchiveRow) -> Listed {
    let raw = |text: String| RawValue::from_string(text).ok();
    Listed {
        job_id: row.id,
        model: row.model,
        status: row.status,
        submitted_ms: count(row.submitted_ms),
        ended_ms: row.ended_ms.map(count),
        metadata: serde_json::from_str(&row.metadata).unwrap_or_default(),
        error: row.error.and_then(raw),
        usage: usage(row.usage),
        timings: Some(row.timings).filter(|text| text != "null").and_then(raw),
    }
}

fn usage(columns: UsageColumns) -> Usage {
    Usage {
        input_tokens: count(columns.input),
        output_tokens: count(columns.output),
        reasoning_tokens: count(columns.reasoning),
        cached_input_tokens: count(columns.cached),
        estimated: columns.estimated,
    }
}
