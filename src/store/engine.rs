//! The tables of the embedded engine: what changed since the batch before, in one transaction.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row as _, SqliteConnection};

use super::rows::{insert, of_keys};
use super::{Store, StoreError};

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
    let changes = &batch.changes;
    write_fixed(to, changes).await?;
    write_runs(to, changes).await?;
    write_snapshots(to, changes).await?;
    write_entries(to, changes).await?;
    write_raw(to, changes).await?;
    let over = |change: &&JobChange| change.run.ended_ms.is_some() && !change.run.dead;
    let over: Vec<&str> = changes
        .iter()
        .filter(over)
        .map(|change| change.job.as_str())
        .collect();
    of_keys(to, "UPDATE engine_jobs SET spec = '' WHERE id IN", &over).await?;
    let into = "INSERT INTO engine_outbox (id, job, record) ";
    insert(to, into, "", &batch.outbox, |values, row| {
        values
            .push_bind(row.id)
            .push_bind(&row.job)
            .push_bind(&row.record);
    })
    .await?;
    forget(to, &batch.forgotten).await
}

async fn write_fixed(to: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), StoreError> {
    let new = changes
        .iter()
        .filter_map(|change| Some((&change.job, change.fixed.as_ref()?)));
    let new: Vec<(&String, &JobRow)> = new.collect();
    let into =
        "INSERT INTO engine_jobs (id, tenant, spec, shape, idempotency_key, request_sha256, submitted_ms) ";
    insert(to, into, "", &new, |values, (job, fixed)| {
        let (key, request) = fixed.key.as_ref().map(|(key, request)| (key, request)).unzip();
        values
            .push_bind(job)
            .push_bind(&fixed.tenant)
            .push_bind(&fixed.spec)
            .push_bind(&fixed.shape)
            .push_bind(key)
            .push_bind(request)
            .push_bind(fixed.submitted_ms);
    })
    .await?;
    Ok(())
}

async fn write_runs(to: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), StoreError> {
    let into = "INSERT OR REPLACE INTO engine_runs (job, state, until_ms, claims, deliveries, losses, restarts, \
                cancelled_ms, claimed_ms, ended_ms, record, lineage, epoch, seq, given_up, viewed, dead, redriven) ";
    insert(to, into, "", changes, |values, change| {
        let run = &change.run;
        values
            .push_bind(&change.job)
            .push_bind(&run.state)
            .push_bind(run.until_ms)
            .push_bind(run.claims)
            .push_bind(run.deliveries)
            .push_bind(run.losses)
            .push_bind(run.restarts)
            .push_bind(run.cancelled_ms)
            .push_bind(run.claimed_ms)
            .push_bind(run.ended_ms)
            .push_bind(&run.record)
            .push_bind(&run.lineage)
            .push_bind(&run.epoch)
            .push_bind(run.seq)
            .push_bind(run.given_up)
            .push_bind(run.viewed)
            .push_bind(run.dead)
            .push_bind(&run.redriven);
    })
    .await?;
    Ok(())
}

async fn write_snapshots(to: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), StoreError> {
    let folded = changes
        .iter()
        .filter_map(|change| Some((change, change.snapshot.as_ref()?)));
    let folded: Vec<_> = folded.collect();
    let into = "INSERT INTO engine_snapshots (job, fold) ";
    let behind = " ON CONFLICT (job) DO UPDATE SET fold = excluded.fold";
    insert(to, into, behind, &folded, |values, (change, (fold, _))| {
        values.push_bind(&change.job).push_bind(fold);
    })
    .await?;
    // What is new has no tail yet.
    for (change, (_, seq)) in folded.iter().filter(|(change, _)| change.fixed.is_none()) {
        sqlx::query("DELETE FROM engine_entries WHERE job = $1 AND seq <= $2")
            .bind(&change.job)
            .bind(seq)
            .execute(&mut *to)
            .await?;
    }
    Ok(())
}

async fn write_entries(to: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), StoreError> {
    let all = changes
        .iter()
        .flat_map(|change| change.entries.iter().map(move |entry| (&change.job, entry)));
    let all: Vec<(&String, &EntryRow)> = all.collect();
    let into = "INSERT INTO engine_entries (job, seq, epoch, opens, kind, payload) ";
    insert(to, into, "", &all, |values, (job, entry)| {
        values
            .push_bind(job)
            .push_bind(entry.seq)
            .push_bind(&entry.epoch)
            .push_bind(&entry.opens)
            .push_bind(&entry.kind)
            .push_bind(&entry.payload);
    })
    .await?;
    Ok(())
}

async fn write_raw(to: &mut SqliteConnection, changes: &[JobChange]) -> Result<(), StoreError> {
    let anew = changes.iter().filter(|change| change.raw.restarts);
    let anew: Vec<&str> = anew.map(|change| change.job.as_str()).collect();
    of_keys(to, "DELETE FROM engine_raw WHERE job IN", &anew).await?;
    let more: Vec<_> = changes
        .iter()
        .filter(|change| !change.raw.text.is_empty())
        .collect();
    let into = "INSERT INTO engine_raw (job, part, text) ";
    insert(to, into, "", &more, |values, change| {
        values
            .push_bind(&change.job)
            .push_bind(change.raw.part)
            .push_bind(&change.raw.text);
    })
    .await?;
    Ok(())
}

async fn forget(to: &mut SqliteConnection, jobs: &[String]) -> Result<(), StoreError> {
    let jobs: Vec<&str> = jobs.iter().map(String::as_str).collect();
    for statement in [
        "DELETE FROM engine_jobs WHERE id IN",
        "DELETE FROM engine_runs WHERE job IN",
        "DELETE FROM engine_snapshots WHERE job IN",
        "DELETE FROM engine_entries WHERE job IN",
        "DELETE FROM engine_raw WHERE job IN",
    ] {
        of_keys(to, statement, &jobs).await?;
    }
    Ok(())
}
