//! A draft as rows: an outline that grows downwards, with a mark where the model is writing.

use super::paint::{Row, Tone, columns, prefix};
use crate::partial::{Value, path, write_json_string};

/// The mark of an open place.
const PEN: &str = "▌";
const INDENT: usize = 2;

struct Outline<'a> {
    at: &'a [String],
    width: usize,
    rows: Vec<Row>,
}

/// The rows of a draft, `width` columns at most; `at` are its open places.
pub(super) fn outline(value: Option<&Value>, at: &[String], width: usize) -> Vec<Row> {
    let mut outline = Outline {
        at,
        width,
        rows: Vec::new(),
    };
    if let Some(value) = value {
        outline.value(Row::new(), value, "", 0);
    }
    outline.rows
}

/// The last `height` rows, and how many are above them.
pub(super) fn tail(mut rows: Vec<Row>, height: usize) -> Vec<Row> {
    if rows.len() <= height {
        return rows;
    }
    let hidden = rows.len() + 1 - height;
    let mut shown = vec![Row::of(Tone::Dim, &format!("⋮ {hidden} rows above"))];
    shown.extend(rows.drain(hidden..));
    shown
}

impl Outline<'_> {
    fn is_open(&self, path: &str) -> bool {
        self.at.iter().any(|open| open == path)
    }

    /// `lead` is what stands before the value on its first row.
    fn value(&mut self, lead: Row, value: &Value, path: &str, depth: usize) {
        match value {
            Value::Object(members) => {
                self.container(lead, members.is_empty(), "{}", path);
                for (key, value) in members.iter() {
                    let lead = indent(depth).with(Tone::Key, key).with(Tone::Dim, ": ");
                    self.value(lead, value, &below(path, key), depth + 1);
                }
            }
            Value::Array(items) => {
                self.container(lead, items.is_empty(), "[]", path);
                for (index, value) in items.iter().enumerate() {
                    let lead = indent(depth).with(Tone::Dim, "- ");
                    self.value(lead, value, &below(path, &index.to_string()), depth + 1);
                }
            }
            Value::String(text) => self.text(lead, text, self.is_open(path), depth),
            Value::Number(number) => self
                .rows
                .push(lead.with(Tone::Number, number.as_str()).clip(self.width)),
            Value::Bool(value) => {
                let word = if *value { "true" } else { "false" };
                self.rows.push(lead.with(Tone::Number, word).clip(self.width));
            }
            Value::Null => self.rows.push(lead.with(Tone::Dim, "null").clip(self.width)),
        }
    }

    fn container(&mut self, lead: Row, empty: bool, brackets: &str, path: &str) {
        let mark = if self.is_open(path) { PEN } else { "" };
        if empty {
            let row = lead.with(Tone::Dim, brackets).with(Tone::Warn, mark);
            self.rows.push(row.clip(self.width));
        } else if lead.columns() > 0 {
            self.rows.push(lead.with(Tone::Warn, mark).clip(self.width));
        }
    }

    /// A string: quoted, wrapped at blanks where there are any, its following rows indented.
    fn text(&mut self, lead: Row, text: &str, open: bool, depth: usize) {
        let mut quoted = String::new();
        write_json_string(text, &mut quoted);
        if open {
            quoted.pop();
        }
        let mut row = lead;
        let mut rest = quoted.as_str();
        loop {
            let room = self
                .width
                .saturating_sub(row.columns() + usize::from(open))
                .max(4);
            let piece = wrapped(rest, room);
            rest = &rest[piece.len()..];
            row = row.with(Tone::Text, piece);
            if rest.is_empty() {
                break;
            }
            self.rows.push(row);
            row = indent(depth);
        }
        let row = if open { row.with(Tone::Warn, PEN) } else { row };
        self.rows.push(row);
    }
}

/// A text of its own, wrapped like a string of a draft.
pub(super) fn prose(tone: Tone, text: &str, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            let piece = wrapped(rest, width);
            rest = &rest[piece.len()..];
            rows.push(Row::of(tone, piece));
        }
    }
    rows
}

/// The piece of `text` for a row of `room` columns: up to its last blank, or cut where it has none.
fn wrapped(text: &str, room: usize) -> &str {
    if columns(text) <= room {
        return text;
    }
    let piece = prefix(text, room);
    match piece.rfind(' ') {
        Some(blank) if blank > 0 => &text[..=blank],
        _ => piece,
    }
}

fn indent(depth: usize) -> Row {
    Row::of(Tone::Plain, &" ".repeat(depth * INDENT))
}

fn below(parent: &str, segment: &str) -> String {
    let mut pointer = parent.to_owned();
    path::push_segment(&mut pointer, segment);
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partial::parse;

    fn drawn(json: &str, at: &[&str], width: usize) -> Vec<String> {
        let at: Vec<String> = at.iter().map(|path| (*path).to_owned()).collect();
        let rows = outline(Some(&parse(json).unwrap()), &at, width);
        assert!(rows.iter().all(|row| row.columns() <= width));
        rows.iter().map(|row| row.render(false)).collect()
    }

    #[test]
    fn the_open_place_carries_the_pen() {
        let rows = drawn(r#"{"name":"Ada","tags":["a","b"],"n":1.50}"#, &["/tags/1"], 40);
        assert_eq!(
            rows,
            ["name: \"Ada\"", "tags: ", "  - \"a\"", "  - \"b▌", "n: 1.50"]
        );
    }

    #[test]
    fn long_text_wraps_at_blanks_below_its_key() {
        let rows = drawn(r#"{"bio":"one two three four five"}"#, &[], 14);
        assert_eq!(rows, ["bio: \"one two ", "  three four ", "  five\""]);
    }

    #[test]
    fn the_tail_says_what_is_above() {
        let rows = (0..9).map(|n| Row::of(Tone::Plain, &n.to_string())).collect();
        let shown: Vec<String> = tail(rows, 3).iter().map(|row| row.render(false)).collect();
        assert_eq!(shown, ["⋮ 7 rows above", "7", "8"]);
    }
}
