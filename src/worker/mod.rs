//! The work: a worker claims jobs into its slots and sees each through (`run` is the file to read).

mod attempt;
mod budget;
mod call;
mod claims;
mod conversation;
mod cost;
mod course;
mod doom;
mod guard;
mod hooks;
mod items;
mod joint;
mod journal;
mod judge;
mod ladder;
mod lease;
mod notes;
mod open;
mod outside;
mod pace;
mod policy;
mod prepare;
mod reaper;
mod route;
mod run;
mod splice;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

pub use self::budget::BudgetOptions;
use self::claims::Claims;
use self::lease::{Holding, Leases, Signal};
use crate::backend::{Backend, Claim};
use crate::clock;
use crate::compiler::Compiler;
use crate::event::{End, EndError, Timings};
use crate::job::{LeaseTimes, Outcome, Usage, backoff_ms};
use crate::llm::Providers;
use crate::partial;

/// Bounds and times of a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WorkerOptions {
    /// Jobs worked on at a time.
    pub slots: usize,
    /// Leases; the same as the engine's.
    pub lease: LeaseTimes,
    /// How often leases that ran out are looked for.
    pub reap_tick: Duration,
    /// Seconds of work of a job that asks for no bound of its own.
    pub job_seconds: u32,
    /// How long a job waits when a provider is busy and does not say how long.
    pub rate_limit_wait: Duration,
    /// How long it waits at the most.
    pub rate_limit_wait_max: Duration,
    /// Calls that are made again within an attempt, after a fault that may pass and before anything was told.
    pub retries_max: u32,
    /// The longest wait before the first of them; it doubles with each.
    pub retry_base: Duration,
    /// The longest wait before any of them. A provider that asks for more has the job put back.
    pub retry_wait_max: Duration,
    /// What a job may spend that asks for no bound of its own.
    pub budget: BudgetOptions,
    /// How long running jobs may go on once the worker goes down.
    pub drain: Duration,
    /// Jobs that are taken back, or put in line again, in one step.
    pub reap_max: usize,
    /// The longest wait before a step that the engine did not answer is sent again.
    pub resend: Duration,
    /// A running job's state is stored when its log has outgrown this many bytes, and half the draft.
    pub tail_bytes: usize,
    /// Places of an invalid answer that are asked for alone; where there are more, the whole is. 0: always the whole.
    pub splice_places_max: usize,
    /// Attempts of a job that go on from an answer that broke off. 0: such an answer ends the job.
    pub continuations_max: u32,
    /// Seconds of one attempt.
    pub attempt_seconds: u32,
    /// Bytes at the end of an answer that may be one short text again and again. 0: any.
    pub repeat_bytes_max: usize,
    /// Bytes of a single string of an answer.
    pub string_bytes_max: usize,
    /// Bytes of prose beside the calls that carry an answer.
    pub beside_bytes_max: usize,
    /// On which the ends of all jobs' windows fall, so that their writes leave together. None: each when it is its time.
    pub flush_beat: Duration,
    /// Bytes of notes that are gathered in one window, of prose beside calls, and of text behind the value; more is
    /// dropped from the log, not from the draft.
    pub note_bytes_max: usize,
    /// Bytes of a refusal that are kept.
    pub refusal_bytes_max: usize,
    /// How much an answer may ask of the parser, unless the job says less or more.
    pub draft: partial::Limits,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            slots: 64,
            lease: LeaseTimes::default(),
            reap_tick: Duration::from_secs(1),
            job_seconds: 600,
            rate_limit_wait: Duration::from_secs(2),
            rate_limit_wait_max: Duration::from_secs(60),
            retries_max: 4,
            retry_base: Duration::from_millis(500),
            retry_wait_max: Duration::from_secs(10),
            budget: BudgetOptions::default(),
            drain: Duration::from_secs(20),
            reap_max: 100,
            resend: Duration::from_millis(500),
            tail_bytes: 16 * 1024,
            splice_places_max: 16,
            continuations_max: 3,
            attempt_seconds: 600,
            repeat_bytes_max: 32 * 1024,
            string_bytes_max: 4 << 20,
            beside_bytes_max: 256 * 1024,
            flush_beat: Duration::from_millis(5),
            note_bytes_max: 16 * 1024,
            refusal_bytes_max: 4 * 1024,
            draft: partial::Limits::default(),
        }
    }
}

