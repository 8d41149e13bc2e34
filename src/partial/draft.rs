//! One attempt's draft: the front end of its mode and the parser behind it.

use super::error::ParseError;
use super::op::OpSink;
use super::options::DraftOptions;
use super::repair::Repair;
use super::value::Value;

/// How a text ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// One whole value.
    Complete,
    /// The text ended inside, or before, a value (rule T7).
    Truncated,
    /// The text is not JSON, or passed a limit.
    Invalid(ParseError),
}

/// What is known at the end of a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// How many repairs were made.
    pub repairs: usize,
    /// How many members replaced an earlier one of the same name (rule T2).
    pub duplicate_keys: usize,
    /// Tool calls beside the one that is the draft.
    pub ignored_calls: usize,
}

/// What the Markdown front end skipped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// What it was.
    pub kind: NoteKind,
    /// The next piece of it, without the marks around it.
    pub text: String,
}

/// What was skipped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NoteKind {
    /// A think block.
    Reasoning,
    /// Prose.
    Text,
}

/// One attempt: text in, changes of the partial value out.
#[derive(Debug)]
pub struct Draft {
    options: DraftOptions,
}

impl Draft {
    /// A draft that has read nothing.
    pub fn new(options: DraftOptions) -> Self {
        Self { options }
    }
    /// Reads the next bytes of the model's text.
    pub fn feed(&mut self, bytes: &[u8]) {
        let _ = (bytes, &self.options);
    }
    /// Reads the next bytes of the arguments of a tool call.
    pub fn feed_call(&mut self, index: u32, id: Option<&str>, bytes: &[u8]) {
        let _ = (index, id, bytes);
    }
    /// Hands out all changes since the last flush.
    pub fn flush(&mut self, sink: &mut dyn OpSink) -> bool {
        let _ = sink;
        false
    }
    /// The text is over.
    pub fn finish(&mut self) -> Outcome {
        Outcome {
            end: End::Truncated,
            repairs: 0,
            duplicate_keys: 0,
            ignored_calls: 0,
        }
    }
    /// Ends the text and gives the whole value; anything else is an error.
    pub fn into_value(mut self) -> Result<Value, ParseError> {
        let end = self.finish().end;
        match (end, self.value()) {
            (End::Invalid(error), _) => Err(error),
            (End::Complete, Some(value)) => Ok(value),
            _ => Err(ParseError {
                offset: self.bytes_fed(),
                path: String::new(),
                kind: super::error::ParseErrorKind::UnexpectedEnd,
                found: None,
                limit: None,
            }),
        }
    }
    /// What is visible now.
    pub fn value(&self) -> Option<Value> {
        None
    }
    /// The same as JSON text; false (and nothing written) while nothing is shown.
    pub fn write_value(&self, out: &mut String) -> bool {
        let _ = out;
        false
    }
    /// The pointer of the deepest open value, if any.
    pub fn open_paths(&self) -> Vec<String> {
        Vec::new()
    }
    /// What was skipped since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }
    /// The error that ended the text.
    pub fn error(&self) -> Option<&ParseError> {
        None
    }
    /// Whether the root is closed.
    pub fn is_closed(&self) -> bool {
        false
    }
    /// The repairs made so far.
    pub fn repairs(&self) -> &[Repair] {
        &[]
    }
    /// Bytes read so far.
    pub fn bytes_fed(&self) -> usize {
        0
    }
    /// Members that replaced an earlier one of the same name.
    pub fn duplicate_keys(&self) -> usize {
        0
    }
}

/// Reads one whole text strictly, with the default limits.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let mut draft = Draft::new(DraftOptions::default());
    draft.feed(text.as_bytes());
    draft.into_value()
}
