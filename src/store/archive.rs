//! The tables of the archive, and the outbox they are filled from.

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use super::engine::OutboxRow;
use super::rows::{insert, of_keys};
use super::{Store, StoreError};

/// Tokens as the tables have them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UsageColumns {
    /// Tokens of the prompt.
    pub input: i64,
    /// Tokens of the answer.
    pub output: i64,
    /// Of those, reasoning.
    pub reasoning: i64,
    /// Of the prompt's, cached.
    pub cached: i64,
    /// Whether any of it is an estimate.
    pub estimated: bool,
    /// What they cost, in millionths.
    pub cost: Option<i64>,
}

/// A job in the archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchiveRow {
    /// The job.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// The model that was asked for.
    pub model: String,
    /// The client's own words, JSON.
    pub metadata: String,
    /// The state's word: `queued` until it has ended.
    pub status: String,
    /// When it was submitted.
    pub submitted_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// Why it ended otherwise than completed.
    pub error_code: Option<String>,
    /// The error, JSON.
    pub error: Option<String>,
    /// The value, JSON.
    pub value: Option<String>,
    /// The value's hash.
    pub sha256: Option<String>,
    /// The last answer that was whole but invalid, JSON.
    pub best: Option<String>,
    /// Tokens of all attempts.
    pub usage: UsageColumns,
    /// How long things took, JSON.
    pub timings: String,
    /// How its log ended, JSON; `None` until then, and of jobs from before that was kept.
    pub log_end: Option<String>,
}

/// One attempt in the archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRow {
    /// Its number.
    pub n: i64,
    /// The model that was asked last in it.
    pub model: Option<String>,
    /// Its tokens.
    pub usage: UsageColumns,
    /// Places of its text that were put right.
    pub repairs: i64,
}

/// A row of the outbox that cannot be read, and when that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aside {
    /// The row.
    pub row: OutboxRow,
    /// When.
    pub at_ms: i64,
}

/// What is listed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListFilter {
    /// Whose jobs.
    pub tenant: String,
    /// Only with this word, `queued` for those that have not ended; none for all.
    pub status: Option<String>,
    /// Only this model's.
    pub model: Option<String>,
    /// Submitted at this time or later.
    pub since_ms: Option<i64>,
    /// Submitted before this time.
    pub until_ms: Option<i64>,
    /// Only jobs before this id: the last of the page before.
    pub before: Option<String>,
    /// How many at most.
    pub limit: i64,
}

/// A page of a list. Values are not told there, and may have megabytes.
macro_rules! list {
    ($status:literal, $model:literal) => {
        concat!(
            "SELECT id, tenant, model, metadata, status, submitted_ms, ended_ms, error_code, error, NULL AS value, \
             sha256, NULL AS best, input_tokens, output_tokens, reasoning_tokens, cached_input_tokens, estimated, \
             cost, timings, NULL AS log_end FROM jobs WHERE tenant = $1 AND ",
            $status,
            " AND ",
            $model,
            " AND id < COALESCE($6, '~') AND ($4 IS NULL OR submitted_ms >= $4) \
             AND ($5 IS NULL OR submitted_ms < $5) ORDER BY id DESC LIMIT $7"
        )
    };
}

