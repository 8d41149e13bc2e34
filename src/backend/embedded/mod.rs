//! The embedded engine: queue and log in this process, nothing to install.

mod log;
mod options;
mod row;
mod state;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};

pub use self::options::EngineOptions;
pub use self::state::State;
use self::state::Written;
use super::witness::witness;
use super::{
    Append, Appended, BackendError, Cancelled, Claim, Deferral, EventLog, Extended, Failure, Fenced,
    JobFacts, JobQueue, Reading, Reaped, Stats, Submission, Submitted, Write,
};
use crate::clock;
use crate::event::{Entry, Epoch, Position};
use crate::job::{JobId, LeaseToken};

/// Entries a slow reader may be behind before it misses some, and repairs by reading.
const LIVE_ENTRIES_MAX: usize = 256;
/// Cancel hints a worker may be behind before it misses some, and hears of them by its heartbeat.
const CANCEL_HINTS_MAX: usize = 256;
/// The longest a worker sleeps before it looks again without having been woken.
const POLL: Duration = Duration::from_secs(1);

/// The engine. Cheap to share behind an `Arc`; every step holds one lock for as long as the step takes.
#[derive(Debug)]
pub struct Embedded {
    inner: Mutex<Inner>,
    work: Notify,
}

#[derive(Debug)]
struct Inner {
    state: State,
    readers: HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>,
    workers: Vec<mpsc::Sender<JobId>>,
}

impl Embedded {
    /// An empty engine.
    pub fn new(options: EngineOptions) -> Self {
        let inner = Inner {
            state: State::new(options),
            readers: HashMap::new(),
            workers: Vec::new(),
        };
        Self {
            inner: Mutex::new(inner),
            work: Notify::new(),
        }
    }

    /// A copy of everything it holds: what a replica has at this moment.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Puts an earlier copy in place of what it holds: a failover to a replica that lagged. For tests of what a
    /// lost suffix of writes does; live readers notice by their polls.
    pub fn restore(&self, state: State) {
        self.lock().state = state;
        self.work.notify_waiters();
    }

    /// A panic while the lock was held cannot leave a step half done that matters more than going on.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<T>(&self, step: impl FnOnce(&mut State, u64, &mut Written) -> T) -> T {
        let mut inner = self.lock();
        let mut written = Vec::new();
        let answer = step(&mut inner.state, clock::now_ms(), &mut written);
        for (job, entry) in &written {
            inner.publish(*job, entry);
        }
        // Outside the lock: a log that is slow to be written must hold nobody back.
        drop(inner);
        for (job, entry) in &written {
            witness(*job, entry);
        }
        answer
    }
}

impl Inner {
    fn publish(&mut self, job: JobId, entry: &Arc<Entry>) {
        let Some(readers) = self.readers.get_mut(&job) else {
            return;
        };
        readers.retain(|reader| !reader.is_closed());
        for reader in readers.iter() {
            // A full channel loses this entry; the reader sees the gap.
            let _ = reader.try_send(Arc::clone(entry));
        }
        if readers.is_empty() {
            self.readers.remove(&job);
        }
    }

    fn forget_readers(&mut self) {
        self.readers.retain(|_, readers| {
            readers.retain(|reader| !reader.is_closed());
            !readers.is_empty()
        });
    }

    fn hint_cancel(&mut self, job: JobId) {
        self.workers.retain(|worker| !worker.is_closed());
        for worker in &self.workers {
            // A full channel loses the hint; the heartbeat carries it too.
            let _ = worker.try_send(job);
        }
    }
}

#[async_trait]
impl JobQueue for Embedded {
    async fn submit(&self, submission: Submission) -> Result<Submitted, BackendError> {
        let submitted = self.step(|state, now, written| state.submit(now, submission, written));
        self.work.notify_one();
        Ok(submitted)
    }

    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        Ok(self.step(|state, now, written| state.claim(now, nonce, epoch, written)))
    }

    async fn ready(&self) {
        tokio::select! {
            () = self.work.notified() => {}
            () = clock::sleep(POLL / 2 + clock::jitter(POLL / 2)) => {}
        }
    }

    async fn extend(&self, leases: &[(JobId, LeaseToken)]) -> Result<Vec<Extended>, BackendError> {
        Ok(self.step(|state, now, _| {
            leases
                .iter()
                .map(|(job, token)| state.extend(now, *job, *token))
                .collect()
        }))
    }

    async fn defer(&self, job: JobId, token: LeaseToken, deferral: Deferral) -> Result<Fenced, BackendError> {
        Ok(self.step(|state, _, written| state.defer(job, token, deferral, written)))
    }

    async fn fail(&self, job: JobId, token: LeaseToken, failure: Failure) -> Result<Fenced, BackendError> {
        Ok(self.step(|state, now, written| state.fail(now, job, token, failure, written)))
    }

    async fn finish(&self, job: JobId, token: LeaseToken, write: Write) -> Result<Fenced, BackendError> {
        Ok(self.step(|state, now, written| state.finish(now, job, token, write, written)))
    }

    async fn cancel(&self, job: JobId, epoch: Epoch) -> Result<Option<Cancelled>, BackendError> {
        let answer = self.step(|state, now, written| state.cancel(now, job, epoch, written));
        if answer == Some(Cancelled::Requested) {
            self.lock().hint_cancel(job);
        }
        Ok(answer)
    }

    async fn reap(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<Reaped, BackendError> {
        let reaped = self.step(|state, now, written| state.reap(now, limit, epoch, written));
        if reaped.recovering > 0 {
            self.work.notify_one();
        }
        Ok(reaped)
    }

    async fn promote(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<usize, BackendError> {
        let promoted = self.step(|state, now, written| state.promote(now, limit, epoch, written));
        if promoted > 0 {
            self.work.notify_one();
        }
        self.lock().forget_readers();
        Ok(promoted)
    }

    fn cancels(&self) -> mpsc::Receiver<JobId> {
        let (sender, receiver) = mpsc::channel(CANCEL_HINTS_MAX);
        self.lock().workers.push(sender);
        receiver
    }

    async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError> {
        Ok(self.lock().state.facts(job))
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        Ok(self.lock().state.stats())
    }
}

#[async_trait]
impl EventLog for Embedded {
    async fn append(&self, job: JobId, token: LeaseToken, append: &Append) -> Result<Appended, BackendError> {
        Ok(self.step(|state, _, written| state.append(job, token, append, written)))
    }

    async fn read(&self, job: JobId, held: Option<Position>) -> Result<Option<Reading>, BackendError> {
        Ok(self.lock().state.log(job).map(|log| log.read(held)))
    }

    async fn positions(&self, jobs: &[JobId]) -> Result<Vec<Option<Position>>, BackendError> {
        let inner = self.lock();
        Ok(jobs
            .iter()
            .map(|job| inner.state.log(*job).map(log::JobLog::last))
            .collect())
    }

    async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        let (sender, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
        self.lock().readers.entry(job).or_default().push(sender);
        Ok(receiver)
    }
}
