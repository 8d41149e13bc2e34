//! The places of a value, as the schema sees them: which members are declared where, and which strings are atomic.
//!
//! A place is what subschemas jointly say about one position of the value: those that surely apply, and those that
//! apply in some branch of a union. Places are made once at compile time, so the draft asks by plain look-ups.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::error::{SchemaError, SchemaErrorCode};
use super::graph::{Graph, Same};
use super::kinds::{ARRAY, Kinds, NULL, OBJECT};
use super::streams::{Stream, Streams};
use super::waits::Waits;
use crate::partial;
use crate::partial::{Guide, NodeId};

/// Work that making the places may cost, in looks at a subschema.
const STEPS_MAX: usize = 1_000_000;

/// One place.
#[derive(Debug, Default)]
struct Place {
    is_atomic: bool,
    kinds: Kinds,
    /// The members that an object waits for before it is shown, in ascending order.
    awaited: Option<Arc<[Box<str>]>>,
    members: IndexMap<Box<str>, u32>,
    /// For undeclared members: the pattern a name must match, and the place then.
    patterns: Vec<(usize, u32)>,
    /// The place of an undeclared member whose name matches several patterns.
    several: Option<u32>,
    additional: Option<u32>,
    prefix: Vec<u32>,
    items: Option<u32>,
    /// The subschemas that surely apply to every value here.
    sure: Box<[u32]>,
    /// Whether nothing else applies, in no branch.
    is_sure: bool,
}

/// All places of a schema, the root first.
pub(super) struct Places {
    places: Vec<Place>,
    patterns: Arc<[jsonschema::Validator]>,
}

/// The subschemas of a place: those that surely apply, and those of some branch; sorted, disjoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Set {
    all: Vec<u32>,
    any: Vec<u32>,
    /// Whether a name leads here that may match fewer patterns than were taken.
    guessed: bool,
}

impl Set {
    fn add(&mut self, id: u32, in_branch: bool) {
        if in_branch {
            self.any.push(id);
        } else {
            self.all.push(id);
        }
    }

    fn normal(mut self) -> Self {
        self.all.sort_unstable();
        self.all.dedup();
        self.any.sort_unstable();
        self.any.dedup();
        self.any.retain(|id| self.all.binary_search(id).is_err());
        self
    }

    fn is_empty(&self) -> bool {
        self.all.is_empty() && self.any.is_empty()
    }
}

struct Maker<'g, 's> {
    graph: &'g Graph<'s>,
    kinds: &'g [Kinds],
    streams: Streams<'g, 's>,
    waits: Waits<'g, 's>,
    patterns: Arc<[jsonschema::Validator]>,
    known: HashMap<Set, u32>,
    sets: Vec<Set>,
    /// Whether the place that is made was guessed, and so all below it.
    guessed: bool,
    steps: usize,
}

impl Places {
    /// Makes every place that can be reached from the root.
    pub(super) fn make(
        graph: &Graph<'_>,
        kinds: &[Kinds],
        patterns: Arc<[jsonschema::Validator]>,
    ) -> Result<Self, SchemaError> {
        let mut maker = Maker {
            graph,
            kinds,
            streams: Streams::new(graph, kinds),
            waits: Waits::new(graph, kinds),
            patterns: Arc::clone(&patterns),
            known: HashMap::new(),
            sets: Vec::new(),
            guessed: false,
            steps: 0,
        };
        let root = Set {
            all: vec![0],
            ..Set::default()
        };
        maker.is_no_member(&root)?;
        maker.intern(root);
        let mut places = Vec::new();
        while let Some(set) = maker.sets.get(places.len()).cloned() {
            places.push(maker.place(&set)?);
        }
        Ok(Self { places, patterns })
    }

