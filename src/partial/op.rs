//! Changes of a draft, their compact JSON form, and the one way to apply them.

use super::path;
use super::value::{Value, write_json_string, write_rest_of_string};

/// One change of a draft. The JSON form is a compact array (PROTOCOL.md, "Ops"). A path is a JSON Pointer, or relative
/// to the cursor, the path of the op before (see [`path`]).
#[derive(Clone, PartialEq, Debug)]
pub enum Op {
    /// `["text"]` or `["/path","text"]`: the string there grows at its end.
    Append {
        /// Where the string is; `None` means the cursor.
        path: Option<String>,
        /// What is added, decoded.
        text: String,
    },
    /// `["/path",value,0]`: the value is put there; an index equal to the length pushes; `""` is the root.
    Set {
        /// Where.
        path: String,
        /// What stands there from now on.
        value: Value,
    },
    /// `["/path",null,1]`: the member, item or root is taken away.
    Remove {
        /// Where.
        path: String,
    },
}

/// Why an op does not fit the draft it was applied to: the two have parted, the reader needs a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misfit {
    /// An op without a path of its own, or with a relative one, and no op before it to say where.
    #[error("an op names no whole path and there is no cursor")]
    NoCursor,
    /// The path is no JSON Pointer, or leads to nothing.
    #[error("nothing is at {0:?}")]
    NoSuchPath(String),
    /// An append to something that is not a string.
    #[error("the value at {0:?} is no string")]
    NotAString(String),
}

/// Receives the ops of a flush in order. The parser always gives the whole path; a sink may shorten it.
pub trait OpSink {
    /// The string at `path` grows by `text`.
    fn append(&mut self, path: &str, text: &str);
    /// `value` is put at `path`.
    fn set(&mut self, path: &str, value: &Value);
    /// What is at `path` is taken away.
    fn remove(&mut self, path: &str);
}

/// The draft as its changes build it: the value, and the cursor that a short append means.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Folded {
    /// The value; `None` while nothing is shown.
    pub value: Option<Value>,
    /// The path of the op before; `None` at the start, after a remove and after a reset.
    pub cursor: Option<String>,
}

/// The pointers that the open places of a patch mean, given the cursor.
pub fn whole_paths(cursor: Option<&str>, written: Vec<String>) -> Result<Vec<String>, Misfit> {
    written.into_iter().map(|path| whole_path(cursor, path)).collect()
}

fn whole_path(cursor: Option<&str>, written: String) -> Result<String, Misfit> {
    if !path::is_relative(&written) {
        return Ok(written);
    }
    let base = cursor.ok_or(Misfit::NoCursor)?;
    path::whole(base, &written).ok_or(Misfit::NoSuchPath(written))
}

impl Op {
    /// The op with its whole path, given the cursor.
    pub fn whole(self, cursor: Option<&str>) -> Result<Self, Misfit> {
        Ok(match self {
            Self::Append { path: None, text } => Self::Append {
                path: Some(cursor.ok_or(Misfit::NoCursor)?.to_owned()),
                text,
            },
            Self::Append {
                path: Some(path),
                text,
            } => Self::Append {
                path: Some(whole_path(cursor, path)?),
                text,
            },
            Self::Set { path, value } => Self::Set {
                path: whole_path(cursor, path)?,
                value,
            },
            Self::Remove { path } => Self::Remove {
                path: whole_path(cursor, path)?,
            },
        })
    }

    /// Where the cursor is behind a whole op.
    pub fn cursor(&self) -> Option<&str> {
        match self {
            Self::Append { path, .. } => path.as_deref(),
            Self::Set { path, .. } => Some(path),
            Self::Remove { .. } => None,
        }
    }

    /// Tells a whole op to a sink.
    pub fn tell<S: OpSink + ?Sized>(&self, sink: &mut S) {
        match self {
            Self::Append { path, text } => sink.append(path.as_deref().unwrap_or_default(), text),
            Self::Set { path, value } => sink.set(path, value),
            Self::Remove { path } => sink.remove(path),
        }
    }
}