impl Store {
    /// The oldest rows of the outbox, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outbox(&self, limit: i64) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = sqlx::query("SELECT id, job, record FROM engine_outbox ORDER BY id LIMIT $1")
            .bind(limit)
            .fetch_all(&self.inner)
            .await?;
        let read = |row: &SqliteRow| -> Result<OutboxRow, sqlx::Error> {
            Ok(OutboxRow {
                id: row.try_get("id")?,
                job: row.try_get("job")?,
                record: row.try_get("record")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// The highest number in the outbox ever given, 0 for none.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn outbox_last(&self) -> Result<i64, StoreError> {
        let last: Option<i64> = sqlx::query_scalar("SELECT MAX(id) FROM engine_outbox")
            .fetch_one(&self.inner)
            .await?;
        Ok(last.unwrap_or_default())
    }

    /// Writes jobs with their attempts into the archive and takes what told of them out of the outbox, in one
    /// transaction. A job that is there is replaced; what cannot be read is set aside as it is.
    ///
    /// # Errors
    /// The disk is full, or the database cannot be used; then nothing was written.
    pub async fn archive(
        &self,
        jobs: &[(ArchiveRow, Vec<AttemptRow>)],
        done: &[i64],
        aside: &[Aside],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let written = write_jobs(&mut transaction, jobs, done, aside).await;
        Self::end(transaction, written).await
    }

    /// Jobs of a tenant, newest first, without their values and what else only one alone is asked for.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn list(&self, filter: &ListFilter) -> Result<Vec<ArchiveRow>, StoreError> {
        // Each has its index: few of one status or model may lie among many of another.
        let list = match (&filter.status, &filter.model) {
            (Some(_), Some(_)) => list!("status = $2", "model = $3"),
            (Some(_), None) => list!("status = $2", "$3 IS NULL"),
            (None, Some(_)) => list!("$2 IS NULL", "model = $3"),
            (None, None) => list!("$2 IS NULL", "$3 IS NULL"),
        };
        let rows: Vec<ArchiveRow> = sqlx::query_as(list)
            .bind(&filter.tenant)
            .bind(&filter.status)
            .bind(&filter.model)
            .bind(filter.since_ms)
            .bind(filter.until_ms)
            .bind(&filter.before)
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await?;
        Ok(rows)
    }

    /// A job of a tenant that has ended, and the end of whose log is kept.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn archived(&self, tenant: &str, job: &str) -> Result<Option<ArchiveRow>, StoreError> {
        let row = sqlx::query_as("SELECT * FROM jobs WHERE id = $1 AND tenant = $2 AND log_end IS NOT NULL")
            .bind(job)
            .bind(tenant)
            .fetch_optional(&self.readers)
            .await?;
        Ok(row)
    }

    /// The attempts of a job.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn attempts(&self, job: &str) -> Result<Vec<AttemptRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM attempts WHERE job = $1 ORDER BY n")
            .bind(job)
            .fetch_all(&self.readers)
            .await?;
        let read = |row: &SqliteRow| -> Result<AttemptRow, sqlx::Error> {
            Ok(AttemptRow {
                n: row.try_get("n")?,
                model: row.try_get("model")?,
                usage: UsageColumns::from_row(row)?,
                repairs: row.try_get("repairs")?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Drops ended jobs that ended before a time, and the oldest over a count, at most `limit` in one go. Returns how
    /// many.
    ///
    /// # Errors
    /// The database cannot be used; then nothing was dropped.
    pub async fn forget_archived(&self, before_ms: i64, keep: i64, limit: i64) -> Result<u64, StoreError> {
        let due = self.due(before_ms, keep, limit).await?;
        if !due.is_empty() {
            let mut transaction = self.begin().await?;
            let dropped = drop_jobs(&mut transaction, &due).await;
            Self::end(transaction, dropped).await?;
        }
        Ok(due.len() as u64)
    }

    /// Which jobs are to be dropped, oldest first: read beside the writer, by the index alone.
    async fn due(&self, before_ms: i64, keep: i64, limit: i64) -> Result<Vec<String>, StoreError> {
        let ended: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM jobs WHERE ended_ms IS NOT NULL")
            .fetch_one(&self.inner)
            .await?;
        let over = ended.saturating_sub(keep);
        let oldest: Vec<(String, i64)> = sqlx::query_as(
            "SELECT id, ended_ms FROM jobs WHERE ended_ms IS NOT NULL ORDER BY ended_ms LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&self.inner)
        .await?;
        let due = (0_i64..).zip(oldest);
        let due = due.take_while(|(at, (_, ended_ms))| *at < over || *ended_ms < before_ms);
        Ok(due.map(|(_, (job, _))| job).collect())
    }

    /// Drops what was set aside before a time, and gives at most `pages` free pages of the file back to the disk.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn tidy(&self, before_ms: i64, pages: u32) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM archive_aside WHERE aside_ms < $1")
            .bind(before_ms)
            .execute(&self.writer)
            .await?;
        if pages > 0 {
            // A pragma takes no parameters; this is a number.
            let shrink = sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})"));
            sqlx::query(shrink).execute(&self.writer).await?;
        }
        Ok(())
    }
}

impl FromRow<'_, SqliteRow> for UsageColumns {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            input: row.try_get("input_tokens")?,
            output: row.try_get("output_tokens")?,
            reasoning: row.try_get("reasoning_tokens")?,
            cached: row.try_get("cached_input_tokens")?,
            estimated: row.try_get("estimated")?,
            cost: row.try_get("cost")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for ArchiveRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            tenant: row.try_get("tenant")?,
            model: row.try_get("model")?,
            metadata: row.try_get("metadata")?,
            status: row.try_get("status")?,
            submitted_ms: row.try_get("submitted_ms")?,
            ended_ms: row.try_get("ended_ms")?,
            error_code: row.try_get("error_code")?,
            error: row.try_get("error")?,
            value: row.try_get("value")?,
            sha256: row.try_get("sha256")?,
            best: row.try_get("best")?,
            usage: UsageColumns::from_row(row)?,
            timings: row.try_get("timings")?,
            log_end: row.try_get("log_end")?,
        })
    }
}

