//! What of the state is still to be stored, and what waits for that: a job is let in, and an end told, only once it is.
//!
//! A step notes which job it touched and how urgent that is. The shell takes the touched jobs ([`State::unsaved`]),
//! writes them in one transaction and says what became of it ([`State::saved`], [`State::withdraw`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::log::JobLog;
use super::row::JobRow;
use super::state::{State, Written};
use crate::event::{Entry, Fold, Position};
use crate::job::{JobId, JobSpec, JobState};

/// What the store has of a job.
#[derive(Clone, Debug, Default)]
pub(super) struct Stored {
    /// Its fixed part.
    pub(super) fixed: bool,
    /// Its log up to this seq.
    pub(super) seq: u64,
    /// The snapshot at this position.
    pub(super) snapshot: Option<Position>,
    /// So many bytes of its raw text, in so many pieces.
    pub(super) raw_len: usize,
    pub(super) raw_parts: i64,
    /// The raw text there is of an attempt before.
    pub(super) raw_restarts: bool,
    /// Its end.
    pub(super) end: bool,
    /// Bytes of its log that are told and not stored.
    pub(super) behind_bytes: usize,
}

/// Jobs that have changed since they were stored.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    /// Somebody waits for these.
    now: BTreeSet<JobId>,
    /// These were, and are being written in this round.
    taken: BTreeSet<JobId>,
    round: u64,
    /// These can wait for the next checkpoint.
    soon: BTreeSet<JobId>,
    /// These are past their retention.
    forgotten: Vec<JobId>,
}

/// A job as it is to be stored: shared parts, so that the text is made without the lock.
#[derive(Clone, Debug)]
pub(super) struct Unsaved {
    pub(super) id: JobId,
    pub(super) row: JobRow,
    /// The entries that the store lacks.
    pub(super) entries: Vec<Arc<Entry>>,
    /// The folded state that the store lacks.
    pub(super) snapshot: Option<Arc<Fold>>,
    /// The raw text that the store lacks.
    pub(super) raw: String,
}

impl Unsaved {
    /// Whether the job is kept by being stored.
    pub(super) const fn arrives(&self) -> bool {
        !self.row.stored.fixed
    }

    /// Whether its end is stored with it.
    pub(super) fn ends(&self) -> bool {
        self.row.ended_ms.is_some() && !self.row.stored.end
    }

    /// What is asked for; gone only once the end is stored.
    pub(super) fn spec(&self) -> Option<&JobSpec> {
        self.row.spec.as_deref()
    }

    pub(super) const fn log(&self) -> &JobLog {
        &self.row.log
    }
}

impl State {
    /// From now on, what changes is noted for a store.
    pub(super) fn keep_touched(&mut self) {
        self.touched.get_or_insert_default();
    }

    pub(super) const fn is_stored(&self) -> bool {
        self.touched.is_some()
    }

    /// A job has changed and somebody waits until that is stored.
    pub(super) fn touch_now(&mut self, id: JobId) {
        if let Some(touched) = &mut self.touched {
            touched.soon.remove(&id);
            touched.now.insert(id);
        }
    }

    /// A job has changed by `bytes` of its log.
    pub(super) fn touch(&mut self, id: JobId, bytes: usize) {
        let limit = self.options.checkpoint_bytes;
        let (Some(touched), Some(row)) = (&mut self.touched, self.jobs.get_mut(&id)) else {
            return;
        };
        row.stored.behind_bytes += bytes;
        if row.stored.behind_bytes >= limit {
            touched.now.insert(id);
        } else if !touched.now.contains(&id) {
            touched.soon.insert(id);
        }
    }

    /// A job is past its retention.
    pub(super) fn touch_forgotten(&mut self, id: JobId) {
        if let Some(touched) = &mut self.touched {
            touched.now.remove(&id);
            touched.soon.remove(&id);
            touched.forgotten.push(id);
        }
    }

