//! Which epoch came from which, and what that means for a viewer that returns (rules E1 and E8).

use serde::{Deserialize, Serialize};

use super::position::{Epoch, Position};

/// How many openings are remembered; a viewer from before gets a snapshot.
pub const LINEAGE_MAX: usize = 64;

/// How an epoch began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The epoch.
    pub epoch: Epoch,
    /// The epoch that was current before; `None` for the first of a job.
    pub parent: Option<Epoch>,
    /// The seq at which it left its parent: its first event is `base + 1`.
    pub base: u64,
}

/// The line of epochs of one job, oldest first; the last one is current.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lineage(Vec<Opening>);

/// How a viewer goes on from the position it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// By the events behind its position.
    Tail,
    /// By a snapshot that replaces what it has.
    Snapshot,
}

impl From<Vec<Opening>> for Lineage {
    /// A line as it was stored, oldest first.
    fn from(openings: Vec<Opening>) -> Self {
        Self(openings)
    }
}

impl Lineage {
    /// The oldest epoch that is remembered; `None` before the first event.
    pub fn first(&self) -> Option<Epoch> {
        self.0.first().map(|opening| opening.epoch)
    }

    /// The current epoch; `None` before the first event.
    pub fn current(&self) -> Option<Epoch> {
        self.0.last().map(|opening| opening.epoch)
    }

    /// Whether `epoch` is on the line.
    pub fn contains(&self, epoch: Epoch) -> bool {
        self.0.iter().any(|opening| opening.epoch == epoch)
    }

    /// Adds an epoch that leaves the current one at `base`; the oldest is forgotten over [`LINEAGE_MAX`].
    pub fn open(&mut self, epoch: Epoch, base: u64) {
        let parent = self.current();
        self.0.push(Opening { epoch, parent, base });
        if self.0.len() > LINEAGE_MAX {
            self.0.remove(0);
        }
    }

    /// Rule E8: a viewer at (E, s) goes on by tail if E is current and s ≤ `last`, or E is an ancestor and
    /// s ≤ the base at which the line left it. Epoch is compared before seq.
    pub fn resume(&self, last: u64, held: Position) -> Resume {
        let place = self.0.iter().position(|opening| opening.epoch == held.epoch);
        let limit = match place {
            None => return Resume::Snapshot,
            Some(place) => self.0.get(place + 1).map_or(last, |child| child.base),
        };
        if held.seq <= limit {
            Resume::Tail
        } else {
            Resume::Snapshot
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Lineage {
        let mut lineage = Lineage::default();
        lineage.open(Epoch::new(1), 0);
        lineage.open(Epoch::new(2), 5);
        lineage.open(Epoch::new(3), 9);
        lineage
    }

    fn resume(epoch: u64, seq: u64) -> Resume {
        line().resume(
            12,
            Position {
                epoch: Epoch::new(epoch),
                seq,
            },
        )
    }

    #[test]
    fn a_viewer_on_the_line_gets_the_tail() {
        for (epoch, seq) in [(3, 12), (3, 9), (3, 0), (2, 9), (2, 6), (1, 5), (1, 0)] {
            assert_eq!(resume(epoch, seq), Resume::Tail, "({epoch}, {seq})");
        }
    }

    #[test]
    fn a_viewer_off_the_line_gets_a_snapshot() {
        for (epoch, seq) in [(3, 13), (2, 10), (1, 6), (4, 1)] {
            assert_eq!(resume(epoch, seq), Resume::Snapshot, "({epoch}, {seq})");
        }
    }

    #[test]
    fn the_line_is_bounded() {
        let mut lineage = Lineage::default();
        for epoch in 0..200 {
            lineage.open(Epoch::new(epoch), epoch);
        }
        assert_eq!(lineage.0.len(), LINEAGE_MAX);
        assert_eq!(lineage.current(), Some(Epoch::new(199)));
        assert!(!lineage.contains(Epoch::new(0)));
    }
}
