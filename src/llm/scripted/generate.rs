//! A value that conforms to a schema.
//!
//! Best effort, and said so: a pattern beyond `pattern`, `not`, `contains` with counts, `propertyNames` beyond `enum`
//! and `pattern`, overlapping `oneOf` branches and contradicting demands may come out wrong; the caller checks the
//! value where the schema uses any of these, and tries again with other chances.

mod containers;

use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::node::{Folder, Node, list};
use super::number;
use super::random::Random;
use super::spoil::Weakness;
use super::text::{self, Persona, Place};

/// Bytes of a value, roughly; beyond them arrays and texts are as short as the schema allows, and beyond twice as
/// many there is only null: no schema may ask for more than that.
const BYTES_MAX: usize = 8 << 20;
/// Values inside values; deeper there is only null.
const DEPTH_MAX: usize = 96;
/// How often a definition may stand inside itself: a schema that demands more has no end.
const RECURSION_MAX: usize = 8;

/// Writes one value.
pub(super) struct Generator {
    folder: Folder,
    random: Random,
    items: usize,
    chars: usize,
    bytes: usize,
    /// Origins of the nodes around the current one, one list a level.
    around: Vec<Rc<Node>>,
    /// Member names around the current value.
    names: Vec<String>,
    arrays: usize,
    persona: Persona,
    pointer: String,
    weakness: Weakness,
    bold: bool,
    /// Whether it was told what breaks.
    named: bool,
}

impl Generator {
    /// For `schema`; `items` and `chars` where it leaves lengths open.
    pub(super) fn new(schema: &Arc<Value>, mut random: Random, items: usize, chars: usize) -> Self {
        Self {
            folder: Folder::new(Arc::clone(schema)),
            persona: Persona::new(&mut random),
            weakness: Weakness::new(random.clone()),
            random,
            items,
            chars,
            bytes: 0,
            around: Vec::new(),
            names: Vec::new(),
            arrays: 0,
            pointer: String::new(),
            bold: false,
            named: false,
        }
    }

    /// The same, that breaks at these places and at no other, where there are any.
    pub(super) fn breaking_at(mut self, places: &[String]) -> Self {
        self.named = !places.is_empty();
        self.weakness.name(places);
        self
    }

    /// The value of the whole schema, and where it breaks most easily.
    /// `bold` looks for it inside unions too, where breaking one branch may fit another.
    pub(super) fn generate(mut self, schema: &Value, bold: bool) -> (Value, Weakness) {
        self.bold = bold;
        let value = self.value(schema);
        (value, self.weakness)
    }

    fn value(&mut self, schema: &Value) -> Value {
        if self.around.len() >= DEPTH_MAX || self.exhausted() {
            return Value::Null;
        }
        let lean = self.around.len() > 24 || self.bytes >= BYTES_MAX || self.recursion(schema) >= 2;
        let node = self.folder.node(schema, &mut self.random, lean);
        self.of_node(&node)
    }

    fn of_node(&mut self, node: &Rc<Node>) -> Value {
        self.around.push(Rc::clone(node));
        let endless = self.depth_of_recursion() > RECURSION_MAX;
        let value = if endless {
            Value::Null
        } else {
            self.kind_of_value(node)
        };
        let certain = !self.around.iter().any(|one| one.chosen);
        if certain || self.bold || self.named {
            let depth = (certain, self.around.len());
            self.weakness.consider(&self.pointer, node, &value, depth);
        }
        self.around.pop();
        value
    }

    /// How often `schema` is already open above.
    fn recursion(&self, schema: &Value) -> usize {
        let address = self.folder.address(schema);
        self.around
            .iter()
            .filter(|node| node.origins.contains(&address))
            .count()
    }

    /// How often the current node is open above itself.
    fn depth_of_recursion(&self) -> usize {
        let Some((node, above)) = self.around.split_last() else {
            return 0;
        };
        let count = |origin: &usize| above.iter().filter(|one| one.origins.contains(origin)).count();
        node.origins.iter().map(count).max().unwrap_or(0)
    }

    fn kind_of_value(&mut self, node: &Rc<Node>) -> Value {
        if let Some(constant) = node.keywords.get("const") {
            return self.quoted(constant);
        }
        let kinds = kinds(node);
        let choices: Vec<&Value> = list(node.keywords.get("enum"))
            .iter()
            .filter(|value| kinds.is_empty() || kinds.iter().any(|kind| is_kind(value, kind)))
            .collect();
        if !choices.is_empty() {
            let at = self.random.below(choices.len());
            return self.quoted(choices[at]);
        }
        let kind = self.kind(node, &kinds);
        if let Some(value) = self.shown(node, kind) {
            return self.quoted(value);
        }
        match kind {
            "null" => Value::Null,
            "boolean" => Value::Bool(self.random.chance(2, 3)),
            "integer" | "number" => {
                let name = self.names.last().map_or("", String::as_str);
                number::number(node, name, kind == "integer", &mut self.random)
            }
            "array" => self.array(node),
            "object" => self.object(node),
            _ => self.string(node),
        }
    }

