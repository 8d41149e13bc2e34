//! How a worker asks for jobs: one at a time where there is little to do, several at once where there is much, which an engine
//! may take as one step.

use futures_util::future::join_all;

use crate::backend::{Backend, BackendError, Claim};
use crate::clock;
use crate::event::Epoch;

/// Claims that are sent together at the most. Twice as many as before are, while each is given a job.
const TOGETHER_MAX: usize = 8;

/// A worker's claims.
#[derive(Debug)]
pub(super) struct Claims {
    wanted: usize,
}

/// What some claims have found.
#[derive(Debug)]
pub(super) struct Found {
    /// The jobs that were given.
    pub(super) claims: Vec<Claim>,
    /// Why one could not be answered.
    pub(super) error: Option<BackendError>,
}

impl Claims {
    pub(super) const fn new() -> Self {
        Self { wanted: 1 }
    }

    /// How many are to be sent, where there are as many slots.
    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }

    /// Sends so many. They are always awaited: one that is dropped could hold a job that nobody works on. None is sent again by
    /// its nonce: an engine whose answers may be lost does that itself, or its delivery would have two workers.
    pub(super) async fn send(&mut self, backend: &dyn Backend, count: usize) -> Found {
        let claims = (0..count).map(|_| backend.claim(clock::nonce(), Epoch::new(clock::nonce())));
        let answers = join_all(claims).await;
        let mut found = Found {
            claims: Vec::with_capacity(count),
            error: None,
        };
        for answer in answers {
            match answer {
                Ok(claim) => found.claims.extend(claim),
                Err(error) => drop(found.error.get_or_insert(error)),
            }
        }
        let all_given = found.claims.len() == count;
        self.wanted = if all_given {
            (2 * count).min(TOGETHER_MAX)
        } else {
            1
        };
        found
    }
}
