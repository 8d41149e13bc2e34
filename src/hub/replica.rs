//! A node's copy of a job: its folded state, its line of epochs, and a ring of recent frames.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::{Arc, OnceLock};

use super::HubOptions;
use super::form::{self, Face, Frame, Look, Told};
use crate::backend::{JobFacts, Reading, Start};
use crate::event::{End, Entry, Event, Fold, Lineage, Position, Resume, Unfoldable};
use crate::job::JobId;
use crate::wire::{Bigints, JobAttempts, JobStateNow};

/// The copy. Pure: entries and readings go in, frames come out.
#[derive(Debug)]
pub struct Replica {
    facts: Arc<JobFacts>,
    options: HubOptions,
    lineage: Lineage,
    /// The state before the end: a snapshot stands at most one before it.
    fold: Fold,
    end: Option<(Position, Arc<End>)>,
    /// Rises whenever the ring no longer continues what viewers hold.
    generation: u64,
    ring: VecDeque<Arc<Frame>>,
    ring_bytes: usize,
    snapshots: [Option<(Position, Arc<[Told]>)>; Face::COUNT],
    /// The end as it is told: to viewers that hold the value, to the others, and to those with big numbers as strings.
    ends: [OnceLock<Told>; 3],
    gone: bool,
    /// The engine has not been heard of the job for long: the copy may be behind.
    degraded: bool,
    /// An entry did not fold: the copy is no longer to be continued.
    broken: bool,
}

/// What became of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// It was the next.
    Applied,
    /// It was there, or is of an epoch that the line has left.
    Old,
    /// Something is missing before it: read.
    Gap,
}

impl Replica {
    /// A copy from a reading that begins by a snapshot.
    pub fn new(facts: Arc<JobFacts>, options: HubOptions, reading: &Reading) -> Result<Self, Unfoldable> {
        let mut replica = Self {
            fold: Fold::submitted(reading.last),
            facts,
            options,
            lineage: Lineage::default(),
            end: None,
            generation: 0,
            ring: VecDeque::new(),
            ring_bytes: 0,
            snapshots: Default::default(),
            ends: Default::default(),
            gone: false,
            degraded: false,
            broken: false,
        };
        replica.repair(reading)?;
        Ok(replica)
    }

    /// The job.
    pub fn job(&self) -> JobId {
        self.facts.id
    }

    /// What is fixed with the job.
    pub fn facts(&self) -> &Arc<JobFacts> {
        &self.facts
    }

    /// Where the copy stands, the end included.
    pub fn last(&self) -> Position {
        self.end
            .as_ref()
            .map_or(self.fold.position, |(position, _)| *position)
    }

    /// What a reading may continue from; `None` where only a whole one helps.
    pub fn held(&self) -> Option<Position> {
        (!self.broken).then(|| self.last())
    }

    /// The folded state before the end.
    pub const fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The end, and where it stands.
    pub fn end(&self) -> Option<(Position, &End)> {
        self.end.as_ref().map(|(position, end)| (*position, &**end))
    }

    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// The engine no longer knows the job: it is past its retention.
    pub(super) const fn gone(&mut self) {
        self.gone = true;
    }

    pub(super) const fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// Whether the copy may be behind; true where that is news.
    pub(super) const fn degrade(&mut self, degraded: bool) -> bool {
        let news = self.degraded != degraded;
        self.degraded = degraded;
        news
    }

    /// That the copy may be behind, or is no more, for a viewer.
    pub(super) fn told_degraded(&self) -> Told {
        form::degraded(self.job(), self.degraded)
    }

    /// Takes a live entry (rule E1): epoch is compared before seq.
    pub fn take(&mut self, entry: &Arc<Entry>) -> Took {
        let Position { epoch, seq } = entry.position;
        let last = self.last();
        if epoch == last.epoch {
            return match seq.cmp(&(last.seq + 1)) {
                std::cmp::Ordering::Less => Took::Old,
                std::cmp::Ordering::Equal => self.apply(entry),
                std::cmp::Ordering::Greater => Took::Gap,
            };
        }
        if entry.opens == Some(Some(last.epoch)) && seq == last.seq + 1 {
            return self.apply(entry);
        }
        if self.lineage.contains(epoch) {
            Took::Old
        } else {
            Took::Gap
        }
    }

    fn apply(&mut self, entry: &Arc<Entry>) -> Took {
        match self.push(entry) {
            Ok(()) => Took::Applied,
            // The copy has parted from the log in a way the positions do not show: read it anew.
            Err(_) => Took::Gap,
        }
    }

    fn push(&mut self, entry: &Arc<Entry>) -> Result<(), Unfoldable> {
        let folded = self.fold_in(entry);
        self.broken |= folded.is_err();
        folded
    }

