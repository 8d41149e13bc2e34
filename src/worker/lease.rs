//! The leases this worker holds: what stops a delivery, and the heartbeat that keeps it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

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

/// Hints that are kept for jobs this worker does not hold; most of them are another worker's.
const EARLY_MAX: usize = 256;

/// Every lease of this worker.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<JobId, Held>,
    /// The last cancels of jobs that are not held: a hint may be faster than the claim's own answer.
    early: VecDeque<JobId>,
}

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
        let held = &mut self.leases.lock().held;
        if held.get(&self.job).is_some_and(|held| held.token == self.token) {
            held.remove(&self.job);
        }
    }
}

impl Leases {
    /// Holds a lease. The delivery of a job whose cancel was heard already is told so at once.
    pub(super) fn hold(
        self: &Arc<Self>,
        job: JobId,
        token: LeaseToken,
        until_ms: u64,
    ) -> (Holding, watch::Receiver<Signal>) {
        let mut inner = self.lock();
        let early = inner.early.iter().position(|hinted| *hinted == job);
        let first = match early.and_then(|at| inner.early.remove(at)) {
            Some(_) => Signal::Cancel,
            None => Signal::Go,
        };
        let (signal, told) = watch::channel(first);
        inner.held.insert(
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

    /// Tells one delivery of a cancel, or keeps it for one that is about to begin.
    fn cancel(&self, job: JobId) {
        let mut inner = self.lock();
        match inner.held.get(&job) {
            Some(held) => held.tell(Signal::Cancel),
            None => {
                if inner.early.len() == EARLY_MAX {
                    inner.early.pop_front();
                }
                inner.early.push_back(job);
            }
        }
    }

    /// Tells every delivery.
    pub(super) fn tell_all(&self, signal: Signal) {
        for held in self.lock().held.values() {
            held.tell(signal);
        }
    }

    fn all(&self) -> Vec<(JobId, LeaseToken)> {
        let inner = self.lock();
        inner.held.iter().map(|(job, held)| (*job, held.token)).collect()
    }

    fn extended(&self, job: JobId, token: LeaseToken, answer: Extended) {
        let held = &mut self.lock().held;
        let Some(held) = held.get_mut(&job).filter(|held| held.token == token) else {
            return;
        };
        match answer {
            Extended::Until(until_ms) => held.until_ms = until_ms,
            Extended::Cancel => held.tell(Signal::Cancel),
            Extended::Lost => held.tell(Signal::Lost),
            // Until it has run out: see `stop_overdue`.
            Extended::Unknown => {}
        }
    }

    /// Stops what could not be renewed in time: a cost guard, since a late write is refused anyway.
    fn stop_overdue(&self, now_ms: u64, margin_ms: u64) {
        for held in self.lock().held.values() {
            if held.until_ms <= now_ms + margin_ms {
                held.tell(Signal::Lost);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
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
            // An engine that does not answer must not keep what has run out from being stopped.
            let extended = tokio::select! {
                extended = backend.extend(&held) => Some(extended),
                () = clock::sleep(Duration::from_millis(times.extend_ms)) => None,
            };
            match extended {
                Some(Ok(answers)) => {
                    for ((job, token), answer) in held.into_iter().zip(answers) {
                        leases.extended(job, token, answer);
                    }
                }
                Some(Err(error)) => tracing::warn!(%error, "leases cannot be extended"),
                None => tracing::warn!("leases cannot be extended: the engine does not answer"),
            }
        }
        leases.stop_overdue(clock::now_ms(), times.lease_ms / 5);
    }
}

/// Hears hints of cancels, for ever.
pub(super) async fn hear_cancels(leases: Arc<Leases>, mut hints: mpsc::Receiver<JobId>) {
    while let Some(job) = hints.recv().await {
        leases.cancel(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_cancel_that_is_faster_than_the_claim_is_not_lost() {
        let leases = Arc::new(Leases::default());
        let token = LeaseToken {
            delivery: 1,
            nonce: 1,
        };
        let (cancelled, other) = (JobId::new(clock::job_uuid()), JobId::new(clock::job_uuid()));
        leases.cancel(cancelled);
        let (_holding, told) = leases.hold(other, token, 0);
        assert_eq!(*told.borrow(), Signal::Go);
        let (_holding, told) = leases.hold(cancelled, token, 0);
        assert_eq!(*told.borrow(), Signal::Cancel);
        for _ in 0..2 * EARLY_MAX {
            leases.cancel(JobId::new(clock::job_uuid()));
        }
        assert_eq!(leases.lock().early.len(), EARLY_MAX);
    }
}
