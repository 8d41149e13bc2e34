//! Unions whose forms tell themselves apart by a member: once that has closed with a value that no form has, nothing
//! behind it can make what is around it valid.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map as JsonMap, Value as Json};

use super::checks::{closure, keywords};
use super::graph::{Graph, Same};
use super::kinds::{self, Kinds, OBJECT};
use super::violation::Violation;
use crate::partial::{Value, path};

/// Texts that are put together for one schema, over all its unions: what is over that is judged at the end.
const TEXTS_MAX: usize = 100_000;
/// How many texts a message lists.
const TEXTS_TOLD_MAX: usize = 8;

/// The members of a place by which forms tell themselves apart, and the texts that any form has there.
#[derive(Debug, Default)]
pub(super) struct Forms(Texts);

impl Forms {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with a member of the place that has closed.
    pub(super) fn fault(&self, pointer: &str, value: &Value) -> Option<Violation> {
        let segments = path::segments(pointer)?;
        let texts = self.0.get(segments.last()?)?;
        if matches!(value, Value::String(text) if texts.contains(text)) {
            return None;
        }
        let told: Vec<String> = texts
            .iter()
            .take(TEXTS_TOLD_MAX)
            .map(|text| format!("{text:?}"))
            .collect();
        let more = if texts.len() > told.len() { ", …" } else { "" };
        let message = format!(
            "must be one of {}{more}: no form of the value has another",
            told.join(", ")
        );
        Some(Violation {
            path: pointer.to_owned(),
            keyword: "enum".to_owned(),
            message,
            value: None,
            missing: None,
        })
    }
}

type Texts = BTreeMap<String, BTreeSet<String>>;

/// Finds them, each subschema once.
pub(super) struct Finder<'g, 's> {
    graph: &'g Graph<'s>,
    kinds: Vec<Kinds>,
    /// By branch; nothing of one that is being looked into: fewer demands are no wrong ones.
    known: HashMap<u32, Texts>,
    texts_left: usize,
}

impl<'g, 's> Finder<'g, 's> {
    pub(super) fn new(graph: &'g Graph<'s>) -> Self {
        Self {
            graph,
            kinds: kinds::kinds(graph).unwrap_or_default(),
            known: HashMap::new(),
            texts_left: TEXTS_MAX,
        }
    }

    /// Those of all unions that surely apply to an object at a place, by its sure subschemas.
    pub(super) fn at(&mut self, sure: &[u32]) -> Forms {
        let mut members = Texts::new();
        for id in closure(self.graph, sure) {
            for group in [Same::AnyOf, Same::OneOf] {
                let same = self.graph.nodes[id as usize].same.iter();
                let branches = same.filter(|(same, _)| *same == group).map(|(_, branch)| *branch);
                // One that takes no object, such as `null`, has no say here.
                let takes_objects = |branch: &u32| {
                    self.kinds
                        .get(*branch as usize)
                        .is_none_or(|kinds| kinds & OBJECT != 0)
                };
                let branches: Vec<u32> = branches.filter(takes_objects).collect();
                demand(&mut members, self.tells(&branches));
            }
        }
        Forms(members)
    }

    /// The members that every branch demands to be one of some texts, and the texts of all of them.
    fn tells(&mut self, branches: &[u32]) -> Texts {
        let Some((first, others)) = branches.split_first() else {
            return Texts::new();
        };
        let mut all = self.texts_of(*first);
        for branch in others {
            if all.is_empty() {
                break;
            }
            let branch = self.texts_of(*branch);
            all.retain(|name, _| branch.contains_key(name));
            for (name, texts) in &mut all {
                texts.extend(branch.get(name).into_iter().flatten().cloned());
            }
        }
        all
    }

    /// The members of one branch that have to be one of some texts.
    fn texts_of(&mut self, branch: u32) -> Texts {
        if !self.known.contains_key(&branch) {
            self.known.insert(branch, Texts::new());
            let found = self.found(branch);
            self.known.insert(branch, found);
        }
        let texts = self.known.get(&branch).cloned().unwrap_or_default();
        let count = texts.values().map(BTreeSet::len).sum();
        match self.texts_left.checked_sub(count) {
            Some(left) => {
                self.texts_left = left;
                texts
            }
            None => Texts::new(),
        }
    }

    fn found(&mut self, branch: u32) -> Texts {
        let Forms(mut found) = self.at(&[branch]);
        let graph = self.graph;
        for id in closure(graph, &[branch]) {
            for (name, member) in &graph.nodes[id as usize].members {
                let texts = closure(graph, &[*member])
                    .into_iter()
                    .find_map(|id| texts(keywords(&graph.nodes[id as usize], graph.draft)?));
                if let Some(texts) = texts {
                    demand(&mut found, Texts::from([((*name).to_owned(), texts)]));
                }
            }
        }
        found
    }
}

/// Of two demands each is to be satisfied.
fn demand(members: &mut Texts, more: Texts) {
    for (name, texts) in more {
        match members.get_mut(&name) {
            Some(known) => known.retain(|text| texts.contains(text)),
            None => _ = members.insert(name, texts),
        }
    }
}

/// The texts of a `const` or an `enum` that has nothing else.
fn texts(schema: &JsonMap<String, Json>) -> Option<BTreeSet<String>> {
    let text = |value: &Json| value.as_str().map(str::to_owned);
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => text(only).map(|text| BTreeSet::from([text])),
        (None, Some(Json::Array(values))) => values.iter().map(text).collect(),
        (None, _) => None,
    }
}
