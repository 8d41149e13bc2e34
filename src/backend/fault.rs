//! A wrapper that fails on demand: refuses a step, loses its answer after it was taken, delays it, loses live
//! messages. For tests of what callers do then; it wraps any engine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{
    Append, Appended, Backend, BackendError, Cancelled, Claim, DeadCursor, DeadLetter, DeadPage, Deferral,
    EventLog, Extended, Failure, Fenced, Idempotency, JobFacts, JobQueue, Paused, Reading, Reaped, Request,
    Ruled, Shares, Stats, Submission, Submitted, Write,
};
use crate::clock;
use crate::event::{Entry, Epoch, Position, StatusChange};
use crate::job::{JobId, LeaseToken, Ruling};

/// How often what fails, each in a thousand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultRates {
    /// Steps that are refused before they are taken.
    pub refused: u64,
    /// Steps whose answer is lost after they were taken.
    pub answers_lost: u64,
    /// Live messages that are lost.
    pub live_lost: u64,
    /// The longest delay before a step; a random part of it is taken.
    pub delay: Duration,
}

/// How often a writer was told what: the proof that a run came through the rare branches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AnswerCounts {
    /// The write stood there already.
    pub dup: u64,
    /// The log had lost writes.
    pub rolled_back: u64,
    /// The lease was another's: a zombie was refused.
    pub lost: u64,
    /// The job was to be cancelled.
    pub cancel: u64,
}

/// An engine behind a bad line.
pub struct Faulty {
    inner: Arc<dyn Backend>,
    rates: Mutex<FaultRates>,
    counts: Mutex<AnswerCounts>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty")
            .field("rates", &self.rates())
            .finish_non_exhaustive()
    }
}

impl Faulty {
    /// Wraps an engine.
    pub fn new(inner: Arc<dyn Backend>, rates: FaultRates) -> Arc<Self> {
        Arc::new(Self {
            inner,
            rates: Mutex::new(rates),
            counts: Mutex::default(),
        })
    }

    /// Changes the rates; all zero heals the line.
    pub fn set(&self, rates: FaultRates) {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    /// What writers were told so far.
    pub fn counts(&self) -> AnswerCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, answer: Appended) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Appended::Ok => {}
            Appended::Dup => counts.dup += 1,
            Appended::RolledBack(_) => counts.rolled_back += 1,
            Appended::Lost => counts.lost += 1,
            Appended::Cancel => counts.cancel += 1,
        }
    }

    fn rates(&self) -> FaultRates {
        *self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn step<T>(
        &self,
        step: impl Future<Output = Result<T, BackendError>> + Send,
    ) -> Result<T, BackendError> {
        let rates = self.rates();
        if !rates.delay.is_zero() {
            clock::sleep(clock::jitter(rates.delay)).await;
        }
        if happens(rates.refused) {
            return Err(BackendError::Unavailable("refused on demand".to_owned()));
        }
        let answer = step.await?;
        if happens(rates.answers_lost) {
            return Err(BackendError::Unavailable(
                "the answer was lost on demand".to_owned(),
            ));
        }
        Ok(answer)
    }
}

fn happens(per_mille: u64) -> bool {
    per_mille > 0 && clock::nonce() % 1_000 < per_mille
}

