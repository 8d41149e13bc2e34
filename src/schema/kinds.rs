//! Which JSON types each subschema lets through; none at all means that no value can satisfy it.
//!
//! The answer is the least fixed point from "nothing is possible", so a recursion that demands itself without end
//! stays impossible, as it should: no finite value satisfies it.

use std::cmp::Ordering;

use serde_json::{Map as JsonMap, Value as Json};

use super::bound::Bound;
use super::error::{SchemaError, SchemaErrorCode};
use super::graph::{Draft, Graph, Same};
use super::guard::post_order;

/// A set of JSON types, one bit each.
pub(super) type Kinds = u8;

pub(super) const OBJECT: Kinds = 1;
pub(super) const ARRAY: Kinds = 1 << 1;
pub(super) const STRING: Kinds = 1 << 2;
pub(super) const NUMBER: Kinds = 1 << 3;
pub(super) const BOOLEAN: Kinds = 1 << 4;
pub(super) const NULL: Kinds = 1 << 5;
const ANY: Kinds = (1 << 6) - 1;

/// Rounds over the whole graph; rows settle in one, each recursion needs some more. Beyond this nothing is
/// excluded any more.
const ROUNDS_MAX: usize = 32;

/// The types of every node, or a refusal where the root allows none.
pub(super) fn kinds(graph: &Graph<'_>) -> Result<Vec<Kinds>, SchemaError> {
    let local: Vec<(Kinds, &str)> = (0..graph.nodes.len()).map(|id| local(graph, id)).collect();
    let order = post_order(graph, &|id| graph.applied(id).collect());
    let mut kinds = vec![0; graph.nodes.len()];
    for _ in 0..ROUNDS_MAX {
        let mut settled = true;
        for id in &order {
            let now = of_node(graph, *id, local[*id as usize].0, &kinds);
            settled &= now == kinds[*id as usize];
            kinds[*id as usize] = now;
        }
        if settled {
            return if kinds[0] == 0 {
                Err(blame(graph, &local, &kinds))
            } else {
                Ok(kinds)
            };
        }
    }
    Ok(local.into_iter().map(|(kinds, _)| kinds).collect())
}

fn of_node(graph: &Graph<'_>, id: u32, local: Kinds, known: &[Kinds]) -> Kinds {
    let node = &graph.nodes[id as usize];
    let mut kinds = local;
    for (same, to) in &node.same {
        if *same == Same::All {
            kinds &= known[*to as usize];
        }
    }
    for group in [Same::AnyOf, Same::OneOf] {
        let branches = node.same.iter().filter(|(same, _)| *same == group);
        let union = branches.fold(None, |union, (_, to)| {
            Some(union.unwrap_or(0) | known[*to as usize])
        });
        kinds &= union.unwrap_or(ANY);
    }
    if kinds & OBJECT != 0 && demanded_member(graph, id, known).is_some() {
        kinds &= !OBJECT;
    }
    if kinds & ARRAY != 0 && demanded_item(graph, id, known).is_some() {
        kinds &= !ARRAY;
    }
    kinds
}

/// A required member that nothing can fill.
fn demanded_member(graph: &Graph<'_>, id: u32, known: &[Kinds]) -> Option<u32> {
    let node = &graph.nodes[id as usize];
    let required = node.schema.get("required")?.as_array()?;
    required
        .iter()
        .filter_map(Json::as_str)
        .filter_map(|name| node.members.get(name).copied())
        .find(|member| known[*member as usize] == 0)
}

/// A demanded item that nothing can fill.
fn demanded_item(graph: &Graph<'_>, id: u32, known: &[Kinds]) -> Option<u32> {
    let node = &graph.nodes[id as usize];
    let least = usize::try_from(node.schema.get("minItems")?.as_u64()?).unwrap_or(usize::MAX);
    let rest = (least > node.prefix.len() && node.schema.get("unevaluatedItems").is_none())
        .then(|| node.items.first().copied())
        .flatten();
    let first = node.prefix.iter().take(least).copied();
    first.chain(rest).find(|item| known[*item as usize] == 0)
}

