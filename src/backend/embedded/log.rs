//! One job's log in memory: lineage, snapshot and tail.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::{Reading, Start, Write};
use crate::event::{Entry, Epoch, Event, Fold, Lineage, Position, Resume};

/// A log. Cloning it is what a lagging replica has.
#[derive(Clone, Debug)]
pub(super) struct JobLog {
    lineage: Lineage,
    last: Position,
    snapshot: Arc<Fold>,
    tail: VecDeque<Arc<Entry>>,
}

/// Whether a write fits the end of the log.
pub(super) enum Fit {
    /// It is the next.
    Next,
    /// It stands there already.
    Dup,
    /// The log ends before it, or went another way.
    RolledBack(Position),
}

impl JobLog {
    /// A log of one entry, which opens its first epoch.
    pub(super) fn begin(epoch: Epoch, event: Event) -> (Self, Arc<Entry>) {
        let before = Position { epoch, seq: 0 };
        let mut log = Self {
            lineage: Lineage::default(),
            last: before,
            snapshot: Arc::new(Fold::submitted(before)),
            tail: VecDeque::new(),
        };
        let entry = log.open(epoch, event);
        (log, entry)
    }

    pub(super) const fn last(&self) -> Position {
        self.last
    }

    /// Writes an event in a new epoch: the engine's own steps.
    pub(super) fn open(&mut self, epoch: Epoch, event: Event) -> Arc<Entry> {
        self.write(Write {
            position: Position {
                epoch,
                seq: self.last.seq + 1,
            },
            opens: true,
            event,
        })
    }

    /// Whether `write` may be written (rules E1, E3).
    pub(super) fn fit(&self, write: &Write) -> Fit {
        let current = self.lineage.current() == Some(write.position.epoch);
        if current && write.position.seq <= self.last.seq {
            return Fit::Dup;
        }
        let next = write.position.seq == self.last.seq + 1;
        let opens = write.opens && !self.lineage.contains(write.position.epoch);
        if next && (current || opens) {
            Fit::Next
        } else {
            Fit::RolledBack(self.last)
        }
    }

    /// Writes an event that [fits](Self::fit).
    pub(super) fn write(&mut self, write: Write) -> Arc<Entry> {
        let parent = self.lineage.current();
        let opens = (parent != Some(write.position.epoch)).then_some(parent);
        if opens.is_some() {
            self.lineage.open(write.position.epoch, self.last.seq);
        }
        self.last = write.position;
        let entry = Arc::new(Entry {
            position: write.position,
            opens,
            event: write.event,
        });
        self.tail.push_back(Arc::clone(&entry));
        entry
    }

    /// Stores a snapshot and trims the tail up to it.
    pub(super) fn trim(&mut self, snapshot: Arc<Fold>) {
        while self
            .tail
            .front()
            .is_some_and(|entry| entry.position.seq <= snapshot.position.seq)
        {
            self.tail.pop_front();
        }
        self.snapshot = snapshot;
    }

    /// About how many bytes the tail takes.
    pub(super) fn tail_bytes(&self) -> usize {
        self.tail.iter().map(|entry| entry.event.bytes()).sum()
    }

    /// fold(snapshot, tail). An entry that does not fold leaves the state before it: a worker then starts over.
    pub(super) fn fold(&self) -> Fold {
        let mut fold = (*self.snapshot).clone();
        for entry in &self.tail {
            if fold.apply(entry).is_err() {
                return Fold {
                    position: self.last,
                    ..Fold::submitted(self.last)
                };
            }
        }
        fold
    }

    pub(super) fn read(&self, held: Option<Position>) -> Reading {
        let resumed = held.filter(|held| {
            self.lineage.resume(self.last.seq, *held) == Resume::Tail
                && held.seq >= self.snapshot.position.seq
        });
        let start = match resumed {
            Some(_) => Start::Tail,
            None => Start::Snapshot(Arc::clone(&self.snapshot)),
        };
        let from = resumed.map_or(self.snapshot.position.seq, |held| held.seq);
        let tail = self
            .tail
            .iter()
            .filter(|entry| entry.position.seq > from)
            .cloned()
            .collect();
        Reading {
            lineage: self.lineage.clone(),
            last: self.last,
            start,
            tail,
        }
    }
}
