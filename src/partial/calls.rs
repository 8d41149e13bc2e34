//! Which tool call is the draft.

use std::collections::BTreeMap;

/// More call indexes than this are not told apart.
const INDEXES_MAX: usize = 1024;

/// What a piece of a tool call means for the draft.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// It belongs to the draft.
    Draft,
    /// It begins another call at the draft's index.
    Anew,
    /// It belongs to another call.
    Other,
}

/// The calls of one answer: the first is the draft, a new id at an index is a new call.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Index → the id of its last call, as far as one was given.
    last: BTreeMap<u32, Option<String>>,
    draft: Option<u32>,
    /// Another call has begun at the draft's index.
    passed: bool,
    pub(super) ignored: usize,
}

impl Calls {
    pub(super) fn turn(&mut self, index: u32, id: Option<&str>) -> Turn {
        let is_new = match (self.last.get(&index), id) {
            (None, _) => self.last.len() < INDEXES_MAX,
            (Some(Some(known)), Some(id)) => known != id,
            (Some(_), _) => false,
        };
        if is_new || (id.is_some() && self.last.contains_key(&index)) {
            self.last.insert(index, id.map(str::to_owned));
        }
        let is_first = self.draft.is_none();
        if index != *self.draft.get_or_insert(index) {
            self.ignored += usize::from(is_new);
            return Turn::Other;
        }
        match (is_first, is_new, self.passed) {
            (true, _, _) | (false, false, false) => Turn::Draft,
            (false, true, _) => Turn::Anew,
            (false, false, true) => Turn::Other,
        }
    }

    /// The call that began anew is no part of the draft.
    pub(super) fn pass(&mut self) {
        self.passed = true;
        self.ignored += 1;
    }
}