/// What a subschema's own keywords leave, and the keyword to blame where they exclude something.
fn local(graph: &Graph<'_>, id: usize) -> (Kinds, &'static str) {
    let map = match graph.nodes[id].schema {
        Json::Bool(false) => return (0, ""),
        Json::Object(map) => map,
        Json::Bool(true) | Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            return (ANY, "");
        }
    };
    if graph.draft == Draft::Seven && map.contains_key("$ref") {
        return (ANY, "");
    }
    let mut left = ANY;
    let mut blamed = "";
    let mut narrow = |to: Kinds, keyword: &'static str| {
        if left & to != left {
            left &= to;
            blamed = keyword;
        }
    };
    if let Some(types) = map.get("type") {
        narrow(of_types(types), "type");
    }
    if let Some(value) = map.get("const") {
        narrow(of_value(value), "const");
    }
    if let Some(values) = map.get("enum").and_then(Json::as_array) {
        let union = values.iter().fold(0, |union, value| union | of_value(value));
        narrow(union, "enum");
    }
    for (low, high, strict, kind) in BOUNDS {
        if crossed(map, low, high, strict) {
            narrow(!kind, low);
        }
    }
    if let Some(Json::Bool(true)) = map.get("not") {
        narrow(0, "not");
    }
    let required = map.get("required").and_then(Json::as_array).map_or(0, Vec::len);
    let most = map.get("maxProperties").and_then(Json::as_u64);
    if most.is_some_and(|most| (required as u64) > most) {
        narrow(!OBJECT, "maxProperties");
    }
    (left, blamed)
}

/// Lower bound, upper bound, whether equal ones exclude each other, and the type they rule.
const BOUNDS: [(&str, &str, bool, Kinds); 7] = [
    ("minimum", "maximum", false, NUMBER),
    ("minimum", "exclusiveMaximum", true, NUMBER),
    ("exclusiveMinimum", "maximum", true, NUMBER),
    ("exclusiveMinimum", "exclusiveMaximum", true, NUMBER),
    ("minLength", "maxLength", false, STRING),
    ("minItems", "maxItems", false, ARRAY),
    ("minProperties", "maxProperties", false, OBJECT),
];

fn crossed(map: &JsonMap<String, Json>, low: &str, high: &str, strict: bool) -> bool {
    let bound = |keyword| match map.get(keyword) {
        Some(Json::Number(number)) => Bound::of(number),
        _ => None,
    };
    match bound(low).zip(bound(high)) {
        Some((low, high)) => match low.order(&high.number) {
            Ordering::Greater => false,
            Ordering::Equal => strict,
            Ordering::Less => true,
        },
        None => false,
    }
}

fn of_types(types: &Json) -> Kinds {
    match types {
        Json::String(name) => of_name(name),
        Json::Array(names) => names
            .iter()
            .filter_map(Json::as_str)
            .fold(0, |union, name| union | of_name(name)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => ANY,
    }
}

fn of_name(name: &str) -> Kinds {
    match name {
        "object" => OBJECT,
        "array" => ARRAY,
        "string" => STRING,
        "number" | "integer" => NUMBER,
        "boolean" => BOOLEAN,
        "null" => NULL,
        // The meta-schema refuses it with a better word than "unsatisfiable".
        _ => ANY,
    }
}

/// The type of a value, as a set of one.
pub(super) fn of_value(value: &Json) -> Kinds {
    match value {
        Json::Object(_) => OBJECT,
        Json::Array(_) => ARRAY,
        Json::String(_) => STRING,
        Json::Number(_) => NUMBER,
        Json::Bool(_) => BOOLEAN,
        Json::Null => NULL,
    }
}

/// Follows what is demanded down to the place that excludes everything.
fn blame(graph: &Graph<'_>, local: &[(Kinds, &'static str)], kinds: &[Kinds]) -> SchemaError {
    let mut seen = vec![false; graph.nodes.len()];
    let mut at = 0;
    let refuse = |path: &str, message: &str| SchemaError::new(SchemaErrorCode::Unsatisfiable, path, message);
    while !std::mem::replace(&mut seen[at as usize], true) {
        let (own, keyword) = local[at as usize];
        if own == 0 {
            return match keyword {
                "" => refuse(
                    &graph.pointer(at),
                    "false lets nothing through: no value can be valid",
                ),
                _ => refuse(
                    &graph.pointer_of(at, keyword),
                    "contradicts the keywords beside it: no value can be valid",
                ),
            };
        }
        let node = &graph.nodes[at as usize];
        let same = node
            .same
            .iter()
            .filter(|(same, _)| matches!(same, Same::All | Same::AnyOf | Same::OneOf));
        let next = same.map(|(_, to)| *to).find(|to| kinds[*to as usize] == 0);
        let next = next.or_else(|| demanded_member(graph, at, kinds));
        match next.or_else(|| demanded_item(graph, at, kinds)) {
            Some(to) => at = to,
            None => {
                return refuse(
                    &graph.pointer(at),
                    "its parts exclude each other: no value can be valid",
                );
            }
        }
    }
    refuse(
        &graph.pointer(at),
        "demands itself again and again: no finite value can be valid, make the recursive member optional",
    )
}
