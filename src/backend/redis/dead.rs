//! Dead letters: jobs that were given up, kept with what they ask for.

use std::cmp::Reverse;
use std::sync::Arc;

use futures_util::future::try_join_all;
use redis::Value;

use super::Redis;
use super::queue::Clock;
use super::reply::{self, Parts, unreadable};
use crate::backend::{BackendError, DeadCursor, DeadLetter, DeadPage, Request, Submitted};
use crate::job::JobId;
use crate::metrics;

/// What a shard tells of its letters, the newest first.
struct Told {
    letters: Vec<(DeadCursor, DeadLetter)>,
    /// Behind this, the shard has others.
    next: Option<DeadCursor>,
}

impl Redis {
    /// A page of the letters of all shards.
    pub(super) async fn letters(
        &self,
        behind: Option<DeadCursor>,
        limit: usize,
    ) -> Result<DeadPage, BackendError> {
        let limit = limit.clamp(1, DeadPage::LETTERS_MAX);
        let asks = (0..self.keys.count()).map(|shard| self.letters_of(shard, behind, limit));
        Ok(page(try_join_all(asks).await?, limit))
    }

    /// Those of a shard; what cannot be read is passed over.
    async fn letters_of(
        &self,
        shard: usize,
        behind: Option<DeadCursor>,
        limit: usize,
    ) -> Result<Told, BackendError> {
        let mut step = self.on(&self.scripts.dead, shard);
        step.arg(limit).arg("");
        if let Some(DeadCursor { died_ms, id }) = behind {
            step.arg(died_ms).arg(id.to_string());
        } else {
            step.arg("").arg("");
        }
        let mut told = Parts::of(self.link.step(&step).await?)?;
        let mut letters = Vec::new();
        for one in told.next::<Vec<Value>>()? {
            match Parts::of(one).and_then(|mut parts| letter(&mut parts)) {
                Ok(letter) => letters.push(letter),
                Err(error) => {
                    tracing::error!(%error, "a dead letter cannot be read");
                    metrics::all().unreadable.one();
                }
            }
        }
        let next = match told.next::<Option<u64>>()? {
            Some(died_ms) => Some(DeadCursor {
                died_ms,
                id: told.parse()?,
            }),
            None => None,
        };
        Ok(Told { letters, next })
    }

    /// The job that was made of one.
    pub(super) async fn made_of(&self, letter: JobId) -> Result<Option<Submitted>, BackendError> {
        let mut asked = redis::pipe();
        asked.cmd("HGET").arg(self.keys.job(letter).job).arg("redriven");
        let (job,): (Option<String>,) = self.ask_of(letter, &asked).await?;
        let Some(job) = job else { return Ok(None) };
        let job = job.parse().map_err(unreadable)?;
        let durable = self.is_accepted(job).await?;
        Ok(Some(Submitted::Existing { job, durable }))
    }

    /// One of them, with what it asks for.
    pub(super) async fn letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError> {
        let mut step = self.on(&self.scripts.dead, self.keys.shard_of(job));
        step.arg(1).arg(job.to_string());
        let found: Vec<Value> = Parts::of(self.link.step(&step).await?)?.next()?;
        let Some(one) = found.into_iter().next() else {
            return Ok(None);
        };
        let mut parts = Parts::of(one)?;
        let (_, letter) = letter(&mut parts)?;
        let gone = || unreadable("a dead letter without its request");
        let request = Request {
            spec: Arc::new(parts.json()?.ok_or_else(gone)?),
            shape: Arc::new(parts.json()?.ok_or_else(gone)?),
        };
        Ok(Some((letter, request)))
    }
}

/// One page of what all shards tell. Where one has stopped, letters of its own may be missing between those of others: the
/// page goes no further.
fn page(told: Vec<Told>, limit: usize) -> DeadPage {
    let mut next = told.iter().filter_map(|of| of.next).max();
    let mut letters: Vec<_> = told.into_iter().flat_map(|of| of.letters).collect();
    letters.retain(|(at, _)| next.is_none_or(|next| *at >= next));
    letters.sort_unstable_by_key(|(at, _)| Reverse(*at));
    if letters.len() > limit {
        letters.truncate(limit);
        next = letters.last().map(|(at, _)| *at);
    }
    DeadPage {
        letters: letters.into_iter().map(|(_, letter)| letter).collect(),
        next,
    }
}

fn letter(parts: &mut Parts) -> Result<(DeadCursor, DeadLetter), BackendError> {
    let id = parts.parse()?;
    let tenant: String = parts.next()?;
    let (submitted, died): (u64, u64) = (parts.next()?, parts.next()?);
    let times = Clock::read(parts.next()?);
    let end = reply::end(&parts.next::<String>()?)?;
    let letter = DeadLetter {
        id,
        tenant: tenant.into(),
        submitted_ms: times.local(submitted),
        died_ms: times.local(died),
        end,
    };
    Ok((DeadCursor { died_ms: died, id }, letter))
}