async fn write_jobs(
    to: &mut SqliteConnection,
    jobs: &[(ArchiveRow, Vec<AttemptRow>)],
    done: &[i64],
    aside: &[Aside],
) -> Result<(), StoreError> {
    let into = "INSERT INTO archive_aside (job, record, aside_ms) ";
    insert(to, into, "", aside, |values, Aside { row, at_ms }| {
        values.push_bind(&row.job).push_bind(&row.record).push_bind(at_ms);
    })
    .await?;
    write_ends(to, jobs).await?;
    write_attempts(to, jobs).await?;
    of_keys(to, "DELETE FROM engine_outbox WHERE id IN", done).await?;
    Ok(())
}

async fn drop_jobs(from: &mut SqliteConnection, due: &[String]) -> Result<(), StoreError> {
    let due: Vec<&str> = due.iter().map(String::as_str).collect();
    of_keys(from, "DELETE FROM attempts WHERE job IN", &due).await?;
    of_keys(from, "DELETE FROM jobs WHERE id IN", &due).await?;
    Ok(())
}

async fn write_ends(
    to: &mut SqliteConnection,
    jobs: &[(ArchiveRow, Vec<AttemptRow>)],
) -> Result<(), StoreError> {
    let into = "INSERT OR REPLACE INTO jobs (id, tenant, model, metadata, status, submitted_ms, ended_ms, error_code, \
                error, value, sha256, best, input_tokens, output_tokens, reasoning_tokens, cached_input_tokens, \
                estimated, timings, log_end, cost) ";
    insert(to, into, "", jobs, |values, (job, _)| {
        values
            .push_bind(&job.id)
            .push_bind(&job.tenant)
            .push_bind(&job.model)
            .push_bind(&job.metadata)
            .push_bind(&job.status)
            .push_bind(job.submitted_ms)
            .push_bind(job.ended_ms)
            .push_bind(&job.error_code)
            .push_bind(&job.error)
            .push_bind(&job.value)
            .push_bind(&job.sha256)
            .push_bind(&job.best)
            .push_bind(job.usage.input)
            .push_bind(job.usage.output)
            .push_bind(job.usage.reasoning)
            .push_bind(job.usage.cached)
            .push_bind(job.usage.estimated)
            .push_bind(&job.timings)
            .push_bind(&job.log_end)
            .push_bind(job.usage.cost);
    })
    .await?;
    Ok(())
}

async fn write_attempts(
    to: &mut SqliteConnection,
    jobs: &[(ArchiveRow, Vec<AttemptRow>)],
) -> Result<(), StoreError> {
    let all = jobs
        .iter()
        .flat_map(|(job, attempts)| attempts.iter().map(move |attempt| (&job.id, attempt)));
    let all: Vec<(&String, &AttemptRow)> = all.collect();
    let into = "INSERT OR REPLACE INTO attempts (job, n, input_tokens, output_tokens, reasoning_tokens, \
                cached_input_tokens, estimated, repairs, model, cost) ";
    insert(to, into, "", &all, |values, (job, attempt)| {
        values
            .push_bind(job)
            .push_bind(attempt.n)
            .push_bind(attempt.usage.input)
            .push_bind(attempt.usage.output)
            .push_bind(attempt.usage.reasoning)
            .push_bind(attempt.usage.cached)
            .push_bind(attempt.usage.estimated)
            .push_bind(attempt.repairs)
            .push_bind(&attempt.model)
            .push_bind(attempt.usage.cost);
    })
    .await?;
    Ok(())
}
