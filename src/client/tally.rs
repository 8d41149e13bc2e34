//! What a viewer saw of its job, counted.

use crate::event::Position;

/// Counts over the whole life of a follower, all its sockets together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages of the job.
    pub frames: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Snapshots that replaced the state; one in parts counts once.
    pub snapshots: u64,
    /// Attachments that went on from the position held.
    pub resumed: u64,
    /// The first position held.
    pub first: Option<Position>,
    /// The last position held.
    pub last: Option<Position>,
    /// Signs of a lost change: a seq that went backwards, a change that does not fit.
    pub lost: u64,
    /// Events that came a second time at the same position.
    pub duplicated: u64,
}

impl Tally {
    pub(super) fn frame(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }

    pub(super) fn stands(&mut self, position: Position) {
        self.first.get_or_insert(position);
        self.last = Some(position);
    }
}
