//! Arrays and objects: how many items, which members, under which names.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::super::node::{Node, list};
use super::super::pattern;
use super::super::text::Persona;
use super::super::words::KEYS;
use super::{BYTES_MAX, Generator};

/// Items of an array inside another array.
const INNER_ITEMS_MAX: usize = 3;
const UNIQUE_TRIES: usize = 24;
/// Names in a row that were there already; a pattern with few words has no more.
const NAME_TRIES: usize = 64;
/// What a member or item may be where the schema says nothing. Not a local: nodes are remembered by address.
static ANYTHING: Value = Value::Bool(true);

impl Generator {
    pub(super) fn array(&mut self, node: &Rc<Node>) -> Value {
        let tuple = match list(node.keywords.get("prefixItems")) {
            [] => list(node.keywords.get("items")),
            prefix => prefix,
        };
        let rest = match node.keywords.get("items") {
            Some(Value::Array(_)) => node.keywords.get("additionalItems"),
            other => other,
        };
        let (count, least) = self.length(node, tuple.len(), rest);
        let unique = node.keywords.get("uniqueItems") == Some(&Value::Bool(true));
        let contains = node.keywords.get("contains");
        let wanted = contains.map_or(0, |_| node.count("minContains").unwrap_or(1));
        let mut seen = HashSet::new();
        let mut items = Vec::new();
        self.arrays += 1;
        while items.len() < count && (self.bytes < BYTES_MAX || items.len() < least) && !self.exhausted() {
            let at = items.len();
            let schema = tuple.get(at).or(rest).unwrap_or(&ANYTHING);
            let extra = contains.filter(|_| at >= tuple.len() && at < tuple.len() + wanted);
            let tries = if unique { UNIQUE_TRIES } else { 1 };
            let fresh = (0..tries).find_map(|_| {
                let item = self.inside(&at.to_string(), |this| this.item(schema, extra));
                (!unique || seen.insert(item.to_string())).then_some(item)
            });
            self.spend(0);
            match fresh {
                Some(item) => items.push(item),
                None => break,
            }
        }
        self.arrays -= 1;
        Value::Array(items)
    }

    fn item(&mut self, schema: &Value, extra: Option<&Value>) -> Value {
        let Some(extra) = extra else {
            return self.value(schema);
        };
        let node = self.folder.node(schema, &mut self.random, false);
        let node = self
            .folder
            .with(&node, std::slice::from_ref(extra), &mut self.random);
        self.of_node(&node)
    }

    /// How many items there shall be, and how many there must be.
    fn length(&self, node: &Node, tuple: usize, rest: Option<&Value>) -> (usize, usize) {
        let closed = rest == Some(&Value::Bool(false)) || (tuple > 0 && rest.is_none());
        let contained = node
            .keywords
            .get("contains")
            .map_or(0, |_| node.count("minContains").unwrap_or(1) + tuple);
        let min = node.count("minItems").unwrap_or(0).max(contained);
        let max = node.count("maxItems").unwrap_or(usize::MAX);
        let wish = match (closed, self.depth_of_recursion(), self.arrays) {
            (true, _, _) => tuple,
            (false, 0, 0) => self.items.max(tuple),
            (false, 0, _) => self.items.min(INNER_ITEMS_MAX).max(tuple),
            (false, 1, _) => self.items.min(2),
            (false, _, _) => 0,
        };
        (wish.max(min).min(max), min)
    }

    pub(super) fn object(&mut self, node: &Rc<Node>) -> Value {
        let outer = self.persona;
        self.persona = Persona::new(&mut self.random);
        let mut members = Map::new();
        let names = self.members_to_write(node);
        let node = self.with_dependents(node, &names);
        let required = list(node.keywords.get("required"))
            .iter()
            .filter_map(Value::as_str);
        let due: Vec<&str> = required
            .filter(|name| !names.iter().any(|known| known == name))
            .collect();
        for name in names.iter().map(String::as_str).chain(due) {
            self.member(&mut members, name, schema_of(&node, name));
        }
        self.further_members(&node, &mut members);
        self.persona = outer;
        Value::Object(members)
    }

    fn member(&mut self, members: &mut Map<String, Value>, name: &str, schema: &Value) {
        self.names.push(name.to_owned());
        let value = self.inside(name, |this| this.value(schema));
        self.names.pop();
        self.spend(name.len());
        members.insert(name.to_owned(), value);
    }

