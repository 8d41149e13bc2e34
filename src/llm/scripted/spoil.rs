//! A value that looks right and is not.

use serde_json::{Value, json};

use super::generate::{is_kind, kinds};
use super::node::Node;
use super::random::Random;

/// Where a value breaks for certain, and with what.
#[derive(Debug)]
pub(super) struct Weakness {
    /// Its own chances: looking for a weak spot must not change the value.
    random: Random,
    best: Option<Spot>,
    /// How many spots of the best rank were seen.
    seen: usize,
    /// The places that shall break; where there are any, no other does.
    named: Vec<String>,
    at_named: Vec<(String, Value)>,
}

#[derive(Debug)]
struct Spot {
    pointer: String,
    wrong: Value,
    rank: (bool, bool, usize),
}

impl Weakness {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            best: None,
            seen: 0,
            named: Vec::new(),
            at_named: Vec::new(),
        }
    }

    /// Breaks these places, where they are, and no other.
    pub(super) fn name(&mut self, places: &[String]) {
        self.named = places.to_vec();
    }

    /// Remembers the spot if it is a better one: scalars before containers, certain before
    /// doubtful, deep before shallow, chance among equals. `place` is whether it is certain, and its depth.
    pub(super) fn consider(&mut self, pointer: &str, node: &Node, value: &Value, place: (bool, usize)) {
        if !self.named.is_empty() {
            if self.named.iter().any(|named| named == pointer) {
                let spot = wrong(node, value).map(|wrong| (pointer.to_owned(), wrong));
                self.at_named.extend(spot);
            }
            return;
        }
        let rank = (!value.is_object() && !value.is_array(), place.0, place.1);
        let known = self.best.as_ref().map(|best| best.rank);
        if known.is_some_and(|known| known > rank) {
            return;
        }
        let Some(wrong) = wrong(node, value) else { return };
        self.seen = if known == Some(rank) { self.seen + 1 } else { 1 };
        if self.seen > 1 && !self.random.chance(1, self.seen) {
            return;
        }
        self.best = Some(Spot {
            pointer: pointer.to_owned(),
            wrong,
            rank,
        });
    }

    /// Breaks `value`; a schema that allows everything leaves it whole.
    pub(super) fn spoil(self, value: &mut Value) {
        let best = self.best.map(|spot| (spot.pointer, spot.wrong));
        for (pointer, wrong) in self.at_named.into_iter().chain(best) {
            if let Some(target) = value.pointer_mut(&pointer) {
                *target = wrong;
            }
        }
    }
}

/// A believable mistake in place of `value`: a bound overstepped, an unknown word, a wrong type, a missing member.
fn wrong(node: &Node, value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => overstepped(node).or_else(|| foreign(node, &[json!("about a dozen")])),
        Value::String(_) => {
            let choices = node.keywords.contains_key("enum") || node.keywords.contains_key("const");
            let word = json!("something else");
            if choices && not_among(node, &word) {
                return Some(word);
            }
            let empty = node.count("minLength").is_some_and(|min| min > 0);
            empty
                .then(|| json!(""))
                .or_else(|| foreign(node, &[json!(42), json!(["n/a"])]))
        }
        Value::Bool(_) => foreign(node, &[json!("maybe"), json!(2)]),
        Value::Null => None,
        Value::Array(_) => foreign(node, &[json!("none"), json!({})]),
        Value::Object(members) => {
            let required = super::node::list(node.keywords.get("required"));
            let last = required.iter().filter_map(Value::as_str).next_back();
            let Some(name) = last else {
                return foreign(node, &[json!([]), json!("none")]);
            };
            let mut less = members.clone();
            less.shift_remove(name);
            Some(Value::Object(less))
        }
    }
}

/// A value of a type the node does not name.
fn foreign(node: &Node, candidates: &[Value]) -> Option<Value> {
    let kinds = kinds(node);
    if kinds.is_empty() {
        let closed = node.keywords.contains_key("enum") || node.keywords.contains_key("const");
        return candidates
            .iter()
            .find(|one| closed && not_among(node, one))
            .cloned();
    }
    let outside = |one: &&Value| !kinds.iter().any(|kind| is_kind(one, kind));
    candidates.iter().find(outside).cloned()
}

fn not_among(node: &Node, value: &Value) -> bool {
    node.keywords.get("const") != Some(value) && !super::node::list(node.keywords.get("enum")).contains(value)
}

fn overstepped(node: &Node) -> Option<Value> {
    let beyond = |key: &str, by: f64| node.measure(key).map(|bound| bound + by);
    let value = beyond("maximum", 1.0)
        .or_else(|| beyond("exclusiveMaximum", 1.0))
        .or_else(|| beyond("minimum", -1.0))
        .or_else(|| beyond("exclusiveMinimum", -1.0))?;
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return Some(json!(value as i64));
    }
    Some(json!(value))
}
