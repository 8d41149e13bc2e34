//! The jobs a socket watches, which of them own their tag, and the viewers that are being made.

use crate::job::{JobId, Tag};

/// One row a job, one row a viewer that was asked for; a handful at most, so lists.
#[derive(Debug, Default)]
pub(super) struct Viewers {
    watched: Vec<(JobId, bool)>,
    /// Asked for and not answered yet, and whether a viewer of the same job has begun since.
    asked: Vec<(JobId, bool)>,
}

impl Viewers {
    /// Jobs that are watched, and those a viewer of which is asked for.
    pub(super) fn len(&self) -> usize {
        let is_first = |at: usize, job: JobId| !self.asked[..at].iter().any(|(asked, _)| *asked == job);
        let asked = self.asked.iter().enumerate();
        let new = asked.filter(|(at, (job, _))| !self.watches(*job) && is_first(*at, *job));
        self.watched.len() + new.count()
    }

    fn watches(&self, job: JobId) -> bool {
        self.watched.iter().any(|(watched, _)| *watched == job)
    }

    /// Whether a job is watched, or a viewer of it is asked for.
    pub(super) fn has(&self, job: JobId) -> bool {
        self.watches(job) || self.asked.iter().any(|(asked, _)| *asked == job)
    }

    /// A viewer is asked for. Whether it may go on from a position: not where the socket was told something of the
    /// job, or is about to be; seq would fall.
    pub(super) fn ask(&mut self, job: JobId) -> bool {
        let first = !self.has(job);
        self.asked.push((job, false));
        first
    }

    /// A viewer that was asked for is answered; whether another one of its job has begun meanwhile. Answers come in
    /// any order, but only the first of those that wait together may hold a position.
    pub(super) fn answered(&mut self, job: JobId) -> bool {
        let asked = self.asked.iter().position(|(asked, _)| *asked == job);
        asked.is_some_and(|asked| self.asked.remove(asked).1)
    }

    /// Adds or finds a job. Gives the tag its patches come under; `None` where another job of the socket has it.
    pub(super) fn add(&mut self, job: JobId) -> Option<Tag> {
        for (_, begun) in self.asked.iter_mut().filter(|(asked, _)| *asked == job) {
            *begun = true;
        }
        if let Some((_, tagged)) = self.watched.iter().find(|(watched, _)| *watched == job) {
            return tagged.then(|| job.tag());
        }
        let taken = self
            .watched
            .iter()
            .any(|(watched, tagged)| *tagged && watched.tag() == job.tag());
        self.watched.push((job, !taken));
        (!taken).then(|| job.tag())
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, job: JobId) -> bool {
        let before = self.watched.len();
        self.watched.retain(|(watched, _)| *watched != job);
        self.watched.len() < before
    }
}
