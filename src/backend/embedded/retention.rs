//! Jobs that have ended, and how long they are kept: by age, by count and by bytes. Those that were given up are kept
//! apart from the others.

use std::collections::VecDeque;

use super::state::State;
use crate::job::JobId;

/// A job that has ended: when, and about how many bytes of it are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    at_ms: u64,
    job: JobId,
    bytes: usize,
}

impl Ended {
    const fn place(&self) -> (u64, JobId) {
        (self.at_ms, self.job)
    }
}

/// Jobs that have ended, in the order of their ends. Dead letters of a millisecond are in that of their ids, by which their
/// pages go.
#[derive(Clone, Debug, Default)]
pub(super) struct Retained {
    jobs: VecDeque<Ended>,
    bytes: usize,
}

/// What bounds them.
#[derive(Clone, Copy)]
struct Bounds {
    ms: u64,
    jobs: usize,
    bytes: usize,
}

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// When dead letters ended, and which, the newest first: all, or those behind this place, whether one stands there or not.
    pub(super) fn newest_behind(&self, place: Option<(u64, JobId)>) -> impl Iterator<Item = (u64, JobId)> {
        let older = place.map_or(self.jobs.len(), |place| self.count_before(place));
        self.jobs.range(..older).rev().map(Ended::place)
    }

    fn count_before(&self, place: (u64, JobId)) -> usize {
        self.jobs.partition_point(|ended| ended.place() < place)
    }

    fn push(&mut self, ended: Ended) {
        self.bytes += ended.bytes;
        self.jobs.push_back(ended);
    }

    /// Keeps one among all that are kept so, by its place: at the end, or next to it, but for a letter that is one again.
    fn insert(&mut self, ended: Ended) {
        self.bytes += ended.bytes;
        self.jobs.insert(self.count_before(ended.place()), ended);
    }

    fn remove(&mut self, job: JobId) {
        if let Some(at) = self.jobs.iter().position(|ended| ended.job == job)
            && let Some(ended) = self.jobs.remove(at)
        {
            self.bytes -= ended.bytes;
        }
    }

    /// The oldest, if it is not to be kept.
    fn over(&self, now: u64, bounds: Bounds) -> Option<JobId> {
        let oldest = self.jobs.front()?;
        let old = oldest.at_ms + bounds.ms <= now;
        let many = self.jobs.len() > bounds.jobs || self.bytes > bounds.bytes;
        (old || many).then_some(oldest.job)
    }
}

impl State {
    /// A job has ended and is kept for its retention.
    pub(super) fn rest(&mut self, at_ms: u64, job: JobId, bytes: usize, dead: bool) {
        let ended = Ended { at_ms, job, bytes };
        if dead {
            self.dead.insert(ended);
        } else {
            self.ended.push(ended);
        }
    }

    /// A job was made of a dead letter, or that has come to nothing: it is kept among the others.
    pub(super) fn rest_among(&mut self, at_ms: u64, job: JobId, dead: bool) {
        self.dead.remove(job);
        self.ended.remove(job);
        let bytes = self.jobs.get(&job).map_or(0, |row| row.bytes());
        self.rest(at_ms, job, bytes, dead);
    }

    /// Retention: by age, by count and by bytes. A job's idempotency key goes with it.
    pub(super) fn forget(&mut self, now: u64) {
        let options = self.options;
        let ended = Bounds {
            ms: options.retention_ms,
            jobs: options.retained_max,
            bytes: options.retained_bytes_max,
        };
        let dead = Bounds {
            ms: options.dead_ms,
            jobs: options.dead_max,
            bytes: options.dead_bytes_max,
        };
        // An end that is not stored is not let go.
        while let Some(job) = self.ended.over(now, ended).filter(|job| self.is_kept(*job)) {
            self.ended.remove(job);
            self.let_be_forgotten(job);
        }
        while let Some(job) = self.dead.over(now, dead).filter(|job| self.is_kept(*job)) {
            self.dead.remove(job);
            self.let_be_forgotten(job);
        }
    }

    fn let_be_forgotten(&mut self, job: JobId) {
        let key = self.jobs.remove(&job).and_then(|row| row.key);
        if let Some(key) = key {
            self.keys.remove(&key);
        }
        self.touch_forgotten(job);
    }

    fn is_kept(&self, id: JobId) -> bool {
        !self.is_stored() || self.jobs.get(&id).is_none_or(|row| row.stored.end)
    }
}
