//! The engine's state and its steps: no lock, no clock, no channel. Every step is told the time and says what was
//! written; the shell around it publishes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use super::log::{Fit, JobLog};
use super::options::EngineOptions;
use crate::backend::{
    Append, Appended, Cancelled, Checkpoint, Claim, Deferral, Extended, Failure, Fenced, Idempotency,
    JobFacts, Reaped, Stats, Submission, Submitted, Write,
};
use crate::event::{End, EndError, Entry, Epoch, Event, StatusChange, Timings};
use crate::job::{
    AttemptRecord, JobId, JobSpec, JobState, Lease, LeaseToken, Outcome, Transition, Usage, next,
};

/// Everything the engine holds. Cloning it and putting the clone back later is a failover that lost writes.
#[derive(Clone, Debug)]
pub struct State {
    options: EngineOptions,
    jobs: HashMap<JobId, JobRow>,
    ready: VecDeque<JobId>,
    waiting: BTreeSet<(u64, JobId)>,
    running: BTreeSet<JobId>,
    ended: VecDeque<(u64, JobId)>,
    keys: HashMap<KeyName, KeyRow>,
    keys_by_age: VecDeque<(u64, KeyName)>,
}

/// A tenant, and an idempotency key of its own.
type KeyName = (Arc<str>, Arc<str>);

#[derive(Clone, Debug)]
struct KeyRow {
    job: JobId,
    request: [u8; 32],
}

#[derive(Clone, Debug)]
struct JobRow {
    facts: Arc<JobFacts>,
    spec: Arc<JobSpec>,
    state: JobState,
    token: Option<LeaseToken>,
    until_ms: u64,
    claims: u32,
    deliveries: u32,
    losses: u32,
    cancelled_ms: Option<u64>,
    submitted_ms: u64,
    claimed_ms: Option<u64>,
    log: JobLog,
    raw: String,
    record: AttemptRecord,
}

/// What a step wrote, to be published in this order.
pub(super) type Written = Vec<(JobId, Arc<Entry>)>;

