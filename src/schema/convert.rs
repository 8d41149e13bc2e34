//! From the draft's value, which keeps digits, to the one that is judged.
//!
//! The rule for numbers: an integer without fraction and exponent that fits `i64` or `u64` is judged exactly; every
//! other number as the nearest `f64`; digits beyond the range of `f64` count as its largest magnitude. The value
//! itself keeps its digits: the rule concerns only `minimum`, `multipleOf`, `enum`, `const` and the like.

use serde_json::{Map as JsonMap, Number as JsonNumber, Value as Json};

use crate::partial::{Number, Value, path, write_json_string};

/// How deep a value may nest to be judged, in containers; the parser stops at 100.
pub(super) const DEPTH_MAX: usize = 128;

/// How large a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Extent {
    /// Values within, itself included.
    pub(super) nodes: u64,
    /// Containers within containers.
    pub(super) depth: usize,
}

/// The value to judge; `None` if it nests too deeply.
pub(super) fn convert(value: &Value, depth: usize, extent: &mut Extent) -> Option<Json> {
    extent.nodes += 1;
    extent.depth = extent.depth.max(depth);
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Number(number) => Json::Number(convert_number(number)),
        Value::String(text) => Json::String(text.clone()),
        Value::Array(items) => {
            let items = items.iter().map(|item| convert(item, depth + 1, extent));
            Json::Array(items.collect::<Option<_>>()?)
        }
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(name, member)| Some((name.to_owned(), convert(member, depth + 1, extent)?)));
            Json::Object(members.collect::<Option<JsonMap<_, _>>>()?)
        }
    })
}

fn convert_number(number: &Number) -> JsonNumber {
    let digits = number.as_str();
    if let Ok(exact) = digits.parse::<i64>() {
        return exact.into();
    }
    if let Ok(exact) = digits.parse::<u64>() {
        return exact.into();
    }
    let nearest = number.as_f64().clamp(f64::MIN, f64::MAX);
    JsonNumber::from_f64(nearest).unwrap_or_else(|| 0.into())
}

/// The value at a pointer.
pub(super) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    path::segments(pointer)?
        .iter()
        .try_fold(value, |value, segment| match value {
            Value::Object(members) => members.get(segment),
            Value::Array(items) => items.get(path::index(segment)?),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        })
}

/// The beginning of a value's compact JSON, at most `bytes_max` bytes and a mark where it was cut. Costs no more
/// than it shows, however large the value.
pub(super) fn preview(value: &Value, bytes_max: usize) -> String {
    let mut text = String::new();
    write_preview(value, bytes_max, &mut text);
    cut(&text, bytes_max)
}

fn write_preview(value: &Value, bytes_max: usize, out: &mut String) {
    match value {
        Value::String(string) => write_json_string(head(string, bytes_max), out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if out.len() > bytes_max {
                    return;
                }
                if index > 0 {
                    out.push(',');
                }
                write_preview(item, bytes_max, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, member)) in members.iter().enumerate() {
                if out.len() > bytes_max {
                    return;
                }
                if index > 0 {
                    out.push(',');
                }
                write_json_string(head(name, bytes_max), out);
                out.push(':');
                write_preview(member, bytes_max, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.write_json(out),
    }
}

/// At most `bytes_max` bytes, whole characters.
pub(super) fn head(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The same, with a mark where something is missing.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        text.to_owned()
    } else {
        format!("{}…", head(text, bytes_max))
    }
}