    /// The declared members as plain data.
    pub(super) fn shape(&self) -> partial::Shape {
        let nodes = self.places.iter().map(|place| partial::ShapeNode {
            members: place
                .members
                .iter()
                .map(|(name, to)| (name.clone(), *to))
                .collect(),
            // Patterns are not plain data: whose name one may match is not filled.
            additional: place.additional.filter(|_| place.patterns.is_empty()),
            prefix: place.prefix.clone(),
            items: place.items,
            object: place.kinds & OBJECT != 0,
            array: place.kinds & ARRAY != 0,
        });
        partial::Shape {
            nodes: nodes.collect(),
        }
    }

    /// How many places there are; they are numbered from the root on.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The subschemas that surely apply to every value at a place.
    pub(super) fn sure(&self, place: usize) -> &[u32] {
        self.places.get(place).map_or(&[], |place| &place.sure)
    }

    /// The subschemas that are all the schema says of a place; `None` where there are none, or others may apply.
    pub(super) fn all(&self, node: NodeId) -> Option<&[u32]> {
        let place = self.at(node).filter(|place| place.is_sure)?;
        (!place.sure.is_empty()).then_some(&place.sure)
    }

    /// Whether no `null` can be valid at a place.
    pub(super) fn excludes_null(&self, node: NodeId) -> bool {
        self.at(node).is_some_and(|place| place.kinds & NULL == 0)
    }

    /// The places of the root's children.
    pub(super) fn below_root(&self) -> HashSet<usize> {
        let children = self.places.first().into_iter().flat_map(|root| {
            let named = root
                .members
                .values()
                .chain(root.patterns.iter().map(|(_, to)| to));
            let rest = root.several.iter().chain(&root.additional);
            named.chain(rest).chain(&root.prefix).chain(&root.items)
        });
        children.map(|place| *place as usize).collect()
    }

    fn at(&self, node: NodeId) -> Option<&Place> {
        self.places.get(node.0 as usize)
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Places")
            .field("places", &self.places.len())
            .finish_non_exhaustive()
    }
}

impl Guide for Places {
    fn root(&self) -> NodeId {
        NodeId(0)
    }

    fn member(&self, node: NodeId, key: &str) -> NodeId {
        let Some(place) = self.at(node) else {
            return NodeId::NONE;
        };
        if let Some(member) = place.members.get(key) {
            return NodeId(*member);
        }
        let mut matching = place
            .patterns
            .iter()
            .filter(|(pattern, _)| is_match(&self.patterns[*pattern], key));
        let found = match (matching.next(), matching.next()) {
            (None, _) => place.additional,
            (Some((_, to)), None) => Some(*to),
            (Some(_), Some(_)) => place.several,
        };
        found.map_or(NodeId::NONE, NodeId)
    }

    fn item(&self, node: NodeId, index: usize) -> NodeId {
        let place = self.at(node);
        place
            .and_then(|place| place.prefix.get(index).copied().or(place.items))
            .map_or(NodeId::NONE, NodeId)
    }

    fn is_atomic(&self, node: NodeId) -> bool {
        self.at(node).is_some_and(|place| place.is_atomic)
    }

    fn awaited(&self, node: NodeId) -> Option<Arc<[Box<str>]>> {
        self.at(node)?.awaited.clone()
    }
}

fn is_match(pattern: &jsonschema::Validator, name: &str) -> bool {
    pattern.is_valid(&Json::String(name.to_owned()))
}

