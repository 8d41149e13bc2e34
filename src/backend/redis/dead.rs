//! Dead letters: jobs that were given up, kept with what they ask for.

use std::sync::Arc;

use redis::Value;

use super::Redis;
use super::queue::Clock;
use super::reply::{self, Parts, unreadable};
use crate::backend::{BackendError, DeadLetter, Request, Submitted};
use crate::job::JobId;
use crate::metrics;

/// Letters of one step.
const LETTERS_MAX: usize = 100;

impl Redis {
    /// The newest; what cannot be read is passed over.
    pub(super) async fn letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        let mut letters = Vec::new();
        for shard in 0..self.keys.count() {
            let mut step = self.on(&self.scripts.dead, shard);
            step.arg(limit.min(LETTERS_MAX)).arg("");
            for one in self.link.step::<Vec<Value>>(&step).await? {
                match Parts::of(one).and_then(|mut parts| letter(&mut parts)) {
                    Ok(letter) => letters.push(letter),
                    Err(error) => {
                        tracing::error!(%error, "a dead letter cannot be read");
                        metrics::all().unreadable.one();
                    }
                }
            }
        }
        letters.sort_by_key(|letter| std::cmp::Reverse((letter.died_ms, letter.id)));
        letters.truncate(limit);
        Ok(letters)
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
        let found: Vec<Value> = self.link.step(&step).await?;
        let Some(one) = found.into_iter().next() else {
            return Ok(None);
        };
        let mut parts = Parts::of(one)?;
        let letter = letter(&mut parts)?;
        let gone = || unreadable("a dead letter without its request");
        let request = Request {
            spec: Arc::new(parts.json()?.ok_or_else(gone)?),
            shape: Arc::new(parts.json()?.ok_or_else(gone)?),
        };
        Ok(Some((letter, request)))
    }
}

fn letter(parts: &mut Parts) -> Result<DeadLetter, BackendError> {
    let id = parts.parse()?;
    let tenant: String = parts.next()?;
    let (submitted, died): (u64, u64) = (parts.next()?, parts.next()?);
    let times = Clock::read(parts.next()?);
    let end = reply::end(&parts.next::<String>()?)?;
    Ok(DeadLetter {
        id,
        tenant: tenant.into(),
        submitted_ms: times.local(submitted),
        died_ms: times.local(died),
        end,
    })
}