/// A worker.
pub struct Worker {
    backend: Arc<dyn Backend>,
    providers: Arc<Providers>,
    compiler: Arc<Compiler>,
    options: WorkerOptions,
    leases: Arc<Leases>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// A worker that does nothing yet.
    pub fn new(
        backend: Arc<dyn Backend>,
        providers: Arc<Providers>,
        compiler: Arc<Compiler>,
        options: WorkerOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            backend,
            providers,
            compiler,
            options,
            leases: Arc::default(),
        })
    }

    /// Extends the leases, for ever. Run it on a thread of its own: a long parse must not starve it.
    pub async fn heartbeat(self: Arc<Self>) {
        lease::beat(
            Arc::clone(&self.leases),
            Arc::clone(&self.backend),
            self.options.lease,
        )
        .await;
    }

    /// Claims and works until `drain` turns true; then claims no more, lets running jobs end within the drain time,
    /// and puts the others back.
    pub async fn run(self: Arc<Self>, mut drain: watch::Receiver<bool>) {
        let mut background = JoinSet::new();
        background.spawn(lease::hear_cancels(
            Arc::clone(&self.leases),
            self.backend.cancels(),
        ));
        background.spawn(reaper::reap(Arc::clone(&self.backend), self.options.clone()));
        let slots = Arc::new(Semaphore::new(self.options.slots));
        let mut deliveries = JoinSet::new();
        let mut claims = Claims::new();
        while let Some(free) = self.free_slots(&slots, claims.wanted(), &mut drain).await {
            let found = claims.send(&*self.backend, free.len()).await;
            let nothing = found.claims.is_empty();
            for (claim, slot) in found.claims.into_iter().zip(free) {
                let worker = Arc::clone(&self);
                let held = self.leases.hold(claim.id, claim.token(), claim.lease.until_ms);
                deliveries.spawn(async move {
                    worker.guarded(claim, held).await;
                    drop(slot);
                });
            }
            if let Some(error) = found.error {
                tracing::warn!(%error, "jobs cannot be claimed");
                clock::sleep(clock::jitter(Duration::from_secs(1))).await;
            } else if nothing {
                tokio::select! {
                    _ = drain.wait_for(|drain| *drain) => break,
                    () = self.backend.ready() => {}
                }
            }
            while deliveries.try_join_next().is_some() {}
        }
        self.wind_down(deliveries).await;
    }

    /// Slots, once one is free: as many as that, up to so many; `None` once the worker goes down.
    async fn free_slots(
        &self,
        slots: &Arc<Semaphore>,
        count: usize,
        drain: &mut watch::Receiver<bool>,
    ) -> Option<Vec<OwnedSemaphorePermit>> {
        let first = tokio::select! {
            biased;
            _ = drain.wait_for(|drain| *drain) => None,
            slot = Arc::clone(slots).acquire_owned() => slot.ok(),
        };
        let more = (1..count).map_while(|_| Arc::clone(slots).try_acquire_owned().ok());
        Some(std::iter::once(first?).chain(more).collect())
    }

    /// Works on a claim in a task of its own, so that a panic costs the delivery and not the worker.
    async fn guarded(self: Arc<Self>, claim: Claim, held: (Holding, watch::Receiver<Signal>)) {
        let (job, token, deliveries) = (claim.id, claim.token(), claim.token().delivery);
        let (_holding, signal) = held;
        let submitted_ms = claim.submitted_ms;
        let worker = Arc::clone(&self);
        let delivery = tokio::spawn(async move { run::deliver(&worker, claim, signal).await });
        if let Err(error) = delivery.await {
            tracing::error!(%job, %error, "a delivery died");
            let wait = clock::jitter(Duration::from_millis(backoff_ms(deliveries)));
            let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
            journal::give_up(&*self.backend, job, token, died(submitted_ms), retry_ms).await;
        }
    }

    async fn wind_down(&self, mut deliveries: JoinSet<()>) {
        let deadline = clock::now() + self.options.drain;
        tokio::select! {
            () = async { while deliveries.join_next().await.is_some() {} } => return,
            () = clock::sleep_until(deadline) => {}
        }
        self.leases.tell_all(Signal::Drain);
        while deliveries.join_next().await.is_some() {}
    }
}

fn died(submitted_ms: u64) -> End {
    End {
        outcome: Outcome::Failed,
        error: Some(EndError::new(
            "internal",
            "the work on this job failed again and again by a fault of ours",
        )),
        sha256: None,
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings {
            total_ms: clock::now_ms().saturating_sub(submitted_ms),
            ..Timings::default()
        },
        durable: true,
    }
}