    /// Declared members in the schema's order, then required ones that are not declared.
    fn members_to_write(&mut self, node: &Node) -> Vec<String> {
        let required: Vec<&str> = list(node.keywords.get("required"))
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let max = node.count("maxProperties").unwrap_or(usize::MAX);
        let min = node.count("minProperties").unwrap_or(0);
        let deep = self.depth_of_recursion() >= 2 || self.around.len() > 24 || self.bytes >= BYTES_MAX;
        let declared = node.keywords.get("properties").and_then(Value::as_object);
        let mut names: Vec<String> = Vec::new();
        let mut optional = declared
            .map_or(0, Map::len)
            .max(min)
            .min(max)
            .saturating_sub(required.len());
        for (name, schema) in declared.into_iter().flatten() {
            let must = required.contains(&name.as_str());
            if !must && (optional == 0 || *schema == Value::Bool(false)) {
                continue;
            }
            if must {
                names.push(name.clone());
            } else if !(deep || (min == 0 && self.random.chance(1, 8))) {
                names.push(name.clone());
                optional -= 1;
            }
        }
        for name in required {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        for key in ["dependentRequired", "dependencies"] {
            for (name, more) in node
                .keywords
                .get(key)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
            {
                let due = names.contains(name);
                for more in list(Some(more)).iter().filter_map(Value::as_str).filter(|_| due) {
                    if !names.iter().any(|known| known == more) {
                        names.push(more.to_owned());
                    }
                }
            }
        }
        names
    }

    fn with_dependents(&mut self, node: &Rc<Node>, names: &[String]) -> Rc<Node> {
        let dependents = node.keywords.get("dependentSchemas").and_then(Value::as_object);
        let due: Vec<Value> = dependents
            .into_iter()
            .flatten()
            .filter(|(name, _)| names.contains(name))
            .map(|(_, schema)| schema.clone())
            .collect();
        if due.is_empty() {
            return Rc::clone(node);
        }
        self.folder.with(node, &due, &mut self.random)
    }

    /// Members of a map: as many as an array would have items, under names the schema allows.
    fn further_members(&mut self, node: &Node, members: &mut Map<String, Value>) {
        let declared = node.keywords.get("properties").is_some();
        let patterns = node.keywords.get("patternProperties").and_then(Value::as_object);
        let open = node.keywords.get("additionalProperties");
        let is_map = open.is_some_and(Value::is_object) || patterns.is_some();
        let min = node.count("minProperties").unwrap_or(0);
        let wish = match (is_map && !declared, self.depth_of_recursion()) {
            (true, 0) => self.items.min(KEYS.len()),
            (true, 1) => 1,
            _ => 0,
        };
        let bare = node.keywords.get("properties").is_none() && self.around.len() == 1 && open.is_none();
        let wish = if bare && !is_map && members.is_empty() {
            2
        } else {
            wish
        };
        let wish = wish
            .max(min)
            .min(node.count("maxProperties").unwrap_or(usize::MAX));
        let mut in_vain = 0;
        for round in 0..wish.saturating_mul(4) {
            if members.len() >= wish || in_vain >= NAME_TRIES || self.exhausted() {
                break;
            }
            let (key, schema) = match patterns.and_then(|patterns| patterns.iter().next()) {
                Some((pattern, schema)) => (pattern::sample(pattern, &mut self.random, 0, 200), schema),
                None if open == Some(&Value::Bool(false)) => break,
                None => (Some(self.key(node, round)), open.unwrap_or(&ANYTHING)),
            };
            let Some(key) = key else { break };
            if members.contains_key(&key) {
                in_vain += 1;
            } else {
                in_vain = 0;
                self.member(members, &key, schema);
            }
        }
    }

    fn key(&mut self, node: &Node, round: usize) -> String {
        let names = node.keywords.get("propertyNames");
        let choices = names.map_or(&[][..], |names| list(names.get("enum")));
        if let Some(choice) = choices.get(round % choices.len().max(1)).and_then(Value::as_str) {
            return choice.to_owned();
        }
        let pattern = names
            .and_then(|names| names.get("pattern"))
            .and_then(Value::as_str);
        let sampled = pattern.and_then(|pattern| pattern::sample(pattern, &mut self.random, 0, 200));
        sampled.unwrap_or_else(|| match KEYS.get(round) {
            Some(word) => (*word).to_owned(),
            None => format!("{}_{round}", KEYS[round % KEYS.len()]),
        })
    }
}

fn schema_of<'a>(node: &'a Node, name: &str) -> &'a Value {
    let declared = node.keywords.get("properties").and_then(|all| all.get(name));
    let open = node.keywords.get("additionalProperties");
    declared.or(open).unwrap_or(&ANYTHING)
}