impl State {
    pub(super) fn new(options: EngineOptions) -> Self {
        Self {
            options,
            jobs: HashMap::new(),
            ready: VecDeque::new(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            ended: VecDeque::new(),
            keys: HashMap::new(),
            keys_by_age: VecDeque::new(),
        }
    }

    pub(super) fn submit(&mut self, now: u64, submission: Submission, written: &mut Written) -> Submitted {
        if let Some(known) = self.known(&submission) {
            return known;
        }
        if self.ready.len() >= self.options.queued_max {
            return Submitted::Full {
                retry_after_ms: 1_000,
            };
        }
        let Submission {
            id,
            epoch,
            tenant,
            spec,
            shape,
            idempotency,
        } = submission;
        if let Some(Idempotency { key, request }) = idempotency {
            let name = (Arc::clone(&tenant), key);
            self.keys.insert(name.clone(), KeyRow { job: id, request });
            self.keys_by_age.push_back((now, name));
        }
        let (log, entry) = JobLog::begin(epoch, status(JobState::Queued, None, None));
        let position = log.last();
        let facts = Arc::new(JobFacts { id, tenant, shape });
        self.jobs.insert(id, JobRow::new(facts, spec, now, log));
        let ahead = self.ready.len() as u64;
        self.ready.push_back(id);
        written.push((id, entry));
        Submitted::New { position, ahead }
    }

    /// A submission that is already here: by its id (sent again) or by its key.
    fn known(&self, submission: &Submission) -> Option<Submitted> {
        if let Some(row) = self.jobs.get(&submission.id) {
            let position = row.log.last();
            return Some(Submitted::New { position, ahead: 0 });
        }
        let given = submission.idempotency.as_ref()?;
        let key = self
            .keys
            .get(&(Arc::clone(&submission.tenant), Arc::clone(&given.key)))?;
        let same = key.request == given.request;
        Some(if same {
            Submitted::Existing(key.job)
        } else {
            Submitted::Conflict(key.job)
        })
    }

    pub(super) fn claim(
        &mut self,
        now: u64,
        nonce: u64,
        epoch: Epoch,
        written: &mut Written,
    ) -> Option<Claim> {
        let id = self.ready.pop_front()?;
        let row = self.jobs.get_mut(&id)?;
        row.state = next(row.state, Transition::Claim).ok()?;
        row.claims += 1;
        row.deliveries += 1;
        row.token = Some(LeaseToken {
            delivery: row.claims,
            nonce,
        });
        row.until_ms = now + self.options.lease.lease_ms;
        row.claimed_ms.get_or_insert(now);
        written.push((id, row.log.open(epoch, status(JobState::Running, None, None))));
        self.running.insert(id);
        Some(row.claim(id))
    }

    pub(super) fn extend(&mut self, now: u64, id: JobId, token: LeaseToken) -> Extended {
        let lease_ms = self.options.lease.lease_ms;
        match self.held(id, token) {
            None => Extended::Lost,
            Some(row) => {
                row.until_ms = now + lease_ms;
                if row.cancelled_ms.is_some() {
                    Extended::Cancel
                } else {
                    Extended::Until(row.until_ms)
                }
            }
        }
    }

    pub(super) fn append(
        &mut self,
        id: JobId,
        token: LeaseToken,
        append: &Append,
        written: &mut Written,
    ) -> Appended {
        let Some(row) = self.held(id, token) else {
            return Appended::Lost;
        };
        match row.log.fit(&append.write) {
            Fit::Dup => return Appended::Dup,
            Fit::RolledBack(last) => return Appended::RolledBack(last),
            Fit::Next if row.cancelled_ms.is_some() => return Appended::Cancel,
            Fit::Next => {}
        }
        if append.write.event.restarts() {
            row.raw.clear();
        }
        row.raw.push_str(&append.raw);
        row.losses = 0;
        if let Some(record) = &append.record {
            row.record.clone_from(record);
        }
        written.push((id, row.log.write(append.write.clone())));
        if let Some(snapshot) = &append.snapshot {
            row.log.trim(Arc::clone(snapshot));
        }
        Appended::Ok
    }

    pub(super) fn defer(
        &mut self,
        id: JobId,
        token: LeaseToken,
        deferral: Deferral,
        written: &mut Written,
    ) -> Fenced {
        let Some(row) = self.held(id, token) else {
            return Fenced::Lost;
        };
        if let Some(refused) = refuse(row, &deferral.write) {
            return refused;
        }
        row.deliveries -= 1;
        row.record = deferral.record;
        self.wait(id, deferral.write, deferral.until_ms, written)
    }

    pub(super) fn fail(
        &mut self,
        now: u64,
        id: JobId,
        token: LeaseToken,
        failure: Failure,
        written: &mut Written,
    ) -> Fenced {
        let deliveries_max = self.options.deliveries_max;
        let Some(row) = self.held(id, token) else {
            return Fenced::Lost;
        };
        if let Some(refused) = refuse(row, &failure.again) {
            return refused;
        }
        if row.deliveries >= deliveries_max {
            let end = Write {
                event: Event::End(failure.give_up),
                ..failure.again
            };
            return self.settle(now, id, end, written);
        }
        self.wait(id, failure.again, now + failure.retry_ms, written)
    }

    fn wait(&mut self, id: JobId, write: Write, until_ms: u64, written: &mut Written) -> Fenced {
        let Some(row) = self.jobs.get_mut(&id) else {
            return Fenced::Lost;
        };
        let Ok(state) = next(row.state, Transition::Defer) else {
            return Fenced::Lost;
        };
        row.state = state;
        row.token = None;
        row.until_ms = until_ms;
        written.push((id, row.log.write(write)));
        self.running.remove(&id);
        self.waiting.insert((until_ms, id));
        Fenced::Ok
    }

    pub(super) fn finish(
        &mut self,
        now: u64,
        id: JobId,
        token: LeaseToken,
        write: Write,
        written: &mut Written,
    ) -> Fenced {
        if let Some(row) = self.jobs.get(&id) {
            // Ended by this very write: its answer was lost.
            if row.state.is_end() && row.token == Some(token) && row.log.last() == write.position {
                return Fenced::Dup;
            }
        }
        let Some(row) = self.held(id, token) else {
            return Fenced::Lost;
        };
        if let Some(refused) = refuse(row, &write) {
            return refused;
        }
        self.settle(now, id, write, written)
    }

    /// Writes the end of a job and lets go of it.
    fn settle(&mut self, now: u64, id: JobId, write: Write, written: &mut Written) -> Fenced {
        let Event::End(end) = &write.event else {
            return Fenced::Lost;
        };
        let Some(row) = self.jobs.get_mut(&id) else {
            return Fenced::Lost;
        };
        let Ok(state) = next(row.state, Transition::End(end.outcome)) else {
            return Fenced::Lost;
        };
        match row.state {
            JobState::Waiting => {
                self.waiting.remove(&(row.until_ms, id));
            }
            JobState::Queued | JobState::Recovering => self.ready.retain(|queued| *queued != id),
            JobState::Running
            | JobState::Completed
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Incomplete => {}
        }
        row.state = state;
        row.raw = String::new();
        written.push((id, row.log.write(write)));
        self.running.remove(&id);
        self.ended.push_back((now, id));
        Fenced::Ok
    }

    pub(super) fn cancel(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        written: &mut Written,
    ) -> Option<Cancelled> {
        let row = self.jobs.get_mut(&id)?;
        if row.state.is_end() {
            return Some(Cancelled::Already(row.state));
        }
        if row.state == JobState::Running {
            row.cancelled_ms.get_or_insert(now);
            return Some(Cancelled::Requested);
        }
        self.end_foreign(now, id, epoch, cancelled(), written);
        Some(Cancelled::Now)
    }

    pub(super) fn reap(
        &mut self,
        now: u64,
        limit: usize,
        epoch: &mut dyn FnMut() -> Epoch,
        written: &mut Written,
    ) -> Reaped {
        let times = self.options.lease;
        let overdue = |row: &JobRow| {
            let cancelled = row
                .cancelled_ms
                .is_some_and(|at| at + times.cancel_grace_ms <= now);
            cancelled || row.until_ms <= now
        };
        let due: Vec<JobId> = self
            .running
            .iter()
            .filter(|id| self.jobs.get(id).is_some_and(overdue))
            .take(limit)
            .copied()
            .collect();
        let mut reaped = Reaped::default();
        for id in due {
            if self.reap_one(now, id, epoch(), written) {
                reaped.ended += 1;
            } else {
                reaped.recovering += 1;
            }
        }
        reaped
    }

    /// Whether the job ended by it.
    fn reap_one(&mut self, now: u64, id: JobId, epoch: Epoch, written: &mut Written) -> bool {
        let losses_max = self.options.lease.losses_max;
        let Some(row) = self.jobs.get_mut(&id) else {
            return false;
        };
        row.token = None;
        if row.cancelled_ms.is_some() {
            self.end_foreign(now, id, epoch, cancelled(), written);
            return true;
        }
        row.losses += 1;
        if row.losses >= losses_max {
            self.end_foreign(now, id, epoch, poison(losses_max), written);
            return true;
        }
        let Ok(state) = next(row.state, Transition::LoseLease) else {
            return false;
        };
        row.state = state;
        written.push((id, row.log.open(epoch, status(state, Some("lease_lost"), None))));
        self.running.remove(&id);
        self.ready.push_front(id);
        false
    }

    /// Ends a job that no worker holds, in an epoch of its own.
    fn end_foreign(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        why: (Outcome, EndError),
        written: &mut Written,
    ) {
        let Some(row) = self.jobs.get(&id) else { return };
        let (outcome, error) = why;
        let end = row.end(now, outcome, error);
        let position = crate::event::Position {
            epoch,
            seq: row.log.last().seq + 1,
        };
        self.settle(
            now,
            id,
            Write {
                position,
                opens: true,
                event: Event::End(Box::new(end)),
            },
            written,
        );
    }

    pub(super) fn promote(
        &mut self,
        now: u64,
        limit: usize,
        epoch: &mut dyn FnMut() -> Epoch,
        written: &mut Written,
    ) -> usize {
        self.forget(now);
        let due: Vec<(u64, JobId)> = self
            .waiting
            .iter()
            .take_while(|(until, _)| *until <= now)
            .take(limit)
            .copied()
            .collect();
        for (until, id) in &due {
            self.waiting.remove(&(*until, *id));
            let Some(row) = self.jobs.get_mut(id) else {
                continue;
            };
            let Ok(state) = next(row.state, Transition::Promote) else {
                continue;
            };
            row.state = state;
            written.push((*id, row.log.open(epoch(), status(state, None, None))));
            self.ready.push_back(*id);
        }
        due.len()
    }

    /// Retention: by age and by count.
    fn forget(&mut self, now: u64) {
        while let Some((at, id)) = self.ended.front().copied() {
            let old = at + self.options.retention_ms <= now;
            if !old && self.ended.len() <= self.options.retained_max {
                break;
            }
            self.ended.pop_front();
            self.jobs.remove(&id);
        }
        while let Some((at, name)) = self.keys_by_age.front() {
            if at + self.options.idempotency_ms > now {
                break;
            }
            self.keys.remove(name);
            self.keys_by_age.pop_front();
        }
    }

    pub(super) fn facts(&self, id: JobId) -> Option<Arc<JobFacts>> {
        self.jobs.get(&id).map(|row| Arc::clone(&row.facts))
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            queued: self.ready.len(),
            running: self.running.len(),
            waiting: self.waiting.len(),
            ended: self.ended.len(),
        }
    }

