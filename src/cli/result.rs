//! Results on stdout.

use serde_json::value::RawValue;

use super::failure::Failure;
use super::screen::Stream;
use crate::client::Follower;
use crate::partial::{Value, write_json_string};
use crate::wire::ServerMessage;

/// The final value: on one line, or indented where a human looks.
pub(super) fn value(value: &Value) -> Result<(), Failure> {
    let mut text = String::new();
    if Stream::Out.is_terminal() {
        indented(value, 0, &mut text);
    } else {
        value.write_json(&mut text);
    }
    line(&text)
}

/// The end as the message it is, with the value always in it.
pub(super) fn document(follower: &Follower) -> Result<(), Failure> {
    let Some(end) = follower.end() else { return Ok(()) };
    let mut end = end.clone();
    if end.value.is_none() {
        // The text is our own writer's: it is JSON.
        end.value = follower
            .value()
            .and_then(|value| RawValue::from_string(value.to_json()).ok());
    }
    match ServerMessage::End(Box::new(end)).encode() {
        Ok(text) => line(&text),
        Err(error) => Err(Failure::Output(error.into())),
    }
}

/// A line on stdout.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    Stream::Out.put(&format!("{text}\n")).map_err(Failure::Output)
}

fn indented(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            let items = items.iter().map(|item| (None, item));
            block(items, ['[', ']'], depth, out);
        }
        Value::Object(members) if !members.is_empty() => {
            let members = members.iter().map(|(key, member)| (Some(key), member));
            block(members, ['{', '}'], depth, out);
        }
        _ => value.write_json(out),
    }
}

fn block<'a>(
    children: impl Iterator<Item = (Option<&'a str>, &'a Value)>,
    brackets: [char; 2],
    depth: usize,
    out: &mut String,
) {
    out.push(brackets[0]);
    for (index, (key, child)) in children.enumerate() {
        out.push_str(if index > 0 { ",\n" } else { "\n" });
        out.push_str(&"  ".repeat(depth + 1));
        if let Some(key) = key {
            write_json_string(key, out);
            out.push_str(": ");
        }
        indented(child, depth + 1, out);
    }
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
    out.push(brackets[1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::parse;

    #[test]
    fn indented_text_is_the_same_value() {
        let value = parse(r#"{"a":[1,2.50,{"b":"c\n"}],"d":{},"e":[],"f":null}"#).unwrap();
        let mut text = String::new();
        indented(&value, 0, &mut text);
        assert_eq!(parse(&text).unwrap(), value);
        assert!(text.starts_with("{\n  \"a\": [\n    1,\n    2.50,"));
    }
}
