//! The viewers of one socket: who may begin, who has something to tell, and in which turn.

use std::collections::{HashMap, VecDeque};

use bytes::BytesMut;

use super::frame;
use crate::hub::Viewer;
use crate::job::JobId;
use crate::metrics;

/// The viewers of a socket.
#[derive(Debug, Default)]
pub(super) struct Watching {
    live: HashMap<JobId, Viewer>,
    /// Viewers that may have something to tell, in turn.
    ready: VecDeque<JobId>,
    /// Jobs just accepted, whose viewer is being made; the number tells which of the makings is wanted.
    following: HashMap<JobId, u64>,
    made: u64,
    /// A viewer that is ready, until the session lets it begin.
    aside: Option<Viewer>,
}

/// Why a viewer was dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dropped {
    /// It has told the end.
    Over,
    /// Its job is past its retention, and no end was told.
    Gone,
}

impl Watching {
    /// A viewer of an accepted job is being made; gives the number it comes back with.
    pub(super) fn follow(&mut self, job: JobId) -> u64 {
        self.made += 1;
        self.following.insert(job, self.made);
        self.made
    }

    /// Whether the viewer made under this number is still wanted; it is waited for no longer.
    pub(super) fn take_followed(&mut self, job: JobId, number: u64) -> bool {
        let wanted = self.following.get(&job) == Some(&number);
        if wanted {
            self.following.remove(&job);
        }
        wanted
    }

    /// Lays a viewer aside until the session has answered for it.
    pub(super) fn lay_aside(&mut self, viewer: Viewer) {
        self.aside = Some(viewer);
    }

    /// Forgets a viewer that the session did not let begin.
    pub(super) fn clear_aside(&mut self) {
        self.aside = None;
    }

    /// Lets the viewer that was laid aside begin.
    pub(super) fn begin_aside(&mut self, job: JobId, tagged: bool, anew: bool) {
        if let Some(mut viewer) = self.aside.take() {
            if anew {
                viewer.begin_anew();
            }
            self.begin(job, viewer, tagged);
        }
    }

    /// Lets a viewer begin; one that the job had before, or was to have, is dropped.
    pub(super) fn begin(&mut self, job: JobId, mut viewer: Viewer, tagged: bool) {
        if !tagged {
            viewer.untag();
        }
        self.following.remove(&job);
        self.live.insert(job, viewer);
        self.wake(job);
    }

    /// Drops a viewer; nothing of it follows.
    pub(super) fn unwatch(&mut self, job: JobId) {
        self.following.remove(&job);
        self.live.remove(&job);
        self.ready.retain(|ready| *ready != job);
    }

    fn wake(&mut self, job: JobId) {
        if !self.ready.contains(&job) {
            self.ready.push_back(job);
        }
    }

    /// Any of the viewers may have something to tell.
    pub(super) fn wake_all(&mut self) {
        for job in self.live.keys() {
            if !self.ready.contains(job) {
                self.ready.push_back(*job);
            }
        }
    }

    /// Those whose interval has passed.
    pub(super) fn wake_due(&mut self, now_ms: u64) {
        let due: Vec<JobId> = self
            .live
            .iter()
            .filter(|(_, viewer)| viewer.due_ms().is_some_and(|due| due <= now_ms))
            .map(|(job, _)| *job)
            .collect();
        for job in due {
            self.wake(job);
        }
    }

    /// When the next interval passes, ms.
    pub(super) fn due_ms(&self) -> Option<u64> {
        self.live.values().filter_map(Viewer::due_ms).min()
    }

    /// Whether no job is watched, and none is about to be.
    pub(super) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.following.is_empty() && self.aside.is_none()
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Writes frames of one viewer after the other until `out` has `bytes` or nobody has more. A viewer that has more
    /// goes to the end of the line, so that a busy job does not starve the others.
    pub(super) fn write(&mut self, out: &mut BytesMut, now_ms: u64, bytes: usize) -> Vec<(JobId, Dropped)> {
        let mut dropped = Vec::new();
        while out.len() < bytes {
            let Some(job) = self.ready.pop_front() else { break };
            let Some(viewer) = self.live.get_mut(&job) else {
                continue;
            };
            let told = viewer.take(now_ms, bytes);
            for message in &told {
                frame::text(out, &message.text);
            }
            metrics::all().frames_out.add(told.len());
            if viewer.is_over() {
                let why = if viewer.is_gone() {
                    Dropped::Gone
                } else {
                    Dropped::Over
                };
                self.live.remove(&job);
                dropped.push((job, why));
            } else if !told.is_empty() && viewer.has_more() {
                self.ready.push_back(job);
            }
        }
        dropped
    }
}
