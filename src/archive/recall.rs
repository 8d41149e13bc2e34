//! One job that has ended, taken back out of the archive.

use std::sync::Arc;

use super::list::usage;
use super::{Archive, word};
use crate::event::{End, Fold, LogEnd, Position};
use crate::job::{AttemptUsage, JobId, Outcome};
use crate::partial::{Shape, parse_written};
use crate::store::StoreError;
use crate::store::archive::{ArchiveRow, AttemptRow};
use crate::store::column::{count, small};

/// A job that has ended, as its viewers are told of it.
#[derive(Clone, Debug)]
pub struct Recalled {
    /// The job.
    pub job: JobId,
    /// Whose it is.
    pub tenant: Arc<str>,
    /// What its schema declares.
    pub shape: Arc<Shape>,
    /// The state before its end.
    pub before: Fold,
    /// Where the end stands.
    pub position: Position,
    /// The end.
    pub end: End,
}

impl Archive {
    /// A job of a tenant that has ended; `None` for any other, and for one whose log nobody had kept the end of.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn recall(&self, tenant: &str, job: JobId) -> Result<Option<Recalled>, StoreError> {
        let Some(row) = self.store.archived(tenant, &job.to_string()).await? else {
            return Ok(None);
        };
        let attempts = self.store.attempts(&row.id).await?;
        let recalled = recalled(job, row, &attempts);
        if recalled.is_none() {
            tracing::error!(%job, "what the archive has of a job cannot be read");
        }
        Ok(recalled)
    }
}

/// The row, read back; `None` where a part of it cannot be.
fn recalled(job: JobId, row: ArchiveRow, attempts: &[AttemptRow]) -> Option<Recalled> {
    let log: LogEnd = serde_json::from_str(&row.log_end?).ok()?;
    let value = row.value.map(|text| parse_written(&text)).transpose().ok()?;
    let error = row.error.map(|text| serde_json::from_str(&text)).transpose();
    let outcomes = [
        Outcome::Completed,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::Incomplete,
    ];
    Some(Recalled {
        job,
        tenant: row.tenant.into(),
        shape: log.shape,
        before: Fold { value, ..log.before },
        position: log.position,
        end: End {
            outcome: outcomes.into_iter().find(|outcome| word(outcome) == row.status)?,
            error: error.ok()?,
            sha256: row.sha256,
            best: row.best,
            usage: usage(row.usage),
            attempts: attempts.iter().map(attempt).collect(),
            timings: serde_json::from_str(&row.timings).ok()?,
            // What lies here is stored.
            durable: true,
        },
    })
}

fn attempt(row: &AttemptRow) -> AttemptUsage {
    AttemptUsage {
        n: small(row.n),
        model: row.model.clone(),
        usage: usage(row.usage),
        repairs: count(row.repairs),
    }
}
