//! The leases this worker holds: what stops a delivery, and the heartbeat that keeps it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::backend::{Backend, Extended};
use crate::clock;
use crate::job::{JobId, LeaseTimes, LeaseToken};

/// What a delivery is told from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signal {
    /// Go on.
    Go,
    /// Somebody asked for the job's end.
    Cancel,
    /// The lease is gone, or cannot be kept: write no more.
    Lost,
    /// The worker goes down: put the job back.
    Drain,
}

/// Every lease of this worker.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<JobId, Held>>);

#[derive(Debug)]
struct Held {
    token: LeaseToken,
    until_ms: u64,
    signal: watch::Sender<Signal>,
}

/// A lease that is held; dropping it lets it go.
#[derive(Debug)]
pub(super) struct Holding {
    leases: Arc<Leases>,
    job: JobId,
    token: LeaseToken,
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut all = self.leases.lock();
        if all.get(&self.job).is_some_and(|held| held.token == self.token) {
            all.remove(&self.job);
        }
    }
}

impl Leases {
    /// Holds a lease.
    pub(super) fn hold(
        self: &Arc<Self>,
        job: JobId,
        token: LeaseToken,
        until_ms: u64,
    ) -> (Holding, watch::Receiver<Signal>) {
        let (signal, told) = watch::channel(Signal::Go);
        self.lock().insert(
            job,
            Held {
                token,
                until_ms,
                signal,
            },
        );
        (
            Holding {
                leases: Arc::clone(self),
                job,
                token,
            },
            told,
        )
    }

    /// Tells one delivery.
    pub(super) fn tell(&self, job: JobId, signal: Signal) {
        if let Some(held) = self.lock().get(&job) {
            held.tell(signal);
        }
    }

    /// Tells every delivery.
    pub(super) fn tell_all(&self, signal: Signal) {
        for held in self.lock().values() {
            held.tell(signal);
        }
    }

    fn all(&self) -> Vec<(JobId, LeaseToken)> {
        self.lock().iter().map(|(job, held)| (*job, held.token)).collect()
    }

    fn extended(&self, job: JobId, token: LeaseToken, answer: Extended) {
        let mut all = self.lock();
        let Some(held) = all.get_mut(&job).filter(|held| held.token == token) else {
            return;
        };
        match answer {
            Extended::Until(until_ms) => held.until_ms = until_ms,
            Extended::Cancel => held.tell(Signal::Cancel),
            Extended::Lost => held.tell(Signal::Lost),
        }
    }

    /// Stops what could not be renewed in time: a cost guard, since a late write is refused anyway.
    fn stop_overdue(&self, now_ms: u64, margin_ms: u64) {
        for held in self.lock().values() {
            if held.until_ms <= now_ms + margin_ms {
                held.tell(Signal::Lost);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// `Lost` is final, a cancel outranks a drain.
    fn tell(&self, signal: Signal) {
        self.signal.send_if_modified(|told| {
            let rank = |signal| match signal {
                Signal::Go => 0,
                Signal::Drain => 1,
                Signal::Cancel => 2,
                Signal::Lost => 3,
            };
            let news = rank(signal) > rank(*told);
            if news {
                *told = signal;
            }
            news
        });
    }
}

/// Extends every lease, for ever. Run it on a thread of its own: a long parse must not starve it.
pub(super) async fn beat(leases: Arc<Leases>, backend: Arc<dyn Backend>, times: LeaseTimes) {
    loop {
        clock::sleep(Duration::from_millis(times.extend_ms)).await;
        let held = leases.all();
        if !held.is_empty() {
            match backend.extend(&held).await {
                Ok(answers) => {
                    for ((job, token), answer) in held.into_iter().zip(answers) {
                        leases.extended(job, token, answer);
                    }
                }
                Err(error) => tracing::warn!(%error, "leases cannot be extended"),
            }
        }
        leases.stop_overdue(clock::now_ms(), times.lease_ms / 5);
    }
}

/// Hears hints of cancels, for ever.
pub(super) async fn hear_cancels(leases: Arc<Leases>, backend: Arc<dyn Backend>) {
    let mut hints = backend.cancels();
    while let Some(job) = hints.recv().await {
        leases.tell(job, Signal::Cancel);
    }
}
