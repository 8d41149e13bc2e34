//! The jobs a socket watches, and which of them own their tag.

use crate::job::{JobId, Tag};

/// One row a job; a handful at most, so a list.
#[derive(Debug, Default)]
pub(super) struct Viewers(Vec<(JobId, bool)>);

impl Viewers {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, job: JobId) -> bool {
        self.0.iter().any(|(watched, _)| *watched == job)
    }

    /// Adds or finds a job. Gives the tag its patches come under; `None` where another job of the socket has it.
    pub(super) fn add(&mut self, job: JobId) -> Option<Tag> {
        if let Some((_, tagged)) = self.0.iter().find(|(watched, _)| *watched == job) {
            return tagged.then(|| job.tag());
        }
        let taken = self
            .0
            .iter()
            .any(|(watched, tagged)| *tagged && watched.tag() == job.tag());
        self.0.push((job, !taken));
        (!taken).then(|| job.tag())
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, job: JobId) -> bool {
        let before = self.0.len();
        self.0.retain(|(watched, _)| *watched != job);
        self.0.len() < before
    }
}