    fn fold_in(&mut self, entry: &Arc<Entry>) -> Result<(), Unfoldable> {
        if entry.opens.is_some() && !self.lineage.contains(entry.position.epoch) {
            self.lineage.open(entry.position.epoch, entry.position.seq - 1);
        }
        match &entry.event {
            Event::End(end) => {
                self.end = Some((entry.position, Arc::new((**end).clone())));
                self.ends = Default::default();
            }
            Event::State(_) => {
                self.fold.apply(entry)?;
                self.restart();
            }
            Event::Patch(_) => {
                let cursor = self.fold.cursor.clone();
                self.fold.apply(entry)?;
                self.keep(Frame::new(Arc::clone(entry), cursor));
            }
            Event::Status(_) | Event::Attempt(_) | Event::Note(_) | Event::Hook(_) => {
                self.fold.apply(entry)?;
                self.keep(Frame::new(Arc::clone(entry), None));
            }
        }
        Ok(())
    }

    fn keep(&mut self, frame: Frame) {
        self.ring_bytes += frame.bytes();
        self.ring.push_back(Arc::new(frame));
        while self.options.over(self.ring.len(), self.ring_bytes) {
            match self.ring.pop_front() {
                Some(oldest) => self.ring_bytes -= oldest.bytes(),
                None => break,
            }
        }
    }

    /// Nothing that viewers hold continues here: each gets a snapshot.
    fn restart(&mut self) {
        self.generation += 1;
        self.ring.clear();
        self.ring_bytes = 0;
    }

    /// Takes a reading: the tail that was missing, or a state that replaces. After an error the copy is what it was
    /// up to the entry that does not fold.
    pub fn repair(&mut self, reading: &Reading) -> Result<(), Unfoldable> {
        if let Start::Snapshot(state) = &reading.start {
            self.fold = (**state).clone();
            self.end = None;
            self.broken = false;
            self.restart();
        }
        for entry in &reading.tail {
            if entry.position.seq > self.last().seq {
                self.push(entry)?;
            }
        }
        self.lineage = reading.lineage.clone();
        Ok(())
    }

    /// How a viewer goes on from what it holds (rule E8).
    pub fn resume(&self, held: Position) -> Resume {
        self.lineage.resume(self.last().seq, held)
    }

    /// Whether a viewer may hold more than this copy: an epoch it does not know, or a later seq of the current one.
    pub(super) fn may_be_behind(&self, held: Position) -> bool {
        let last = self.last();
        !self.lineage.contains(held.epoch) || (held.epoch == last.epoch && held.seq > last.seq)
    }

    /// The frames behind a position of this generation; `None` where the ring has lost some of them.
    pub(super) fn behind(&self, seq: u64) -> Option<Iter<'_, Arc<Frame>>> {
        let first = self
            .ring
            .front()
            .map_or(self.fold.position.seq + 1, |frame| frame.position().seq);
        let skip = usize::try_from((seq + 1).checked_sub(first)?).unwrap_or(usize::MAX);
        Some(self.ring.range(skip.min(self.ring.len())..))
    }

    /// The snapshot in a look, encoded once per position.
    pub(super) fn snapshot(&mut self, face: Face) -> Arc<[Told]> {
        let slot = face.slot();
        if let Some((position, told)) = &self.snapshots[slot]
            && *position == self.fold.position
        {
            return Arc::clone(told);
        }
        let value = face.draft(self.fold.value.as_ref(), &self.facts.shape);
        let told: Arc<[Told]> = form::snapshot(
            self.job(),
            &self.fold,
            value.as_ref(),
            self.options.snapshot_part_bytes,
        )
        .into();
        self.snapshots[slot] = Some((self.fold.position, Arc::clone(&told)));
        told
    }

    /// The end for a viewer, encoded once; `folds` says that it folds the patches itself.
    pub(super) fn told_end(&self, face: Face, folds: bool) -> Option<Told> {
        let (position, end) = self.end.as_ref()?;
        let holds = folds && face.slot() == 0;
        let told = match (holds, face.bigints) {
            (true, _) => &self.ends[0],
            (false, Bigints::Number) => &self.ends[1],
            (false, Bigints::String) => &self.ends[2],
        };
        let told = told.get_or_init(|| self.encode_end(*position, end, face, holds));
        Some(told.clone())
    }

    fn encode_end(&self, position: Position, end: &End, face: Face, holds: bool) -> Told {
        let attempt = self.fold.attempt;
        let value = self.fold.value.as_ref();
        let (value, sha256) = if holds {
            form::value_or_hash(value, end.sha256.as_deref(), self.options.end_value_bytes)
        } else {
            let value = value.cloned().map(|value| face.numbers(value).to_json());
            (value, end.sha256.clone())
        };
        form::end(self.job(), position, attempt, end, value, sha256, face)
    }

    /// A frame in a viewer's look; `None` for what it does not want.
    pub(super) fn told(&self, frame: &Frame, look: Look) -> Option<Told> {
        frame.told(self.job(), &self.facts.shape, look)
    }

    /// The attempts, with what each came to once the end has told that.
    pub fn attempts(&self) -> JobAttempts {
        form::attempts(self.job(), &self.fold, self.end.as_ref().map(|(_, end)| &**end))
    }

    /// State and value now, as `job.get` tells them.
    pub fn state(&self) -> JobStateNow {
        form::state(self.job(), &self.fold, self.end())
    }
}
