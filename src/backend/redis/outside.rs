//! What is said of a job from outside: verdicts on its value, and whether anybody views it.

use redis::Value;

use super::Redis;
use super::foreign::Standing;
use super::log::{tell, text};
use super::queue::{opening, state, text_of};
use super::reply::{Parts, unreadable};
use crate::backend::own::{cost, end, rejected, status};
use crate::backend::{BackendError, Ruled, Write};
use crate::event::{Epoch, Event, Position};
use crate::job::{AttemptError, JobId, JobSpec, JobState, Outcome, RuledOn, Ruling};
use crate::metrics;

/// How often a job may go on between a look and the step before that is an error.
const TURNS_MAX: usize = 100;
/// A node that says nothing of a job's viewers for so long has gone, ms.
pub(super) const NODE_GONE_MS: u64 = 60_000;

/// A job as it was looked at.
struct Look {
    state: JobState,
    /// What readers are told that it is: an end is told later than it is kept, where replicas are waited for.
    told: JobState,
    before: Option<RuledOn>,
    spec: Option<JobSpec>,
    /// Whether it was put back so that its value is judged.
    awaits: bool,
    standing: Standing,
}

impl Look {
    fn waits(&self) -> bool {
        self.state == JobState::Waiting && self.awaits
    }

    /// The end of a job whose value is accepted.
    fn completed(&self, epoch: Epoch) -> Write {
        let mut end = end(
            &self.standing.record,
            self.standing.times,
            Outcome::Completed,
            None,
        );
        let awaited = self.standing.record.awaited.as_ref();
        end.sha256 = awaited.map(|awaited| awaited.sha256.clone());
        self.write(epoch, Event::End(Box::new(end)))
    }

    /// What a re-ask from outside leads to; the errors go into the record.
    fn asked_again(&mut self, epoch: Epoch, errors: Vec<AttemptError>) -> Write {
        let reasks_max = self.spec.as_ref().map_or(0, |spec| spec.max_reasks);
        if self.standing.record.reasks >= reasks_max {
            return self.standing.end(epoch, rejected(self.standing.record.n, errors));
        }
        self.standing.record.mends = Some(errors);
        self.write(epoch, status(JobState::Queued, Some("reask"), None))
    }

    const fn write(&self, epoch: Epoch, event: Event) -> Write {
        let position = Position {
            epoch,
            seq: self.standing.seq,
        };
        opening(position, event)
    }
}

impl Redis {
    pub(super) async fn rule_on(
        &self,
        job: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: &Ruling,
    ) -> Result<Option<Ruled>, BackendError> {
        let accepted = *ruling == Ruling::Accept;
        for _ in 0..TURNS_MAX {
            let Some(mut look) = self.look(job).await? else {
                return Ok(None);
            };
            let waits = look.waits();
            if let Some(ruled) = look.before {
                let named = attempt.map_or(!waits, |attempt| attempt == ruled.attempt);
                if named && ruled.accepted == accepted {
                    self.tell_kept_end(job).await?;
                    return Ok(Some(Ruled::Taken(ruled.attempt)));
                }
            }
            let awaited = look.standing.record.awaited.as_ref().filter(|_| waits);
            let Some(due) = awaited.map(|awaited| awaited.attempt) else {
                return Ok(Some(Ruled::NotDue(look.told)));
            };
            if attempt.is_some_and(|attempt| attempt != due) {
                return Ok(Some(Ruled::Other(due)));
            }
            let ruled = RuledOn {
                attempt: due,
                accepted,
            };
            look.standing.record.ruled = Some(ruled);
            let (write, word) = match ruling {
                Ruling::Accept => (look.completed(epoch), "accept"),
                Ruling::Reask(errors) => (look.asked_again(epoch, errors.clone()), "reask"),
            };
            if self.ruled(job, &look, write, Some(ruled)).await? {
                metrics::all().verdicts.one([word]);
                return Ok(Some(Ruled::Taken(due)));
            }
        }
        Err(unreadable("a job that never stands still"))
    }

    /// Ends a job whose value has waited for a verdict until its time; false where it no longer does.
    pub(super) async fn accept_silently(&self, job: JobId, epoch: Epoch) -> Result<bool, BackendError> {
        let Some(look) = self.look(job).await?.filter(Look::waits) else {
            return Ok(false);
        };
        let taken = self.ruled(job, &look, look.completed(epoch), None).await?;
        if taken {
            metrics::all().verdicts.one(["silence"]);
        }
        Ok(taken)
    }

    async fn look(&self, job: JobId) -> Result<Option<Look>, BackendError> {
        let mut step = self.on(&self.scripts.look, self.keys.shard_of(job));
        step.arg(job.to_string());
        let answer: Value = self.link.step(&step).await?;
        if answer == Value::Nil {
            return Ok(None);
        }
        let mut parts = Parts::of(answer)?;
        let is = state(&parts.next::<String>()?)?;
        let told = state(&parts.next::<String>()?)?;
        let seq: u64 = parts.next()?;
        let (before, spec) = (parts.json()?, parts.json()?);
        let awaits: Option<u8> = parts.next()?;
        Ok(Some(Look {
            state: is,
            told,
            before,
            spec,
            awaits: awaits == Some(1),
            standing: Standing::read(seq + 1, &mut parts)?,
        }))
    }

    async fn ruled(
        &self,
        job: JobId,
        look: &Look,
        write: Write,
        ruled: Option<RuledOn>,
    ) -> Result<bool, BackendError> {
        let (leads_to, cost) = match &write.event {
            Event::End(end) => (JobState::from(end.outcome), cost(end)),
            _ => (JobState::Queued, 0),
        };
        let mut step = self.on(&self.scripts.rule, self.keys.shard_of(job));
        step.arg(job.to_string()).arg(write.position.seq);
        step.arg(write.position.epoch.to_string())
            .arg(text_of(&write.event)?);
        step.arg(leads_to.as_str())
            .arg(ruled.as_ref().map_or(Ok(String::new()), text)?);
        step.arg(text(&look.standing.record)?);
        self.kept(&mut step);
        step.arg(cost);
        let taken = self.link.step::<u8>(&step).await? == 1;
        if taken {
            tell(job, &write);
            if matches!(write.event, Event::End(_)) {
                self.tell_end(job, &write.event).await?;
            }
        }
        Ok(taken)
    }

    pub(super) async fn say_viewed(&self, job: JobId, node: u64, by_any: bool) -> Result<(), BackendError> {
        let mut step = self.on(&self.scripts.viewed, self.keys.shard_of(job));
        step.arg(job.to_string()).arg(node);
        step.arg(super::flag(by_any)).arg(NODE_GONE_MS);
        self.link.step::<u8>(&step).await.map(drop)
    }
}
