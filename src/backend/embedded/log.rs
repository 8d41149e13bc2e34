//! One job's log in memory: lineage, snapshot and tail.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::backend::{Reading, Start, Write};
use crate::event::{End, Entry, Epoch, Event, Fold, Lineage, Position, Resume, StatusChange};
use crate::job::JobState;

/// A log. Cloning it is what a lagging replica has.
#[derive(Clone, Debug)]
pub(super) struct JobLog {
    lineage: Lineage,
    last: Position,
    snapshot: Arc<Fold>,
    tail: VecDeque<Arc<Entry>>,
    /// The last entry is not told yet: it is an end that is not stored.
    withheld: bool,
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
            withheld: false,
        };
        let entry = log.open(epoch, event);
        (log, entry)
    }

    /// A log as it was stored.
    pub(super) fn stored(lineage: Lineage, last: Position, snapshot: Fold, tail: Vec<Entry>) -> Self {
        Self {
            lineage,
            last,
            snapshot: Arc::new(snapshot),
            tail: tail.into_iter().map(Arc::new).collect(),
            withheld: false,
        }
    }

    pub(super) const fn last(&self) -> Position {
        self.last
    }

    pub(super) const fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    pub(super) const fn snapshot(&self) -> &Arc<Fold> {
        &self.snapshot
    }

    /// The entries behind a seq.
    pub(super) fn behind(&self, seq: u64) -> impl Iterator<Item = &Arc<Entry>> {
        self.tail.iter().filter(move |entry| entry.position.seq > seq)
    }

    /// Where the log ends for readers.
    pub(super) fn told(&self) -> Position {
        let untold = usize::from(self.withheld);
        self.tail
            .iter()
            .rev()
            .nth(untold)
            .map_or(self.snapshot.position, |entry| entry.position)
    }

    /// The last entry is not to be told before it is stored.
    pub(super) const fn withhold(&mut self) {
        self.withheld = true;
    }

    /// Where the job stood before an end that is not told yet; `None` where all is told.
    pub(super) fn untold_since(&self) -> Option<JobState> {
        self.withheld.then(|| self.last_status().status)
    }

    /// Where the job stood last but for an end, why, and until when.
    pub(super) fn last_status(&self) -> StatusChange {
        let folded = |fold: &Fold| StatusChange {
            status: fold.status,
            reason: fold.reason.clone(),
            until_ms: fold.until_ms,
        };
        let status = |entry: &Arc<Entry>| match &entry.event {
            Event::Status(change) => Some(change.clone()),
            Event::State(fold) => Some(folded(fold)),
            Event::Patch(_) | Event::Attempt(_) | Event::Note(_) | Event::Hook(_) | Event::End(_) => None,
        };
        let told = self.tail.iter().rev().find_map(status);
        told.unwrap_or_else(|| folded(&self.snapshot))
    }

    /// The last entry may be told; `None` where nothing was withheld.
    pub(super) fn release(&mut self) -> Option<Arc<Entry>> {
        std::mem::take(&mut self.withheld)
            .then(|| self.tail.back().cloned())
            .flatten()
    }

    /// The end, which nobody was told yet, says that it is not stored.
    pub(super) fn own_up(&mut self) {
        let Some(last) = self.tail.back_mut().filter(|_| self.withheld) else {
            return;
        };
        let mut entry = (**last).clone();
        if let Event::End(end) = &mut entry.event {
            end.durable = false;
        }
        *last = Arc::new(entry);
    }

    /// The end, if the log has it.
    pub(super) fn end(&self) -> Option<&End> {
        match &self.tail.back()?.event {
            Event::End(end) => Some(end),
            _ => None,
        }
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
        self.fold_of(self.tail.len())
    }

    /// The state that the end, the last entry, was written behind.
    pub(super) fn fold_before_end(&self) -> Fold {
        self.fold_of(self.tail.len().saturating_sub(1))
    }

    fn fold_of(&self, entries: usize) -> Fold {
        let mut fold = (*self.snapshot).clone();
        for entry in self.tail.iter().take(entries) {
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
        let last = self.told();
        let resumed = held.filter(|held| {
            self.lineage.resume(last.seq, *held) == Resume::Tail && held.seq >= self.snapshot.position.seq
        });
        let start = match resumed {
            Some(_) => Start::Tail,
            None => Start::Snapshot(Arc::clone(&self.snapshot)),
        };
        let from = resumed.map_or(self.snapshot.position.seq, |held| held.seq);
        let tail = self
            .tail
            .iter()
            .filter(|entry| entry.position.seq > from && entry.position.seq <= last.seq)
            .cloned()
            .collect();
        Reading {
            lineage: self.lineage.clone(),
            last,
            start,
            tail,
        }
    }
}