    /// Whether something is to be stored at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.touched
            .as_ref()
            .is_some_and(|touched| !touched.now.is_empty())
    }

    /// The round of writing in which an urgent change of a job is stored; `None` where nothing is to be waited for.
    pub(super) fn round_of(&self, id: JobId) -> Option<u64> {
        let touched = self.touched.as_ref()?;
        if touched.now.contains(&id) {
            Some(touched.round + 1)
        } else {
            touched.taken.contains(&id).then_some(touched.round)
        }
    }

    /// The jobs that are to be stored at once, and the round in which they are.
    pub(super) fn urgent(&self) -> Vec<(JobId, u64)> {
        let Some(touched) = &self.touched else {
            return Vec::new();
        };
        touched.now.iter().map(|id| (*id, touched.round + 1)).collect()
    }

    /// The round that is being written, or was last.
    fn round(&self) -> u64 {
        self.touched.as_ref().map_or(0, |touched| touched.round)
    }

    /// What became of a job in this round is told to those who wait for it: nobody waits for the round any more.
    pub(super) fn told(&mut self, id: JobId) -> u64 {
        if let Some(touched) = &mut self.touched {
            touched.taken.remove(&id);
        }
        self.round()
    }

    /// What is to be stored: what is urgent, or all.
    pub(super) fn unsaved(&mut self, all: bool) -> (Vec<Unsaved>, Vec<JobId>) {
        let Some(touched) = &mut self.touched else {
            return (Vec::new(), Vec::new());
        };
        let mut ids = std::mem::take(&mut touched.now);
        touched.taken.clone_from(&ids);
        touched.round += 1;
        let mut forgotten = Vec::new();
        if all {
            ids.append(&mut touched.soon);
            forgotten.append(&mut touched.forgotten);
        }
        let unsaved = ids.into_iter().filter_map(|id| self.unsaved_job(id)).collect();
        (unsaved, forgotten)
    }

    fn unsaved_job(&mut self, id: JobId) -> Option<Unsaved> {
        let row = self.jobs.get_mut(&id)?;
        let at = row.log.snapshot().position;
        let snapshot = (row.stored.snapshot != Some(at)).then(|| Arc::clone(row.log.snapshot()));
        let raw_restarts = std::mem::take(&mut row.stored.raw_restarts);
        if raw_restarts {
            row.stored.raw_len = 0;
            row.stored.raw_parts = 0;
        }
        let mut stored = row.stored.clone();
        stored.raw_restarts = raw_restarts;
        Some(Unsaved {
            id,
            entries: row.log.behind(row.stored.seq).cloned().collect(),
            snapshot,
            raw: row.raw[row.stored.raw_len.min(row.raw.len())..].to_owned(),
            row: JobRow {
                raw: String::new(),
                stored,
                ..row.clone()
            },
        })
    }

    /// Jobs were stored as they were when they were taken: they are let in, their ends told.
    pub(super) fn saved(&mut self, unsaved: &Unsaved, written: &mut Written) {
        let Some(row) = self.jobs.get_mut(&unsaved.id) else {
            return;
        };
        row.stored.fixed = true;
        row.stored.seq = unsaved.row.log.last().seq;
        row.stored.snapshot = Some(unsaved.row.log.snapshot().position);
        row.stored.behind_bytes = row
            .log
            .behind(row.stored.seq)
            .map(|entry| entry.event.bytes())
            .sum();
        row.stored.raw_len += unsaved.raw.len();
        row.stored.raw_parts += i64::from(!unsaved.raw.is_empty());
        if unsaved.row.ended_ms.is_some() {
            row.stored.end = true;
            if !unsaved.row.dead {
                row.spec = None;
            }
        }
        if unsaved.arrives() {
            self.let_in(unsaved.id, written);
        }
        // An end that came while this was being written is not in it.
        if unsaved.row.ended_ms.is_some() {
            self.tell_end(unsaved.id, written);
        }
    }

    /// A job was not stored: it is as if it had not been submitted.
    pub(super) fn withdraw(&mut self, id: JobId) {
        let Some(row) = self.jobs.remove(&id) else { return };
        self.arriving -= 1;
        self.asked_bytes -= row.asked_bytes;
        self.line.gone(&row.facts.tenant);
        if let Some(key) = row.key {
            self.keys.remove(&key);
        }
        if let Some(letter) = row.redrives {
            self.not_redriven(letter);
        }
    }

    /// A job could not be stored now: it stays to be.
    pub(super) fn put_off(&mut self, unsaved: &Unsaved) {
        let (Some(touched), Some(row)) = (&mut self.touched, self.jobs.get_mut(&unsaved.id)) else {
            return;
        };
        row.stored.raw_restarts |= unsaved.row.stored.raw_restarts;
        touched.soon.insert(unsaved.id);
    }

    /// Jobs that could not be dropped now stay to be.
    pub(super) fn put_off_forgotten(&mut self, ids: Vec<JobId>) {
        if let Some(touched) = &mut self.touched {
            touched.forgotten.extend(ids);
        }
    }

    /// An end that cannot be stored is told as that.
    pub(super) fn tell_unstored_end(&mut self, id: JobId, written: &mut Written) {
        if let Some(row) = self.jobs.get_mut(&id) {
            row.log.own_up();
        }
        self.tell_end(id, written);
    }

    fn let_in(&mut self, id: JobId, written: &mut Written) {
        let Some(row) = self.jobs.get(&id) else { return };
        self.arriving -= 1;
        let told = row.log.told().seq;
        let entries = row.log.behind(0).filter(|entry| entry.position.seq <= told);
        written.extend(entries.map(|entry| (id, Arc::clone(entry))));
        // A cancel may have come first.
        if row.state == JobState::Queued {
            let came = row.submitted_ms;
            self.enter_line(came, id, false);
        }
    }

    fn tell_end(&mut self, id: JobId, written: &mut Written) {
        let end = self.jobs.get_mut(&id).and_then(|row| row.log.release());
        written.extend(end.map(|entry| (id, entry)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::embedded::EngineOptions;
    use crate::backend::{Submission, Write};
    use crate::event::{End, Epoch, Event, Timings};
    use crate::job::{LeaseToken, Outcome, Usage};

    fn end(position: Position) -> Write {
        let end = End {
            outcome: Outcome::Completed,
            error: None,
            sha256: None,
            best: None,
            usage: Usage::default(),
            attempts: Vec::new(),
            timings: Timings::default(),
            durable: true,
        };
        Write {
            position,
            opens: false,
            event: Event::End(Box::new(end)),
        }
    }

    /// A running job of a state that is stored, and its token.
    fn running(state: &mut State) -> Result<(JobId, LeaseToken), Box<dyn std::error::Error>> {
        let id = JobId::new(crate::clock::job_uuid());
        let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#)?;
        let submission = Submission {
            id,
            epoch: Epoch::new(1),
            tenant: "one".into(),
            spec: Arc::new(spec),
            shape: Arc::default(),
            idempotency: None,
        };
        let mut written = Vec::new();
        state.submit(0, submission, &mut written);
        for unsaved in state.unsaved(true).0 {
            state.saved(&unsaved, &mut written);
        }
        let claim = state
            .claim(0, crate::clock::nonce(), Epoch::new(2), &mut written)
            .ok_or("ready")?;
        Ok((id, claim.lease.token))
    }

    #[test]
    fn an_end_that_comes_while_an_older_state_is_written_waits_for_its_own_turn()
    -> Result<(), Box<dyn std::error::Error>> {
        let mut state = State::new(EngineOptions::default());
        state.keep_touched();
        let (id, token) = running(&mut state)?;
        let (older, _) = state.unsaved(true);
        let last = state.log(id).ok_or("a log")?.last();
        let next = Position {
            seq: last.seq + 1,
            ..last
        };
        let mut written = Vec::new();
        state.finish(0, id, token, end(next), &mut written);
        for unsaved in &older {
            state.saved(unsaved, &mut written);
        }
        assert!(written.is_empty(), "{written:?}");
        let (newer, _) = state.unsaved(false);
        for unsaved in &newer {
            state.saved(unsaved, &mut written);
        }
        assert!(matches!(&written[..], [(job, entry)] if *job == id && matches!(entry.event, Event::End(_))));
        Ok(())
    }

    #[test]
    fn nobody_waits_for_a_round_whose_outcome_was_told() -> Result<(), Box<dyn std::error::Error>> {
        let mut state = State::new(EngineOptions::default());
        state.keep_touched();
        let (id, token) = running(&mut state)?;
        let last = state.log(id).ok_or("a log")?.last();
        let next = Position {
            seq: last.seq + 1,
            ..last
        };
        state.finish(0, id, token, end(next), &mut Vec::new());
        let waited = state.round_of(id).ok_or("it is urgent")?;
        state.unsaved(false);
        assert_eq!(state.round_of(id), Some(waited));
        assert_eq!(state.told(id), waited);
        assert_eq!(state.round_of(id), None);
        Ok(())
    }

    #[test]
    fn what_was_asked_for_counts_until_the_job_has_ended() -> Result<(), Box<dyn std::error::Error>> {
        let mut state = State::new(EngineOptions::default());
        state.keep_touched();
        let (id, token) = running(&mut state)?;
        state.options.asked_bytes_max = state.asked_bytes;
        assert!(running(&mut state).is_err(), "there is no room for a second");
        let last = state.log(id).ok_or("a log")?.last();
        let next = Position {
            seq: last.seq + 1,
            ..last
        };
        state.finish(0, id, token, end(next), &mut Vec::new());
        assert_eq!(state.asked_bytes, 0);
        assert!(running(&mut state).is_ok());
        Ok(())
    }
}
