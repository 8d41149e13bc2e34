//! The engine's state and its steps: no lock, no clock, no channel. Every step is told the time and says what was
//! written; the shell around it publishes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::line::Line;
use super::log::{Fit, JobLog};
use super::options::EngineOptions;
use super::retention::Retained;
use super::row::{JobRow, refuse};
use super::saving::Touched;
use crate::backend::drain::Drain;
use crate::backend::own::{cost, poison, status};
use crate::backend::{
    Append, Appended, Cancelled, Claim, Deferral, Extended, Failure, Fenced, JobFacts, Reaped, Stats, Write,
};
use crate::event::{EndError, Entry, Epoch, Event, Position, StatusChange};
use crate::job::{JobId, JobState, LeaseToken, Outcome, Transition, next};

/// Everything the engine holds. Cloning it and putting the clone back later is a failover that lost writes.
#[derive(Clone, Debug)]
pub struct State {
    pub(super) options: EngineOptions,
    pub(super) jobs: HashMap<JobId, JobRow>,
    pub(super) line: Line,
    /// How fast jobs leave the line.
    pub(super) drain: Drain,
    pub(super) waiting: BTreeSet<(u64, JobId)>,
    running: BTreeSet<JobId>,
    /// The jobs of running deliveries, by the nonces of their claims.
    given: HashMap<u64, JobId>,
    /// Jobs that do not go on without viewers and have none, by when they end.
    pub(super) unviewed: BTreeSet<(u64, JobId)>,
    pub(super) ended: Retained,
    /// Those that were given up, with what they ask for.
    pub(super) dead: Retained,
    /// Each key names a job that is here.
    pub(super) keys: HashMap<KeyName, KeyRow>,
    /// Jobs that are not stored yet, and so not in line.
    pub(super) arriving: usize,
    /// About how many bytes the requests of jobs take that have not ended.
    pub(super) asked_bytes: usize,
    /// What a store lacks; `None` where there is none.
    pub(super) touched: Option<Touched>,
}

/// What became of jobs that waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Promoted {
    /// So many whose time has come.
    pub(super) due: usize,
    /// So many of them have ended by that.
    pub(super) ended: usize,
}

/// A tenant, and an idempotency key of its own.
pub(super) type KeyName = (Arc<str>, Arc<str>);

#[derive(Clone, Debug)]
pub(super) struct KeyRow {
    pub(super) job: JobId,
    pub(super) request: [u8; 32],
}

/// What a step wrote, to be published in this order.
pub(super) type Written = Vec<(JobId, Arc<Entry>)>;

impl State {
    pub(super) fn new(options: EngineOptions) -> Self {
        Self {
            options,
            jobs: HashMap::new(),
            line: Line::default(),
            drain: Drain::default(),
            waiting: BTreeSet::new(),
            running: BTreeSet::new(),
            given: HashMap::new(),
            unviewed: BTreeSet::new(),
            ended: Retained::default(),
            dead: Retained::default(),
            keys: HashMap::new(),
            arriving: 0,
            asked_bytes: 0,
            touched: None,
        }
    }

