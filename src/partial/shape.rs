//! Shape: what a schema declares, as plain data, for viewers that want unseen members as `null`.

use std::collections::HashSet;

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
    /// The node of members that are not declared.
    pub additional: Option<u32>,
    /// The nodes of the first items.
    pub prefix: Vec<u32>,
    /// The node of the other items.
    pub items: Option<u32>,
    /// Whether the node is, or may be, an object: only such a root is filled before anything is seen.
    pub object: bool,
}

impl Shape {
    /// The value with every declared member of every opened object that is unseen put in as `null`: declared
    /// members first, in order of declaration, then the others as they came. A root that may be an object counts
    /// as opened from the start.
    pub fn fill_root(&self, value: Option<&Value>) -> Option<Value> {
        match value {
            Some(value) => Some(self.fill(Some(0), value)),
            None if self.nodes.first().is_some_and(|root| root.object) => {
                Some(self.fill(Some(0), &Value::Object(Map::new())))
            }
            None => None,
        }
    }

    /// The same for a value that is set at `pointer`.
    pub fn fill_at(&self, pointer: &str, value: &Value) -> Value {
        self.fill(self.node_at(pointer), value)
    }

    /// Whether the member at `pointer` is declared, so that removing it leaves a `null`.
    pub fn declares(&self, pointer: &str) -> bool {
        let Some((parent, _)) = pointer.rsplit_once('/') else {
            return false;
        };
        let Some(last) = path::segments(&pointer[parent.len()..]).and_then(|mut segments| segments.pop())
        else {
            return false;
        };
        let node = self
            .node_at(parent)
            .and_then(|node| self.nodes.get(node as usize));
        node.is_some_and(|node| node.members.iter().any(|(name, _)| **name == *last))
    }

    fn node_at(&self, pointer: &str) -> Option<u32> {
        path::segments(pointer)?.iter().try_fold(0, |node, segment| {
            let node = self.nodes.get(node as usize)?;
            match node.members.iter().find(|(name, _)| **name == **segment) {
                Some((_, member)) => Some(*member),
                None => path::index(segment)
                    .and_then(|index| node.prefix.get(index).copied().or(node.items))
                    .or(node.additional),
            }
        })
    }

    fn fill(&self, node: Option<u32>, value: &Value) -> Value {
        let Some(shape) = node.and_then(|node| self.nodes.get(node as usize)) else {
            return value.clone();
        };
        match value {
            Value::Object(members) => Value::Object(self.fill_object(shape, members)),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.fill(shape.prefix.get(index).copied().or(shape.items), item))
                    .collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn fill_object(&self, shape: &ShapeNode, members: &Map) -> Map {
        // Declared members stand in the order of declaration, as a model's fields do; the others follow.
        let declared = shape.members.iter().map(|(name, node)| {
            let value = members
                .get(name)
                .map_or(Value::Null, |value| self.fill(Some(*node), value));
            (name.clone(), value)
        });
        let names: HashSet<&str> = shape.members.iter().map(|(name, _)| &**name).collect();
        let others = members.iter().filter(|(key, _)| !names.contains(key));
        declared
            .chain(others.map(|(key, value)| (Box::from(key), self.fill(shape.additional, value))))
            .collect()
    }
}
