//! The members of an object.

use std::fmt;

use indexmap::IndexMap;

use super::value::Value;

/// The members of an object in order of arrival; a set on an existing member keeps its place.
#[derive(Clone)]
pub struct Map(Members);

/// Few members are found faster by looking at each than by hashing.
#[derive(Clone)]
enum Members {
    Few(Vec<(Box<str>, Value)>),
    Many(Box<IndexMap<Box<str>, Value>>),
}

const FEW_MAX: usize = 16;

impl Default for Map {
    fn default() -> Self {
        Self(Members::Few(Vec::new()))
    }
}

impl Map {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        match &self.0 {
            Members::Few(members) => members.len(),
            Members::Many(members) => members.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The member named `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match &self.0 {
            Members::Few(_) => Some(self.at(self.index_of(key)?)?.1),
            Members::Many(members) => members.get(key),
        }
    }

    /// The member named `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let index = self.index_of(key)?;
        self.at_mut(index)
    }

    /// Sets a member: a new one comes last, an existing one keeps its place. Returns what was there.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: Value) -> Option<Value> {
        let key = key.into();
        match self.index_of(&key) {
            Some(index) => self.at_mut(index).map(|place| std::mem::replace(place, value)),
            None => {
                self.push(key, value);
                None
            }
        }
    }

    /// Takes a member out; the others keep their order. O(members).
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let index = self.index_of(key)?;
        match &mut self.0 {
            Members::Few(members) => Some(members.remove(index).1),
            Members::Many(members) => members.shift_remove_index(index).map(|(_, value)| value),
        }
    }

    /// Where the member named `key` stands.
    pub(super) fn index_of(&self, key: &str) -> Option<usize> {
        match &self.0 {
            Members::Few(members) => members.iter().position(|(name, _)| **name == *key),
            Members::Many(members) => members.get_index_of(key),
        }
    }

    /// The member at a place, in order of arrival.
    pub fn at(&self, index: usize) -> Option<(&str, &Value)> {
        match &self.0 {
            Members::Few(members) => members.get(index).map(|(key, value)| (&**key, value)),
            Members::Many(members) => members.get_index(index).map(|(key, value)| (&**key, value)),
        }
    }

    fn at_mut(&mut self, index: usize) -> Option<&mut Value> {
        match &mut self.0 {
            Members::Few(members) => members.get_mut(index).map(|(_, value)| value),
            Members::Many(members) => members.get_index_mut(index).map(|(_, value)| value),
        }
    }

    /// Adds a member whose name is known to be new.
    pub(super) fn push(&mut self, key: Box<str>, value: Value) {
        if let Members::Few(members) = &mut self.0
            && members.len() == FEW_MAX
        {
            let many = std::mem::take(members).into_iter().collect();
            self.0 = Members::Many(Box::new(many));
        }
        match &mut self.0 {
            Members::Few(members) => members.push((key, value)),
            Members::Many(members) => {
                members.insert(key, value);
            }
        }
    }

    /// Takes the last member out.
    pub(super) fn pop(&mut self) -> Option<(Box<str>, Value)> {
        match &mut self.0 {
            Members::Few(members) => members.pop(),
            Members::Many(members) => members.pop(),
        }
    }

    /// Replaces the value at a place.
    pub(super) fn put(&mut self, index: usize, value: Value) {
        if let Some(place) = self.at_mut(index) {
            *place = value;
        }
    }

    /// Takes the value at a place out and leaves `null`.
    pub(super) fn put_null(&mut self, index: usize) -> Value {
        self.at_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// Whether there is a member named `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.index_of(key).is_some()
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        (0..self.len()).map(|index| self.at(index).unwrap_or(("", &Value::Null)))
    }
}

impl<K: Into<Box<str>>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        let mut map = Self::new();
        for (key, value) in members {
            map.insert(key, value);
        }
        map
    }
}

/// Equal only when the members come in the same order: order is part of a draft.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_members_behave_alike() {
        let mut map = Map::new();
        for n in 0..FEW_MAX + 3 {
            assert_eq!(map.insert(format!("k{n}"), Value::Null), None);
            assert!(map.insert("k0", Value::Bool(n % 2 == 0)).is_some());
            assert_eq!(map.len(), n + 1);
        }
        let keys: Vec<&str> = map.iter().map(|(key, _)| key).collect();
        assert_eq!(keys[..3], ["k0", "k1", "k2"]);
        assert_eq!(map.index_of("k17"), Some(17));
        assert_eq!(map.remove("k1"), Some(Value::Null));
        assert_eq!(map.index_of("k17"), Some(16));
        assert!(!map.contains_key("k1"));
        *map.get_mut("k2").unwrap() = Value::Bool(true);
        assert_eq!(map.get("k2"), Some(&Value::Bool(true)));
        let few: Map = [("a", Value::Null), ("b", Value::Null)].into_iter().collect();
        let other: Map = [("b", Value::Null), ("a", Value::Null)].into_iter().collect();
        assert_ne!(few, other, "order counts");
    }
}
