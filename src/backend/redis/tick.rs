//! What every worker does now and then: takes back leases that ran out, gives up what nobody views, puts in line what has
//! waited long enough, and forgets what is past its retention. Each turn begins at another shard and does a bounded
//! amount. A job that cannot be read is set aside, and holds no other up.

use redis::Value;

use super::foreign::{Standing, charged};
use super::log::tell;
use super::outside::NODE_GONE_MS;
use super::queue::{opening, text_of};
use super::reply::{Parts, unreadable};
use super::{Redis, flag};
use crate::backend::own::{cancelled, poison, status};
use crate::backend::{BackendError, Reaped, Write};
use crate::clock;
use crate::event::{Epoch, Event, Position};
use crate::job::{JobId, JobState};
use crate::metrics;

/// Jobs that are taken back, or given up, in one step.
const TAKEN_MAX: usize = 100;
/// Jobs that are put in line in one step; one that has found as many is followed by another.
const PROMOTED_MAX: usize = 20;
/// Such steps on a shard in one turn.
const STEPS_MAX: usize = 100;
/// For how long a job that cannot be read is set aside, ms: a newer binary may read it.
pub(super) const ASIDE_MS: u64 = 60_000;

/// Draws an epoch.
type Draw<'a> = &'a mut (dyn FnMut() -> Epoch + Send);

/// A running job that is overdue.
struct Overdue {
    job: JobId,
    token: String,
    cancelled: bool,
    losses: u32,
    /// Where it is cancelled since nobody views it: how long nobody has.
    unviewed_ms: Option<u32>,
    standing: Standing,
}

/// What a step of the promoter did.
struct Promoted {
    /// Jobs that it was the time of and that were taken.
    taken: usize,
    /// Jobs that it was the time of.
    found: usize,
    /// Whether more are to be forgotten.
    more: bool,
    /// Whether there are ends that are not told yet.
    untold: bool,
}

impl Overdue {
    fn read(job: &str, parts: &mut Parts) -> Result<Self, BackendError> {
        let job = job.parse().map_err(unreadable)?;
        let token = parts.next()?;
        let seq: u64 = parts.next()?;
        let cancelled: Option<u64> = parts.next()?;
        Ok(Self {
            job,
            token,
            cancelled: cancelled.is_some(),
            losses: parts.next()?,
            unviewed_ms: parts.next()?,
            standing: Standing::read_what_can_be(job, seq + 1, parts)?,
        })
    }

    /// What becomes of it.
    fn write(&self, epoch: Epoch, losses_max: u32) -> Write {
        if self.cancelled {
            return self.standing.end(epoch, cancelled(self.unviewed_ms));
        }
        if self.losses + 1 >= losses_max {
            return self.standing.end(epoch, poison(losses_max));
        }
        let position = Position {
            epoch,
            seq: self.standing.seq,
        };
        opening(position, status(JobState::Recovering, Some("lease_lost"), None))
    }
}

impl Redis {
    pub(super) async fn reap_all(&self, limit: usize, epoch: Draw<'_>) -> Result<Reaped, BackendError> {
        let mut reaped = Reaped::default();
        let mut failed = None;
        for shard in self.turn() {
            if failed.is_some() && self.is_silent(shard) {
                continue;
            }
            let done = async {
                let left = limit.saturating_sub(reaped.recovering + reaped.ended);
                self.reap_shard(shard, left, epoch, &mut reaped).await?;
                let left = limit.saturating_sub(reaped.unviewed);
                self.give_up_unviewed(shard, left, epoch, &mut reaped).await
            };
            if let Err(error) = done.await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(reaped), Err)
    }