impl Folded {
    /// Applies one op. On a misfit nothing has changed.
    pub fn apply(&mut self, op: Op) -> Result<(), Misfit> {
        match op.whole(self.cursor.as_deref())? {
            Op::Append { path, text } => self.append(path.unwrap_or_default(), &text),
            Op::Set { path, value } => self.set(path, value),
            Op::Remove { path } => self.remove(&path),
        }
    }

    fn append(&mut self, path: String, text: &str) -> Result<(), Misfit> {
        match self.at_mut(&path)? {
            Value::String(string) => string.push_str(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                return Err(Misfit::NotAString(path));
            }
        }
        self.cursor = Some(path);
        Ok(())
    }

    fn set(&mut self, path: String, value: Value) -> Result<(), Misfit> {
        let Some((parent, last)) = split(&path)? else {
            self.value = Some(value);
            self.cursor = Some(path);
            return Ok(());
        };
        match self.at_mut(parent)? {
            Value::Object(members) => {
                members.insert(last, value);
            }
            Value::Array(items) => match path::index(&last) {
                Some(index) if index < items.len() => items[index] = value,
                Some(index) if index == items.len() => items.push(value),
                _ => return Err(Misfit::NoSuchPath(path)),
            },
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(Misfit::NoSuchPath(path));
            }
        }
        self.cursor = Some(path);
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<(), Misfit> {
        let missing = || Misfit::NoSuchPath(path.to_owned());
        match split(path)? {
            None => {
                self.value.take().ok_or_else(missing)?;
            }
            Some((parent, last)) => match self.at_mut(parent)? {
                Value::Object(members) => {
                    members.remove(&last).ok_or_else(missing)?;
                }
                Value::Array(items) => {
                    let index = path::index(&last)
                        .filter(|index| *index < items.len())
                        .ok_or_else(missing)?;
                    items.remove(index);
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(missing()),
            },
        }
        self.cursor = None;
        Ok(())
    }

    /// The value at a pointer.
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        path::segments(pointer)?
            .iter()
            .try_fold(self.value.as_ref()?, |value, segment| match value {
                Value::Object(members) => members.get(segment),
                Value::Array(items) => items.get(path::index(segment)?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
    }

    fn at_mut(&mut self, pointer: &str) -> Result<&mut Value, Misfit> {
        let missing = || Misfit::NoSuchPath(pointer.to_owned());
        let segments = path::segments(pointer).ok_or_else(missing)?;
        let root = self.value.as_mut().ok_or_else(missing)?;
        segments
            .iter()
            .try_fold(root, |value, segment| match value {
                Value::Object(members) => members.get_mut(segment),
                Value::Array(items) => items.get_mut(path::index(segment)?),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            })
            .ok_or_else(missing)
    }
}

/// Parent pointer and last segment; `None` for the root.
fn split(pointer: &str) -> Result<Option<(&str, String)>, Misfit> {
    if pointer.is_empty() {
        return Ok(None);
    }
    let missing = || Misfit::NoSuchPath(pointer.to_owned());
    let (parent, _) = pointer.rsplit_once('/').ok_or_else(missing)?;
    let last = path::segments(&pointer[parent.len()..])
        .ok_or_else(missing)?
        .pop()
        .ok_or_else(missing)?;
    Ok(Some((parent, last)))
}

/// Writes ops as the JSON array of a patch: each path relative to the cursor where that is shorter, an append to the
/// cursor without one. What stands around the ops may be written into the same buffer.
///
/// One encoder serves one attempt: its cursor lives from flush to flush, its buffer is handed out and reused.
#[derive(Debug, Default)]
pub struct OpEncoder {
    text: String,
    /// Where the ops begin.
    begin: usize,
    cursor: String,
    cursor_known: bool,
}

impl OpEncoder {
    /// An encoder that goes on from a cursor.
    pub fn behind(cursor: Option<&str>) -> Self {
        let mut encoder = Self::default();
        if let Some(cursor) = cursor {
            encoder.move_cursor(cursor);
        }
        encoder
    }

    /// Whether no op was written since the last [`clear`](Self::clear) or [`begin`](Self::begin).
    pub fn is_empty(&self) -> bool {
        self.text.len() == self.begin
    }

    /// The comma-separated ops, without the surrounding brackets.
    pub fn ops(&self) -> &str {
        &self.text[self.begin..]
    }

    /// Forgets the written ops and keeps the cursor.
    pub fn clear(&mut self) {
        self.begin(|_| {});
    }

    /// Forgets the written ops and keeps the cursor; `head` writes what stands before the next ones.
    pub fn begin(&mut self, head: impl FnOnce(&mut String)) {
        self.text.clear();
        head(&mut self.text);
        self.begin = self.text.len();
    }

    /// Writes open places behind the ops, as JSON, relative to the cursor as the ops' paths are: a number for a single
    /// one that only goes up, else an array. Behind them, and behind [`push`](Self::push), no op can follow.
    pub fn push_places(&mut self, paths: &[String]) {
        let cursor = self.cursor_known.then_some(self.cursor.as_str());
        let out = &mut self.text;
        if let [only] = paths
            && let Some((up, "")) = cursor.and_then(|cursor| path::relative(cursor, only))
        {
            return path::push_decimal(out, up);
        }
        out.push('[');
        for (index, path) in paths.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_path(cursor, path, out);
        }
        out.push(']');
    }

    /// Writes the only open place, so many segments above the cursor: what [`push_places`](Self::push_places) would
    /// write of its path.
    pub fn push_up(&mut self, up: usize) {
        path::push_decimal(&mut self.text, up as u64);
    }

    /// Writes what stands behind the ops, and gives all that was written.
    pub fn push(&mut self, foot: &str) -> &str {
        self.text.push_str(foot);
        &self.text
    }

    /// Forgets the cursor: the next op names its path (first op of an attempt or epoch).
    pub fn forget_cursor(&mut self) {
        self.cursor_known = false;
    }

    /// The cursor after the ops written so far.
    pub fn cursor(&self) -> Option<&str> {
        self.cursor_known.then_some(self.cursor.as_str())
    }

    fn open(&mut self) {
        self.text.push_str(if self.is_empty() { "[" } else { ",[" });
    }

    fn open_at(&mut self, path: &str) {
        self.open();
        let cursor = self.cursor_known.then_some(self.cursor.as_str());
        write_path(cursor, path, &mut self.text);
        self.text.push(',');
    }

    fn move_cursor(&mut self, path: &str) {
        self.cursor.clear();
        self.cursor.push_str(path);
        self.cursor_known = true;
    }
}

fn write_path(cursor: Option<&str>, path: &str, out: &mut String) {
    match cursor.and_then(|cursor| path::relative(cursor, path)) {
        Some((up, rest)) => {
            out.push('"');
            path::push_decimal(out, up);
            write_rest_of_string(rest, out);
        }
        None => write_json_string(path, out),
    }
}

impl OpSink for OpEncoder {
    fn append(&mut self, path: &str, text: &str) {
        if self.cursor() == Some(path) {
            self.open();
        } else {
            self.open_at(path);
            self.move_cursor(path);
        }
        write_json_string(text, &mut self.text);
        self.text.push(']');
    }

    fn set(&mut self, path: &str, value: &Value) {
        self.open_at(path);
        value.write_json(&mut self.text);
        self.text.push_str(",0]");
        self.move_cursor(path);
    }

    fn remove(&mut self, path: &str) {
        self.open_at(path);
        self.text.push_str("null,1]");
        self.cursor_known = false;
    }
}

/// Collects ops as values, every path whole.
impl OpSink for Vec<Op> {
    fn append(&mut self, path: &str, text: &str) {
        self.push(Op::Append {
            path: Some(path.to_owned()),
            text: text.to_owned(),
        });
    }

    fn set(&mut self, path: &str, value: &Value) {
        self.push(Op::Set {
            path: path.to_owned(),
            value: value.clone(),
        });
    }

    fn remove(&mut self, path: &str) {
        self.push(Op::Remove {
            path: path.to_owned(),
        });
    }
}
