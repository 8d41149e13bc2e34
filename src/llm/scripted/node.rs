//! What a schema demands of one value: references, `allOf` and one branch of each union folded into one map.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::random::Random;

/// Keywords that are folded, or say nothing about a value.
const FOLDED: &[&str] = &[
    "$ref",
    "$dynamicRef",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "then",
    "else",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
];
/// References followed and parts folded one inside the other for one value; more is a circle.
const HOPS_MAX: u32 = 32;
/// Parts folded for one value in all: circles that fork would take for ever.
const PARTS_MAX: u32 = 2_000;

/// What one keyword may ask for.
const COUNT_MAX: u64 = 1_000_000;

/// Foldings of one schema that are told apart; with more unions side by side these have to do.
const VARIANTS_MAX: usize = 64;

/// How unions are decided, and how much may still be folded.
struct Choice<'a> {
    random: &'a mut Random,
    lean: bool,
    parts: u32,
}

/// The demands on one value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Node {
    /// Keywords, merged.
    pub(super) keywords: Map<String, Value>,
    /// Nothing can satisfy it.
    pub(super) never: bool,
    /// A branch was chosen: breaking this node need not break the schema.
    pub(super) chosen: bool,
    /// Addresses of the definitions it was folded from: a definition met again is recursion.
    pub(super) origins: Vec<usize>,
}

/// Folds nodes and remembers them, so a schema is folded once and not once a value.
#[derive(Debug)]
pub(super) struct Folder {
    root: Arc<Value>,
    /// By the address of the schema. Remembered nodes are never dropped, so the addresses inside them stay theirs.
    known: HashMap<usize, Vec<Rc<Node>>>,
}

impl Folder {
    pub(super) fn new(root: Arc<Value>) -> Self {
        Self {
            root,
            known: HashMap::new(),
        }
    }

    /// The node of `schema`. `lean` prefers the smallest branch of a union, to come out of a recursion.
    pub(super) fn node(&mut self, schema: &Value, random: &mut Random, lean: bool) -> Rc<Node> {
        let schema = self.behind_plain_references(schema);
        let address = std::ptr::from_ref(schema) as usize;
        if let Some(variants) = self.known.get(&address)
            && (variants.len() >= VARIANTS_MAX || variants.iter().any(|one| !one.chosen))
        {
            return Rc::clone(&variants[random.below(variants.len())]);
        }
        let mut choice = Choice {
            random,
            lean,
            parts: PARTS_MAX,
        };
        let mut node = self.fold(schema, HOPS_MAX, &mut choice);
        node.origins.push(address);
        self.remember(address, node)
    }

    /// What identifies `schema`: its address, behind plain references.
    pub(super) fn address(&self, schema: &Value) -> usize {
        std::ptr::from_ref(self.behind_plain_references(schema)) as usize
    }

    /// The node with further schemas folded in.
    pub(super) fn with(&mut self, node: &Rc<Node>, more: &[Value], random: &mut Random) -> Rc<Node> {
        let mut all = Node::clone(node);
        let mut choice = Choice {
            random,
            lean: false,
            parts: PARTS_MAX,
        };
        for schema in more {
            all.merge(self.fold(schema, HOPS_MAX, &mut choice));
        }
        self.remember(Rc::as_ptr(node) as usize, all)
    }

    fn remember(&mut self, address: usize, node: Node) -> Rc<Node> {
        let variants = self.known.entry(address).or_default();
        if let Some(same) = variants.iter().find(|known| ***known == node) {
            return Rc::clone(same);
        }
        variants.push(Rc::new(node));
        variants.last().map(Rc::clone).unwrap_or_default()
    }

