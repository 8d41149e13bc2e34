//! The partial value: JSON that keeps digits and arrival order.

use std::fmt;

use super::map::Map;
use super::text::{is_short_and_plain, plain_run};

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
#[derive(Clone, PartialEq, Eq)]
pub struct Number(Digits);

/// Most numbers are short and need no allocation of their own.
#[derive(Clone, PartialEq, Eq)]
enum Digits {
    Short { bytes: [u8; SHORT_MAX], len: u8 },
    Long(Box<str>),
}

const SHORT_MAX: usize = 22;

impl Number {
    /// Wraps text that is already known to be an RFC 8259 number.
    ///
    /// The parser is the only caller with text from outside; it has checked the grammar byte by byte.
    pub(super) fn from_checked(text: &str) -> Self {
        match u8::try_from(text.len()) {
            Ok(len) if text.len() <= SHORT_MAX => {
                let mut bytes = [0; SHORT_MAX];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                Self(Digits::Short { bytes, len })
            }
            _ => Self(Digits::Long(text.into())),
        }
    }

    /// The digits as they were written.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Digits::Short { bytes, len } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or_default()
            }
            Digits::Long(text) => text,
        }
    }

    /// The nearest double; infinite where the digits exceed its range.
    pub fn as_f64(&self) -> f64 {
        self.as_str().parse().unwrap_or(f64::NAN)
    }

    /// The integer, if the text is one without fraction and exponent and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.as_str().parse().ok()
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({})", self.as_str())
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
        Self::from_checked(&value.to_string())
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
    write_rest_of_string(text, out);
}

/// The same for a string that has been begun.
pub(super) fn write_rest_of_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if is_short_and_plain(text.as_bytes()) {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut rest = text;
    loop {
        let (plain, tail) = rest.split_at(plain_run(rest.as_bytes()));
        out.push_str(plain);
        // What ends a plain run is one byte long.
        let Some(&byte) = tail.as_bytes().first() else {
            break;
        };
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
        rest = &tail[1..];
    }
    out.push('"');
}
