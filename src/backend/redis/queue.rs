//! Jobs, and who works on them.
//!
//! Times that leave the engine are by the clock of the process that asks: Redis's own and that of a worker need not
//! agree. Times that enter it go as spans.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::ScriptInvocation;
use tokio::sync::mpsc;

use super::gather::Item;
use super::log::{Written, tell, text};
use super::reply::{self, unreadable};
use super::step::Step;
use super::{Redis, flag};
use crate::backend::own::{cancelled, cost};
use crate::backend::{
    BackendError, Cancelled, Claim, DeadCursor, DeadLetter, DeadPage, Deferral, Extended, Failure, Fenced,
    Idempotency, JobFacts, JobQueue, Paused, Reaped, Request, Ruled, Shares, Stats, Submission, Submitted,
    Write,
};
use crate::clock;
use crate::event::{Epoch, Event, Position, StatusChange};
use crate::job::{JobId, JobState, LeaseToken, Ruling};

/// Items of one call: a script's work is bounded.
pub(super) const ITEMS_MAX: usize = 500;
/// Ended jobs whose promoter does not come are kept this much longer, ms.
pub(super) const GRACE_MS: u64 = 60_000;

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

    async fn redriven(&self, letter: JobId) -> Result<Option<Submitted>, BackendError> {
        self.made_of(letter).await
    }

    async fn dead_letters(&self, behind: Option<DeadCursor>, limit: usize) -> Result<DeadPage, BackendError> {
        self.letters(behind, limit).await
    }

    async fn dead_letter(&self, job: JobId) -> Result<Option<(DeadLetter, Request)>, BackendError> {
        self.letter(job).await
    }

    async fn govern(&self, shares: &Shares) -> Result<(), BackendError> {
        self.set_shares(shares).await
    }

    async fn pause(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError> {
        self.set_paused(tenant, paused).await
    }

    async fn paused(&self) -> Result<Paused, BackendError> {
        self.all_paused().await
    }

    async fn claim(&self, nonce: u64, epoch: Epoch) -> Result<Option<Claim>, BackendError> {
        self.claim_anywhere(nonce, epoch).await
    }

    async fn ready(&self) {
        self.wait_for_work().await;
    }

    async fn extend(&self, leases: &[(JobId, LeaseToken)]) -> Result<Vec<Extended>, BackendError> {
        let mut answers = vec![Extended::Unknown; leases.len()];
        let mut by_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, (job, _)) in leases.iter().enumerate() {
            by_shard.entry(self.keys.shard_of(*job)).or_default().push(at);
        }
        let parts = by_shard
            .iter()
            .flat_map(|(shard, all)| all.chunks(ITEMS_MAX).map(|some| (*shard, some)));
        // All at once: one that is silent holds no other up, nor what is told of the others beyond its time.
        let patience = Duration::from_millis(self.engine.lease.extend_ms) * 19 / 20;
        let asks = parts.map(async |(shard, some)| {
            tokio::select! {
                told = self.extend_in(shard, leases, some) => (some, told),
                () = clock::sleep(patience) => (some, Err(late())),
            }
        });
        let mut failed = None;
        for (some, told) in join_all(asks).await {
            match told {
                Ok(told) => some
                    .iter()
                    .zip(told)
                    .for_each(|(at, answer)| answers[*at] = answer),
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        match failed {
            Some(error) if answers.iter().all(|answer| *answer == Extended::Unknown) => Err(error),
            Some(error) => {
                tracing::warn!(%error, "some leases cannot be extended");
                Ok(answers)
            }
            None => Ok(answers),
        }
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
        if ended {
            self.tell_taken_end(job, answer, &end).await?;
        } else if answer == Fenced::Dup {
            self.tell_kept_end(job).await?;
        }
        Ok(answer)
    }

    async fn finish(&self, job: JobId, token: LeaseToken, mut write: Write) -> Result<Fenced, BackendError> {
        let mut says_why = false;
        loop {
            let Event::End(end) = &write.event else {
                return Ok(Fenced::Lost);
            };
            let written = Written::of(&write)?;
            let mut item = Item::new();
            item.arg(job.to_string()).arg(token.to_string());
            item.arg(&written.epoch).arg(written.seq).arg(written.opens);
            item.arg(&written.payload)
                .arg(JobState::from(end.outcome).as_str());
            item.arg(cost(end)).arg(flag(says_why));
            let answer = self.gathers.finishes.send(self.keys.shard_of(job), item).await?;
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
            self.none_is_known(std::iter::once(job)).await?;
            return Ok(None);
        };
        Ok(Some(Arc::new(JobFacts {
            id: job,
            tenant: tenant.into(),
            shape: Arc::new(serde_json::from_str(&shape).map_err(unreadable)?),
            unviewed_ms,
        })))
    }

    async fn states(&self, jobs: &[JobId]) -> Result<Vec<Option<StatusChange>>, BackendError> {
        let mut asked = redis::pipe();
        for job in jobs {
            asked
                .cmd("HMGET")
                .arg(self.keys.job(*job).job)
                .arg(&["st", "told", "seq", "why"]);
        }
        let held: Vec<[Option<String>; 4]> = self.ask_all(&asked).await?;
        let unknown = jobs.iter().zip(&held).filter(|(_, [is, ..])| is.is_none());
        self.none_is_known(unknown.map(|(job, _)| *job)).await?;
        held.into_iter().map(stands).collect()
    }

    async fn answers(&self) -> Result<(), BackendError> {
        self.one_answers().await
    }

    async fn stats(&self) -> Result<Stats, BackendError> {
        self.all_stats().await
    }
}

impl Redis {
    /// A step on a shard.
    pub(super) fn on<'a>(&self, script: &'a redis::Script, shard: usize) -> Step<'a> {
        Step::new(script, self.keys.shard(shard))
    }

    /// A step that ends a delivery by a write.
    pub(super) fn delivered<'a>(
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

    /// What became of some leases of a shard, these by their places.
    async fn extend_in(
        &self,
        shard: usize,
        leases: &[(JobId, LeaseToken)],
        some: &[usize],
    ) -> Result<Vec<Extended>, BackendError> {
        // By the time of the question: the lease is good at least as long.
        let until_ms = clock::now_ms() + self.engine.lease.lease_ms;
        let mut step = self.on(&self.scripts.extend, shard);
        step.arg(self.engine.lease.lease_ms);
        for at in some {
            step.arg(leases[*at].0.to_string()).arg(leases[*at].1.to_string());
        }
        let told: Vec<String> = self.link.beat(&step).await?;
        let answers = told.iter().map(|word| match word.as_str() {
            "until" => Extended::Until(until_ms),
            "cancel" => Extended::Cancel,
            _ => Extended::Lost,
        });
        Ok(answers.collect())
    }
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

