//! What is promised is held by as many replicas as are asked for before it is told (rule E6): that a job was accepted, and
//! that it has ended. An end is kept first and told by a step of its own, which may be taken again: by whoever wrote it, else
//! by any worker. Where the replicas take too long it is told all the same, and says so (`durable`).
//!
//! Whether they hold it is asked on a connection for commands that wait: a mark is written on the jobs that are meant, on the
//! server that has them, and what is waited for is all that this connection has written, so all before it. Of a shard one such
//! wait is on its way at a time, for all that came before it: where replicas stay away, what comes meanwhile waits twice at most.

use futures_util::future::join_all;

use super::Redis;
use super::gather::Item;
use super::queue::text_of;
use super::reply::{self, unreadable};
use crate::backend::{BackendError, Fenced, Write};
use crate::event::Event;
use crate::job::JobId;

/// Ends that are told in one step.
const TOLD_MAX: usize = 100;
/// What is answered where a job that was to be told of has not ended.
const NOT_ENDED: u8 = 2;

impl Redis {
    /// Whether enough replicas hold what was written of these jobs, all of one shard.
    ///
    /// # Errors
    /// The server cannot be asked, or has lost one of them: it is another one by now.
    async fn is_held(&self, shard: usize, jobs: &[JobId]) -> Result<bool, BackendError> {
        if self.replicas == 0 {
            return Ok(true);
        }
        let asks = jobs.iter().map(|job| {
            let mut item = Item::new();
            item.arg(job.to_string());
            self.gathers.promises.send(shard, item)
        });
        let mut held = true;
        for told in join_all(asks).await {
            let (there, replicas): (u8, u32) = redis::from_redis_value(told?).map_err(unreadable)?;
            if there == 0 {
                return Err(lost("a job"));
            }
            held &= replicas >= self.replicas;
        }
        Ok(held)
    }

    /// Whether a job that was just kept is held by enough replicas.
    pub(super) async fn is_accepted(&self, job: JobId) -> Result<bool, BackendError> {
        self.is_held(self.keys.shard_of(job), &[job]).await
    }

    /// Tells the end of a job, once enough replicas hold it; nothing where it is told.
    ///
    /// # Errors
    /// The server cannot be asked, or has lost the job or its end: it is another one by now.
    pub(super) async fn tell_end(&self, job: JobId, end: &Event) -> Result<(), BackendError> {
        self.tell_ends(self.keys.shard_of(job), &[(job, end.clone())])
            .await
    }

    /// The same behind a step that may have ended it.
    pub(super) async fn tell_taken_end(
        &self,
        job: JobId,
        answer: Fenced,
        end: &Write,
    ) -> Result<(), BackendError> {
        match answer {
            Fenced::Ok | Fenced::Dup => self.tell_end(job, &end.event).await,
            Fenced::Lost | Fenced::Cancel | Fenced::RolledBack(_) => Ok(()),
        }
    }

    /// The same of several of one shard.
    pub(super) async fn tell_ends(&self, shard: usize, ends: &[(JobId, Event)]) -> Result<(), BackendError> {
        // Without replicas to wait for, an end is told where it is kept.
        if self.replicas == 0 {
            return Ok(());
        }
        self.tell_withheld(shard, ends).await
    }

    async fn tell_withheld(&self, shard: usize, ends: &[(JobId, Event)]) -> Result<(), BackendError> {
        for some in ends.chunks(TOLD_MAX) {
            let jobs: Vec<JobId> = some.iter().map(|(job, _)| *job).collect();
            let held = self.is_held(shard, &jobs).await?;
            let mut step = self.on(&self.scripts.tell, shard);
            for (job, end) in some {
                step.arg(job.to_string());
                step.arg(if held {
                    String::new()
                } else {
                    text_of(&not_durable(end))?
                });
            }
            if !held {
                tracing::warn!(
                    shard,
                    ends = some.len(),
                    "ends are told that too few replicas hold"
                );
            }
            let told: Vec<u8> = self.link.step(&step).await?;
            if told.contains(&NOT_ENDED) {
                return Err(lost("the end of a job"));
            }
        }
        Ok(())
    }

    /// Tells the end of a job that somebody else has ended, if it is not told yet.
    pub(super) async fn tell_kept_end(&self, job: JobId) -> Result<(), BackendError> {
        let mut asked = redis::pipe();
        asked.cmd("HGET").arg(self.keys.job(job).job).arg("fin");
        match self.ask_of(job, &asked).await? {
            (Some::<String>(kept),) => {
                let end = reply::end(&kept)?;
                self.tell_withheld(self.keys.shard_of(job), &[(job, Event::End(end))])
                    .await
            }
            (None,) => Ok(()),
        }
    }

    /// Tells the ends that whoever wrote them has not told in time, also those of a time when replicas were asked for.
    pub(super) async fn tell_left_behind(&self, shard: usize) -> Result<(), BackendError> {
        let patience = self.replicas_wait + self.link.limit() * 2;
        let mut step = self.on(&self.scripts.untold, shard);
        step.arg(TOLD_MAX)
            .arg(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX));
        let mut ends = Vec::new();
        for (job, payload) in self.link.step::<Vec<(String, String)>>(&step).await? {
            let read = job.parse().map_err(unreadable);
            match read.and_then(|id| Ok((id, Event::End(reply::end(&payload)?)))) {
                Ok(end) => ends.push(end),
                Err(error) => self.set_aside(shard, &job, &error).await?,
            }
        }
        self.tell_withheld(shard, &ends).await
    }
}

/// Whoever wrote it sends it again: a step that is still right is taken, another one says why it is not.
fn lost(what: &str) -> BackendError {
    BackendError::Unavailable(format!("{what} was lost in a failover"))
}

/// The same end, but that too few hold it.
fn not_durable(end: &Event) -> Event {
    let mut end = end.clone();
    if let Event::End(end) = &mut end {
        end.durable = false;
    }
    end
}
