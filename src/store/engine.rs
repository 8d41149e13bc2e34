//! The tables of the embedded engine: what changed since the batch before, in one transaction.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, SqliteConnection};

use super::{Store, StoreError};

/// Entries of a log in one statement, at most; each number of them is a statement that is kept prepared.
const ENTRIES_AT_ONCE: usize = 16;

/// What is fixed with a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobRow {
    /// Whose it is.
    pub tenant: String,
    /// The request, JSON; empty once the job has ended, unless it was given up.
    pub spec: String,
    /// What its schema declares, JSON.
    pub shape: String,
    /// The client's idempotency key, and the hash of the request it named, hexadecimal.
    pub key: Option<(String, String)>,
    /// When it was submitted.
    pub submitted_ms: i64,
}

/// Where a job stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRow {
    /// The state's word.
    pub state: String,
    /// When its lease ends, or its waiting.
    pub until_ms: i64,
    /// Deliveries ever.
    pub claims: i64,
    /// Deliveries that count.
    pub deliveries: i64,
    /// Leases lost in a row without progress.
    pub losses: i64,
    /// Ends of the process in a row without progress.
    pub restarts: i64,
    /// When its cancel was asked for.
    pub cancelled_ms: Option<i64>,
    /// Whether that was because nobody views it.
    pub given_up: bool,
    /// Whether anybody ever viewed it, of a job that does not go on without viewers.
    pub viewed: bool,
    /// Whether it has ended by being given up, and is kept with its request.
    pub dead: bool,
    /// The job that was made of it since.
    pub redriven: Option<String>,
    /// When it was first claimed.
    pub claimed_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// The attempt record, JSON.
    pub record: String,
    /// The line of epochs, JSON.
    pub lineage: String,
    /// The last position.
    pub epoch: String,
    /// The last position.
    pub seq: i64,
}

/// An entry of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntryRow {
    /// Its number.
    pub seq: i64,
    /// Its epoch.
    pub epoch: String,
    /// The parent of the epoch that it opens, empty for a job's first epoch; `None` where it opens none.
    pub opens: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Its payload.
    pub payload: String,
}

/// The raw text of the running attempt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RawChange {
    /// What was stored of it is of an attempt before.
    pub restarts: bool,
    /// The place of the new piece behind the others.
    pub part: i64,
    /// The new piece; empty for none.
    pub text: String,
}

/// A stored piece of raw text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawRow {
    /// Its place behind the others.
    pub part: i64,
    /// The text.
    pub text: String,
}

/// What has changed of a job since it was last stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobChange {
    /// The job.
    pub job: String,
    /// What is fixed with it, the first time.
    pub fixed: Option<JobRow>,
    /// Where it stands.
    pub run: RunRow,
    /// A new folded state, JSON, and the seq up to which the stored tail is dropped.
    pub snapshot: Option<(String, i64)>,
    /// New entries.
    pub entries: Vec<EntryRow>,
    /// New raw text.
    pub raw: RawChange,
}

/// What the archive is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    /// Its place in the order.
    pub id: i64,
    /// The job.
    pub job: String,
    /// What became of it, JSON.
    pub record: String,
}

/// One transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Jobs that changed.
    pub changes: Vec<JobChange>,
    /// What the archive is to be told of it.
    pub outbox: Vec<OutboxRow>,
    /// Jobs that are past their retention.
    pub forgotten: Vec<String>,
}

/// A job as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredJob {
    /// The job.
    pub job: String,
    /// What is fixed with it.
    pub fixed: JobRow,
    /// Where it stands.
    pub run: RunRow,
    /// The folded state, JSON.
    pub snapshot: String,
    /// The tail behind it.
    pub entries: Vec<EntryRow>,
    /// The raw text of the running attempt, in its pieces.
    pub raw: Vec<RawRow>,
}

