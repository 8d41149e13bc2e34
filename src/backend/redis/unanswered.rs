//! Claims whose answers were lost: in which shard the job may be that they were given.

use std::sync::{Mutex, PoisonError};

use crate::recent::Recent;

/// Claims that are remembered; each worker repeats one at a time.
const CLAIMS_MAX: usize = 1_024;

/// Where to begin when a claim is sent again.
#[derive(Debug)]
pub(super) struct Unanswered(Mutex<Recent<u64, usize>>);

impl Default for Unanswered {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(CLAIMS_MAX, usize::MAX)))
    }
}

impl Unanswered {
    /// The shard that has not answered the claim of this nonce.
    pub(super) fn of(&self, nonce: u64) -> Option<usize> {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards.get(&nonce).copied()
    }

    pub(super) fn note(&self, nonce: u64, shard: usize) {
        let mut shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards.insert(nonce, shard, size_of::<usize>());
    }
}
