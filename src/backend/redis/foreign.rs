//! Steps that nobody holds a lease for. What they write depends on where the job stands, and is made of a look; the
//! script takes it only where the job stands there still.

use redis::Value;

use super::log::tell;
use super::queue::{Clock, opening, text_of};
use super::reply::{Parts, unreadable};
use super::{Redis, flag};
use crate::backend::own::{Times, cancelled, cost, end};
use crate::backend::{BackendError, Cancelled, Write};
use crate::event::{EndError, Epoch, Event, Position};
use crate::job::{AttemptRecord, JobId, Outcome};
use crate::metrics;

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
        Self::of(seq, parts, |record| record)
    }

    /// The same of a job that is taken back or ended whatever it holds: without its record where that cannot be read.
    pub(super) fn read_what_can_be(job: JobId, seq: u64, parts: &mut Parts) -> Result<Self, BackendError> {
        Self::of(seq, parts, |record| {
            Ok(record.unwrap_or_else(|error| {
                tracing::error!(%job, %error, "the attempt record of a job cannot be read");
                metrics::all().unreadable.one();
                None
            }))
        })
    }

    fn of(
        seq: u64,
        parts: &mut Parts,
        take: impl FnOnce(
            Result<Option<AttemptRecord>, BackendError>,
        ) -> Result<Option<AttemptRecord>, BackendError>,
    ) -> Result<Self, BackendError> {
        let (submitted, claimed): (u64, Option<u64>) = (parts.next()?, parts.next()?);
        let record = take(parts.json())?.unwrap_or_default();
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
                    let state = super::queue::state(&parts.next::<String>()?)?;
                    self.tell_kept_end(job).await?;
                    return Ok(Some(Cancelled::Already(state)));
                }
                "viewed" => return Ok(None),
                "requested" => return Ok(Some(Cancelled::Requested)),
                "now" => {
                    if let Some(write) = &end {
                        tell(job, write);
                        self.tell_end(job, &write.event).await?;
                    }
                    return Ok(Some(Cancelled::Now));
                }
                _ => {
                    let (seq, unviewed_ms) = (parts.next()?, parts.next()?);
                    let standing = Standing::read_what_can_be(job, seq, &mut parts)?;
                    end = Some(standing.end(epoch, cancelled(unviewed_ms)));
                }
            }
        }
        Err(unreadable("a job that never stands still"))
    }
}

/// What the job has cost where it ends.
pub(super) fn charged(write: &Write) -> u64 {
    match &write.event {
        Event::End(end) => cost(end),
        _ => 0,
    }
}