impl Store {
    /// Writes a batch, all of it or nothing.
    ///
    /// # Errors
    /// The disk is full, or the database cannot be used; then nothing was written.
    pub async fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let written = write_batch(&mut transaction, batch).await;
        Self::end(transaction, written).await
    }

    /// Everything the engine had stored, in the order of submission.
    ///
    /// # Errors
    /// The database cannot be read, or holds parts of a job and not the others.
    pub async fn jobs(&self) -> Result<Vec<StoredJob>, StoreError> {
        let unreadable = |error| StoreError::open(&self.place, &error);
        let mut entries = self.entries().await.map_err(unreadable)?;
        let mut raw = self.raw().await.map_err(unreadable)?;
        let rows = sqlx::query(
            "SELECT j.id, j.tenant, j.spec, j.shape, j.idempotency_key, j.request_sha256, j.submitted_ms, r.*, s.fold, \
             r.job IS NULL OR s.job IS NULL AS partial \
             FROM engine_jobs j LEFT JOIN engine_runs r ON r.job = j.id LEFT JOIN engine_snapshots s ON s.job = j.id \
             ORDER BY j.submitted_ms, j.id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(unreadable)?;
        let mut stored = Vec::with_capacity(rows.len());
        for row in &rows {
            let job: String = row.try_get("id").map_err(unreadable)?;
            if row.try_get("partial").map_err(unreadable)? {
                return Err(self.damaged(format!("job {job}: parts of it are gone")));
            }
            stored.push(StoredJob {
                fixed: JobRow::from_row(row).map_err(unreadable)?,
                run: RunRow::from_row(row).map_err(unreadable)?,
                snapshot: row.try_get("fold").map_err(unreadable)?,
                entries: entries.remove(&job).unwrap_or_default(),
                raw: raw.remove(&job).unwrap_or_default(),
                job,
            });
        }
        match entries.keys().chain(raw.keys()).next() {
            Some(job) => Err(self.damaged(format!("job {job}: parts of it are there, and it is not"))),
            None => Ok(stored),
        }
    }

    /// Who was paused.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn pauses(&self) -> Result<Vec<String>, StoreError> {
        let told = sqlx::query_scalar("SELECT tenant FROM engine_pauses")
            .fetch_all(&self.readers)
            .await;
        told.map_err(|error| StoreError::open(&self.place, &error))
    }

    /// Keeps that a tenant is paused, or that it is no more.
    ///
    /// # Errors
    /// The disk is full, or the database cannot be used; then nothing was written.
    pub async fn pause(&self, tenant: &str, paused: bool) -> Result<(), StoreError> {
        let statement = match paused {
            true => "INSERT INTO engine_pauses (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING",
            false => "DELETE FROM engine_pauses WHERE tenant = $1",
        };
        let mut transaction = self.begin().await?;
        let done = sqlx::query(statement)
            .bind(tenant)
            .execute(&mut *transaction)
            .await;
        Self::end(transaction, done.map(drop).map_err(StoreError::from)).await
    }

    async fn entries(&self) -> Result<HashMap<String, Vec<EntryRow>>, sqlx::Error> {
        let rows = sqlx::query("SELECT * FROM engine_entries ORDER BY job, seq")
            .fetch_all(&self.readers)
            .await?;
        let mut found: HashMap<String, Vec<EntryRow>> = HashMap::new();
        for row in rows {
            let entry = EntryRow {
                seq: row.try_get("seq")?,
                epoch: row.try_get("epoch")?,
                opens: row.try_get("opens")?,
                kind: row.try_get("kind")?,
                payload: row.try_get("payload")?,
            };
            found.entry(row.try_get("job")?).or_default().push(entry);
        }
        Ok(found)
    }

    async fn raw(&self) -> Result<HashMap<String, Vec<RawRow>>, sqlx::Error> {
        let rows = sqlx::query("SELECT job, part, text FROM engine_raw ORDER BY job, part")
            .fetch_all(&self.readers)
            .await?;
        let mut found: HashMap<String, Vec<RawRow>> = HashMap::new();
        for row in rows {
            let piece = RawRow {
                part: row.try_get("part")?,
                text: row.try_get("text")?,
            };
            found.entry(row.try_get("job")?).or_default().push(piece);
        }
        Ok(found)
    }
}

impl FromRow<'_, SqliteRow> for JobRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let key: Option<String> = row.try_get("idempotency_key")?;
        let request: Option<String> = row.try_get("request_sha256")?;
        Ok(Self {
            tenant: row.try_get("tenant")?,
            spec: row.try_get("spec")?,
            shape: row.try_get("shape")?,
            key: key.zip(request),
            submitted_ms: row.try_get("submitted_ms")?,
        })
    }
}

impl FromRow<'_, SqliteRow> for RunRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            state: row.try_get("state")?,
            until_ms: row.try_get("until_ms")?,
            claims: row.try_get("claims")?,
            deliveries: row.try_get("deliveries")?,
            losses: row.try_get("losses")?,
            restarts: row.try_get("restarts")?,
            cancelled_ms: row.try_get("cancelled_ms")?,
            given_up: row.try_get("given_up")?,
            viewed: row.try_get("viewed")?,
            dead: row.try_get("dead")?,
            redriven: row.try_get("redriven")?,
            claimed_ms: row.try_get("claimed_ms")?,
            ended_ms: row.try_get("ended_ms")?,
            record: row.try_get("record")?,
            lineage: row.try_get("lineage")?,
            epoch: row.try_get("epoch")?,
            seq: row.try_get("seq")?,
        })
    }
}

async fn write_batch(to: &mut SqliteConnection, batch: &Batch) -> Result<(), StoreError> {
    for change in &batch.changes {
        write_change(to, change).await?;
    }
    for row in &batch.outbox {
        sqlx::query("INSERT INTO engine_outbox (id, job, record) VALUES ($1, $2, $3)")
            .bind(row.id)
            .bind(&row.job)
            .bind(&row.record)
            .execute(&mut *to)
            .await?;
    }
    for job in &batch.forgotten {
        forget(to, job).await?;
    }
    Ok(())
}

