//! Jobs, and who works on them.
//!
//! Times that leave the engine are by the clock of the process that asks: Redis's own and that of a worker need not
//! agree. Times that enter it go as spans.

use std::sync::Arc;

use async_trait::async_trait;
use redis::{ScriptInvocation, Value};
use tokio::sync::mpsc;

use super::log::{Written, tell, text};
use super::reply::{self, Parts, unreadable};
use super::step::Step;
use super::{Redis, flag};
use crate::backend::own::{cancelled, status};
use crate::backend::{
    BackendError, Cancelled, Checkpoint, Claim, DeadLetter, Deferral, Extended, Failure, Fenced, Idempotency,
    JobFacts, JobQueue, Reaped, Request, Ruled, Stats, Submission, Submitted, Write,
};
use crate::clock;
use crate::event::{End, Entry, Epoch, Event, Position};
use crate::job::{JobId, JobState, Lease, LeaseToken, Ruling};

/// Items of one call: a script's work is bounded.
pub(super) const ITEMS_MAX: usize = 500;
/// Ended jobs whose promoter does not come are kept this much longer, ms.
const GRACE_MS: u64 = 60_000;

#[async_trait]
impl JobQueue for Redis {
    fn draw(&self, tenant: &str, idempotency: Option<&Idempotency>) -> JobId {
        self.draw_in(idempotency.map(|given| self.keys.shard_of_name(tenant, &given.key)))
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted, BackendError> {
        let kept = self.keep(submission, None).await?;
        kept.ok_or_else(|| unreadable("a job that was made of nothing"))
    }

    fn draw_beside(&self, job: JobId) -> JobId {
        self.draw_in(Some(self.keys.shard_of(job)))
    }

    async fn redrive(
        &self,
        letter: JobId,
        submission: Submission,
    ) -> Result<Option<Submitted>, BackendError> {
        self.keep(submission, Some(letter)).await
    }

    async fn redriven(&self, letter: JobId) -> Result<Option<JobId>, BackendError> {
        self.made_of(letter).await
    }

    async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, BackendError> {
        self.letters(limit).await
    }

    async fn dead_letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError> {
        self.letter(job).await
    }

    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        let event = status(JobState::Running, None, None);
        let count = self.keys.count();
        // Workers begin at different shards, so that none is served last for ever; but where the answer was lost before,
        // the delivery may be.
        let from = self.unanswered.of(nonce);
        let from = from.unwrap_or_else(|| usize::try_from(nonce % count as u64).unwrap_or(0));
        for shard in from..from + count {
            let sent = clock::now_ms();
            let mut step = self.on(&self.scripts.claim, shard);
            step.arg(format!("{nonce:016x}")).arg(epoch.to_string());
            step.arg(self.engine.lease.lease_ms).arg(text_of(&event)?);
            let answer: Value = match self.link.step(&step).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.unanswered.note(nonce, shard);
                    return Err(error);
                }
            };
            if answer != Value::Nil {
                let claim = self.claimed(Parts::of(answer)?, sent)?;
                tell(claim.id, &opening(claim.position, event));
                return Ok(Some(claim));
            }
        }
        Ok(None)
    }

    async fn ready(&self) {
        self.wait_for_work().await;
    }

    async fn extend(&self, leases: &[(JobId, LeaseToken)]) -> Result<Vec<Extended>, BackendError> {
        let mut answers = vec![Extended::Lost; leases.len()];
        for shard in 0..self.keys.count() {
            let own = |at: &usize| self.keys.shard_of(leases[*at].0) == shard;
            let all: Vec<usize> = (0..leases.len()).filter(own).collect();
            for part in all.chunks(ITEMS_MAX) {
                // By the time of the question: the lease is good at least as long.
                let until_ms = clock::now_ms() + self.engine.lease.lease_ms;
                let mut step = self.on(&self.scripts.extend, shard);
                step.arg(self.engine.lease.lease_ms);
                for at in part {
                    step.arg(leases[*at].0.to_string()).arg(leases[*at].1.to_string());
                }
                let told: Vec<String> = self.link.beat(&step).await?;
                for (at, word) in part.iter().zip(told) {
                    answers[*at] = match word.as_str() {
                        "until" => Extended::Until(until_ms),
                        "cancel" => Extended::Cancel,
                        _ => Extended::Lost,
                    };
                }
            }
        }
        Ok(answers)
    }

    async fn defer(&self, job: JobId, token: LeaseToken, deferral: Deferral) -> Result<Fenced, BackendError> {
        let awaits = deferral.record.waits_for_verdict();
        let wait_ms = deferral.until_ms.saturating_sub(clock::now_ms());
        let mut step = self.delivered(&self.scripts.defer, job, token, &deferral.write)?;
        step.arg(text(&deferral.record)?).arg(wait_ms);
        step.arg(flag(awaits));
        let (answer, _) = reply::fenced(self.link.step(&step).await?)?;
        tell_taken(job, answer, &deferral.write);
        Ok(answer)
    }

    async fn fail(&self, job: JobId, token: LeaseToken, failure: Failure) -> Result<Fenced, BackendError> {
        let end = Write {
            event: Event::End(failure.give_up),
            ..failure.again.clone()
        };
        let mut step = self.delivered(&self.scripts.fail, job, token, &failure.again)?;
        step.arg(failure.retry_ms).arg(self.engine.deliveries_max);
        step.arg(text_of(&end.event)?);
        self.ending(&mut step, &end, self.engine.dead_ms)?;
        let (answer, ended) = reply::fenced(self.link.step(&step).await?)?;
        tell_taken(job, answer, if ended { &end } else { &failure.again });
        self.tell_taken_end(job, answer, &end).await?;
        Ok(answer)
    }

    async fn finish(&self, job: JobId, token: LeaseToken, mut write: Write) -> Result<Fenced, BackendError> {
        if !matches!(write.event, Event::End(_)) {
            return Ok(Fenced::Lost);
        }
        let mut says_why = false;
        loop {
            let mut step = self.delivered(&self.scripts.finish, job, token, &write)?;
            self.ending(&mut step, &write, self.engine.retention_ms)?;
            step.arg(flag(says_why));
            let answer: Value = self.link.step(&step).await?;
            let Some(unviewed_ms) = reply::unviewed(&answer)? else {
                let (answer, _) = reply::fenced(answer)?;
                tell_taken(job, answer, &write);
                self.tell_taken_end(job, answer, &write).await?;
                return Ok(answer);
            };
            // Its worker was told of the cancel, not of the reason.
            if let Event::End(end) = &mut write.event {
                end.error = Some(cancelled(Some(unviewed_ms)).1);
            }
            says_why = true;
        }
    }

    async fn rule(
        &self,
        job: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: Ruling,
    ) -> Result<Option<Ruled>, BackendError> {
        self.rule_on(job, epoch, attempt, &ruling).await
    }

    async fn viewed(&self, job: JobId, node: u64, by_any: bool) -> Result<(), BackendError> {
        self.say_viewed(job, node, by_any).await
    }

    async fn cancel(&self, job: JobId, epoch: Epoch) -> Result<Option<Cancelled>, BackendError> {
        self.end_or_flag(job, epoch, false).await
    }

    async fn reap(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<Reaped, BackendError> {
        self.reap_all(limit, epoch).await
    }

    async fn promote(
        &self,
        limit: usize,
        epoch: &mut (dyn FnMut() -> Epoch + Send),
    ) -> Result<usize, BackendError> {
        self.promote_all(limit, epoch).await
    }

    fn cancels(&self) -> mpsc::Receiver<JobId> {
        self.live.cancels()
    }

    async fn facts(&self, job: JobId) -> Result<Option<Arc<JobFacts>>, BackendError> {
        let mut asked = redis::pipe();
        asked
            .cmd("HMGET")
            .arg(self.keys.job(job).job)
            .arg(&["tenant", "shape", "unv"]);
        let (facts,): ((Option<String>, Option<String>, Option<u32>),) = self.ask_of(job, &asked).await?;
        let (Some(tenant), Some(shape), unviewed_ms) = facts else {
            return Ok(None);
        };
        Ok(Some(Arc::new(JobFacts {
            id: job,
            tenant: tenant.into(),
            shape: Arc::new(serde_json::from_str(&shape).map_err(unreadable)?),
            unviewed_ms,
        })))
    }

    async fn states(&self, jobs: &[JobId]) -> Result<Vec<Option<JobState>>, BackendError> {
        let mut asked = redis::pipe();
        for job in jobs {
            asked
                .cmd("HMGET")
                .arg(self.keys.job(*job).job)
                .arg(&["st", "told"]);
        }
        let told: Vec<(Option<String>, Option<String>)> = self.ask_all(&asked).await?;
        told.into_iter()
            .map(|(is, told)| told.or(is).map(|word| state(&word)).transpose())
            .collect()
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        let mut all = Stats::default();
        for shard in 0..self.keys.count() {
            let step = self.on(&self.scripts.stats, shard);
            let mut parts = Parts::of(self.link.step(&step).await?)?;
            all.queued += parts.next::<usize>()?;
            all.running += parts.next::<usize>()?;
            all.waiting += parts.next::<usize>()?;
            all.ended += parts.next::<usize>()?;
            all.dead += parts.next::<usize>()?;
            let oldest: Option<u64> = parts.next()?;
            let times = Clock::read(parts.next()?);
            let oldest = oldest.map(|at| times.local(at));
            all.oldest_queued_ms = all.oldest_queued_ms.into_iter().chain(oldest).min();
        }
        Ok(all)
    }
}

