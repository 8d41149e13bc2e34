//! What a schema surely says of a place of a value that is only begun: which subschemas apply there, whatever is still
//! to come.
//!
//! A union counts where only one of its branches can have the type that the value has, such as an object or `null`.

use super::compile::Schema;
use super::excerpt;
use super::graph::{Graph, Same};
use super::kinds::{self, ARRAY, Kinds, OBJECT};
use super::places::Places;
use crate::partial::{Value, path};

/// The subschemas of a schema, and what is needed to follow a value through them.
pub(super) struct Decided<'s> {
    pub(super) graph: Graph<'s>,
    kinds: Vec<Kinds>,
    places: &'s Places,
}

impl<'s> Decided<'s> {
    pub(super) fn of(schema: &'s Schema) -> Option<Self> {
        // The schema was read once already, so this reading finds no fault.
        let graph = Graph::read(&schema.source, &schema.limits).ok()?;
        Some(Self {
            kinds: kinds::kinds(&graph).ok()?,
            graph,
            places: &schema.places,
        })
    }

    /// The subschemas that a place of `value` is held against, before they are taken apart; `None` where that hangs on
    /// what is still to come.
    pub(super) fn at(&self, value: &Value, pointer: &str) -> Option<Vec<u32>> {
        let mut ids = vec![0];
        let mut around = String::new();
        for segment in path::segments(pointer)? {
            let container = excerpt::at(value, &around)?;
            let parts = self.parts(&ids, container)?;
            ids = match container {
                Value::Object(_) => self.member(&parts, &segment)?,
                Value::Array(_) => self.item(&parts, path::index(&segment)?)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
            path::push_segment(&mut around, &segment);
        }
        Some(ids)
    }

    /// All that speaks of a container, taken apart: none of it looks at more than the container's type, size and
    /// children. `None` where a branch or a condition speaks of it.
    pub(super) fn parts(&self, ids: &[u32], container: &Value) -> Option<Vec<u32>> {
        let kind = match container {
            Value::Object(_) => OBJECT,
            Value::Array(_) => ARRAY,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        let mut parts: Vec<u32> = Vec::new();
        let mut open: Vec<u32> = ids.iter().rev().copied().collect();
        while let Some(id) = open.pop() {
            if parts.contains(&id) {
                continue;
            }
            parts.push(id);
            let same = &self.graph.nodes[id as usize].same;
            for (how, to) in same {
                match how {
                    Same::All => open.push(*to),
                    Same::AnyOf | Same::OneOf => {}
                    Same::Maybe | Same::Asked => return None,
                }
            }
            for group in [Same::AnyOf, Same::OneOf] {
                let mut fitting = same
                    .iter()
                    .filter(|(how, to)| *how == group && self.kinds[*to as usize] & kind != 0);
                match (fitting.next(), fitting.next()) {
                    (Some((_, only)), None) => open.push(*only),
                    (None, _) => {}
                    (Some(_), Some(_)) => return None,
                }
            }
        }
        Some(parts)
    }

    fn member(&self, parts: &[u32], name: &str) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        for id in parts {
            let node = &self.graph.nodes[*id as usize];
            let matching = node
                .patterns
                .iter()
                .filter(|(pattern, _)| self.places.matches(*pattern, name));
            let before = ids.len();
            ids.extend(node.members.get(name).copied());
            ids.extend(matching.map(|(_, to)| *to));
            if ids.len() == before {
                if !node.unevaluated.is_empty() {
                    return None;
                }
                ids.extend(&node.additional);
            }
        }
        Some(ids)
    }

    fn item(&self, parts: &[u32], index: usize) -> Option<Vec<u32>> {
        let mut ids = Vec::new();
        for id in parts {
            let node = &self.graph.nodes[*id as usize];
            match node.prefix.get(index) {
                Some(own) => ids.push(*own),
                None if !node.unevaluated.is_empty() => return None,
                None => ids.extend(&node.items),
            }
        }
        Some(ids)
    }
}
