//! Whether a string may be shown while it grows (rule V5 of the draft).

use serde_json::Value as Json;

use super::formats;
use super::graph::{Draft, Graph, Same};
use super::kinds::{Kinds, STRING};

/// What a subschema says about a string, from free to fixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Stream {
    /// Any string: it streams.
    Free,
    /// A string that must match a pattern or format: atomic, unless `"x-stream": "text"` frees it.
    Checked,
    /// One of fixed strings, or declared atomic.
    Fixed,
    /// No string at all.
    Never,
}

impl Stream {
    /// All apply: the strictest rules.
    pub(super) fn all(parts: impl Iterator<Item = Self>) -> Self {
        parts.max().unwrap_or(Self::Free)
    }

    /// One applies: a free branch frees all; branches without strings do not count. `None`: there is no branch.
    pub(super) fn any(branches: impl Iterator<Item = Self>) -> Option<Self> {
        branches.min()
    }

    pub(super) fn is_atomic(self) -> bool {
        match self {
            Self::Checked | Self::Fixed => true,
            Self::Free | Self::Never => false,
        }
    }
}

/// The answers per subschema, each found once.
pub(super) struct Streams<'g, 's> {
    graph: &'g Graph<'s>,
    kinds: &'g [Kinds],
    known: Vec<Option<Stream>>,
}

impl<'g, 's> Streams<'g, 's> {
    pub(super) fn new(graph: &'g Graph<'s>, kinds: &'g [Kinds]) -> Self {
        Self {
            graph,
            kinds,
            known: vec![None; graph.nodes.len()],
        }
    }

    /// What node `id` says. Recurses along applicators on the same value, whose rows the guard has bounded.
    pub(super) fn of(&mut self, id: u32) -> Stream {
        if let Some(known) = self.known[id as usize] {
            return known;
        }
        let found = self.find(id);
        self.known[id as usize] = Some(found);
        found
    }

    fn find(&mut self, id: u32) -> Stream {
        if self.kinds[id as usize] & STRING == 0 {
            return Stream::Never;
        }
        let graph = self.graph;
        let node = &graph.nodes[id as usize];
        let mut parts = vec![self.own(id)];
        for group in [Same::All, Same::AnyOf, Same::OneOf] {
            let said: Vec<Stream> = node
                .same
                .iter()
                .filter(|(same, _)| *same == group)
                .map(|(_, to)| self.of(*to))
                .collect();
            if group == Same::All {
                parts.extend(said);
            } else {
                parts.extend(Stream::any(said.into_iter()));
            }
        }
        let said = Stream::all(parts.into_iter());
        match (node.stream_mark(), said) {
            (Some("atomic"), Stream::Free | Stream::Checked | Stream::Fixed) => Stream::Fixed,
            (Some("text"), Stream::Checked) => Stream::Free,
            _ => said,
        }
    }

    fn own(&self, id: u32) -> Stream {
        let schema = self.graph.nodes[id as usize].schema;
        let has = |keyword: &str| schema.get(keyword).is_some();
        let is_alone = self.graph.draft == Draft::Seven && has("$ref");
        let format = schema.get("format").and_then(Json::as_str);
        if is_alone {
            Stream::Free
        } else if has("enum") || has("const") {
            Stream::Fixed
        } else if has("pattern") || format.is_some_and(formats::is_asserted) {
            Stream::Checked
        } else {
            Stream::Free
        }
    }
}
