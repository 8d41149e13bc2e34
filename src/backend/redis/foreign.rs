//! Steps that nobody holds a lease for: cancel and reap. What they write depends on where the job stands, and is made
//! here; the script takes it only where the job stands there still.

use redis::Value;

use super::log::tell;
use super::queue::{Clock, cost, opening, text_of};
use super::reply::{Parts, unreadable};
use super::{Redis, flag};
use crate::backend::own::{Times, cancelled, end, poison, status};
use crate::backend::{BackendError, Cancelled, Reaped, Write};
use crate::event::{EndError, Epoch, Event, Position};
use crate::job::{AttemptRecord, JobId, JobState, Outcome};

/// Jobs that are taken back in one call.
const REAPED_MAX: usize = 100;
/// How often a job may go on between a look and the step before that is an error.
const TURNS_MAX: usize = 100;

/// Where a job stands that no worker holds, or none in time.
pub(super) struct Standing {
    pub(super) seq: u64,
    pub(super) times: Times,
    pub(super) record: AttemptRecord,
}

impl Standing {
    /// What the job's end would be, behind where its log ends.
    pub(super) fn end(&self, epoch: Epoch, why: (Outcome, EndError)) -> Write {
        let position = Position { epoch, seq: self.seq };
        opening(
            position,
            Event::End(Box::new(end(&self.record, self.times, why.0, Some(why.1)))),
        )
    }

    /// Submission, first claim, record and the time now, as the scripts tell them.
    pub(super) fn read(seq: u64, parts: &mut Parts) -> Result<Self, BackendError> {
        let (submitted, claimed): (u64, Option<u64>) = (parts.next()?, parts.next()?);
        let record = parts.json()?.unwrap_or_default();
        let times = Clock::read(parts.next()?);
        Ok(Self {
            seq,
            record,
            times: Times {
                submitted_ms: times.local(submitted),
                claimed_ms: claimed.map(|at| times.local(at)),
                now_ms: crate::clock::now_ms(),
            },
        })
    }
}

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

impl Overdue {
    fn read(answer: Value) -> Result<Self, BackendError> {
        let mut parts = Parts::of(answer)?;
        let (job, token) = (parts.parse()?, parts.next()?);
        let seq: u64 = parts.next()?;
        let cancelled: Option<u64> = parts.next()?;
        Ok(Self {
            job,
            token,
            cancelled: cancelled.is_some(),
            losses: parts.next()?,
            unviewed_ms: parts.next()?,
            standing: Standing::read(seq + 1, &mut parts)?,
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
    pub(super) async fn end_or_flag(
        &self,
        job: JobId,
        epoch: Epoch,
        only_given_up: bool,
    ) -> Result<Option<Cancelled>, BackendError> {
        let shard = self.keys.shard_of(job);
        let mut end: Option<Write> = None;
        for _ in 0..TURNS_MAX {
            let mut step = self.on(&self.scripts.cancel, shard);
            step.arg(job.to_string()).arg(self.engine.lease.cancel_grace_ms);
            step.arg(self.keys.control()).arg(flag(only_given_up));
            if let Some(write) = &end {
                step.arg(write.position.epoch.to_string()).arg(write.position.seq);
                step.arg(text_of(&write.event)?);
                self.kept(&mut step);
                step.arg(charged(write));
            }
            let answer: Value = self.link.step(&step).await?;
            if answer == Value::Nil {
                return Ok(None);
            }
            let mut parts = Parts::of(answer)?;
            match parts.next::<String>()?.as_str() {
                "already" => {
                    return Ok(Some(Cancelled::Already(super::queue::state(
                        &parts.next::<String>()?,
                    )?)));
                }
                "viewed" => return Ok(None),
                "requested" => return Ok(Some(Cancelled::Requested)),
                "now" => {
                    end.iter().for_each(|write| tell(job, write));
                    return Ok(Some(Cancelled::Now));
                }
                _ => {
                    let (seq, unviewed_ms) = (parts.next()?, parts.next()?);
                    let standing = Standing::read(seq, &mut parts)?;
                    end = Some(standing.end(epoch, cancelled(unviewed_ms)));
                }
            }
        }
        Err(unreadable("a job that never stands still"))
    }

    pub(super) async fn reap_shard(
        &self,
        shard: usize,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
        reaped: &mut Reaped,
    ) -> Result<(), BackendError> {
        let mut step = self.on(&self.scripts.overdue, shard);
        step.arg(limit.min(REAPED_MAX));
        let found: Vec<Value> = self.link.step(&step).await?;
        if found.is_empty() {
            return Ok(());
        }
        let mut step = self.on(&self.scripts.reap, shard);
        self.kept(&mut step);
        let mut sent = Vec::new();
        for one in found {
            let one = Overdue::read(one)?;
            let write = one.write(epoch(), self.engine.lease.losses_max);
            let leads_to = match &write.event {
                Event::End(end) => JobState::from(end.outcome),
                _ => JobState::Recovering,
            };
            step.arg(one.job.to_string()).arg(&one.token);
            step.arg(write.position.seq).arg(write.position.epoch.to_string());
            step.arg(write.event.kind()).arg(text_of(&write.event)?);
            step.arg(leads_to.as_str()).arg(charged(&write));
            sent.push((one.job, write));
        }
        let taken: Vec<u8> = self.link.step(&step).await?;
        for ((job, write), _) in sent.iter().zip(taken).filter(|(_, taken)| *taken == 1) {
            tell(*job, write);
            match write.event {
                Event::End(_) => reaped.ended += 1,
                _ => reaped.recovering += 1,
            }
        }
        Ok(())
    }
}

/// What the job has cost where it ends.
fn charged(write: &Write) -> u64 {
    match &write.event {
        Event::End(end) => cost(end),
        _ => 0,
    }
}
