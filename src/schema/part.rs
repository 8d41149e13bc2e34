//! Subschemas taken out of their document, with the definitions that they refer to.

use std::collections::BTreeSet;

use serde_json::{Map as JsonMap, Value as Json};

use super::graph::{Draft, Graph};
use super::reference;
use super::wrap::{DEFINITIONS, REFERENCES, free_name, led_to};
use crate::partial::path;

/// A document whose subschemas can stand elsewhere: what they refer to is a definition, or the document as one.
pub(super) struct Part<'g, 's> {
    graph: &'g Graph<'s>,
    /// The document, its references led to where they will stand.
    led: Json,
    keyword: &'static str,
    /// The definition that the document itself becomes.
    whole: String,
}

impl<'g, 's> Part<'g, 's> {
    pub(super) fn new(source: &Json, graph: &'g Graph<'s>) -> Self {
        let keyword = match graph.draft {
            Draft::TwentyTwenty => "$defs",
            Draft::Seven => "definitions",
        };
        let whole = free_name(source, keyword);
        Self {
            led: led_to(source, graph, &format!("/{keyword}/{whole}")),
            graph,
            keyword,
            whole,
        }
    }

    /// A subschema as it can stand elsewhere.
    pub(super) fn subschema(&self, id: u32) -> Option<Json> {
        let pointer = self.graph.pointer(id);
        if pointer.is_empty() {
            return Some(serde_json::json!({ "$ref": format!("#/{}/{}", self.keyword, self.whole) }));
        }
        self.led.pointer(&pointer).cloned()
    }

    /// What a subschema itself says, as it can stand elsewhere; `None` for one that is no object.
    pub(super) fn own(&self, id: u32) -> Option<JsonMap<String, Json>> {
        self.led.pointer(&self.graph.pointer(id))?.as_object().cloned()
    }

    /// The definitions that `schemas` refer to, and those that these do, under their keywords.
    pub(super) fn definitions_for(self, schemas: &Json) -> JsonMap<String, Json> {
        let definitions = self.definitions();
        let mut carried = JsonMap::new();
        let mut done: BTreeSet<(String, String)> = BTreeSet::new();
        let mut open: Vec<(String, String)> = Vec::new();
        referred(schemas, &definitions, &mut open);
        while let Some((keyword, name)) = open.pop() {
            if !done.insert((keyword.clone(), name.clone())) {
                continue;
            }
            let Some(definition) = definitions.get(&keyword).and_then(|all| all.get(&name)) else {
                continue;
            };
            referred(definition, &definitions, &mut open);
            let under = carried.entry(keyword).or_insert_with(|| JsonMap::new().into());
            if let Some(under) = under.as_object_mut() {
                under.insert(name, definition.clone());
            }
        }
        carried
    }

    /// All that may be referred to: the document's definitions, and the document itself as one more.
    fn definitions(self) -> JsonMap<String, Json> {
        let mut all = JsonMap::new();
        let mut whole = self.led;
        if let Some(whole) = whole.as_object_mut() {
            whole.shift_remove("$id");
            whole.shift_remove("$schema");
            for keyword in DEFINITIONS {
                let own = whole.shift_remove(keyword);
                own.map(|own| all.insert(keyword.to_owned(), own));
            }
        }
        let own = all.entry(self.keyword).or_insert_with(|| JsonMap::new().into());
        if let Some(own) = own.as_object_mut() {
            own.insert(self.whole, whole);
        }
        all
    }
}

/// The definitions that a schema names, by keyword and name; all of them where it names a place otherwise. Data that
/// looks like a reference costs a definition too many.
fn referred(schema: &Json, definitions: &JsonMap<String, Json>, found: &mut Vec<(String, String)>) {
    match schema {
        Json::Object(members) => {
            for (key, member) in members {
                let target = member.as_str().filter(|_| REFERENCES.contains(&key.as_str()));
                match target {
                    Some(target) => found.extend(named(target, definitions)),
                    None => referred(member, definitions, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| referred(item, definitions, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn named(target: &str, definitions: &JsonMap<String, Json>) -> Vec<(String, String)> {
    let fragment = reference::fragment(target, None);
    let segments = fragment.as_deref().and_then(path::segments).unwrap_or_default();
    match segments.as_slice() {
        [keyword, name, ..]
            if definitions
                .get(keyword)
                .is_some_and(|all| all.get(name).is_some()) =>
        {
            vec![(keyword.clone(), name.clone())]
        }
        _ => {
            let under = |(keyword, all): (&String, &Json)| {
                let names = all.as_object().into_iter().flat_map(JsonMap::keys);
                names
                    .map(|name| (keyword.clone(), name.clone()))
                    .collect::<Vec<_>>()
            };
            definitions.iter().flat_map(under).collect()
        }
    }
}
