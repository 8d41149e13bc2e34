//! One attempt's draft: the front end of its mode and the parser behind it.

use super::calls::{Calls, Turn};
use super::error::{ParseError, ParseErrorKind};
use super::machine::{Machine, State};
use super::markdown::Markdown;
use super::notes::Note;
use super::op::OpSink;
use super::options::{DraftOptions, Limits, Mode};
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

/// One attempt: text in, changes of the partial value out.
pub struct Draft {
    mode: Mode,
    bytes_max: usize,
    machine: Machine,
    /// Only in [`Mode::MdJson`].
    search: Option<Search>,
    calls: Calls,
    bytes_fed: usize,
    finished: bool,
}

/// The search for the beginning of the value.
struct Search {
    markdown: Markdown,
    /// The bytes of a beginning that is not certain yet, and the offset of its first.
    begun: Vec<u8>,
    begun_at: usize,
    /// Whether the machine reads, surely or on trial.
    reads: bool,
    /// The beginning is certain: something of the value stands.
    certain: bool,
    /// Bytes that were read again as prose.
    reread: usize,
}

/// A piece of text that is read again as prose.
struct Again {
    base: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl Draft {
    /// A draft that has read nothing.
    pub fn new(options: DraftOptions) -> Self {
        let search = (options.mode == Mode::MdJson).then(|| Search {
            markdown: Markdown::new(options.root),
            begun: Vec::new(),
            begun_at: 0,
            reads: false,
            certain: false,
            reread: 0,
        });
        Self {
            mode: options.mode,
            bytes_max: options.limits.bytes_max,
            machine: Machine::new(options),
            search,
            calls: Calls::default(),
            bytes_fed: 0,
            finished: false,
        }
    }

    /// Reads the next bytes of the model's text: of its content, or of the arguments of call 0 in
    /// [`Mode::Tools`]. Does nothing after an error or [`finish`](Self::finish).
    pub fn feed(&mut self, bytes: &[u8]) {
        match self.mode {
            Mode::Tools => self.feed_call(0, None, bytes),
            Mode::Json | Mode::JsonSchema | Mode::MdJson => self.feed_text(bytes),
        }
    }

    /// Reads the next bytes of the arguments of a tool call. The first call is the draft; others are counted. A
    /// new id at the draft's index is another call, too, unless nothing of the first was shown.
    pub fn feed_call(&mut self, index: u32, id: Option<&str>, bytes: &[u8]) {
        match self.calls.turn(index, id) {
            Turn::Draft => {}
            Turn::Anew if !self.machine.spine.is_shown() => {
                self.machine.restart();
                self.bytes_fed = 0;
            }
            Turn::Anew => return self.calls.pass(),
            Turn::Other => return,
        }
        self.feed_text(bytes);
    }

    #[inline]
    fn feed_text(&mut self, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes_fed);
        if self.finished || bytes.len() > room {
            self.feed_last(bytes, room);
        } else if self.machine.feed_plain(bytes) {
            self.bytes_fed += bytes.len();
        } else if !matches!(self.machine.state, State::Failed) {
            self.read(bytes);
        }
    }

    /// Reads what the limit on bytes leaves room for.
    #[inline(never)]
    fn feed_last(&mut self, bytes: &[u8], room: usize) {
        if self.finished || self.machine.state == State::Failed {
            return;
        }
        self.read(&bytes[..room]);
        match self.machine.state {
            State::Failed => {}
            State::Done => self.read(&bytes[room..]),
            _ => {
                let (offset, limit) = (self.bytes_fed, self.bytes_max);
                self.machine
                    .fail(ParseErrorKind::BytesLimit, None, Some(limit), offset);
            }
        }
    }