fn late() -> BackendError {
    BackendError::Unavailable("Redis has not answered before the next heartbeat".to_owned())
}

pub(super) fn tell_taken(job: JobId, answer: Fenced, write: &Write) {
    if matches!(answer, Fenced::Ok | Fenced::Dup) {
        tell(job, write);
    }
}

/// Where a job stands for readers: its state, the one that they are told in its place, where its log ends, and why it waited
/// last. That says nothing where another entry follows, and one that cannot be read is left out.
fn stands([is, told, seq, why]: [Option<String>; 4]) -> Result<Option<StatusChange>, BackendError> {
    let Some(word) = told.or(is) else { return Ok(None) };
    let bare = StatusChange::bare(state(&word)?);
    if bare.status != JobState::Waiting {
        return Ok(Some(bare));
    }
    let why = why.as_deref().and_then(|why| why.split_once(' '));
    let why = why.filter(|(at, _)| Some(*at) == seq.as_deref());
    let change = why.and_then(|(_, payload)| serde_json::from_str::<StatusChange>(payload).ok());
    Ok(Some(
        change
            .filter(|change| change.status == bare.status)
            .unwrap_or(bare),
    ))
}

pub(super) fn state(word: &str) -> Result<JobState, BackendError> {
    serde_json::from_value(serde_json::Value::from(word)).map_err(unreadable)
}