    pub(super) fn claim(
        &mut self,
        now: u64,
        nonce: u64,
        epoch: Epoch,
        written: &mut Written,
    ) -> Option<Claim> {
        // Sent before: its answer was lost.
        if let Some(id) = self.given.get(&nonce).copied() {
            let row = self.jobs.get_mut(&id)?;
            row.until_ms = now + self.options.lease.lease_ms;
            return row.claim(id);
        }
        let (id, cost) = self.line.next()?;
        let row = self.jobs.get_mut(&id)?;
        self.drain.one(now, row.in_line_ms);
        row.charged += cost;
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
        let claim = row.claim(id);
        self.running.insert(id);
        self.given.insert(nonce, id);
        self.touch(id, 0);
        claim
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
        if append.raw_anew || append.write.event.restarts() {
            row.raw.clear();
            row.stored.raw_restarts = true;
        }
        row.raw.push_str(&append.raw);
        // Beginning an attempt is no progress: a job may kill its workers right behind that.
        if matches!(append.write.event, Event::Patch(_)) {
            row.losses = 0;
            row.restarts = 0;
        }
        if let Some(record) = &append.record {
            row.record.clone_from(record);
        }
        written.push((id, row.log.write(append.write.clone())));
        if let Some(snapshot) = &append.snapshot {
            row.snapshot_bytes = row.raw.len();
            row.log.trim(Arc::clone(snapshot));
        }
        self.touch(id, append.write.event.bytes());
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
            return self.lost_or_done(id, token, &deferral.write);
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
            return self.lost_or_done(id, token, &failure.again);
        };
        if let Some(refused) = refuse(row, &failure.again) {
            return refused;
        }
        if row.deliveries >= deliveries_max {
            let end = Write {
                event: Event::End(failure.give_up),
                ..failure.again
            };
            row.dead = true;
            return self.settle(now, id, end, written);
        }
        // It is worked on again, and judged anew. A value that was asked for again stays with what was said to it.
        if row.record.waits_for_verdict() {
            row.record.awaited = None;
        }
        self.wait(id, failure.again, now + failure.retry_ms, written)
    }

    /// A delivery is over.
    fn let_go(&mut self, id: JobId) {
        let was_running = self.running.remove(&id);
        let Some(row) = self.jobs.get(&id) else { return };
        if let Some(token) = row.token {
            self.given.remove(&token.nonce);
        }
        if was_running {
            self.line.release(&row.facts.tenant, id);
        }
    }

    fn wait(&mut self, id: JobId, write: Write, until_ms: u64, written: &mut Written) -> Fenced {
        let Some(row) = self.jobs.get_mut(&id) else {
            return Fenced::Lost;
        };
        let Ok(state) = next(row.state, Transition::Defer) else {
            return Fenced::Lost;
        };
        row.state = state;
        row.until_ms = until_ms;
        written.push((id, row.log.write(write)));
        self.let_go(id);
        self.waiting.insert((until_ms, id));
        self.touch_now(id);
        Fenced::Ok
    }

    pub(super) fn finish(
        &mut self,
        now: u64,
        id: JobId,
        token: LeaseToken,
        mut write: Write,
        written: &mut Written,
    ) -> Fenced {
        let Some(row) = self.held(id, token) else {
            return self.lost_or_done(id, token, &write);
        };
        if let Some(refused) = refuse(row, &write) {
            return refused;
        }
        // Its worker was told of the cancel, not of the reason.
        if let Event::End(end) = &mut write.event
            && end.outcome == Outcome::Cancelled
            && row.given_up
        {
            end.error = Some(row.cancelled().1);
        }
        self.settle(now, id, write, written)
    }

    /// Writes the end of a job and lets go of it.
    pub(super) fn settle(&mut self, now: u64, id: JobId, write: Write, written: &mut Written) -> Fenced {
        let Event::End(end) = &write.event else {
            return Fenced::Lost;
        };
        let stored = self.is_stored();
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
            JobState::Queued | JobState::Recovering => self.line.leave(id),
            JobState::Running
            | JobState::Completed
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Incomplete => {}
        }
        row.state = state;
        row.ended_ms = Some(now);
        let asked_bytes = std::mem::take(&mut row.asked_bytes);
        self.asked_bytes -= asked_bytes;
        let (tenant, claimed) = (Arc::clone(&row.facts.tenant), row.claims > 0);
        let charged = row.charged;
        let cost = cost(end);
        let end = row.log.write(write);
        let bytes = row.put_to_rest();
        let dead = row.dead;
        let bytes = bytes + row.spec.as_ref().filter(|_| dead).map_or(0, |spec| spec.bytes());
        if stored {
            row.log.withhold();
        } else {
            if !dead {
                row.spec = None;
            }
            written.push((id, end));
        }
        self.touch_now(id);
        self.let_go(id);
        if claimed {
            self.line.correct(&tenant, charged, cost);
        }
        self.line.gone(&tenant);
        self.no_longer_unviewed(id);
        self.rest(now, id, bytes, dead);
        Fenced::Ok
    }

    /// A job waits for its time, as before; not longer than any may, or a value for its verdict.
    pub(super) fn wait_again(&mut self, now: u64, job: JobId, row: &mut JobRow) {
        let verdict_ms = row.spec.as_ref().and_then(|spec| spec.verdict_ms);
        let verdict_ms = verdict_ms.filter(|_| row.waits_for_verdict());
        let wait_max_ms = verdict_ms.map_or(self.options.wait_max_ms, u64::from);
        row.until_ms = row.until_ms.min(now + wait_max_ms);
        self.waiting.insert((row.until_ms, job));
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
            self.touch_now(id);
            return Some(Cancelled::Requested);
        }
        let why = row.cancelled();
        self.end_foreign(now, id, epoch, why, written);
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
        self.let_go(id);
        let Some(row) = self.jobs.get_mut(&id) else {
            return false;
        };
        row.token = None;
        if row.cancelled_ms.is_some() {
            let why = row.cancelled();
            self.end_foreign(now, id, epoch, why, written);
            return true;
        }
        row.losses += 1;
        if row.losses >= losses_max {
            row.dead = true;
            self.end_foreign(now, id, epoch, poison(losses_max), written);
            return true;
        }
        let Ok(state) = next(row.state, Transition::LoseLease) else {
            return false;
        };
        row.state = state;
        written.push((id, row.log.open(epoch, status(state, Some("lease_lost"), None))));
        self.enter_line(now, id, true);
        self.touch(id, 0);
        false
    }

    /// Ends a job that no worker holds, in an epoch of its own.
    pub(super) fn end_foreign(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        why: (Outcome, EndError),
        written: &mut Written,
    ) {
        let Some(row) = self.jobs.get(&id) else { return };
        let (outcome, error) = why;
        let end = row.end(now, outcome, Some(error));
        let position = Position {
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
    ) -> Promoted {
        self.forget(now);
        let due: Vec<(u64, JobId)> = self
            .waiting
            .iter()
            .take_while(|(until, _)| *until <= now)
            .take(limit)
            .copied()
            .collect();
        let mut ended = 0;
        for (until, id) in &due {
            if self.accept_silently(now, *id, epoch, written) {
                ended += 1;
                continue;
            }
            self.waiting.remove(&(*until, *id));
            let Some(row) = self.jobs.get_mut(id) else {
                continue;
            };
            let Ok(state) = next(row.state, Transition::Promote) else {
                continue;
            };
            row.state = state;
            written.push((*id, row.log.open(epoch(), status(state, None, None))));
            self.enter_line(now, *id, false);
            self.touch(*id, 0);
        }
        Promoted {
            due: due.len(),
            ended,
        }
    }

    pub(super) fn facts(&self, id: JobId) -> Option<Arc<JobFacts>> {
        self.jobs.get(&id).map(|row| Arc::clone(&row.facts))
    }

    /// Where a job stands for readers: an end that is not told yet has not come for them. Of one that waits, also why.
    pub(super) fn stands(&self, id: JobId) -> Option<StatusChange> {
        let row = self.jobs.get(&id)?;
        let status = row.log.untold_since().unwrap_or(row.state);
        Some(match status {
            JobState::Waiting => row.log.last_status(),
            status => StatusChange::bare(status),
        })
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            queued: self.line.len(),
            oldest_queued_ms: self
                .line
                .oldest()
                .and_then(|job| Some(self.jobs.get(&job)?.submitted_ms)),
            running: self.running.len(),
            waiting: self.waiting.len(),
            ended: self.ended.len(),
            dead: self.dead.len(),
            paused: self.line.paused().all,
            paused_tenants: self.line.paused().tenants.len(),
        }
    }

    pub(super) fn log(&self, id: JobId) -> Option<&JobLog> {
        self.jobs.get(&id).map(|row| &row.log)
    }

    /// What a delivery that is over is told: that it ended by this write, or that the lease is another's.
    fn lost_or_done(&self, id: JobId, token: LeaseToken, write: &Write) -> Fenced {
        match self.jobs.get(&id) {
            Some(row) if row.was_ended_by(token, write) => Fenced::Dup,
            _ => Fenced::Lost,
        }
    }

    /// The row of a running job, if the token is its delivery's.
    fn held(&mut self, id: JobId, token: LeaseToken) -> Option<&mut JobRow> {
        self.jobs
            .get_mut(&id)
            .filter(|row| row.state == JobState::Running && row.token == Some(token))
    }
}