    pub(super) async fn promote_all(&self, limit: usize, epoch: Draw<'_>) -> Result<usize, BackendError> {
        let mut promoted = 0;
        let mut failed = None;
        for shard in self.turn() {
            if failed.is_some() && self.is_silent(shard) {
                continue;
            }
            match self.promote_shard(shard, limit - promoted, epoch).await {
                Ok(count) => promoted += count,
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        failed.map_or(Ok(promoted), Err)
    }

    /// All shards, beginning at any: where there is much to do, none is always the last. One that fails holds no other up;
    /// of servers that do not answer, one is asked in a turn.
    fn turn(&self) -> Vec<usize> {
        self.shards_from(usize::try_from(clock::nonce() % self.keys.count() as u64).unwrap_or(0))
    }

    async fn reap_shard(
        &self,
        shard: usize,
        limit: usize,
        epoch: Draw<'_>,
        reaped: &mut Reaped,
    ) -> Result<(), BackendError> {
        let mut step = self.on(&self.scripts.overdue, shard);
        step.arg(limit.min(TAKEN_MAX));
        let found: Vec<Value> = self.link.step(&step).await?;
        let mut step = self.on(&self.scripts.reap, shard);
        self.kept(&mut step);
        step.arg(self.engine.dead_ms);
        let mut sent = Vec::new();
        for one in found {
            let mut parts = Parts::of(one)?;
            let job: String = parts.next()?;
            let one = match Overdue::read(&job, &mut parts) {
                Ok(one) => one,
                Err(error) => {
                    self.set_aside(shard, &job, &error).await?;
                    continue;
                }
            };
            let write = one.write(epoch(), self.engine.lease.losses_max);
            let leads_to = match &write.event {
                Event::End(end) => JobState::from(end.outcome),
                _ => JobState::Recovering,
            };
            step.arg(job).arg(&one.token);
            step.arg(write.position.seq).arg(write.position.epoch.to_string());
            step.arg(write.event.kind()).arg(text_of(&write.event)?);
            step.arg(leads_to.as_str()).arg(charged(&write));
            step.arg(flag(leads_to == JobState::Failed));
            sent.push((one.job, write));
        }
        if sent.is_empty() {
            return Ok(());
        }
        let taken: Vec<u8> = self.link.step(&step).await?;
        let mut ends = Vec::new();
        for ((job, write), _) in sent.iter().zip(taken).filter(|(_, taken)| *taken == 1) {
            tell(*job, write);
            match write.event {
                Event::End(_) => ends.push((*job, write.event.clone())),
                _ => reaped.recovering += 1,
            }
        }
        reaped.ended += ends.len();
        self.tell_ends(shard, &ends).await
    }

    /// Cancels what nobody has come back to in time.
    async fn give_up_unviewed(
        &self,
        shard: usize,
        limit: usize,
        epoch: Draw<'_>,
        reaped: &mut Reaped,
    ) -> Result<(), BackendError> {
        let mut step = self.on(&self.scripts.unviewed, shard);
        step.arg(limit.min(TAKEN_MAX)).arg(NODE_GONE_MS);
        for id in self.link.step::<Vec<String>>(&step).await? {
            let told = match id.parse() {
                Ok(job) => self.end_or_flag(job, epoch(), true).await,
                Err(error) => Err(unreadable(error)),
            };
            match told {
                Ok(told) => reaped.unviewed += usize::from(told.is_some()),
                Err(error) => self.set_aside(shard, &id, &error).await?,
            }
        }
        Ok(())
    }

    async fn promote_shard(
        &self,
        shard: usize,
        limit: usize,
        epoch: Draw<'_>,
    ) -> Result<usize, BackendError> {
        let mut promoted = 0;
        let mut untold = false;
        for _ in 0..STEPS_MAX {
            let room = PROMOTED_MAX.min(limit - promoted);
            let some = self.promote_some(shard, room, epoch).await?;
            promoted += some.taken;
            untold = some.untold;
            let all = some.found < room || room == 0;
            if all && !some.more {
                break;
            }
        }
        if untold {
            self.tell_left_behind(shard).await?;
        }
        Ok(promoted)
    }

    /// One step.
    async fn promote_some(
        &self,
        shard: usize,
        room: usize,
        epoch: Draw<'_>,
    ) -> Result<Promoted, BackendError> {
        let event = status(JobState::Queued, None, None);
        let mut step = self.on(&self.scripts.promote, shard);
        step.arg(self.engine.retention_ms);
        step.arg(self.keys.share(self.engine.retained_max))
            .arg(self.keys.share(self.engine.retained_bytes_max));
        step.arg(self.engine.dead_ms);
        step.arg(self.keys.share(self.engine.dead_max))
            .arg(self.keys.share(self.engine.dead_bytes_max));
        step.arg(text_of(&event)?);
        for _ in 0..room {
            step.arg(epoch().to_string());
        }
        let mut parts = Parts::of(self.link.step(&step).await?)?;
        let again: Vec<(String, u64, String)> = parts.next()?;
        let silent: Vec<String> = parts.next()?;
        let (more, untold): (u8, u8) = (parts.next()?, parts.next()?);
        let (mut taken, found) = (again.len(), again.len() + silent.len());
        for (job, seq, epoch) in again {
            // It is in line, whether or not it can be told.
            if let (Ok(job), Ok(epoch)) = (job.parse(), epoch.parse()) {
                tell(job, &opening(Position { epoch, seq }, event.clone()));
            }
        }
        for id in silent {
            let told = match id.parse() {
                Ok(job) => self.accept_silently(job, epoch()).await,
                Err(error) => Err(unreadable(error)),
            };
            match told {
                Ok(accepted) => taken += usize::from(accepted),
                Err(error) => self.set_aside(shard, &id, &error).await?,
            }
        }
        Ok(Promoted {
            taken,
            found,
            more: more == 1,
            untold: untold == 1,
        })
    }

    /// Goes on without a job that cannot be read; any other error is given back.
    pub(super) async fn set_aside(
        &self,
        shard: usize,
        id: &str,
        error: &BackendError,
    ) -> Result<(), BackendError> {
        if !matches!(error, BackendError::Corrupt(_)) {
            return Err(error.clone());
        }
        tracing::error!(job = id, %error, "a job cannot be read, and is set aside");
        metrics::all().unreadable.one();
        let mut step = self.on(&self.scripts.aside, shard);
        step.arg(id).arg(ASIDE_MS);
        self.link.step::<u8>(&step).await.map(drop)
    }
}
