//! Jobs that do not go on without viewers: which nodes view them, and since when nobody does.

use super::row::JobRow;
use super::state::{State, Written};
use crate::event::Epoch;
use crate::job::{JobId, JobState};

/// Nodes that view one job; one more is not noted, and counts once another has gone.
const NODES_MAX: usize = 1_024;

/// What became of jobs that nobody views any more.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// So many ended at once.
    pub(super) ended: usize,
    /// The workers of these are to be told.
    pub(super) running: Vec<JobId>,
}

impl State {
    pub(super) fn viewed(&mut self, now: u64, id: JobId, node: u64, by_any: bool) {
        let Some(row) = self.jobs.get_mut(&id).filter(|row| !row.state.is_end()) else {
            return;
        };
        let Some(wait_ms) = row.facts.unviewed_ms else {
            return;
        };
        if by_any {
            if row.viewing.len() < NODES_MAX {
                row.viewing.insert(node);
            }
            let first = !std::mem::replace(&mut row.viewed, true);
            self.no_longer_unviewed(id);
            if first {
                self.touch(id, 0);
            }
        } else if row.viewing.remove(&node) && row.viewing.is_empty() {
            self.unviewed(id, now + u64::from(wait_ms));
        }
    }

    /// A job that was viewed has nobody any more, and goes on until then.
    pub(super) fn unviewed(&mut self, id: JobId, until_ms: u64) {
        if let Some(row) = self.jobs.get_mut(&id) {
            row.unviewed_until_ms = Some(until_ms);
            self.unviewed.insert((until_ms, id));
        }
    }

    /// Somebody views the job, or it has ended.
    pub(super) fn no_longer_unviewed(&mut self, id: JobId) {
        let until_ms = self
            .jobs
            .get_mut(&id)
            .and_then(|row| row.unviewed_until_ms.take());
        if let Some(until_ms) = until_ms {
            self.unviewed.remove(&(until_ms, id));
        }
    }

    /// Cancels what nobody has come back to in time, at most `limit` jobs.
    pub(super) fn give_up_unviewed(
        &mut self,
        now: u64,
        limit: usize,
        epoch: &mut dyn FnMut() -> Epoch,
        written: &mut Written,
    ) -> GivenUp {
        let is_due = |(until_ms, _): &&(u64, JobId)| *until_ms <= now;
        let due: Vec<JobId> = self
            .unviewed
            .iter()
            .take_while(is_due)
            .take(limit)
            .map(|(_, id)| *id)
            .collect();
        let mut given_up = GivenUp::default();
        for id in due {
            self.no_longer_unviewed(id);
            let Some(row) = self.jobs.get_mut(&id) else {
                continue;
            };
            if row.cancelled_ms.is_some() {
                continue;
            }
            row.given_up = true;
            if row.state == JobState::Running {
                row.cancelled_ms = Some(now);
                given_up.running.push(id);
                self.touch_now(id);
            } else {
                let why = row.cancelled();
                self.end_foreign(now, id, epoch(), why, written);
                given_up.ended += 1;
            }
        }
        given_up
    }

    /// Whoever viewed the job has gone with the process.
    pub(super) fn unviewed_since_restart(&mut self, now: u64, id: JobId, row: &JobRow) -> Option<u64> {
        let wait_ms = row
            .facts
            .unviewed_ms
            .filter(|_| row.viewed && !row.state.is_end())?;
        let until_ms = now + u64::from(wait_ms);
        self.unviewed.insert((until_ms, id));
        Some(until_ms)
    }
}
