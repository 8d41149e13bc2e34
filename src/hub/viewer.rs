//! One socket's interest in one job: a position, a form, and what to tell next.

use std::sync::Arc;

use super::form::{Face, Look, Told};
use super::replica::Replica;
use super::watched::{Ticket, Watched};
use crate::backend::JobFacts;
use crate::event::{Position, Resume};
use crate::metrics;
use crate::wire::{Deliver, Form};

/// A viewer. It takes what stands behind its position when its socket can send; the end is told once, last.
#[derive(Debug)]
pub struct Viewer {
    watched: Arc<Watched>,
    facts: Arc<JobFacts>,
    _ticket: Ticket,
    deliver: Deliver,
    tagged: bool,
    /// What the client holds, and in which generation of the replica; `None` asks for a snapshot.
    held: Option<(u64, Position)>,
    resumed: bool,
    told_ms: Option<u64>,
    conflated: u64,
    /// Whether there was more to take.
    more: bool,
    /// Whether it was told that what it sees may be late.
    degraded: bool,
    over: bool,
}

impl Viewer {
    pub(super) fn new(
        watched: Arc<Watched>,
        ticket: Ticket,
        held: Option<Position>,
        deliver: Deliver,
    ) -> Self {
        let (facts, held) = {
            let replica = watched.replica();
            // Asked under one lock: the copy may have been repaired since the position was placed.
            let held = held
                .filter(|held| replica.resume(*held) == Resume::Tail && replica.behind(held.seq).is_some());
            let held = held.map(|held| (replica.generation(), held));
            (Arc::clone(replica.facts()), held)
        };
        Self {
            watched,
            facts,
            _ticket: ticket,
            deliver,
            tagged: true,
            resumed: held.is_some(),
            held,
            told_ms: None,
            conflated: 0,
            more: false,
            degraded: false,
            over: false,
        }
    }

    /// What is fixed with the job.
    pub fn facts(&self) -> &JobFacts {
        &self.facts
    }

    /// Whether it began by the tail behind what the client held.
    pub const fn resumed(&self) -> bool {
        self.resumed
    }

    /// Has patches come as `job.patch`, where another job of the socket has the tag.
    pub const fn untag(&mut self) {
        self.tagged = false;
    }

    /// Has it begin by a snapshot, whatever the client held.
    pub const fn begin_anew(&mut self) {
        self.held = None;
        self.resumed = false;
    }

    /// Whether the end was told, or the job is past its retention: nothing follows.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the engine no longer knows the job, and no end of it was seen.
    pub fn is_gone(&self) -> bool {
        let replica = self.watched.replica();
        replica.is_gone() && replica.end().is_none()
    }

    /// Whether there was more to tell when something was taken last.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// How often a backlog was dropped for a snapshot.
    pub const fn conflated(&self) -> u64 {
        self.conflated
    }

    /// When something that waits for its interval may be taken, ms; `None` when nothing waits.
    pub fn due_ms(&self) -> Option<u64> {
        let interval = u64::from(self.deliver.interval_ms);
        let told = self.told_ms.filter(|_| interval > 0 && !self.over)?;
        let behind = self
            .held
            .is_none_or(|(_, held)| self.watched.replica().last() != held);
        behind.then_some(told + interval)
    }

    /// Takes what may be told now: about `bytes_max` at the most, more only where one frame or snapshot is larger.
    pub fn take(&mut self, now_ms: u64, bytes_max: usize) -> Vec<Told> {
        let watched = Arc::clone(&self.watched);
        let mut replica = watched.replica();
        let early = self
            .told_ms
            .is_some_and(|told| now_ms < told + u64::from(self.deliver.interval_ms));
        if self.over {
            return Vec::new();
        }
        self.more = false;
        let mut told = Vec::new();
        if self.degraded != replica.is_degraded() {
            self.degraded = replica.is_degraded();
            told.push(replica.told_degraded());
        }
        if early && replica.end().is_none() {
            return told;
        }
        let before = told.len();
        match self.deliver.form {
            Form::Patch => self.take_patches(&mut replica, bytes_max, &mut told),
            Form::Snapshot => self.take_snapshot(&mut replica, &mut told),
            Form::Final => self.held = Some((replica.generation(), replica.fold().position)),
        }
        self.take_end(&replica, &mut told);
        self.more = !self.over && self.holds(&replica) != Some(replica.last());
        if told.len() > before {
            self.told_ms = Some(now_ms);
        }
        told
    }

    fn look(&self) -> Look {
        Look {
            face: Face::of(&self.deliver),
            tagged: self.tagged,
            notes: self.deliver.notes,
            hooks: self.deliver.hooks,
        }
    }

    fn holds(&self, replica: &Replica) -> Option<Position> {
        self.held
            .filter(|(generation, _)| *generation == replica.generation())
            .map(|(_, held)| held)
    }

    fn take_patches(&mut self, replica: &mut Replica, bytes_max: usize, told: &mut Vec<Told>) {
        let look = self.look();
        let Some(held) = self.holds(replica) else {
            return self.conflate(replica, told);
        };
        let Some(frames) = replica.behind(held.seq) else {
            return self.conflate(replica, told);
        };
        let mut bytes = 0;
        let mut last = held;
        for frame in frames {
            if bytes > bytes_max {
                break;
            }
            last = frame.position();
            if let Some(frame) = replica.told(frame, look) {
                bytes += frame.text.len();
                told.push(frame);
            }
        }
        self.held = Some((replica.generation(), last));
    }

    fn conflate(&mut self, replica: &mut Replica, told: &mut Vec<Told>) {
        metrics::all().snapshots.one();
        if self.told_ms.is_some() {
            self.conflated += 1;
            metrics::all().conflations.one();
        }
        told.extend(replica.snapshot(Face::of(&self.deliver)).iter().cloned());
        self.held = Some((replica.generation(), replica.fold().position));
    }

    /// Events up to the first patch as they come, then the value as it is now, if it changed.
    fn take_snapshot(&mut self, replica: &mut Replica, told: &mut Vec<Told>) {
        let look = self.look();
        let Some(held) = self.holds(replica) else {
            return self.conflate(replica, told);
        };
        let Some(frames) = replica.behind(held.seq) else {
            return self.conflate(replica, told);
        };
        let (mut changed, mut patched) = (false, false);
        for frame in frames {
            changed |= frame.changes_value();
            patched |= frame.is_patch();
            // Behind a patch that it is not told, the viewer's value is not the one of this place in the log; the
            // snapshot stands for what is left out.
            if !patched {
                told.extend(replica.told(frame, look));
            }
        }
        let now = replica.fold().position;
        if changed {
            // The snapshot says all that the last of them says; seq has to rise.
            told.retain(|message| message.position != Some(now));
            told.extend(replica.snapshot(Face::of(&self.deliver)).iter().cloned());
            metrics::all().snapshots.one();
        }
        self.held = Some((replica.generation(), now));
    }

    fn take_end(&mut self, replica: &Replica, told: &mut Vec<Told>) {
        let held = self.holds(replica);
        // One that came back may hold the end itself, which is behind the fold: it is told again.
        let all_told = held == Some(replica.fold().position)
            || (held.is_some() && held == replica.end().map(|(position, _)| position));
        if replica.is_gone() && replica.end().is_none() {
            self.over = true;
        }
        if !all_told {
            return;
        }
        let folds = self.deliver.form == Form::Patch;
        if let Some(end) = replica.told_end(Face::of(&self.deliver), folds) {
            told.push(end);
            self.over = true;
        }
    }
}
