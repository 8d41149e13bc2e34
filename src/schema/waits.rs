//! For which members an object waits before it is shown (rule V5, `"x-stream": "required"`).
//!
//! While a value is open no branch of a union is chosen, so an object waits only for members that every branch
//! which may be an object waits for.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use super::graph::{Graph, REQUIRED, Same};
use super::kinds::{Kinds, OBJECT};

/// Names that were put together, over all subschemas, before nothing is found out any more; who asks refuses the
/// schema then.
pub(super) const STEPS_MAX: usize = 1_000_000;

type Names<'s> = Rc<BTreeSet<&'s str>>;

/// The answers per subschema, each found once.
pub(super) struct Waits<'g, 's> {
    graph: &'g Graph<'s>,
    kinds: &'g [Kinds],
    marked: Vec<Option<bool>>,
    known: Vec<Option<Names<'s>>>,
    /// Whether any subschema has the mark; without, every answer is known.
    any: bool,
    steps: usize,
}

impl<'g, 's> Waits<'g, 's> {
    pub(super) fn new(graph: &'g Graph<'s>, kinds: &'g [Kinds]) -> Self {
        let count = graph.nodes.len();
        Self {
            graph,
            kinds,
            marked: vec![None; count],
            known: vec![None; count],
            any: graph
                .nodes
                .iter()
                .any(|node| node.stream_mark() == Some(REQUIRED)),
            steps: 0,
        }
    }

    /// How much of [`STEPS_MAX`] is used up.
    pub(super) fn is_spent(&self) -> bool {
        self.steps > STEPS_MAX
    }

    /// The members that an object waits for at a place, in ascending order: all of `sure` apply to it, and one of
    /// `branches`. `None` if there are none.
    pub(super) fn at(&mut self, sure: &[u32], branches: &[u32]) -> Option<Arc<[Box<str>]>> {
        if !self.any {
            return None;
        }
        let mut names = BTreeSet::new();
        for id in sure {
            names.extend(self.of(*id).iter().copied());
        }
        names.extend(self.common(branches));
        self.steps += names.len();
        let names: Arc<[Box<str>]> = names.into_iter().map(Box::from).collect();
        Some(names).filter(|names| !names.is_empty())
    }

    /// Whether a member that node `id` describes is waited for. Recurses along applicators on the same value, whose
    /// rows the guard has bounded.
    pub(super) fn is_marked(&mut self, id: u32) -> bool {
        if !self.any {
            return false;
        }
        if let Some(known) = self.marked[id as usize] {
            return known;
        }
        let graph = self.graph;
        let node = &graph.nodes[id as usize];
        let mut said = node.same.iter().filter(|(same, _)| same.describes());
        let marked = node.stream_mark() == Some(REQUIRED) || said.any(|(_, to)| self.is_marked(*to));
        self.marked[id as usize] = Some(marked);
        marked
    }

    fn of(&mut self, id: u32) -> Names<'s> {
        if let Some(known) = &self.known[id as usize] {
            return Rc::clone(known);
        }
        let found = if self.kinds[id as usize] & OBJECT == 0 || self.is_spent() {
            Rc::default()
        } else {
            Rc::new(self.find(id))
        };
        self.known[id as usize] = Some(Rc::clone(&found));
        found
    }

    fn find(&mut self, id: u32) -> BTreeSet<&'s str> {
        let graph = self.graph;
        let node = &graph.nodes[id as usize];
        let mut names = BTreeSet::new();
        for (name, to) in &node.members {
            if self.is_marked(*to) {
                names.insert(*name);
            }
        }
        for group in [Same::All, Same::AnyOf, Same::OneOf] {
            let of_group = node.same.iter().filter(|(same, _)| *same == group);
            let said: Vec<u32> = of_group.map(|(_, to)| *to).collect();
            if group == Same::All {
                said.iter()
                    .for_each(|to| names.extend(self.of(*to).iter().copied()));
            } else {
                names.extend(self.common(&said));
            }
        }
        self.steps += 1 + names.len();
        names
    }

    /// What every one waits for that may be an object.
    fn common(&mut self, branches: &[u32]) -> BTreeSet<&'s str> {
        let kinds = self.kinds;
        let mut objects = branches.iter().filter(|id| kinds[**id as usize] & OBJECT != 0);
        let Some(first) = objects.next() else {
            return BTreeSet::new();
        };
        let mut common = (*self.of(*first)).clone();
        for id in objects {
            let names = self.of(*id);
            self.steps += common.len();
            common.retain(|name| names.contains(name));
        }
        common
    }
}
