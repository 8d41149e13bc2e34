//! Shape: what a schema declares, as plain data, for viewers that want unseen members as `null`.

use std::collections::HashMap;

use super::map::Map;
use super::path;
use super::value::Value;

/// The declared members per node of a schema; index 0 is the root. Recursive schemas point back by index.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// The nodes; empty means nothing is known.
    pub nodes: Vec<ShapeNode>,
}

/// One node: what an object at this place declares, and which nodes its members and items are.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct ShapeNode {
    /// Declared members in order of declaration, each with the node of its value.
    pub members: Vec<(Box<str>, u32)>,
    /// The node of members that are not declared; none where their names decide (`patternProperties`): such members
    /// are not filled.
    pub additional: Option<u32>,
    /// The nodes of the first items.
    pub prefix: Vec<u32>,
    /// The node of the other items.
    pub items: Option<u32>,
    /// Whether the node is, or may be, an object: only such a root is filled before anything is seen.
    pub object: bool,
    /// Whether it is, or may be, an array. Of a node that may be both, a pointer's number may be a name or an index:
    /// where these lead to different nodes, neither is filled; where one leads nowhere, the other counts.
    pub array: bool,
}

impl ShapeNode {
    fn declared(&self, name: &str) -> Option<u32> {
        let found = self.members.iter().find(|(own, _)| **own == *name);
        found.map(|(_, node)| *node)
    }

    /// The node of a member, which is `declared` or not.
    fn member(&self, name: &str, declared: Option<u32>) -> Option<u32> {
        let member = declared.or(self.additional).filter(|_| self.object);
        let item = path::index(name).and_then(|index| self.item_alone(index));
        either(member, item)
    }

    /// The node of an item.
    fn item(&self, index: usize) -> Option<u32> {
        let item = self.item_alone(index);
        if !self.object || (self.members.is_empty() && self.additional.is_none()) {
            return item;
        }
        either(self.declared(&index.to_string()).or(self.additional), item)
    }

    fn item_alone(&self, index: usize) -> Option<u32> {
        let node = self.prefix.get(index).copied().or(self.items);
        node.filter(|_| self.array)
    }

    /// The node of what a pointer's segment names, a member or an item.
    fn child(&self, segment: &str) -> Option<u32> {
        self.member(segment, self.declared(segment))
    }
}

/// What a number in a pointer leads to, as a name and as an index: a patch cannot tell which it is, so both are told
/// the same.
fn either(member: Option<u32>, item: Option<u32>) -> Option<u32> {
    match (member, item) {
        (Some(member), Some(item)) => Some(member).filter(|_| member == item),
        (member, item) => member.or(item),
    }
}

impl Shape {
    /// How many `null`s are put into one message. Objects beyond keep what they have: a few bytes of a list of empty
    /// objects must not become a gigabyte.
    pub const NULLS_MAX: usize = 65_536;

    /// The value with every declared member of every opened object that is unseen put in as `null`: declared
    /// members first, in order of declaration, then the others as they came. A root that may be an object counts
    /// as opened from the start. At most [`NULLS_MAX`](Self::NULLS_MAX) are put in.
    pub fn fill_root(&self, value: Option<&Value>) -> Option<Value> {
        let mut left = Self::NULLS_MAX;
        match value {
            Some(value) => Some(self.fill(Some(0), value, &mut left)),
            None if self.nodes.first().is_some_and(|root| root.object) => {
                Some(self.fill(Some(0), &Value::Object(Map::new()), &mut left))
            }
            None => None,
        }
    }

    /// The same for a value that is set at `pointer`; `left` is how many may still be put into the message.
    pub fn fill_at(&self, pointer: &str, value: &Value, left: &mut usize) -> Value {
        self.fill(self.node_at(pointer), value, left)
    }

    fn node_at(&self, pointer: &str) -> Option<u32> {
        path::segments(pointer)?
            .iter()
            .try_fold(0, |node, segment| self.nodes.get(node as usize)?.child(segment))
    }

    fn fill(&self, node: Option<u32>, value: &Value, left: &mut usize) -> Value {
        let Some(shape) = node.and_then(|node| self.nodes.get(node as usize)) else {
            return value.clone();
        };
        match value {
            Value::Object(members) => Value::Object(self.fill_object(shape, members, left)),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.fill(shape.item(index), item, left))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn fill_object(&self, shape: &ShapeNode, members: &Map, left: &mut usize) -> Map {
        let declared = &shape.members;
        // At least so many are unseen; that says enough where there is no room for them.
        let room = declared.len().saturating_sub(members.len()) <= *left;
        let nodes: HashMap<&str, u32> = if room || !members.is_empty() {
            declared.iter().map(|(name, node)| (&**name, *node)).collect()
        } else {
            HashMap::new()
        };
        let unseen = declared.iter().filter(|(name, _)| !members.contains_key(name));
        if !room || unseen.count() > *left {
            let node_of = |key: &str| shape.member(key, nodes.get(key).copied());
            return members
                .iter()
                .map(|(key, value)| (key, self.fill(node_of(key), value, left)))
                .collect();
        }
        let mut filled = Map::new();
        // Declared members stand in the order of declaration, as a model's fields do; the others follow.
        for (name, node) in declared {
            let value = match members.get(name) {
                Some(value) => self.fill(shape.member(name, Some(*node)), value, left),
                None => {
                    *left = left.saturating_sub(1);
                    Value::Null
                }
            };
            filled.insert(name.clone(), value);
        }
        for (key, value) in members.iter().filter(|(key, _)| !nodes.contains_key(key)) {
            filled.insert(key, self.fill(shape.member(key, None), value, left));
        }
        filled
    }
}
