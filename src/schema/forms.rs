//! Unions at the root whose forms tell themselves apart by a member: once that has closed with a value that no form
//! has, nothing behind it can make the answer valid.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map as JsonMap, Value as Json};

use super::checks::{closure, keywords};
use super::graph::{Graph, Same};
use super::violation::Violation;
use crate::partial::{Value, path};

/// How many texts a message lists.
const TEXTS_TOLD_MAX: usize = 8;

/// The members of the root by which forms tell themselves apart, and the texts that any form has there.
#[derive(Debug, Default)]
pub(super) struct Forms(BTreeMap<String, BTreeSet<String>>);

impl Forms {
    /// Those of all unions that surely apply to the root, by its sure subschemas.
    pub(super) fn at_root(graph: &Graph<'_>, sure: &[u32]) -> Self {
        let mut members: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for id in closure(graph, sure) {
            for group in [Same::AnyOf, Same::OneOf] {
                let branches: Vec<u32> = graph.nodes[id as usize]
                    .same
                    .iter()
                    .filter(|(same, _)| *same == group)
                    .map(|(_, branch)| *branch)
                    .collect();
                for (name, texts) in tells(graph, &branches) {
                    // Of two unions each is to be satisfied.
                    match members.get_mut(&name) {
                        Some(known) => known.retain(|text| texts.contains(text)),
                        None => _ = members.insert(name, texts),
                    }
                }
            }
        }
        Self(members)
    }

    /// What is wrong with a member of the root that has closed.
    pub(super) fn fault(&self, pointer: &str, value: &Value) -> Option<Violation> {
        if self.0.is_empty() {
            return None;
        }
        let segments = path::segments(pointer)?;
        let [name] = segments.as_slice() else { return None };
        let texts = self.0.get(name)?;
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

/// The members that every branch demands to be one of some texts, and the texts of all of them.
fn tells(graph: &Graph<'_>, branches: &[u32]) -> BTreeMap<String, BTreeSet<String>> {
    let mut branches = branches.iter().map(|branch| texts_of(graph, *branch));
    let mut all = branches.next().unwrap_or_default();
    for branch in branches {
        all.retain(|name, _| branch.contains_key(name));
        for (name, texts) in &mut all {
            texts.extend(branch.get(name).into_iter().flatten().cloned());
        }
    }
    all
}

/// The members of one branch that have to be one of some texts.
fn texts_of(graph: &Graph<'_>, branch: u32) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for id in closure(graph, &[branch]) {
        for (name, member) in &graph.nodes[id as usize].members {
            let texts = closure(graph, &[*member])
                .into_iter()
                .find_map(|id| texts(keywords(&graph.nodes[id as usize], graph.draft)?));
            if let Some(texts) = texts {
                found.insert((*name).to_owned(), texts);
            }
        }
    }
    found
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