    fn kind(&mut self, node: &Node, kinds: &[&str]) -> &'static str {
        const KINDS: [&str; 7] = [
            "object", "array", "string", "integer", "number", "boolean", "null",
        ];
        let allowed: Vec<&'static str> = KINDS.into_iter().filter(|kind| kinds.contains(kind)).collect();
        let real: Vec<&'static str> = allowed.iter().copied().filter(|kind| *kind != "null").collect();
        let lean = self.depth_of_recursion() >= 1;
        match (real.as_slice(), allowed.len() > real.len()) {
            ([], true) => "null",
            ([], false) => self.kind_by_keywords(node),
            (_, true) if lean || self.random.chance(1, 12) => "null",
            (some, _) => self.random.pick(some),
        }
    }

    fn kind_by_keywords(&self, node: &Node) -> &'static str {
        const SIGNS: [(&str, &[&str]); 4] = [
            (
                "object",
                &[
                    "properties",
                    "required",
                    "additionalProperties",
                    "patternProperties",
                    "minProperties",
                ],
            ),
            (
                "array",
                &[
                    "items",
                    "prefixItems",
                    "minItems",
                    "maxItems",
                    "contains",
                    "uniqueItems",
                ],
            ),
            ("string", &["pattern", "format", "minLength", "maxLength"]),
            (
                "number",
                &[
                    "minimum",
                    "maximum",
                    "multipleOf",
                    "exclusiveMinimum",
                    "exclusiveMaximum",
                ],
            ),
        ];
        let has = |keys: &&[&str]| keys.iter().any(|key| node.keywords.contains_key(*key));
        let found = SIGNS.iter().find(|(_, keys)| has(keys)).map(|(kind, _)| *kind);
        found.unwrap_or(if self.around.len() == 1 {
            "object"
        } else {
            "string"
        })
    }

    /// An example or default of the schema, where it shows one for a scalar.
    fn shown<'a>(&mut self, node: &'a Node, kind: &str) -> Option<&'a Value> {
        let examples = list(node.keywords.get("examples"));
        let example = examples.get(self.random.below(examples.len()));
        let default = node.keywords.get("default").filter(|_| self.random.chance(1, 4));
        let fits = |value: &&Value| is_kind(value, kind) && fits_scalar(node, value);
        example
            .filter(|_| self.arrays == 0 || examples.len() > 2)
            .filter(fits)
            .or_else(|| default.filter(fits))
    }

    fn string(&mut self, node: &Node) -> Value {
        let name = self.names.last().map_or("", String::as_str);
        let around = self
            .names
            .len()
            .checked_sub(2)
            .map_or("", |at| self.names[at].as_str());
        let place = Place {
            name,
            around,
            persona: self.persona,
            chars: self.chars.min(BYTES_MAX.saturating_sub(self.bytes)),
        };
        let text = text::string(node, place, &mut self.random);
        self.spend(text.len());
        Value::String(text)
    }

    /// A value that the schema itself spells out; it costs what it weighs.
    fn quoted(&mut self, value: &Value) -> Value {
        self.spend(weight(value));
        value.clone()
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes += bytes + 8;
    }

    fn exhausted(&self) -> bool {
        self.bytes >= 2 * BYTES_MAX
    }

    fn inside<T>(&mut self, segment: &str, write: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.pointer.len();
        crate::partial::path::push_segment(&mut self.pointer, segment);
        let done = write(self);
        self.pointer.truncate(before);
        done
    }
}

/// Bytes of a value, roughly.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum::<usize>() + 2,
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| key.len() + 3 + weight(value))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
    }
}

/// The types a node names; empty where it names none.
pub(super) fn kinds(node: &Node) -> Vec<&str> {
    match node.keywords.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn is_kind(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::Number(number) => {
            let whole = number.is_i64()
                || number.is_u64()
                || number.as_f64().is_some_and(|float| float.fract() == 0.0);
            kind == "number" || (kind == "integer" && whole)
        }
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
    }
}

/// Whether a scalar keeps the bounds of its node; patterns are taken on trust.
fn fits_scalar(node: &Node, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let chars = text.chars().count();
            node.count("minLength").is_none_or(|min| chars >= min)
                && node.count("maxLength").is_none_or(|max| chars <= max)
        }
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or(f64::NAN);
            node.measure("minimum").is_none_or(|min| value >= min)
                && node.measure("maximum").is_none_or(|max| value <= max)
                && node.measure("exclusiveMinimum").is_none_or(|min| value > min)
                && node.measure("exclusiveMaximum").is_none_or(|max| value < max)
                && node
                    .measure("multipleOf")
                    .is_none_or(|step| (value / step).fract() == 0.0)
        }
        Value::Bool(_) | Value::Null => true,
        Value::Array(_) | Value::Object(_) => false,
    }
}
