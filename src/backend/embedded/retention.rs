//! Jobs that have ended, and how long they are kept: by age, by count and by bytes.

use super::state::State;
use crate::job::JobId;

/// A job that has ended: when, and about how many bytes of it are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) at_ms: u64,
    pub(super) job: JobId,
    pub(super) bytes: usize,
}

impl State {
    /// A job has ended and is kept for its retention.
    pub(super) fn rest(&mut self, at_ms: u64, job: JobId, bytes: usize) {
        self.ended_bytes += bytes;
        self.ended.push_back(Ended { at_ms, job, bytes });
    }

    /// Retention: by age, by count and by bytes. A job's idempotency key goes with it.
    pub(super) fn forget(&mut self, now: u64) {
        while let Some(Ended { at_ms, job, bytes }) = self.ended.front().copied() {
            let old = at_ms + self.options.retention_ms <= now;
            let many = self.ended.len() > self.options.retained_max
                || self.ended_bytes > self.options.retained_bytes_max;
            // An end that is not stored is not let go.
            if !(old || many) || !self.is_kept(job) {
                break;
            }
            self.ended.pop_front();
            self.ended_bytes -= bytes;
            let key = self.jobs.remove(&job).and_then(|row| row.key);
            if let Some(key) = key {
                self.keys.remove(&key);
            }
            self.touch_forgotten(job);
        }
    }

    fn is_kept(&self, id: JobId) -> bool {
        !self.is_stored() || self.jobs.get(&id).is_none_or(|row| row.stored.end)
    }
}
