//! Parts of a value, short enough to be told.

use crate::partial::{Value, path, write_json_string};

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
