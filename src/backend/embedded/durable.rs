//! The writer of a durable engine: group commit. While one transaction is written the next one gathers, so that many
//! submissions share a commit.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::saving::Unsaved;
use super::{Shared, rows, witness_all};
use crate::backend::BackendError;
use crate::clock;
use crate::job::JobId;
use crate::store::engine::{Batch, OutboxRow};
use crate::store::{Store, StoreError};

/// How often a transaction that failed is tried again before what waits for it is told.
const TRIES: u32 = 3;
/// How long between.
const PAUSE: Duration = Duration::from_millis(100);

/// What a step waits for.
pub(super) type Kept = oneshot::Receiver<Result<(), BackendError>>;
type Waiter = oneshot::Sender<Result<(), BackendError>>;

/// Who waits until a job is stored, and in which round it is.
#[derive(Debug, Default)]
pub(super) struct Waiters(HashMap<JobId, Vec<(u64, Waiter)>>);

impl Waiters {
    pub(super) fn wait(&mut self, job: JobId, round: u64) -> Kept {
        let (sender, receiver) = oneshot::channel();
        self.0.entry(job).or_default().push((round, sender));
        receiver
    }

    /// Answers those who wait for a round up to this one.
    pub(super) fn answer(&mut self, job: JobId, round: u64, answer: &Result<(), BackendError>) {
        let Some(waiting) = self.0.remove(&job) else {
            return;
        };
        let (due, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(due, _)| *due <= round);
        for (_, waiter) in due {
            // Who no longer waits has gone.
            let _ = waiter.send(answer.clone());
        }
        if !later.is_empty() {
            self.0.insert(job, later);
        }
    }
}

/// What the writer needs beside the engine.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) store: Arc<Store>,
    /// Something is urgent, or the engine goes down.
    pub(super) wake: Notify,
}

/// Writes until the engine is gone or goes down, and then what is left.
pub(super) async fn write(shared: Weak<Shared>, writing: Arc<Writing>, mut outbox_next: i64) {
    let mut checkpoint = clock::now();
    loop {
        let Some(engine) = shared.upgrade() else { return };
        let idle = !engine.is_closing() && !engine.lock().state.is_urgent();
        drop(engine);
        if idle {
            tokio::select! {
                () = writing.wake.notified() => {}
                () = clock::sleep_until(checkpoint) => {}
            }
        }
        let Some(engine) = shared.upgrade() else { return };
        let closing = engine.is_closing();
        let all = closing || clock::now() >= checkpoint;
        let (unsaved, forgotten) = {
            let mut inner = engine.lock();
            if all {
                checkpoint = clock::now() + Duration::from_millis(inner.state.options.checkpoint_ms);
            }
            inner.state.unsaved(all)
        };
        if !unsaved.is_empty() || !forgotten.is_empty() {
            store(&engine, &writing, unsaved, forgotten, &mut outbox_next).await;
        }
        if closing {
            return;
        }
    }
}

async fn store(
    engine: &Shared,
    writing: &Writing,
    unsaved: Vec<Unsaved>,
    forgotten: Vec<JobId>,
    outbox_next: &mut i64,
) {
    // What room there is without the reserve is for ends alone.
    let error = if writing.store.has_reserve().await {
        match try_to_write(&writing.store, &unsaved, &forgotten, outbox_next).await {
            Ok(()) => return settle(engine, &unsaved),
            Err(error) => error,
        }
    } else {
        StoreError::Full
    };
    tracing::error!(%error, jobs = unsaved.len(), "jobs cannot be stored");
    // New jobs are refused; of those that are here the ends come first.
    let (arriving, rest): (Vec<_>, Vec<_>) = unsaved.into_iter().partition(Unsaved::arrives);
    refuse(engine, &arriving, &error);
    let (ending, running): (Vec<_>, Vec<_>) = rest.into_iter().partition(Unsaved::ends);
    // Who waited for another program once, as long as that may take, does not wait again for the same.
    if error != StoreError::Busy && write_ends(&writing.store, &ending, outbox_next).await {
        settle(engine, &ending);
    } else {
        give_up(engine, &ending);
    }
    put_off(engine, &running, forgotten);
    // What is put off is urgent to nobody; without a pause a full disk would be asked without end.
    clock::sleep(PAUSE).await;
}

async fn write_ends(store: &Store, ending: &[Unsaved], outbox_next: &mut i64) -> bool {
    if ending.is_empty() || try_to_write(store, ending, &[], outbox_next).await.is_ok() {
        return true;
    }
    if !store.free_reserve() {
        return false;
    }
    tracing::warn!("the reserve of the data folder is given up, so that jobs can end");
    try_to_write(store, ending, &[], outbox_next).await.is_ok()
}

async fn try_to_write(
    store: &Store,
    unsaved: &[Unsaved],
    forgotten: &[JobId],
    outbox_next: &mut i64,
) -> Result<(), StoreError> {
    let first = *outbox_next;
    let batch = batch(unsaved, forgotten, outbox_next)?;
    let mut tries = 1;
    loop {
        match store.write(&batch).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Failed(_)) if tries < TRIES => {
                tries += 1;
                clock::sleep(PAUSE).await;
            }
            Err(error) => {
                *outbox_next = first;
                return Err(error);
            }
        }
    }
}

fn batch(unsaved: &[Unsaved], forgotten: &[JobId], outbox_next: &mut i64) -> Result<Batch, StoreError> {
    let unwritable = |error: serde_json::Error| StoreError::Failed(error.to_string());
    let mut batch = Batch {
        forgotten: forgotten.iter().map(JobId::to_string).collect(),
        ..Batch::default()
    };
    for job in unsaved {
        batch.changes.push(rows::change(job).map_err(unwritable)?);
        if let Some(record) = rows::record(job) {
            batch.outbox.push(OutboxRow {
                id: *outbox_next,
                job: job.id.to_string(),
                record: serde_json::to_string(&record).map_err(unwritable)?,
            });
            *outbox_next += 1;
        }
    }
    Ok(batch)
}

fn settle(engine: &Shared, unsaved: &[Unsaved]) {
    let mut inner = engine.lock();
    let mut written = Vec::new();
    for job in unsaved {
        inner.state.saved(job, &mut written);
    }
    inner.publish_all(&written);
    for job in unsaved {
        inner.tell(job.id, &Ok(()));
    }
    drop(inner);
    witness_all(&written);
    engine.work.notify_one();
}

fn refuse(engine: &Shared, arriving: &[Unsaved], error: &StoreError) {
    let refused = Err(BackendError::NoRoom(error.to_string()));
    let mut inner = engine.lock();
    for job in arriving {
        inner.state.withdraw(job.id);
        inner.state.told(job.id);
        // Whoever waits for a job that is not kept waits in vain, whatever for.
        inner.waiters.answer(job.id, u64::MAX, &refused);
    }
}

/// Ends that cannot be stored are told all the same.
fn give_up(engine: &Shared, ending: &[Unsaved]) {
    let mut inner = engine.lock();
    let mut written = Vec::new();
    for job in ending {
        inner.state.tell_unstored_end(job.id, &mut written);
        inner.state.put_off(job);
    }
    inner.publish_all(&written);
    for job in ending {
        inner.tell(job.id, &Ok(()));
    }
    drop(inner);
    witness_all(&written);
}

fn put_off(engine: &Shared, running: &[Unsaved], forgotten: Vec<JobId>) {
    let mut inner = engine.lock();
    for job in running {
        inner.state.put_off(job);
        inner.tell(job.id, &Ok(()));
    }
    inner.state.put_off_forgotten(forgotten);
}
