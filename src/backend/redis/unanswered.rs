//! Claims whose answers were lost, by the shard that was asked: there each may have been given a job.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Claims of a shard that are remembered; each worker sends one at a time. The job of a forgotten one comes back when its
/// lease has run out.
const CLAIMS_MAX: usize = 64;

/// Their nonces.
#[derive(Debug)]
pub(super) struct Unanswered(Vec<Mutex<VecDeque<u64>>>);

impl Unanswered {
    pub(super) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Mutex::default()).collect())
    }

    /// A shard that has not answered a claim, of those that may be asked.
    pub(super) fn find(&self, may: impl Fn(usize) -> bool) -> Option<usize> {
        (0..self.0.len()).find(|shard| !self.of(*shard).is_empty() && may(*shard))
    }

    /// The nonce of the claim that goes there again: it is nobody else's from now on.
    pub(super) fn take(&self, shard: usize) -> Option<u64> {
        self.of(shard).pop_front()
    }

    pub(super) fn note(&self, shard: usize, nonce: u64) {
        let mut nonces = self.of(shard);
        if nonces.len() == CLAIMS_MAX {
            nonces.pop_front();
        }
        nonces.push_back(nonce);
    }

    fn of(&self, shard: usize) -> MutexGuard<'_, VecDeque<u64>> {
        self.0[shard % self.0.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
