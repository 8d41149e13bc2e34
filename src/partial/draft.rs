//! One attempt's draft: the front end of its mode and the parser behind it.

use super::error::{ParseError, ParseErrorKind};
use super::machine::{Machine, State};
use super::op::OpSink;
use super::options::{DraftOptions, Mode};
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
pub struct Draft {
    mode: Mode,
    bytes_max: usize,
    machine: Machine,
    bytes_fed: usize,
    finished: bool,
}

impl Draft {
    /// A draft that has read nothing.
    pub fn new(options: DraftOptions) -> Self {
        Self {
            mode: options.mode,
            bytes_max: options.limits.bytes_max,
            machine: Machine::new(options.limits, options.guide),
            bytes_fed: 0,
            finished: false,
        }
    }

    /// Reads the next bytes of the model's text: of its content, or of the arguments of call 0 in
    /// [`Mode::Tools`]. Does nothing after an error or [`finish`](Self::finish).
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.finished || self.machine.state == State::Failed {
            return;
        }
        let room = self.bytes_max.saturating_sub(self.bytes_fed).min(bytes.len());
        self.read(&bytes[..room]);
        if room < bytes.len() {
            match self.machine.state {
                State::Failed => {}
                State::Done => self.read(&bytes[room..]),
                _ => {
                    self.machine.fail(
                        ParseErrorKind::BytesLimit,
                        None,
                        Some(self.bytes_max),
                        self.bytes_fed,
                    );
                }
            }
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let base = self.bytes_fed;
        self.bytes_fed += bytes.len();
        let read = self.machine.feed(base, bytes);
        if self.machine.state == State::Done {
            self.read_behind(base + read, &bytes[read..]);
        }
    }

    /// What stands behind the value.
    fn read_behind(&mut self, base: usize, bytes: &[u8]) {
        let blank = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        if self.mode == Mode::MdJson {
            return;
        }
        if let Some(at) = bytes.iter().position(|byte| !blank(byte)) {
            self.machine
                .fail(ParseErrorKind::TrailingText, Some(bytes[at]), None, base + at);
        }
    }

    /// Reads the next bytes of the arguments of a tool call. The first call is the draft.
    pub fn feed_call(&mut self, index: u32, id: Option<&str>, bytes: &[u8]) {
        let _ = (index, id);
        self.feed(bytes);
    }

    /// Hands out all changes since the last flush, coalesced; true if there were any. Nothing is allocated while
    /// a string grows.
    pub fn flush(&mut self, sink: &mut dyn OpSink) -> bool {
        self.machine.spine.flush(sink)
    }

    /// The same for a sink whose type is known here, without dynamic calls.
    pub fn flush_into<S: OpSink>(&mut self, sink: &mut S) -> bool {
        self.machine.spine.flush(sink)
    }

    /// The text is over. What became whole by that is handed out by the next flush.
    pub fn finish(&mut self) -> Outcome {
        if !self.finished {
            self.finished = true;
            self.machine.finish();
        }
        let end = match (&self.machine.error, self.machine.state) {
            (Some(error), _) => End::Invalid(error.clone()),
            (None, State::Done) => End::Complete,
            (None, _) => End::Truncated,
        };
        Outcome {
            end,
            repairs: 0,
            duplicate_keys: self.duplicate_keys(),
            ignored_calls: 0,
        }
    }

    /// Ends the text and gives the whole value; anything else is an error.
    pub fn into_value(mut self) -> Result<Value, ParseError> {
        match self.finish().end {
            End::Invalid(error) => return Err(error),
            End::Complete | End::Truncated => {}
        }
        match self.machine.spine.root.take() {
            Some(root) => Ok(root),
            None => Err(ParseError {
                offset: self.bytes_fed,
                path: self.machine.place_path(),
                kind: ParseErrorKind::UnexpectedEnd,
                found: None,
                limit: None,
            }),
        }
    }

    /// What is visible now; equal to folding every flushed op right after a flush.
    pub fn value(&self) -> Option<Value> {
        self.machine.spine.value()
    }

    /// The same as JSON text, without building a value; false (and nothing written) while nothing is shown.
    pub fn write_value(&self, out: &mut String) -> bool {
        self.machine.spine.write_value(out)
    }

    /// The pointer of the deepest open value that is shown: one entry, or none when nothing is open (rule C1).
    pub fn open_paths(&self) -> Vec<String> {
        self.machine.spine.open_path().into_iter().collect()
    }

    /// What was skipped since the last call, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        Vec::new()
    }

    /// The error that ended the text.
    pub fn error(&self) -> Option<&ParseError> {
        self.machine.error.as_ref()
    }

    /// Whether the root is closed.
    pub fn is_closed(&self) -> bool {
        self.machine.spine.root.is_some()
    }

    /// The repairs made so far.
    pub fn repairs(&self) -> &[Repair] {
        &[]
    }

    /// Bytes read so far.
    pub fn bytes_fed(&self) -> usize {
        self.bytes_fed
    }

    /// Members that replaced an earlier one of the same name (rule T2).
    pub fn duplicate_keys(&self) -> usize {
        self.machine.spine.duplicate_keys
    }
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draft")
            .field("mode", &self.mode)
            .field("state", &self.machine.state)
            .field("bytes_fed", &self.bytes_fed)
            .finish_non_exhaustive()
    }
}

/// Reads one whole text strictly, with the default limits.
pub fn parse(text: &str) -> Result<Value, ParseError> {
    let mut draft = Draft::new(DraftOptions::default());
    draft.feed(text.as_bytes());
    draft.into_value()
}

impl std::str::FromStr for Value {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}
