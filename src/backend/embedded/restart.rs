//! The state of an engine that goes on from a store.

use std::sync::Arc;

use super::options::EngineOptions;
use super::row::JobRow;
use super::state::{KeyRow, State};
use crate::backend::own::{crashed, status};
use crate::event::Epoch;
use crate::job::{JobId, JobState, Transition, next};

impl State {
    /// Takes up stored jobs, given in the order of submission. Those that ran are put back in line before the others,
    /// or end: they were to be cancelled, or the process has ended too often while they ran.
    pub(super) fn restart(
        options: EngineOptions,
        jobs: Vec<(JobId, JobRow)>,
        now: u64,
        epoch: &mut dyn FnMut() -> Epoch,
    ) -> Self {
        let mut state = Self::new(options);
        state.keep_touched();
        let (mut interrupted, mut recovering, mut queued) = (Vec::new(), Vec::new(), Vec::new());
        let mut ended = Vec::new();
        for (id, mut row) in jobs {
            match row.state {
                JobState::Running => interrupted.push(id),
                JobState::Recovering => recovering.push(id),
                JobState::Queued => queued.push(id),
                JobState::Waiting => state.wait_again(now, id, &mut row),
                JobState::Completed | JobState::Failed | JobState::Cancelled | JobState::Incomplete => {
                    ended.push((
                        row.ended_ms.unwrap_or(row.submitted_ms),
                        id,
                        row.bytes(),
                        row.dead,
                    ));
                }
            }
            state.take_up(now, id, row);
        }
        ended.sort_unstable();
        for (at_ms, id, bytes, dead) in ended {
            state.rest(at_ms, id, bytes, dead);
        }
        for id in interrupted {
            state.interrupted(now, id, epoch());
        }
        for id in recovering {
            state.enter_line(now, id, true);
        }
        for id in queued {
            state.enter_line(now, id, false);
        }
        state
    }

    fn take_up(&mut self, now: u64, id: JobId, mut row: JobRow) {
        if row.ended_ms.is_none() {
            row.asked_bytes = row.spec.as_ref().map_or(0, |spec| spec.bytes());
            self.asked_bytes += row.asked_bytes;
            self.line.arrived(&row.facts.tenant);
        }
        if let Some(name) = &row.key {
            let key = KeyRow {
                job: id,
                request: row.request,
            };
            self.keys.insert((Arc::clone(&name.0), Arc::clone(&name.1)), key);
        }
        row.unviewed_until_ms = self.unviewed_since_restart(now, id, &row);
        self.jobs.insert(id, row);
    }

    /// A job whose worker went down with the process.
    fn interrupted(&mut self, now: u64, id: JobId, epoch: Epoch) {
        let restarts_max = self.options.restarts_max;
        let Some(row) = self.jobs.get_mut(&id) else { return };
        // Nobody is told of this before the job is claimed again.
        let mut unheard = Vec::new();
        row.restarts += 1;
        row.dead = row.cancelled_ms.is_none() && row.restarts > restarts_max;
        let why = if row.cancelled_ms.is_some() {
            Some(row.cancelled())
        } else if row.restarts > restarts_max {
            Some(crashed(row.restarts))
        } else {
            None
        };
        if let Some(why) = why {
            return self.end_foreign(now, id, epoch, why, &mut unheard);
        }
        let Ok(state) = next(row.state, Transition::LoseLease) else {
            return;
        };
        row.state = state;
        row.log.open(epoch, status(state, Some("restart"), None));
        self.enter_line(now, id, true);
        self.touch(id, 0);
    }
}