    pub(super) fn log(&self, id: JobId) -> Option<&JobLog> {
        self.jobs.get(&id).map(|row| &row.log)
    }

    /// The row of a running job, if the token is its delivery's.
    fn held(&mut self, id: JobId, token: LeaseToken) -> Option<&mut JobRow> {
        self.jobs
            .get_mut(&id)
            .filter(|row| row.state == JobState::Running && row.token == Some(token))
    }
}

impl JobRow {
    fn new(facts: Arc<JobFacts>, spec: Arc<JobSpec>, now: u64, log: JobLog) -> Self {
        Self {
            facts,
            spec,
            state: JobState::Queued,
            token: None,
            until_ms: 0,
            claims: 0,
            deliveries: 0,
            losses: 0,
            cancelled_ms: None,
            submitted_ms: now,
            claimed_ms: None,
            log,
            raw: String::new(),
            record: AttemptRecord::default(),
        }
    }

    fn claim(&self, id: JobId) -> Claim {
        Claim {
            id,
            lease: Lease {
                token: self.token.unwrap_or(LeaseToken {
                    delivery: 0,
                    nonce: 0,
                }),
                until_ms: self.until_ms,
            },
            spec: Arc::clone(&self.spec),
            submitted_ms: self.submitted_ms,
            claimed_ms: self.claimed_ms.unwrap_or(self.submitted_ms),
            position: self.log.last(),
            checkpoint: Checkpoint {
                fold: self.log.fold(),
                raw: self.raw.clone(),
                record: self.record.clone(),
            },
        }
    }

