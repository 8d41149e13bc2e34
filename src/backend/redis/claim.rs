//! What is given to workers: the next job of any shard that can be read. One that cannot is put back for a while, by a step
//! that counts no delivery, and holds no other up.

use std::sync::Arc;

use redis::Value;

use super::gather::Item;
use super::log::tell;
use super::queue::{Clock, opening, tell_taken};
use super::reply::{self, Parts, unreadable};
use super::tick::ASIDE_MS;
use super::{Redis, flag};
use crate::backend::own::status;
use crate::backend::{BackendError, Checkpoint, Claim, EventLog as _, Fenced};
use crate::clock;
use crate::event::{Entry, Epoch, Fold, Position, Unfoldable};
use crate::job::{JobId, JobState, Lease, LeaseToken};
use crate::metrics;

/// Jobs that cannot be read and that one claim puts back.
const UNREADABLE_MAX: usize = 16;
/// So many times the usual time one waits at the longest: an hour.
const ASIDE_TIMES_MAX: u32 = 60;

/// A job that was given, and what it has so far, as Redis tells it.
struct Given {
    id: JobId,
    token: LeaseToken,
    sent_ms: u64,
    rest: Parts,
}

impl Given {
    fn of(answer: Value, sent_ms: u64) -> Result<Self, BackendError> {
        let mut parts = Parts::of(answer)?;
        let word: String = parts.next()?;
        if word != "given" {
            return Err(unreadable(word));
        }
        Ok(Self {
            id: parts.parse()?,
            token: token(&parts.next::<String>()?)?,
            sent_ms,
            rest: parts,
        })
    }

    fn read(self, lease_ms: u64) -> Result<Claim, BackendError> {
        let mut parts = self.rest;
        let spec = parts
            .json()?
            .ok_or_else(|| unreadable("a job without its request"))?;
        let times = Clock::read(parts.next()?);
        let (submitted, claimed) = (parts.next()?, parts.next()?);
        let lineage = reply::lineage(&parts.next::<String>()?)?;
        let position = parts.position()?;
        let stored: Option<String> = parts.next()?;
        let mut fold = reply::snapshot(stored.as_deref(), &lineage)?;
        let entries = match parts.entries()? {
            Some(entries) => entries,
            None => reply::first_entries(&lineage, position)?,
        };
        if fold_in(&mut fold, &entries).is_err() {
            // The worker then starts over.
            fold = Fold::submitted(position);
            fold.status = JobState::Running;
        }
        let raw = parts.next()?;
        let record = parts.json()?.unwrap_or_default();
        Ok(Claim {
            id: self.id,
            lease: Lease {
                token: self.token,
                until_ms: self.sent_ms + lease_ms,
            },
            spec: Arc::new(spec),
            submitted_ms: times.local(submitted),
            claimed_ms: times.local(claimed),
            position,
            checkpoint: Checkpoint { fold, raw, record },
        })
    }
}

impl Redis {
    /// The next job of any shard.
    pub(super) async fn claim_anywhere(
        &self,
        nonce: u64,
        epoch: Epoch,
    ) -> Result<Option<Claim>, BackendError> {
        // Workers begin at different shards, so that none is served last for ever; but where an answer was lost before, a
        // delivery may be.
        let any = || usize::try_from(nonce % self.keys.count() as u64).unwrap_or(0);
        let lost = self.unanswered.find(|shard| !self.is_silent(shard));
        let from = lost.unwrap_or_else(any);
        // A server that has fallen silent is left alone until it has answered somebody else, unless all have.
        let mut shards = self.shards_from(from);
        if shards.iter().any(|shard| !self.is_silent(*shard)) {
            shards.retain(|shard| !self.is_silent(*shard));
        }
        let mut failed = None;
        for shard in shards {
            if failed.is_some() && self.is_silent(shard) {
                continue;
            }
            match self.claim_in(shard, nonce, epoch).await {
                Ok(Some(claim)) => return Ok(Some(claim)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(shard, %error, "nothing can be claimed");
                    failed.get_or_insert(error);
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// The next job of a shard that can be read.
    async fn claim_in(&self, shard: usize, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        for _ in 0..UNREADABLE_MAX {
            let Some(given) = self.given_in(shard, nonce, epoch).await? else {
                return Ok(None);
            };
            let (job, token) = (given.id, given.token);
            match given.read(self.engine.lease.lease_ms) {
                Ok(claim) => {
                    let event = status(JobState::Running, None, None);
                    tell(claim.id, &opening(claim.position, event));
                    return Ok(Some(claim));
                }
                Err(error) => match self.put_back_unread(job, token, &error).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    Err(error) => {
                        // Asked for again, it is given again, and put back then.
                        self.unanswered.note(shard, token.nonce);
                        return Err(error);
                    }
                },
            }
        }
        Ok(None)
    }

    /// What a shard gives. A claim of before whose answer was lost goes in the place of this one: the job that it was given is
    /// not lost with it.
    async fn given_in(&self, shard: usize, nonce: u64, epoch: Epoch) -> Result<Option<Given>, BackendError> {
        let nonce = self.unanswered.take(shard).unwrap_or(nonce);
        let sent = clock::now_ms();
        let mut item = Item::new();
        item.arg(format!("{nonce:016x}")).arg(epoch.to_string());
        let answer = match self.gathers.claims.send(shard, item).await {
            Ok(answer) => answer,
            Err(error) => {
                self.unanswered.note(shard, nonce);
                return Err(error);
            }
        };
        if answer == Value::Nil {
            return Ok(None);
        }
        Given::of(answer, sent).map(Some)
    }

    /// Ends a delivery that nobody can work on: a newer binary may read the job later, so it stays as it is, and waits longer
    /// each time. False where the delivery stands: the job is to end, or has gone on.
    async fn put_back_unread(
        &self,
        job: JobId,
        token: LeaseToken,
        error: &BackendError,
    ) -> Result<bool, BackendError> {
        tracing::error!(%job, %error, "a job cannot be read, and is put back");
        metrics::all().unreadable.one();
        let Some(last) = self.positions(&[job]).await?.pop().flatten() else {
            return Ok(false);
        };
        let position = Position {
            epoch: Epoch::new(clock::nonce()),
            seq: last.seq + 1,
        };
        let wait_ms = ASIDE_MS * u64::from(token.delivery.clamp(1, ASIDE_TIMES_MAX));
        let until_ms = clock::now_ms() + wait_ms;
        let event = status(JobState::Waiting, Some("internal"), Some(until_ms));
        let write = opening(position, event);
        let mut step = self.delivered(&self.scripts.defer, job, token, &write)?;
        // Without a record: it keeps its own.
        step.arg("").arg(wait_ms).arg(flag(false));
        let (answer, _) = reply::fenced(self.link.step(&step).await?)?;
        tell_taken(job, answer, &write);
        Ok(matches!(answer, Fenced::Ok | Fenced::Dup | Fenced::Lost))
    }
}

fn fold_in(fold: &mut Fold, entries: &[Entry]) -> Result<(), Unfoldable> {
    entries.iter().try_for_each(|entry| fold.apply(entry))
}

fn token(text: &str) -> Result<LeaseToken, BackendError> {
    let (delivery, nonce) = text.split_once('.').ok_or_else(|| unreadable("a token"))?;
    Ok(LeaseToken {
        delivery: delivery.parse().map_err(unreadable)?,
        nonce: u64::from_str_radix(nonce, 16).map_err(unreadable)?,
    })
}
