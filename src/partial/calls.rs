//! Which tool calls are the draft: the one place that decides it.

use std::collections::BTreeMap;

/// More call indexes than this are not told apart.
const INDEXES_MAX: usize = 1024;

/// The tool by which a model says that there is no item at all, in [`Mode::ParallelTools`](super::Mode::ParallelTools).
pub const NO_ITEMS: &str = "no_items";

/// What a piece of a tool call means for the draft.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It belongs to the draft's call of this number, from 0.
    Call(usize),
    /// It begins a call that takes the place of this one, of which nothing was shown.
    Instead(usize),
    /// It says that there is no item.
    NoItems,
    /// It is no part of the draft.
    Other,
}

/// The calls of one answer. A new id at an index is a new call; a call of another tool is none of ours.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The tool whose calls count; any, where none is named.
    tool: Option<Box<str>>,
    /// Each call is one, not the first alone.
    many: bool,
    /// Index → its last call.
    last: BTreeMap<u32, Known>,
    /// How many calls belong to the draft.
    taken: usize,
    pub(super) ignored: usize,
}

#[derive(Debug, Default)]
struct Known {
    id: Option<String>,
    /// Which of the draft's calls it is, if it is one.
    slot: Option<usize>,
}

impl Calls {
    pub(super) fn new(tool: Option<Box<str>>, many: bool) -> Self {
        Self {
            tool,
            many,
            ..Self::default()
        }
    }

    /// Whose turn it is; `is_shown` says whether anything of a call of the draft was shown.
    pub(super) fn turn(
        &mut self,
        index: u32,
        id: Option<&str>,
        name: Option<&str>,
        is_shown: impl Fn(usize) -> bool,
    ) -> Turn {
        let full = self.last.len() == INDEXES_MAX;
        let before = match self.last.get_mut(&index) {
            None if full => return Turn::Other,
            None => None,
            Some(known) if is_same(known.id.as_deref(), id) => {
                known.id = known.id.take().or_else(|| id.map(str::to_owned));
                return known.slot.map_or(Turn::Other, Turn::Call);
            }
            Some(known) => known.slot,
        };
        let turn = self.begin(before, name, is_shown);
        let slot = match turn {
            Turn::Call(slot) | Turn::Instead(slot) => Some(slot),
            Turn::NoItems | Turn::Other => None,
        };
        self.ignored += usize::from(turn == Turn::Other);
        let id = id.map(str::to_owned);
        self.last.insert(index, Known { id, slot });
        turn
    }

    /// A new call, where the one before at its index was the draft's call `before`, or none of it.
    fn begin(&mut self, before: Option<usize>, name: Option<&str>, is_shown: impl Fn(usize) -> bool) -> Turn {
        if self.many && name == Some(NO_ITEMS) {
            return Turn::NoItems;
        }
        if !self.fits(name) {
            return Turn::Other;
        }
        match before {
            Some(slot) if !is_shown(slot) => Turn::Instead(slot),
            _ if self.many || self.taken == 0 => {
                self.taken += 1;
                Turn::Call(self.taken - 1)
            }
            _ => Turn::Other,
        }
    }

    /// Whether a call of this name counts. Servers send a name in pieces, and models put a namespace before it.
    fn fits(&self, name: Option<&str>) -> bool {
        match (self.tool.as_deref(), name) {
            (Some(tool), Some(name)) => tool.starts_with(name) || name.ends_with(tool),
            _ => true,
        }
    }
}

/// Whether a piece belongs to the call that is known: only another id says that it does not.
fn is_same(known: Option<&str>, id: Option<&str>) -> bool {
    match (known, id) {
        (Some(known), Some(id)) => known == id,
        _ => true,
    }
}
