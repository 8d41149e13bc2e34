//! The embedded engine: queue and log in this process, nothing to install.
//!
//! Memory leads, the store follows: a step changes the state under one lock and notes what it touched; the writer
//! (`durable`) stores that in group commits. What is promised waits for its commit: a submission is answered, a cancel
//! taken and an end told only then. Everything else may be told up to a second before it is stored: after a restart a
//! running job goes on behind what was stored, in a new epoch, so a viewer that held more gets a replacing snapshot.

mod arrival;
mod dead;
mod durable;
mod line;
mod log;
mod options;
mod pausing;
mod restart;
mod retention;
mod row;
mod rows;
mod saving;
mod state;
mod verdict;
mod viewing;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use self::durable::{Kept, Waiters, Writing};
pub use self::options::EngineOptions;
use self::row::JobRow;
pub use self::state::State;
use self::state::Written;
use super::witness::witness;
use super::{
    Append, Appended, BackendError, Cancelled, Claim, DeadCursor, DeadLetter, DeadPage, Deferral, EventLog,
    Extended, Failure, Fenced, JobFacts, JobQueue, Paused, Reading, Reaped, Request, Ruled, Shares, Stats,
    Submission, Submitted, Write,
};
use crate::clock;
use crate::event::{Entry, Epoch, Position, StatusChange};
use crate::job::{JobId, LeaseToken, Ruling};
use crate::store::{Store, StoreError};

/// Entries a slow reader may be behind before it misses some, and repairs by reading.
const LIVE_ENTRIES_MAX: usize = 256;
/// Cancel hints a worker may be behind before it misses some, and hears of them by its heartbeat.
const CANCEL_HINTS_MAX: usize = 256;
/// The longest a worker sleeps before it looks again without having been woken.
const POLL: Duration = Duration::from_secs(1);

/// The engine. Every step holds one lock for as long as the step takes.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<Shared>,
    /// The writer; `None` where nothing is stored.
    durable: Option<Durable>,
    /// Held while a pause is stored.
    pausing: tokio::sync::Mutex<()>,
}

/// The writer of a durable engine.
#[derive(Debug)]
struct Durable {
    writing: Arc<Writing>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    work: Notify,
    closing: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    state: State,
    waiters: Waiters,
    readers: HashMap<JobId, Vec<mpsc::Sender<Arc<Entry>>>>,
    workers: Vec<mpsc::Sender<JobId>>,
}

impl Embedded {
    /// An empty engine that stores nothing.
    pub fn new(options: EngineOptions) -> Self {
        Self {
            shared: Shared::new(State::new(options)),
            durable: None,
            pausing: tokio::sync::Mutex::default(),
        }
    }

    /// An engine that goes on from what a store holds, and stores what happens from now on. Jobs that ran when the
    /// process ended are put back in line.
    ///
    /// # Errors
    /// The store cannot be read, or holds what cannot be a job; it is closed then.
    pub async fn open(options: EngineOptions, store: Arc<Store>) -> Result<Self, StoreError> {
        let (jobs, outbox_next) = match held(&store).await {
            Ok(held) => held,
            Err(error) => {
                // Whoever repairs the folder finds no one who still writes to it.
                store.close().await;
                return Err(error);
            }
        };
        let state = State::restart(options, jobs, clock::now_ms(), &mut || Epoch::new(clock::nonce()));
        let shared = Shared::new(state);
        if let Err(error) = shared.take_up_pauses(&store).await {
            store.close().await;
            return Err(error);
        }
        let writing = Arc::new(Writing {
            store,
            wake: Notify::new(),
        });
        let task = tokio::spawn(durable::write(
            Arc::downgrade(&shared),
            Arc::clone(&writing),
            outbox_next,
        ));
        Ok(Self {
            shared,
            durable: Some(Durable {
                writing,
                task: Mutex::new(Some(task)),
            }),
            pausing: tokio::sync::Mutex::default(),
        })
    }

