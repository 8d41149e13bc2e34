//! The draft's value as the validator reads it: in place, without a copy, and by its own digits.

use std::borrow::Cow;
use std::collections::HashSet;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node, NodeIdentity, Object, cmp};
use serde_json::{Number as SchemaNumber, Value as SchemaValue};

use super::bound;
use crate::partial::{Map, Number, Value, write_json_string};

/// What the validators of this module are made for.
#[derive(Debug)]
pub(super) enum Tree {}

/// A validator that reads drafts.
pub(super) type Validator = jsonschema::Validator<Tree>;

impl Json for Tree {
    type Node<'v> = &'v Value;
    type PreparedKey = Box<str>;
    type StringBuffer = Value;

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>(buffer: &mut Value, string: &str, f: impl FnOnce(&Value) -> T) -> T {
        if let Value::String(text) = buffer {
            text.clear();
            text.push_str(string);
        } else {
            *buffer = Value::String(string.to_owned());
        }
        f(buffer)
    }
}

impl<'v> Node<'v, Tree> for &'v Value {
    type Object = &'v Map;
    type Array = &'v [Value];
    type Number = Digits<'v>;

    fn as_object(&self) -> Option<&'v Map> {
        match self {
            Value::Object(members) => Some(members),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    fn as_array(&self) -> Option<&'v [Value]> {
        match self {
            Value::Array(items) => Some(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'v, str>> {
        match self {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn as_number(&self) -> Option<Digits<'v>> {
        match self {
            Value::Number(number) => Some(Digits(number)),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(flag) => Some(*flag),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &SchemaValue) -> bool {
        equals(self, expected)
    }

    /// Only faults ask for it, and of theirs only a member's name is told: what they say of the value is read from
    /// the draft.
    fn to_value(&self) -> Cow<'v, SchemaValue> {
        Cow::Owned(match self {
            Value::String(text) => SchemaValue::String(text.clone()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                SchemaValue::Null
            }
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref::<Value>(self) as usize))
    }
}

impl<'v> Object<'v, Tree> for &'v Map {
    type Node = &'v Value;
    type MemberName = &'v str;
    type MembersIter = Members<'v>;

    fn len(&self) -> usize {
        Map::len(self)
    }

    fn get(&self, key: &Box<str>) -> Option<&'v Value> {
        Map::get(self, key)
    }

    fn members(&self) -> Members<'v> {
        Members { map: self, next: 0 }
    }
}

/// The members of an object, in order of arrival.
pub(super) struct Members<'v> {
    map: &'v Map,
    next: usize,
}

impl<'v> Iterator for Members<'v> {
    type Item = (&'v str, &'v Value);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.map.at(self.next)?;
        self.next += 1;
        Some(member)
    }
}

impl<'v> Array<'v, Tree> for &'v [Value] {
    type Node = &'v Value;
    type ElementsIter = std::slice::Iter<'v, Value>;

    fn len(&self) -> usize {
        <[Value]>::len(self)
    }

    fn elements(&self) -> std::slice::Iter<'v, Value> {
        self.iter()
    }

    fn is_unique(&self) -> bool {
        let mut seen = HashSet::with_capacity(<[Value]>::len(self));
        self.iter().all(|item| {
            let mut text = String::new();
            write_canonical(item, &mut text);
            seen.insert(text)
        })
    }
}

/// A draft's number. Bounds and multiples have keywords of their own (`numeric`): what is answered here serves
/// `const`, `enum` and `type`.
pub(super) struct Digits<'v>(&'v Number);

impl JsonNumber for Digits<'_> {
    fn as_u64(&self) -> Option<u64> {
        u64::try_from(bound::integer(self.0)?).ok()
    }

    fn as_i64(&self) -> Option<i64> {
        i64::try_from(bound::integer(self.0)?).ok()
    }

    fn as_f64(&self) -> Option<f64> {
        bound::equal_double(self.0)
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0.as_str())
    }

    fn to_number(&self) -> Cow<'_, SchemaNumber> {
        Cow::Owned(SchemaNumber::from_f64(self.0.as_f64()).unwrap_or_else(|| 0.into()))
    }

    fn is_integer(&self) -> bool {
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain(self.0.as_str()) || self.0.decimal().is_integer()
    }
}

/// Equality as JSON Schema has it: numbers by their size, objects in any order.
fn equals(value: &Value, expected: &SchemaValue) -> bool {
    match (value, expected) {
        (Value::Null, SchemaValue::Null) => true,
        (Value::Bool(flag), SchemaValue::Bool(other)) => flag == other,
        (Value::Number(number), SchemaValue::Number(other)) => cmp::equal_numbers(&Digits(number), other),
        (Value::String(text), SchemaValue::String(other)) => text == other,
        (Value::Array(items), SchemaValue::Array(others)) => {
            items.len() == others.len() && items.iter().zip(others).all(|(item, other)| equals(item, other))
        }
        (Value::Object(members), SchemaValue::Object(others)) => {
            members.len() == others.len()
                && members
                    .iter()
                    .all(|(name, member)| others.get(name).is_some_and(|other| equals(member, other)))
        }
        _ => false,
    }
}

/// The same text for equal values, and only for those.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => value.write_json(out),
        Value::Number(number) => number.decimal().write_canonical(out),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write_canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&str, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (name, member) in sorted {
                write_json_string(name, out);
                out.push(':');
                write_canonical(member, out);
                out.push(',');
            }
            out.push('}');
        }
    }
}
