//! The partial value: JSON that keeps digits and arrival order.

use std::fmt;

use indexmap::IndexMap;

/// A JSON value as it was written: numbers keep their digits, members their order of arrival.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Value {
    /// `null`.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number with the digits it was written with.
    Number(Number),
    /// A string, decoded.
    String(String),
    /// An array.
    Array(Vec<Self>),
    /// An object in order of arrival.
    Object(Map),
}

/// A number as text: the digits of the document, never rounded through `f64` (rule T4).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Number(Box<str>);

/// The members of an object in order of arrival; a set on an existing member keeps its place.
#[derive(Clone, Debug, Default)]
pub struct Map(IndexMap<Box<str>, Value>);

impl Number {
    /// Wraps text that is already known to be an RFC 8259 number.
    ///
    /// The parser is the only caller with text from outside; it has checked the grammar byte by byte.
    pub(super) fn from_checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The digits as they were written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest double; infinite where the digits exceed its range.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// The integer, if the text is one without fraction and exponent and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }
}

impl std::str::FromStr for Number {
    type Err = super::error::ParseError;

    /// Reads exactly one number of RFC 8259 §6, nothing around it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        super::number::read(text).map(Self::from_checked)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string().into())
    }
}

impl Map {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The member named `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The member named `key`, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.get_mut(key)
    }

    /// Sets a member: a new one comes last, an existing one keeps its place. Returns what was there.
    pub fn insert(&mut self, key: impl Into<Box<str>>, value: Value) -> Option<Value> {
        self.0.insert(key.into(), value)
    }

    /// Takes a member out; the others keep their order. O(members).
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.0.shift_remove(key)
    }

    /// Where the member named `key` stands.
    pub(super) fn index_of(&self, key: &str) -> Option<usize> {
        self.0.get_index_of(key)
    }

    /// The member at a place.
    pub(super) fn at(&self, index: usize) -> Option<(&str, &Value)> {
        self.0.get_index(index).map(|(key, value)| (&**key, value))
    }

    /// Adds a member whose name is known to be new.
    pub(super) fn push(&mut self, key: Box<str>, value: Value) {
        self.0.insert(key, value);
    }

    /// Takes the last member out.
    pub(super) fn pop(&mut self) -> Option<(Box<str>, Value)> {
        self.0.pop()
    }

    /// Replaces the value at a place.
    pub(super) fn put(&mut self, index: usize, value: Value) {
        if let Some((_, place)) = self.0.get_index_mut(index) {
            *place = value;
        }
    }

    /// Takes the value at a place out and leaves `null`.
    pub(super) fn put_null(&mut self, index: usize) -> Value {
        let place = self.0.get_index_mut(index);
        place.map(|(_, value)| std::mem::take(value)).unwrap_or_default()
    }

    /// Whether there is a member named `key`.
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }
}

impl<K: Into<Box<str>>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(members: I) -> Self {
        Self(
            members
                .into_iter()
                .map(|(key, value)| (key.into(), value))
                .collect(),
        )
    }
}

/// Equal only when the members come in the same order: order is part of a draft.
impl PartialEq for Map {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Value {
    /// The compact JSON text, in arrival order and with the digits as written.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        self.write_json(&mut text);
        text
    }

    /// Appends the compact JSON text to `out`.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number.as_str()),
            Self::String(text) => write_json_string(text, out),
            Self::Array(items) => write_array(items, out),
            Self::Object(members) => write_object(members, out),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

fn write_array(items: &[Value], out: &mut String) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write_json(out);
    }
    out.push(']');
}

fn write_object(members: &Map, out: &mut String) {
    out.push('{');
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_json_string(key, out);
        out.push(':');
        value.write_json(out);
    }
    out.push('}');
}

/// Appends `text` as a JSON string, quotes included; only what RFC 8259 §7 demands is escaped.
pub fn write_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let Some(escape) = escape_of(byte) else { continue };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match escape {
            Escape::Short(letter) => {
                out.push('\\');
                out.push(letter);
            }
            Escape::Unicode => out.push_str(&format!("\\u{byte:04x}")),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

enum Escape {
    Short(char),
    Unicode,
}

fn escape_of(byte: u8) -> Option<Escape> {
    match byte {
        b'"' => Some(Escape::Short('"')),
        b'\\' => Some(Escape::Short('\\')),
        b'\n' => Some(Escape::Short('n')),
        b'\r' => Some(Escape::Short('r')),
        b'\t' => Some(Escape::Short('t')),
        0x08 => Some(Escape::Short('b')),
        0x0c => Some(Escape::Short('f')),
        0x00..0x20 => Some(Escape::Unicode),
        _ => None,
    }
}