impl Redis {
    /// A step on a shard.
    pub(super) fn on<'a>(&self, script: &'a redis::Script, shard: usize) -> Step<'a> {
        Step::new(script, self.keys.shard(shard))
    }

    /// A shard's part of a bound.
    pub(super) fn share(&self, all: usize) -> usize {
        all.div_ceil(self.keys.count())
    }

    /// A step that ends a delivery by a write.
    fn delivered<'a>(
        &self,
        script: &'a redis::Script,
        job: JobId,
        token: LeaseToken,
        write: &Write,
    ) -> Result<Step<'a>, BackendError> {
        let written = Written::of(write)?;
        let mut step = self.on(script, self.keys.shard_of(job));
        step.arg(job.to_string()).arg(token.to_string());
        step.arg(&written.epoch).arg(written.seq).arg(written.opens);
        step.arg(&written.payload);
        Ok(step)
    }

    /// What an end needs beside its place and payload: state, retention, cost.
    fn ending(
        &self,
        step: &mut ScriptInvocation<'_>,
        write: &Write,
        keep_ms: u64,
    ) -> Result<(), BackendError> {
        let Event::End(end) = &write.event else {
            return Err(unreadable("an end that is none"));
        };
        step.arg(JobState::from(end.outcome).as_str());
        step.arg(keep_ms).arg(GRACE_MS);
        step.arg(cost(end));
        Ok(())
    }

    /// How long an end is kept.
    pub(super) fn kept(&self, step: &mut ScriptInvocation<'_>) {
        step.arg(self.engine.retention_ms).arg(GRACE_MS);
    }

    fn claimed(&self, mut parts: Parts, sent_ms: u64) -> Result<Claim, BackendError> {
        let id: JobId = parts.parse()?;
        let token = token(&parts.next::<String>()?)?;
        let spec = parts
            .json()?
            .ok_or_else(|| unreadable("a job without its request"))?;
        let times = Clock::read(parts.next()?);
        let (submitted, claimed) = (parts.next()?, parts.next()?);
        let lineage = reply::lineage(&parts.next::<String>()?)?;
        let position = parts.position()?;
        let stored: Option<String> = parts.next()?;
        let mut fold = reply::snapshot(stored.as_deref(), &lineage)?;
        let entries = parts.entries()?;
        if fold_in(&mut fold, &entries).is_err() {
            // The worker then starts over.
            fold = crate::event::Fold::submitted(position);
            fold.status = JobState::Running;
        }
        let raw = parts.next()?;
        let record = parts.json()?.unwrap_or_default();
        Ok(Claim {
            id,
            lease: Lease {
                token,
                until_ms: sent_ms + self.engine.lease.lease_ms,
            },
            spec: Arc::new(spec),
            submitted_ms: times.local(submitted),
            claimed_ms: times.local(claimed),
            position,
            checkpoint: Checkpoint { fold, raw, record },
        })
    }
}