    /// Stores what is not stored yet and ends the writer.
    pub async fn close(&self) {
        let Some(durable) = &self.durable else { return };
        self.shared.closing.store(true, Ordering::Release);
        durable.writing.wake.notify_one();
        let task = durable.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("the writer of the data folder did not end by itself");
        }
        durable.writing.store.close().await;
    }

    /// A copy of everything it holds: what a replica has at this moment.
    pub fn state(&self) -> State {
        self.shared.lock().state.clone()
    }

    /// Puts an earlier copy in place of what it holds: a failover to a replica that lagged. For tests of what a
    /// lost suffix of writes does; live readers notice by their polls.
    pub fn restore(&self, state: State) {
        self.shared.lock().state = state;
        self.shared.work.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }

    fn step<T>(&self, step: impl FnOnce(&mut State, u64, &mut Written) -> T) -> T {
        let mut written = Vec::new();
        let (answer, urgent, has_next) = {
            let mut inner = self.lock();
            let answer = inner.step(step, &mut written);
            (answer, inner.state.is_urgent(), inner.state.line.has_next())
        };
        witness_all(&written);
        self.wake(urgent, has_next && !written.is_empty());
        answer
    }

    /// A step of which it is promised that it is stored: its answer comes with what to wait for.
    async fn kept<T>(
        &self,
        job: JobId,
        step: impl FnOnce(&mut State, u64, &mut Written) -> T,
        waits: impl FnOnce(&T) -> Option<JobId>,
    ) -> Result<T, BackendError> {
        let mut written = Vec::new();
        let (answer, kept, urgent, has_next) = {
            let mut inner = self.lock();
            let answer = inner.step(step, &mut written);
            let job = waits(&answer).unwrap_or(job);
            let round = inner.state.round_of(job);
            let kept = round.map(|round| inner.waiters.wait(job, round));
            let has_next = inner.state.line.has_next();
            (answer, kept, inner.state.is_urgent(), has_next)
        };
        witness_all(&written);
        self.wake(urgent, has_next);
        if let Some(kept) = kept {
            stored(kept).await?;
        }
        Ok(answer)
    }

    /// Wakes the writer where a step has left something urgent, and a worker where there is something to claim: a job
    /// that ends may let another of its tenant run.
    fn wake(&self, urgent: bool, has_next: bool) {
        if has_next {
            self.shared.work.notify_one();
        }
        if let Some(durable) = self.durable.as_ref().filter(|_| urgent) {
            durable.writing.wake.notify_one();
        }
    }
}

/// Outside the lock: a log that is slow to be written must hold nobody back.
fn witness_all(written: &Written) {
    for (job, entry) in written {
        witness(*job, entry);
    }
}

async fn stored(kept: Kept) -> Result<(), BackendError> {
    let lost = |_| Err(BackendError::Unavailable("the engine goes down".to_owned()));
    kept.await.unwrap_or_else(lost)
}