impl<'s> Maker<'_, 's> {
    fn intern(&mut self, set: Set) -> Option<u32> {
        let mut set = set.normal();
        set.guessed |= self.guessed;
        if set.is_empty() {
            return None;
        }
        let next = u32::try_from(self.sets.len()).unwrap_or(u32::MAX);
        let id = *self.known.entry(set.clone()).or_insert(next);
        if id == next {
            self.sets.push(set);
        }
        Some(id)
    }

    /// An object waits for members by name alone: the mark must not reach roots, items and undeclared members.
    fn is_no_member(&mut self, set: &Set) -> Result<(), SchemaError> {
        let marked = set
            .all
            .iter()
            .chain(&set.any)
            .find(|id| self.waits.is_marked(**id));
        marked.map_or(Ok(()), |id| Err(self.graph.no_member(*id)))
    }

    fn spend(&mut self, steps: usize, at: u32) -> Result<(), SchemaError> {
        self.steps += steps;
        if self.steps > STEPS_MAX || self.waits.is_spent() {
            return Err(SchemaError::new(
                SchemaErrorCode::TooComplex,
                &self.graph.pointer(at),
                "unions and recursion combine into too many different places: flatten the unions",
            ));
        }
        Ok(())
    }

    fn place(&mut self, set: &Set) -> Result<Place, SchemaError> {
        let closure = self.closure(set)?;
        self.guessed = set.guessed;
        let sure = if set.guessed { &[][..] } else { &set.all };
        let mut place = Place {
            sure: sure.into(),
            is_sure: !set.guessed && set.any.is_empty(),
            is_atomic: self.is_atomic(set),
            kinds: self.kinds_of(set),
            awaited: self.waits.at(&set.all, &set.any),
            ..Place::default()
        };
        self.place_members(&closure, &mut place)?;
        self.place_items(&closure, &mut place)?;
        Ok(place)
    }

    /// All subschemas that speak about the place, in order of declaration, and whether each does so in a branch.
    fn closure(&mut self, set: &Set) -> Result<Vec<(u32, bool)>, SchemaError> {
        let mut found: IndexMap<u32, bool> = IndexMap::new();
        let mut open: Vec<(u32, bool)> = set.any.iter().rev().map(|id| (*id, true)).collect();
        open.extend(set.all.iter().rev().map(|id| (*id, false)));
        while let Some((id, in_branch)) = open.pop() {
            self.spend(1, id)?;
            match found.get(&id) {
                Some(false) => continue,
                Some(true) if in_branch => continue,
                Some(true) | None => found.insert(id, in_branch),
            };
            for (same, to) in self.graph.nodes[id as usize].same.iter().rev() {
                match same {
                    Same::All => open.push((*to, in_branch)),
                    Same::AnyOf | Same::OneOf | Same::Maybe => open.push((*to, true)),
                    Same::Asked => {}
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    fn place_members(&mut self, closure: &[(u32, bool)], place: &mut Place) -> Result<(), SchemaError> {
        let graph = self.graph;
        let mut members: IndexMap<&'s str, Set> = IndexMap::new();
        for (id, in_branch) in closure {
            self.spend(graph.nodes[*id as usize].members.len(), *id)?;
            for (name, to) in &graph.nodes[*id as usize].members {
                members.entry(name).or_default().add(*to, *in_branch);
            }
        }
        // Only those that say something of undeclared names have to be asked about each name.
        let open: Vec<(u32, bool)> = closure
            .iter()
            .copied()
            .filter(|(id, _)| self.speaks(*id))
            .collect();
        for (name, set) in &mut members {
            for (id, in_branch) in &open {
                let node = &graph.nodes[*id as usize];
                self.spend(1 + node.patterns.len(), *id)?;
                let declared = node.members.contains_key(name);
                let matched = |pattern: &usize| is_match(&self.patterns[*pattern], name);
                self.undeclared(*id, *in_branch, declared, &matched, set);
            }
        }
        for (name, set) in members {
            let Some(member) = self.intern(set) else { continue };
            place.members.insert(name.into(), member);
        }
        let mut pattern_ids: Vec<usize> = Vec::new();
        for (id, _) in &open {
            pattern_ids.extend(
                graph.nodes[*id as usize]
                    .patterns
                    .iter()
                    .map(|(pattern, _)| *pattern),
            );
        }
        place.additional = self.place_of_names(&open, false, &|_| false)?;
        for pattern in &pattern_ids {
            if let Some(to) = self.place_of_names(&open, false, &|candidate| candidate == pattern)? {
                place.patterns.push((*pattern, to));
            }
        }
        if pattern_ids.len() > 1 {
            let guessed = pattern_ids.len() > 2;
            place.several = self.place_of_names(&open, guessed, &|_| true)?;
        }
        Ok(())
    }

    fn speaks(&self, id: u32) -> bool {
        let node = &self.graph.nodes[id as usize];
        !node.patterns.is_empty() || node.additional.iter().any(|to| self.says_something(*to))
    }

    fn says_something(&self, id: u32) -> bool {
        match self.graph.nodes[id as usize].schema {
            Json::Object(map) => !map.is_empty(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => false,
        }
    }

    /// The place of an undeclared member whose name matches the patterns that `matched` tells; `guessed`: or some.
    fn place_of_names(
        &mut self,
        open: &[(u32, bool)],
        guessed: bool,
        matched: &dyn Fn(&usize) -> bool,
    ) -> Result<Option<u32>, SchemaError> {
        let mut set = Set {
            guessed,
            ..Set::default()
        };
        for (id, in_branch) in open {
            self.spend(1 + self.graph.nodes[*id as usize].patterns.len(), *id)?;
            self.undeclared(*id, *in_branch, false, matched, &mut set);
        }
        self.is_no_member(&set)?;
        Ok(self.intern(set))
    }

    /// What node `id` says of a name: its patterns always, its additional ones only if nothing else speaks.
    fn undeclared(
        &self,
        id: u32,
        in_branch: bool,
        declared: bool,
        matched: &dyn Fn(&usize) -> bool,
        set: &mut Set,
    ) {
        let node = &self.graph.nodes[id as usize];
        let mut spoken = declared;
        for (pattern, to) in &node.patterns {
            if matched(pattern) {
                set.add(*to, in_branch);
                spoken = true;
            }
        }
        if !spoken {
            for to in node.additional.iter().filter(|to| self.says_something(**to)) {
                set.add(*to, in_branch || node.unevaluated.contains(to));
            }
        }
    }

    fn place_items(&mut self, closure: &[(u32, bool)], place: &mut Place) -> Result<(), SchemaError> {
        let prefix_of = |id: u32| &self.graph.nodes[id as usize].prefix;
        let longest = closure.iter().map(|(id, _)| prefix_of(*id).len()).max();
        let longest = longest.unwrap_or(0);
        let speaking: Vec<(u32, bool)> = closure
            .iter()
            .copied()
            .filter(|(id, _)| !prefix_of(*id).is_empty() || !self.graph.nodes[*id as usize].items.is_empty())
            .collect();
        for index in 0..=longest {
            let mut set = Set::default();
            for (id, in_branch) in &speaking {
                self.spend(1, *id)?;
                let node = &self.graph.nodes[*id as usize];
                match node.prefix.get(index) {
                    Some(to) => set.add(*to, *in_branch),
                    None => node.items.iter().for_each(|to| {
                        set.add(*to, *in_branch || node.unevaluated.contains(to));
                    }),
                }
            }
            self.is_no_member(&set)?;
            let item = self.intern(set);
            match item {
                Some(item) if index < longest => place.prefix.push(item),
                // A gap cannot be: the longest prefix speaks at every index before its end.
                None if index < longest => break,
                Some(_) | None => place.items = item,
            }
        }
        Ok(())
    }

    fn is_atomic(&mut self, set: &Set) -> bool {
        let sure = Stream::all(set.all.iter().map(|id| self.streams.of(*id)));
        let branch = Stream::any(set.any.iter().map(|id| self.streams.of(*id)));
        Stream::all([sure].into_iter().chain(branch)).is_atomic()
    }

    fn kinds_of(&self, set: &Set) -> Kinds {
        let sure = set
            .all
            .iter()
            .fold(Kinds::MAX, |kinds, id| kinds & self.kinds[*id as usize]);
        let branch = set
            .any
            .iter()
            .fold(0, |kinds, id| kinds | self.kinds[*id as usize]);
        if set.any.is_empty() { sure } else { sure & branch }
    }
}
