//! Dead letters: jobs that were given up, kept with what they ask for, and the jobs that are made of them.

use super::state::{State, Written};
use crate::backend::{DeadCursor, DeadLetter, DeadPage, Request, Submission, Submitted};
use crate::job::JobId;

impl State {
    pub(super) fn dead_letters(&self, behind: Option<DeadCursor>, limit: usize) -> DeadPage {
        let limit = limit.clamp(1, DeadPage::LETTERS_MAX);
        let mut older = self
            .dead
            .newest_behind(behind.map(|cursor| (cursor.died_ms, cursor.id)));
        let looked: Vec<(u64, JobId)> = older.by_ref().take(limit).collect();
        let last = looked.last().filter(|_| older.next().is_some());
        DeadPage {
            next: last.map(|&(died_ms, id)| DeadCursor { died_ms, id }),
            letters: looked
                .iter()
                .filter_map(|&(died_ms, job)| self.letter(job, died_ms))
                .collect(),
        }
    }

    pub(super) fn dead_letter(&self, job: JobId) -> Option<(DeadLetter, Request)> {
        let row = self.jobs.get(&job).filter(|row| row.dead)?;
        let request = Request {
            spec: row.spec.clone()?,
            shape: row.facts.shape.clone(),
        };
        Some((self.letter(job, row.ended_ms?)?, request))
    }

    /// None whose end is not told yet.
    fn letter(&self, job: JobId, died_ms: u64) -> Option<DeadLetter> {
        let row = self.jobs.get(&job)?;
        let end = row.log.end().filter(|_| row.log.untold_since().is_none())?;
        Some(DeadLetter {
            id: job,
            tenant: row.facts.tenant.clone(),
            submitted_ms: row.submitted_ms,
            died_ms,
            end: Box::new(end.clone()),
        })
    }

    pub(super) fn redriven(&self, letter: JobId) -> Option<JobId> {
        self.jobs.get(&letter)?.redriven
    }

    pub(super) fn redrive(
        &mut self,
        now: u64,
        letter: JobId,
        submission: Submission,
        written: &mut Written,
    ) -> Option<Submitted> {
        let id = submission.id;
        let row = self.jobs.get(&letter)?;
        match row.redriven {
            // Sent again.
            Some(job) if job == id => return Some(self.submit(now, submission, written)),
            Some(job) => return Some(Submitted::existing(job)),
            None if !row.dead => return None,
            None => {}
        }
        let submitted = self.submit(now, submission, written);
        if let Submitted::New { .. } = submitted {
            let stored = self.is_stored();
            if let Some(row) = self.jobs.get_mut(&letter) {
                row.dead = false;
                row.redriven = Some(id);
                // Where there is a store, once the new job is there.
                if !stored {
                    row.spec = None;
                }
            }
            if let Some(row) = self.jobs.get_mut(&id) {
                row.redrives = Some(letter);
            }
            self.rest_among(now, letter, false);
            self.touch_now(letter);
        }
        Some(submitted)
    }

    /// The job that was to be made of a letter could not be kept.
    pub(super) fn not_redriven(&mut self, letter: JobId) {
        let Some(row) = self.jobs.get_mut(&letter) else {
            return;
        };
        row.dead = true;
        row.redriven = None;
        let at_ms = row.ended_ms.unwrap_or_default();
        self.rest_among(at_ms, letter, true);
        self.touch_now(letter);
    }
}