    #[inline]
    fn read(&mut self, bytes: &[u8]) {
        let base = self.bytes_fed;
        self.bytes_fed += bytes.len();
        match &mut self.search {
            Some(search) if !search.certain => search.read(&mut self.machine, self.bytes_max, base, bytes),
            Some(_) => {
                self.machine.feed(base, bytes);
            }
            None => {
                let read = self.machine.feed(base, bytes);
                if read < bytes.len() {
                    self.machine.read_behind(base + read, &bytes[read..]);
                }
            }
        }
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
            if let Some(search) = &mut self.search {
                search.markdown.finish();
            }
        }
        let end = match (&self.machine.error, self.machine.state) {
            (Some(error), _) => End::Invalid(error.clone()),
            (None, State::Done) => End::Complete,
            (None, _) => End::Truncated,
        };
        Outcome {
            end,
            repairs: self.machine.repairs_made,
            duplicate_keys: self.duplicate_keys(),
            ignored_calls: self.calls.ignored,
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
        let search = self.search.as_mut();
        search.map_or_else(Vec::new, |search| search.markdown.notes.take())
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
        &self.machine.repairs
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

impl Search {
    /// Reads on, skipping what is no value; a false start is dropped and its bytes are skipped, too.
    fn read(&mut self, machine: &mut Machine, reread_max: usize, base: usize, bytes: &[u8]) {
        // A stack instead of recursion: a false start may hold further ones.
        let mut again: Vec<Again> = Vec::new();
        let mut at = 0;
        while machine.state != State::Failed {
            let false_start = match again.pop() {
                Some(piece) if piece.at == piece.bytes.len() => None,
                Some(mut piece) => {
                    let (read, false_start) =
                        self.read_some(machine, piece.base + piece.at, &piece.bytes[piece.at..]);
                    piece.at += read;
                    again.push(piece);
                    false_start
                }
                None if at == bytes.len() => return,
                None => {
                    let (read, false_start) = self.read_some(machine, base + at, &bytes[at..]);
                    at += read;
                    false_start
                }
            };
            let Some(piece) = false_start else { continue };
            self.reread += piece.bytes.len();
            if self.reread > reread_max {
                machine.fail(
                    ParseErrorKind::FalseStartsLimit,
                    None,
                    Some(reread_max),
                    piece.base,
                );
                return;
            }
            again.push(piece);
        }
    }

    /// Reads until the end of the slice or a false start; says how far it came.
    fn read_some(&mut self, machine: &mut Machine, base: usize, bytes: &[u8]) -> (usize, Option<Again>) {
        let mut at = 0;
        if !self.reads {
            at = self.markdown.skip(bytes);
            if at == bytes.len() {
                return (at, None);
            }
            self.reads = true;
            self.begun_at = base + at;
        }
        let read = at + machine.feed(base + at, &bytes[at..]);
        self.certain = self.certain || machine.is_certain();
        if self.certain {
            self.begun = Vec::new();
            return (bytes.len(), None);
        }
        self.begun.extend_from_slice(&bytes[at..read]);
        if machine.state != State::Failed {
            return (read, None);
        }
        machine.restart();
        self.reads = false;
        let begun = std::mem::take(&mut self.begun);
        // A scalar may fail at its very first byte, which is then still to be read.
        let Some((first, rest)) = begun.split_first() else {
            self.markdown.refuse(bytes[at]);
            return (at + 1, None);
        };
        self.markdown.refuse(*first);
        let piece = Again {
            base: self.begun_at + 1,
            bytes: rest.to_vec(),
            at: 0,
        };
        (read, Some(piece))
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

/// Reads back what this engine has written, a value or the ops of a patch: it is as large as its writer made it. Only
/// the nesting stays bounded, two levels over a draft's own.
pub fn parse_written(text: &str) -> Result<Value, ParseError> {
    let limits = Limits {
        depth_max: Limits::default().depth_max + 2,
        bytes_max: usize::MAX,
        ..Limits::default()
    };
    let mut draft = Draft::new(DraftOptions {
        limits,
        ..DraftOptions::default()
    });
    draft.feed(text.as_bytes());
    draft.into_value()
}

impl std::str::FromStr for Value {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text)
    }
}