#[async_trait]
impl JobQueue for Faulty {
    fn draw(&self, tenant: &str, idempotency: Option<&Idempotency>) -> JobId {
        self.inner.draw(tenant, idempotency)
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted, BackendError> {
        self.step(self.inner.submit(submission)).await
    }

    fn draw_beside(&self, letter: JobId) -> JobId {
        self.inner.draw_beside(letter)
    }

    async fn redrive(
        &self,
        letter: JobId,
        submission: Submission,
    ) -> Result<Option<Submitted>, BackendError> {
        self.step(self.inner.redrive(letter, submission)).await
    }

    async fn redriven(&self, letter: JobId) -> Result<Option<Submitted>, BackendError> {
        self.step(self.inner.redriven(letter)).await
    }

    async fn dead_letters(&self, behind: Option<DeadCursor>, limit: usize) -> Result<DeadPage, BackendError> {
        self.step(self.inner.dead_letters(behind, limit)).await
    }

    async fn dead_letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError> {
        self.step(self.inner.dead_letter(job)).await
    }

    async fn govern(&self, shares: &Shares) -> Result<(), BackendError> {
        self.step(self.inner.govern(shares)).await
    }

    async fn pause(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError> {
        self.step(self.inner.pause(tenant, paused)).await
    }

    async fn paused(&self) -> Result<Paused, BackendError> {
        self.step(self.inner.paused()).await
    }

    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        self.step(self.inner.claim(nonce, epoch)).await
    }

    async fn ready(&self) {
        self.inner.ready().await;
    }

    async fn extend(&self, leases: &[(JobId, LeaseToken)]) -> Result<Vec<Extended>, BackendError> {
        self.step(self.inner.extend(leases)).await
    }

    async fn defer(&self, job: JobId, token: LeaseToken, deferral: Deferral) -> Result<Fenced, BackendError> {
        self.step(self.inner.defer(job, token, deferral)).await
    }

    async fn fail(&self, job: JobId, token: LeaseToken, failure: Failure) -> Result<Fenced, BackendError> {
        self.step(self.inner.fail(job, token, failure)).await
    }

    async fn finish(&self, job: JobId, token: LeaseToken, write: Write) -> Result<Fenced, BackendError> {
        self.step(self.inner.finish(job, token, write)).await
    }

    async fn cancel(&self, job: JobId, epoch: Epoch) -> Result<Option<Cancelled>, BackendError> {
        self.step(self.inner.cancel(job, epoch)).await
    }

    async fn rule(
        &self,
        job: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: Ruling,
    ) -> Result<Option<Ruled>, BackendError> {
        self.step(self.inner.rule(job, epoch, attempt, ruling)).await
    }

    async fn viewed(&self, job: JobId, node: u64, by_any: bool) -> Result<(), BackendError> {
        self.step(self.inner.viewed(job, node, by_any)).await
    }

    async fn reap(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<Reaped, BackendError> {
        self.step(self.inner.reap(limit, epoch)).await
    }

    async fn promote(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<usize, BackendError> {
        self.step(self.inner.promote(limit, epoch)).await
    }

    fn cancels(&self) -> mpsc::Receiver<JobId> {
        self.inner.cancels()
    }

    async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError> {
        self.step(self.inner.facts(job)).await
    }

    async fn states(&self, jobs: &[JobId]) -> Result<Vec<Option<StatusChange>>, BackendError> {
        self.step(self.inner.states(jobs)).await
    }

    async fn answers(&self) -> Result<(), BackendError> {
        self.step(self.inner.answers()).await
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.step(self.inner.stats()).await
    }
}

#[async_trait]
impl EventLog for Faulty {
    async fn append(&self, job: JobId, token: LeaseToken, append: &Append) -> Result<Appended, BackendError> {
        let answer = self.step(self.inner.append(job, token, append)).await?;
        self.count(answer);
        Ok(answer)
    }

    async fn read(&self, job: JobId, held: Option<Position>) -> Result<Option<Reading>, BackendError> {
        self.step(self.inner.read(job, held)).await
    }

    async fn positions(&self, jobs: &[JobId]) -> Result<Vec<Option<Position>>, BackendError> {
        self.step(self.inner.positions(jobs)).await
    }

    async fn subscribe(&self, job: JobId) -> Result<mpsc::Receiver<Arc<Entry>>, BackendError> {
        let mut live = self.step(self.inner.subscribe(job)).await?;
        let lost = self.rates().live_lost;
        let (sender, receiver) = mpsc::channel(live.max_capacity());
        tokio::spawn(async move {
            while let Some(entry) = live.recv().await {
                // A full channel loses the entry, as the engine's own does.
                if !happens(lost) && sender.try_send(entry).is_err() && sender.is_closed() {
                    return;
                }
            }
        });
        Ok(receiver)
    }
}