fn fold_in(fold: &mut crate::event::Fold, entries: &[Entry]) -> Result<(), crate::event::Unfoldable> {
    entries.iter().try_for_each(|entry| fold.apply(entry))
}

/// Redis's clock against ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    theirs_ms: u64,
    ours_ms: u64,
}

impl Clock {
    pub(super) fn read(theirs_ms: u64) -> Self {
        Self {
            theirs_ms,
            ours_ms: clock::now_ms(),
        }
    }

    /// A time of theirs by our clock.
    pub(super) const fn local(self, theirs_ms: u64) -> u64 {
        self.ours_ms
            .saturating_sub(self.theirs_ms.saturating_sub(theirs_ms))
    }
}

pub(super) fn text_of(event: &Event) -> Result<String, BackendError> {
    crate::event::encode(event).map_err(unreadable)
}

/// A write of the engine's own.
pub(super) const fn opening(position: Position, event: Event) -> Write {
    Write {
        position,
        opens: true,
        event,
    }
}

fn tell_taken(job: JobId, answer: Fenced, write: &Write) {
    if matches!(answer, Fenced::Ok | Fenced::Dup) {
        tell(job, write);
    }
}

/// What a job has cost, tokens.
pub(super) const fn cost(end: &End) -> u64 {
    end.usage.tokens()
}

pub(super) fn state(word: &str) -> Result<JobState, BackendError> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(unreadable)
}

fn token(text: &str) -> Result<LeaseToken, BackendError> {
    let (delivery, nonce) = text.split_once('.').ok_or_else(|| unreadable("a token"))?;
    Ok(LeaseToken {
        delivery: delivery.parse().map_err(unreadable)?,
        nonce: u64::from_str_radix(nonce, 16).map_err(unreadable)?,
    })
}