async fn write_change(to: &mut SqliteConnection, change: &JobChange) -> Result<(), StoreError> {
    if let Some(fixed) = &change.fixed {
        write_fixed(to, &change.job, fixed).await?;
    }
    write_run(to, &change.job, &change.run).await?;
    if let Some((fold, seq)) = &change.snapshot {
        sqlx::query(
            "INSERT INTO engine_snapshots (job, fold) VALUES ($1, $2) \
             ON CONFLICT (job) DO UPDATE SET fold = excluded.fold",
        )
        .bind(&change.job)
        .bind(fold)
        .execute(&mut *to)
        .await?;
        // What is new has no tail yet.
        if change.fixed.is_none() {
            sqlx::query("DELETE FROM engine_entries WHERE job = $1 AND seq <= $2")
                .bind(&change.job)
                .bind(seq)
                .execute(&mut *to)
                .await?;
        }
    }
    write_entries(to, &change.job, &change.entries).await?;
    write_raw(to, &change.job, &change.raw).await?;
    if change.run.ended_ms.is_some() && !change.run.dead {
        sqlx::query("UPDATE engine_jobs SET spec = '' WHERE id = $1")
            .bind(&change.job)
            .execute(&mut *to)
            .await?;
    }
    Ok(())
}

async fn write_fixed(to: &mut SqliteConnection, job: &str, fixed: &JobRow) -> Result<(), StoreError> {
    let (key, request) = fixed.key.as_ref().map(|(key, request)| (key, request)).unzip();
    sqlx::query(
        "INSERT INTO engine_jobs (id, tenant, spec, shape, idempotency_key, request_sha256, submitted_ms) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(job)
    .bind(&fixed.tenant)
    .bind(&fixed.spec)
    .bind(&fixed.shape)
    .bind(key)
    .bind(request)
    .bind(fixed.submitted_ms)
    .execute(to)
    .await?;
    Ok(())
}

async fn write_run(to: &mut SqliteConnection, job: &str, run: &RunRow) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO engine_runs (job, state, until_ms, claims, deliveries, losses, restarts, cancelled_ms, \
         claimed_ms, ended_ms, record, lineage, epoch, seq, given_up, viewed, dead, redriven) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    )
    .bind(job)
    .bind(&run.state)
    .bind(run.until_ms)
    .bind(run.claims)
    .bind(run.deliveries)
    .bind(run.losses)
    .bind(run.restarts)
    .bind(run.cancelled_ms)
    .bind(run.claimed_ms)
    .bind(run.ended_ms)
    .bind(&run.record)
    .bind(&run.lineage)
    .bind(&run.epoch)
    .bind(run.seq)
    .bind(run.given_up)
    .bind(run.viewed)
    .bind(run.dead)
    .bind(&run.redriven)
    .execute(to)
    .await?;
    Ok(())
}

/// Several in one statement: each statement is a way to the database's thread and back, which is most of its cost.
async fn write_entries(to: &mut SqliteConnection, job: &str, entries: &[EntryRow]) -> Result<(), StoreError> {
    for some in entries.chunks(ENTRIES_AT_ONCE) {
        let mut statement =
            QueryBuilder::new("INSERT INTO engine_entries (job, seq, epoch, opens, kind, payload) ");
        statement.push_values(some, |mut row, entry| {
            row.push_bind(job)
                .push_bind(entry.seq)
                .push_bind(&entry.epoch)
                .push_bind(&entry.opens)
                .push_bind(&entry.kind)
                .push_bind(&entry.payload);
        });
        statement.build().execute(&mut *to).await?;
    }
    Ok(())
}

async fn write_raw(to: &mut SqliteConnection, job: &str, raw: &RawChange) -> Result<(), StoreError> {
    if raw.restarts {
        sqlx::query("DELETE FROM engine_raw WHERE job = $1")
            .bind(job)
            .execute(&mut *to)
            .await?;
    }
    if !raw.text.is_empty() {
        sqlx::query("INSERT INTO engine_raw (job, part, text) VALUES ($1, $2, $3)")
            .bind(job)
            .bind(raw.part)
            .bind(&raw.text)
            .execute(to)
            .await?;
    }
    Ok(())
}

async fn forget(to: &mut SqliteConnection, job: &str) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM engine_jobs WHERE id = $1",
        "DELETE FROM engine_runs WHERE job = $1",
        "DELETE FROM engine_snapshots WHERE job = $1",
        "DELETE FROM engine_entries WHERE job = $1",
        "DELETE FROM engine_raw WHERE job = $1",
    ] {
        sqlx::query(statement).bind(job).execute(&mut *to).await?;
    }
    Ok(())
}
