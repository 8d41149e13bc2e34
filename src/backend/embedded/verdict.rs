//! Values that wait for a verdict from outside: what is said of them, and the silence that accepts.

use super::state::{State, Written};
use crate::backend::own::{rejected, status};
use crate::backend::{Ruled, Write};
use crate::event::{Epoch, Event, Position};
use crate::job::{AttemptError, JobId, Outcome, RuledOn, Ruling, Transition, next};
use crate::metrics;

impl State {
    pub(super) fn rule(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        attempt: Option<u32>,
        ruling: Ruling,
        written: &mut Written,
    ) -> Option<Ruled> {
        let row = self.jobs.get_mut(&id)?;
        let accepted = ruling == Ruling::Accept;
        let waits = row.waits_for_verdict();
        if let Some(ruled) = row.record.ruled {
            let named = attempt.map_or(!waits, |attempt| attempt == ruled.attempt);
            if named && ruled.accepted == accepted {
                return Some(Ruled::Taken(ruled.attempt));
            }
        }
        let Some(awaited) = row.record.awaited.as_ref().filter(|_| waits) else {
            return Some(Ruled::NotDue(row.state));
        };
        let due = awaited.attempt;
        if attempt.is_some_and(|attempt| attempt != due) {
            return Some(Ruled::Other(due));
        }
        row.record.ruled = Some(RuledOn {
            attempt: due,
            accepted,
        });
        match ruling {
            Ruling::Accept => {
                metrics::all().verdicts.one(["accept"]);
                self.complete(now, id, epoch, written);
            }
            Ruling::Reask(errors) => {
                metrics::all().verdicts.one(["reask"]);
                self.ask_again(now, id, epoch, errors, written);
            }
        }
        Some(Ruled::Taken(due))
    }

    /// Ends a job whose value has waited for a verdict until its time; false for any other.
    pub(super) fn accept_silently(
        &mut self,
        now: u64,
        id: JobId,
        epoch: &mut dyn FnMut() -> Epoch,
        written: &mut Written,
    ) -> bool {
        let waits = self.jobs.get(&id).is_some_and(|row| row.waits_for_verdict());
        if waits {
            metrics::all().verdicts.one(["silence"]);
            self.complete(now, id, epoch(), written);
        }
        waits
    }

    fn complete(&mut self, now: u64, id: JobId, epoch: Epoch, written: &mut Written) {
        let Some(row) = self.jobs.get(&id) else { return };
        let mut end = row.end(now, Outcome::Completed, None);
        end.sha256 = row.record.awaited.as_ref().map(|awaited| awaited.sha256.clone());
        let position = Position {
            epoch,
            seq: row.log.last().seq + 1,
        };
        let write = Write {
            position,
            opens: true,
            event: Event::End(Box::new(end)),
        };
        self.settle(now, id, write, written);
    }

    fn ask_again(
        &mut self,
        now: u64,
        id: JobId,
        epoch: Epoch,
        errors: Vec<AttemptError>,
        written: &mut Written,
    ) {
        let Some(row) = self.jobs.get_mut(&id) else { return };
        let reasks_max = row.spec.as_ref().map_or(0, |spec| spec.max_reasks);
        if row.record.reasks >= reasks_max {
            let why = rejected(row.record.n, errors);
            return self.end_foreign(now, id, epoch, why, written);
        }
        let Ok(state) = next(row.state, Transition::Promote) else {
            return;
        };
        row.state = state;
        row.record.mends = Some(errors);
        let until_ms = row.until_ms;
        written.push((id, row.log.open(epoch, status(state, Some("reask"), None))));
        self.waiting.remove(&(until_ms, id));
        self.enter_line(now, id, false);
        self.touch_now(id);
    }
}