    fn behind_plain_references<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..HOPS_MAX {
            let only = schema.as_object().filter(|map| map.len() == 1);
            let Some(target) = only.and_then(|map| self.target(map.get("$ref")?)) else {
                break;
            };
            schema = target;
        }
        schema
    }

    fn target(&self, reference: &Value) -> Option<&Value> {
        let reference = reference.as_str()?;
        match reference.strip_prefix('#') {
            Some("") => Some(&*self.root),
            Some(pointer) if pointer.starts_with('/') => self.root.pointer(&percent_decoded(pointer)),
            Some(anchor) => named(&self.root, &["$anchor", "$dynamicAnchor"], anchor),
            None => named(&self.root, &["$id", "id"], reference),
        }
    }

    fn fold(&self, schema: &Value, hops: u32, choice: &mut Choice<'_>) -> Node {
        let Some(map) = schema.as_object() else {
            return Node {
                never: schema == &Value::Bool(false),
                ..Node::default()
            };
        };
        let own = map.iter().filter(|(key, _)| !FOLDED.contains(&key.as_str()));
        let mut node = Node {
            keywords: own.map(|(key, value)| (key.clone(), value.clone())).collect(),
            ..Node::default()
        };
        if hops == 0 || choice.parts == 0 {
            return node;
        }
        choice.parts -= 1;
        for key in ["$ref", "$dynamicRef"] {
            if let Some(target) = map.get(key).and_then(|reference| self.target(reference)) {
                node.origins.push(std::ptr::from_ref(target) as usize);
                node.merge(self.fold(target, hops - 1, choice));
            }
        }
        for part in list(map.get("allOf")) {
            node.merge(self.fold(part, hops - 1, choice));
        }
        if let (Some(condition), Some(_)) = (map.get("if"), map.get("then").or(map.get("else"))) {
            // A value under the condition is bound by `then` alone; `else` asks nothing of it.
            node.chosen = true;
            node.merge(self.fold(condition, hops - 1, choice));
            if let Some(then) = map.get("then") {
                node.merge(self.fold(then, hops - 1, choice));
            }
        }
        for key in ["anyOf", "oneOf"] {
            let branches = list(map.get(key));
            if let Some(branch) = self.branch(branches, choice) {
                node.chosen |= branches.len() > 1;
                node.merge(self.fold(branch, hops - 1, choice));
            }
        }
        node
    }

    /// One branch of a union: seldom null, and the smallest where the answer must come to an end.
    fn branch<'a>(&'a self, branches: &'a [Value], choice: &mut Choice<'_>) -> Option<&'a Value> {
        let possible = || branches.iter().filter(|one| **one != Value::Bool(false));
        if choice.lean {
            return possible().min_by_key(|one| self.weight(one));
        }
        let real: Vec<&Value> = possible().filter(|one| self.weight(one) > 0).collect();
        if real.is_empty() || (real.len() < branches.len() && choice.random.chance(1, 10)) {
            return possible().min_by_key(|one| self.weight(one));
        }
        real.get(choice.random.below(real.len())).copied()
    }

    /// 0 null, 1 scalar, 2 object, 3 array, 4 behind a reference or unknown.
    fn weight(&self, schema: &Value) -> u8 {
        let known = self.behind_plain_references(schema);
        let heavier = if std::ptr::eq(known, schema) { 0 } else { 2 };
        let by_type = match known.get("type").and_then(Value::as_str) {
            Some("null") => return 0,
            Some("string" | "number" | "integer" | "boolean") => return 1,
            Some("object") => 2,
            Some("array") => 3,
            _ if known.get("const") == Some(&Value::Null) => return 0,
            _ if known.get("const").or(known.get("enum")).is_some() => return 1,
            _ => 4,
        };
        by_type + heavier
    }
}