impl Shared {
    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                state,
                waiters: Waiters::default(),
                readers: HashMap::new(),
                workers: Vec::new(),
            }),
            work: Notify::new(),
            closing: AtomicBool::new(false),
        })
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// A panic while the lock was held cannot leave a step half done that matters more than going on.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn step<T>(&mut self, step: impl FnOnce(&mut State, u64, &mut Written) -> T, written: &mut Written) -> T {
        let answer = step(&mut self.state, clock::now_ms(), written);
        self.publish_all(written);
        answer
    }

    /// Tells those who wait for a job what became of it in the round that is being written.
    fn tell(&mut self, job: JobId, answer: &Result<(), BackendError>) {
        let round = self.state.told(job);
        self.waiters.answer(job, round, answer);
    }

    fn publish_all(&mut self, written: &Written) {
        for (job, entry) in written {
            self.publish(*job, entry);
        }
    }

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

    /// What to wait for where jobs have ended; nothing where none has.
    fn urgent(&mut self, ended: bool) -> Vec<Kept> {
        let urgent = if ended { self.state.urgent() } else { Vec::new() };
        let wait = |(job, round)| self.waiters.wait(job, round);
        urgent.into_iter().map(wait).collect()
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
        let id = submission.id;
        let submitted = self
            .kept(
                id,
                |state, now, written| state.submit(now, submission, written),
                |submitted| match submitted {
                    Submitted::Existing { job, .. } | Submitted::Conflict(job) => Some(*job),
                    Submitted::New { .. } | Submitted::Full { .. } => None,
                },
            )
            .await?;
        self.shared.work.notify_one();
        Ok(submitted)
    }

    async fn redrive(
        &self,
        letter: JobId,
        submission: Submission,
    ) -> Result<Option<Submitted>, BackendError> {
        let id = submission.id;
        let submitted = self
            .kept(
                id,
                |state, now, written| state.redrive(now, letter, submission, written),
                |submitted| match submitted {
                    Some(Submitted::Existing { job, .. }) => Some(*job),
                    _ => None,
                },
            )
            .await?;
        self.shared.work.notify_one();
        Ok(submitted)
    }

    async fn redriven(&self, letter: JobId) -> Result<Option<Submitted>, BackendError> {
        Ok(self.lock().state.redriven(letter).map(Submitted::existing))
    }

    async fn dead_letters(&self, behind: Option<DeadCursor>, limit: usize) -> Result<DeadPage, BackendError> {
        Ok(self.lock().state.dead_letters(behind, limit))
    }

    async fn dead_letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError> {
        Ok(self.lock().state.dead_letter(job))
    }

    async fn govern(&self, shares: &Shares) -> Result<(), BackendError> {
        self.lock().state.line.govern(shares.clone());
        self.shared.work.notify_one();
        Ok(())
    }

    async fn pause(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError> {
        self.set_paused(tenant, paused).await
    }

    async fn paused(&self) -> Result<Paused, BackendError> {
        Ok(self.lock().state.line.paused().clone())
    }

    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        Ok(self.step(|state, now, written| state.claim(now, nonce, epoch, written)))
    }

    async fn ready(&self) {
        tokio::select! {
            () = self.shared.work.notified() => {}
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
        self.kept(
            job,
            |state, now, written| state.fail(now, job, token, failure, written),
            |_| None,
        )
        .await
    }

    async fn finish(&self, job: JobId, token: LeaseToken, write: Write) -> Result<Fenced, BackendError> {
        self.kept(
            job,
            |state, now, written| state.finish(now, job, token, write, written),
            |_| None,
        )
        .await
    }

    async fn cancel(&self, job: JobId, epoch: Epoch) -> Result<Option<Cancelled>, BackendError> {
        let answer = self
            .kept(
                job,
                |state, now, written| state.cancel(now, job, epoch, written),
                |_| None,
            )
            .await?;
        if answer == Some(Cancelled::Requested) {
            self.lock().hint_cancel(job);
        }
        Ok(answer)
    }

    async fn rule(
        &self,
        job: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: Ruling,
    ) -> Result<Option<Ruled>, BackendError> {
        let ruled = self
            .kept(
                job,
                |state, now, written| state.rule(now, job, epoch, attempt, ruling, written),
                |_| None,
            )
            .await?;
        self.shared.work.notify_one();
        Ok(ruled)
    }

    async fn viewed(&self, job: JobId, node: u64, by_any: bool) -> Result<(), BackendError> {
        self.step(|state, now, _| state.viewed(now, job, node, by_any));
        Ok(())
    }

    async fn reap(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<Reaped, BackendError> {
        let mut written = Vec::new();
        let (reaped, kept) = {
            let mut inner = self.lock();
            let (mut reaped, given_up) = inner.step(
                |state, now, written| {
                    let reaped = state.reap(now, limit, epoch, written);
                    (reaped, state.give_up_unviewed(now, limit, epoch, written))
                },
                &mut written,
            );
            reaped.unviewed = given_up.ended + given_up.running.len();
            for job in given_up.running.iter().copied() {
                inner.hint_cancel(job);
            }
            (reaped, inner.urgent(reaped.ended + given_up.ended > 0))
        };
        witness_all(&written);
        self.wake(reaped.ended + reaped.unviewed > 0, reaped != Reaped::default());
        for kept in kept {
            stored(kept).await?;
        }
        Ok(reaped)
    }

    async fn promote(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<usize, BackendError> {
        let mut written = Vec::new();
        let (promoted, kept) = {
            let mut inner = self.lock();
            let promoted = inner.step(
                |state, now, written| state.promote(now, limit, epoch, written),
                &mut written,
            );
            inner.forget_readers();
            (promoted, inner.urgent(promoted.ended > 0))
        };
        witness_all(&written);
        self.wake(promoted.ended > 0, promoted.due > promoted.ended);
        for kept in kept {
            stored(kept).await?;
        }
        Ok(promoted.due)
    }

    fn cancels(&self) -> mpsc::Receiver<JobId> {
        let (sender, receiver) = mpsc::channel(CANCEL_HINTS_MAX);
        self.lock().workers.push(sender);
        receiver
    }

    async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError> {
        Ok(self.lock().state.facts(job))
    }

    async fn states(&self, jobs: &[JobId]) -> Result<Vec<Option<StatusChange>>, BackendError> {
        let inner = self.lock();
        Ok(jobs.iter().map(|job| inner.state.stands(*job)).collect())
    }

    async fn answers(&self) -> Result<(), BackendError> {
        Ok(())
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        Ok(self.lock().state.stats())
    }
}

/// The jobs of a store, and the number of the next letter of its outbox.
async fn held(store: &Store) -> Result<(Vec<(JobId, JobRow)>, i64), StoreError> {
    let (jobs, letter) = (store.jobs().await?, store.outbox_last().await?);
    let jobs: Result<Vec<_>, _> = jobs.into_iter().map(rows::read).collect();
    Ok((jobs.map_err(|what| store.damaged(what))?, letter + 1))
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
            .map(|job| inner.state.log(*job).map(log::JobLog::told))
            .collect())
    }

    async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        let (sender, receiver) = mpsc::channel(LIVE_ENTRIES_MAX);
        self.lock().readers.entry(job).or_default().push(sender);
        Ok(receiver)
    }
}
