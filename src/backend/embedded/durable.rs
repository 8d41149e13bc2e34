//! The writer of a durable engine: group commit. While one transaction is written the next one gathers, so that many
//! submissions share a commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::saving::Unsaved;
use super::{Inner, Shared, rows};
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

/// Who waits until a job is stored.
#[derive(Debug, Default)]
pub(super) struct Waiters(HashMap<JobId, Vec<oneshot::Sender<Result<(), BackendError>>>>);

impl Waiters {
    pub(super) fn wait(&mut self, job: JobId) -> Kept {
        let (sender, receiver) = oneshot::channel();
        self.0.entry(job).or_default().push(sender);
        receiver
    }

    pub(super) fn answer(&mut self, job: JobId, answer: &Result<(), BackendError>) {
        for waiter in self.0.remove(&job).unwrap_or_default() {
            // Who no longer waits has gone.
            let _ = waiter.send(answer.clone());
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

/// What one transaction is made of.
struct Gathered {
    unsaved: Vec<Unsaved>,
    forgotten: Vec<JobId>,
}

/// Writes until the engine is gone, and then what is left.
pub(super) async fn write(shared: std::sync::Weak<Shared>, writing: Arc<Writing>, mut outbox_next: i64) {
    loop {
        let Some(engine) = shared.upgrade() else { return };
        let checkpoint = Duration::from_millis(engine.lock().state.options.checkpoint_ms);
        let closing = engine.is_closing();
        let urgent = engine.lock().state.is_urgent();
        drop(engine);
        let all = closing || (!urgent && !woken(&writing.wake, checkpoint).await);
        let Some(engine) = shared.upgrade() else { return };
        let gathered = {
            let (unsaved, forgotten) = engine.lock().state.unsaved(all || engine.is_closing());
            Gathered { unsaved, forgotten }
        };
        store(&engine, &writing, gathered, &mut outbox_next).await;
        if closing {
            engine.closed();
            return;
        }
    }
}

/// Whether it was woken before the time was over.
async fn woken(wake: &Notify, time: Duration) -> bool {
    tokio::select! {
        () = wake.notified() => true,
        () = clock::sleep(time) => false,
    }
}

async fn store(engine: &Shared, writing: &Writing, gathered: Gathered, outbox_next: &mut i64) {
    if gathered.unsaved.is_empty() && gathered.forgotten.is_empty() {
        return;
    }
    let Gathered { unsaved, forgotten } = gathered;
    let error = match try_to_write(&writing.store, &unsaved, &forgotten, outbox_next).await {
        Ok(()) => return settle(engine, &unsaved),
        Err(error) => error,
    };
    tracing::error!(%error, jobs = unsaved.len(), "jobs cannot be stored");
    // New jobs are refused; of those that are here the ends come first.
    let (arriving, rest): (Vec<_>, Vec<_>) = unsaved.into_iter().partition(Unsaved::arrives);
    refuse(engine, &arriving, &error);
    let (ending, running): (Vec<_>, Vec<_>) = rest.into_iter().partition(Unsaved::ends);
    let stored = !ending.is_empty() && write_ends(&writing.store, &ending, outbox_next).await;
    if stored {
        settle(engine, &ending);
    } else {
        give_up(engine, &ending);
    }
    put_off(engine, &running, forgotten);
    // What is put off is urgent to nobody; without a pause a full disk would be asked without end.
    clock::sleep(PAUSE).await;
}

async fn write_ends(store: &Store, ending: &[Unsaved], outbox_next: &mut i64) -> bool {
    if store.free_reserve() {
        tracing::warn!("the reserve of the data folder is given up, so that jobs can end");
    }
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
            Ok(()) => {
                store.restore_reserve();
                return Ok(());
            }
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
    inner.publish_all(written);
    for job in unsaved {
        inner.waiters.answer(job.id, &Ok(()));
    }
    drop(inner);
    engine.work.notify_waiters();
    engine.work.notify_one();
}

fn refuse(engine: &Shared, arriving: &[Unsaved], error: &StoreError) {
    let refused = Err(BackendError::Unavailable(error.to_string()));
    let mut inner = engine.lock();
    for job in arriving {
        inner.state.withdraw(job.id);
        inner.waiters.answer(job.id, &refused);
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
    inner.publish_all(written);
    for job in ending {
        inner.waiters.answer(job.id, &Ok(()));
    }
}

fn put_off(engine: &Shared, running: &[Unsaved], forgotten: Vec<JobId>) {
    let mut inner: std::sync::MutexGuard<'_, Inner> = engine.lock();
    for job in running {
        inner.state.put_off(job);
        inner.waiters.answer(job.id, &Ok(()));
    }
    inner.state.put_off_forgotten(forgotten);
}