    fn end(&self, now: u64, outcome: Outcome, error: EndError) -> End {
        End {
            outcome,
            error: Some(error),
            sha256: None,
            best: self.record.best.clone(),
            usage: self
                .record
                .usage
                .iter()
                .fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage)),
            attempts: self.record.usage.clone(),
            timings: Timings {
                queued_ms: self.claimed_ms.map(|at| at.saturating_sub(self.submitted_ms)),
                first_change_ms: None,
                total_ms: now.saturating_sub(self.submitted_ms),
            },
        }
    }
}

/// Why a step that ends a delivery is not taken; `None` where it is.
fn refuse(row: &JobRow, write: &Write) -> Option<Fenced> {
    match row.log.fit(write) {
        Fit::Dup => Some(Fenced::Dup),
        Fit::RolledBack(last) => Some(Fenced::RolledBack(last)),
        Fit::Next => {
            let cancels = matches!(&write.event, Event::End(end) if end.outcome == Outcome::Cancelled);
            (row.cancelled_ms.is_some() && !cancels).then_some(Fenced::Cancel)
        }
    }
}

fn status(status: JobState, reason: Option<&str>, until_ms: Option<u64>) -> Event {
    Event::Status(StatusChange {
        status,
        reason: reason.map(str::to_owned),
        until_ms,
    })
}

fn cancelled() -> (Outcome, EndError) {
    (
        Outcome::Cancelled,
        EndError::new("cancelled", "the job was cancelled"),
    )
}

fn poison(losses: u32) -> (Outcome, EndError) {
    let message = format!("{losses} workers in a row were lost on this job without progress");
    (Outcome::Failed, EndError::new("poison", message))
}
