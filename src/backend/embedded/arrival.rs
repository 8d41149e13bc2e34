//! How a job comes in: what is known already, whether there is room, and its place in line.

use std::sync::Arc;

use super::line::Comer;
use super::log::JobLog;
use super::row::JobRow;
use super::state::{KeyRow, State, Written};
use crate::backend::own::{estimate, status};
use crate::backend::{Full, JobFacts, Submission, Submitted};
use crate::event::Position;
use crate::job::{JobId, JobState, Priority};

impl State {
    pub(super) fn submit(&mut self, now: u64, submission: Submission, written: &mut Written) -> Submitted {
        if let Some(known) = self.known(&submission) {
            return known;
        }
        let asked_bytes = submission.spec.bytes();
        if let Some(full) = self.full(now, &submission, asked_bytes) {
            return full;
        }
        let Submission {
            id,
            epoch,
            tenant,
            spec,
            shape,
            idempotency,
        } = submission;
        let request = idempotency.as_ref().map_or([0; 32], |given| given.request);
        let key = idempotency.map(|given| {
            let name = (Arc::clone(&tenant), given.key);
            self.keys.insert(name.clone(), KeyRow { job: id, request });
            name
        });
        let (log, entry) = JobLog::begin(epoch, status(JobState::Queued, None, None));
        let position = log.last();
        let ahead = (self.line.ahead(&tenant, spec.priority) + self.arriving) as u64;
        self.line.arrived(&tenant);
        let facts = Arc::new(JobFacts {
            id,
            tenant,
            shape,
            unviewed_ms: spec.on_last_viewer_gone.cancel_after_ms(),
        });
        self.asked_bytes += asked_bytes;
        let row = JobRow {
            request,
            asked_bytes,
            ..JobRow::new(facts, spec, key, now, log)
        };
        self.jobs.insert(id, row);
        if self.is_stored() {
            self.arriving += 1;
            self.touch_now(id);
        } else {
            self.enter_line(now, id, false);
            written.push((id, entry));
        }
        Submitted::New {
            position,
            ahead,
            durable: true,
        }
    }

    /// A submission that is already here: by its id (sent again) or by its key.
    fn known(&self, submission: &Submission) -> Option<Submitted> {
        if self.jobs.contains_key(&submission.id) {
            // As it was answered: its submitter holds the empty state there, wherever the log stands by now.
            let position = Position {
                epoch: submission.epoch,
                seq: 1,
            };
            return Some(Submitted::New {
                position,
                ahead: 0,
                durable: true,
            });
        }
        let given = submission.idempotency.as_ref()?;
        let key = self
            .keys
            .get(&(Arc::clone(&submission.tenant), Arc::clone(&given.key)))?;
        let same = key.request == given.request;
        Some(if same {
            Submitted::existing(key.job)
        } else {
            Submitted::Conflict(key.job)
        })
    }

    /// Why there is no room for another job, and when to come again.
    fn full(&self, now: u64, submission: &Submission, asked_bytes: usize) -> Option<Submitted> {
        let (tenant, priority) = (&*submission.tenant, submission.spec.priority);
        // Those that were put back count too: a provider that is busy for long would otherwise let in any number.
        let queued = self.line.len() + self.waiting.len() + self.arriving;
        let (own, own_max) = (
            self.line.queued(tenant),
            self.line.shares().of(tenant).queued_max as usize,
        );
        let pace = self.drain.pace(now);
        let wait_max_ms = self.options.line_wait_max_ms;
        let turns = self.line.turns(tenant, priority) as u64;
        let is_slow = wait_max_ms > 0 && pace.ms_of(turns).is_some_and(|ms| ms > wait_max_ms);
        let (of, waiting) = if queued >= self.options.queued_max {
            (Full::Jobs, queued)
        } else if self.asked_bytes + asked_bytes > self.options.asked_bytes_max {
            (Full::Bytes, queued)
        } else if own_max > 0 && own >= own_max {
            (Full::Tenant, own)
        } else if is_slow {
            (Full::Wait, queued)
        } else {
            return None;
        };
        Some(Submitted::Full {
            retry_after_ms: pace.retry_after_ms(waiting as u64),
            of,
        })
    }

    /// Puts a job in line; one that lost its worker before all others.
    pub(super) fn enter_line(&mut self, now: u64, id: JobId, recovered: bool) {
        let Some(row) = self.jobs.get_mut(&id) else {
            return;
        };
        row.in_line_ms = now;
        let cost = match row.claims {
            0 => estimate(row.asked_bytes),
            _ => 0,
        };
        self.line.enter(Comer {
            job: id,
            tenant: Arc::clone(&row.facts.tenant),
            priority: row
                .spec
                .as_ref()
                .map_or_else(Priority::default, |spec| spec.priority),
            recovered,
            cost,
        });
    }
}
