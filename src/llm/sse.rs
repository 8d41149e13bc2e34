//! Server-sent events: bytes in, events out.
//!
//! Follows the event stream format of the WHATWG HTML standard (§9.2.5–9.2.6) with one stated difference: an event
//! that the end of the stream leaves without its blank line is handed out by [`Decoder::finish`] where the standard
//! drops it, because OpenAI-compatible servers end like that; what reads the events decides whether it is whole.
//!
//! Time is linear in the bytes, whatever the cuts: every byte is looked at once and copied at most twice. An event costs
//! no memory: its buffers are used again for the next.

use std::mem;
use std::sync::Arc;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// The `event` field; empty where there is none (the standard then says `message`).
    pub name: String,
    /// The `data` lines, joined by line feeds.
    pub data: String,
    /// The last `id` seen so far, in this event or before; shared, for a long one may stand on every event.
    pub id: Arc<str>,
    /// The last `retry` seen so far, in milliseconds.
    pub retry_ms: Option<u64>,
}

/// What one decoder holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, its end not counted.
    pub line_bytes: usize,
    /// Bytes of one event: its data with the line feeds between, and its name.
    pub event_bytes: usize,
}

/// A stream that is no event stream. The decoder says the same error for ever after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line longer than the limit.
    #[error("a line of the event stream is longer than {limit} bytes")]
    LineTooLong {
        /// The limit.
        limit: usize,
    },
    /// An event larger than the limit.
    #[error("an event of the stream is larger than {limit} bytes")]
    EventTooLarge {
        /// The limit.
        limit: usize,
    },
    /// Bytes that are no UTF-8; the standard would replace them, which would corrupt an answer silently.
    #[error("the event stream is not UTF-8")]
    NotUtf8,
}

/// Turns pieces of a byte stream, cut anywhere, into events.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    line: Vec<u8>,
    event: Event,
    has_data: bool,
    after_cr: bool,
    first_line: bool,
    broken: Option<SseError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            after_cr: false,
            first_line: true,
            broken: None,
        }
    }

    /// Takes the next bytes; `sink` sees every event they complete.
    ///
    /// # Errors
    /// A limit, or bytes that are no UTF-8. Events before the fault were handed out.
    pub fn feed(&mut self, mut bytes: &[u8], mut sink: impl FnMut(&Event)) -> Result<(), SseError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let done = loop {
            if mem::take(&mut self.after_cr) {
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                break self.grow_line(bytes);
            };
            let (part, rest) = (&bytes[..end], &bytes[end + 1..]);
            // A line feed after a carriage return belongs to it, also when it comes with the next piece.
            self.after_cr = bytes[end] == b'\r';
            bytes = rest;
            if let Err(error) = self.end_line(part, &mut sink) {
                break Err(error);
            }
            if bytes.is_empty() {
                break Ok(());
            }
        };
        self.broken = done.err();
        done
    }

    /// The end of the stream: the last event, if it lacks nothing but its line ends.
    ///
    /// # Errors
    /// As [`Decoder::feed`].
    pub fn finish(&mut self) -> Result<Option<Event>, SseError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let mut last = None;
        let mut sink = |event: &Event| last = Some(event.clone());
        let ended = if self.line.is_empty() {
            Ok(())
        } else {
            self.end_line(&[], &mut sink)
        };
        self.broken = ended.err();
        ended?;
        self.dispatch(&mut sink);
        Ok(last)
    }

    fn grow_line(&mut self, part: &[u8]) -> Result<(), SseError> {
        let limit = self.limits.line_bytes;
        if part.len() > limit.saturating_sub(self.line.len()) {
            return Err(SseError::LineTooLong { limit });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    /// The line ends with `part`; mostly it came whole, and is read where it lies.
    fn end_line(&mut self, part: &[u8], sink: &mut impl FnMut(&Event)) -> Result<(), SseError> {
        if !self.line.is_empty() {
            self.grow_line(part)?;
            let mut line = mem::take(&mut self.line);
            let read = self.read_line(&line, sink);
            line.clear();
            self.line = line;
            return read;
        }
        let limit = self.limits.line_bytes;
        if part.len() > limit {
            return Err(SseError::LineTooLong { limit });
        }
        self.read_line(part, sink)
    }

    fn read_line(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(&Event)) -> Result<(), SseError> {
        if mem::take(&mut self.first_line) {
            bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        }
        if bytes.is_empty() {
            self.dispatch(sink);
            return Ok(());
        }
        self.field(std::str::from_utf8(bytes).map_err(|_| SseError::NotUtf8)?)
    }

    fn dispatch(&mut self, sink: &mut impl FnMut(&Event)) {
        if mem::take(&mut self.has_data) {
            sink(&self.event);
        }
        self.event.name.clear();
        self.event.data.clear();
    }

    /// A line that begins with a colon is a comment: its field name is empty and matches nothing.
    fn field(&mut self, line: &str) -> Result<(), SseError> {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                self.within_limit(
                    value.len() + usize::from(self.has_data) + self.event.name.len() + self.event.data.len(),
                )?;
                if mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            "event" => {
                self.within_limit(value.len() + self.event.data.len())?;
                value.clone_into(&mut self.event.name);
            }
            "id" if !value.contains('\0') => self.event.id = value.into(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.event.retry_ms = value.parse().ok();
            }
            _ => {}
        }
        Ok(())
    }

    fn within_limit(&self, bytes: usize) -> Result<(), SseError> {
        let limit = self.limits.event_bytes;
        if bytes > limit {
            return Err(SseError::EventTooLarge { limit });
        }
        Ok(())
    }
}