/// The items of an array; nothing for everything else.
pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn named<'a>(schema: &'a Value, keys: &[&str], name: &str) -> Option<&'a Value> {
    match schema {
        Value::Object(map) => {
            let here = keys
                .iter()
                .any(|key| map.get(*key).and_then(Value::as_str) == Some(name));
            if here {
                return Some(schema);
            }
            map.values().find_map(|inner| named(inner, keys, name))
        }
        Value::Array(items) => items.iter().find_map(|inner| named(inner, keys, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

impl Node {
    /// Folds `other` in: afterwards a value that fits this node fits both (as far as keywords can say it).
    fn merge(&mut self, other: Self) {
        self.never |= other.never;
        self.chosen |= other.chosen;
        self.origins.extend(other.origins);
        for (key, theirs) in other.keywords {
            let merged = match self.keywords.get(&key) {
                None => theirs,
                Some(ours) if *ours == theirs => continue,
                Some(ours) => both(&key, ours, theirs),
            };
            self.keywords.insert(key, merged);
        }
    }

    /// A keyword that counts; a demand beyond a million is cut down to it.
    pub(super) fn count(&self, key: &str) -> Option<usize> {
        let number = self.keywords.get(key)?;
        let whole = number
            .as_u64()
            .or_else(|| number.as_f64().map(|float| float as u64))?;
        usize::try_from(whole.min(COUNT_MAX)).ok()
    }

    /// A keyword that measures.
    pub(super) fn measure(&self, key: &str) -> Option<f64> {
        self.keywords.get(key)?.as_f64()
    }

    /// A keyword that is text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.keywords.get(key)?.as_str()
    }
}

/// One value of a keyword that asks for both.
fn both(key: &str, ours: &Value, theirs: Value) -> Value {
    match key {
        "type" => common_types(ours, &theirs),
        "enum" => list(Some(ours))
            .iter()
            .filter(|one| list(Some(&theirs)).contains(one))
            .cloned()
            .collect(),
        "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties" => {
            extreme(ours, theirs, true)
        }
        "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties" => {
            extreme(ours, theirs, false)
        }
        "multipleOf" => match (ours.as_f64(), theirs.as_f64()) {
            (Some(left), Some(right)) if left % right == 0.0 => ours.clone(),
            (Some(left), Some(right)) if right % left == 0.0 => theirs,
            (Some(left), Some(right)) => serde_json::json!(left * right),
            _ => theirs,
        },
        "required" => {
            let mut all = list(Some(ours)).to_vec();
            all.extend(
                list(Some(&theirs))
                    .iter()
                    .filter(|one| !list(Some(ours)).contains(one))
                    .cloned(),
            );
            Value::Array(all)
        }
        "properties" | "patternProperties" | "dependentSchemas" => joined(ours, theirs),
        "items" | "additionalProperties" | "propertyNames" | "contains"
            if theirs.is_object() && ours.is_object() =>
        {
            serde_json::json!({ "allOf": [ours, theirs] })
        }
        "items" | "additionalProperties" | "propertyNames" if *ours == Value::Bool(true) => theirs,
        "items" | "additionalProperties" | "propertyNames" if theirs == Value::Bool(false) => theirs,
        "uniqueItems" => Value::Bool(true),
        _ => ours.clone(),
    }
}

fn joined(ours: &Value, theirs: Value) -> Value {
    let (Some(ours), Value::Object(theirs)) = (ours.as_object(), theirs) else {
        return ours.clone();
    };
    let mut all = ours.clone();
    for (name, schema) in theirs {
        let schema = match all.get(&name) {
            Some(known) if *known != schema => serde_json::json!({ "allOf": [known, schema] }),
            Some(_) | None => schema,
        };
        all.insert(name, schema);
    }
    Value::Object(all)
}

fn extreme(ours: &Value, theirs: Value, greatest: bool) -> Value {
    match (ours.as_f64(), theirs.as_f64()) {
        (Some(left), Some(right)) if (left > right) == greatest => ours.clone(),
        (Some(_), None) => ours.clone(),
        _ => theirs,
    }
}

fn common_types(ours: &Value, theirs: &Value) -> Value {
    let names = |value: &Value| -> Vec<String> {
        let one = value.as_str().map(str::to_owned).into_iter();
        one.chain(
            list(Some(value))
                .iter()
                .filter_map(|name| name.as_str().map(str::to_owned)),
        )
        .collect()
    };
    let (ours, theirs) = (names(ours), names(theirs));
    let has = |list: &[String], name: &str| list.iter().any(|one| one == name);
    let mut common: Vec<String> = ours.iter().filter(|name| has(&theirs, name)).cloned().collect();
    let whole = |left: &[String], right: &[String]| has(left, "integer") && has(right, "number");
    if (whole(&ours, &theirs) || whole(&theirs, &ours)) && !has(&common, "integer") {
        common.push("integer".to_owned());
    }
    Value::Array(common.into_iter().map(Value::String).collect())
}
