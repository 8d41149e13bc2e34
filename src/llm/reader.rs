//! An answer without its connection: bytes → frames → chunks.

use serde::de::IgnoredAny;

use super::chunk::LlmError;
use super::chunks::Chunks;
use super::gathered::{Decode, Flow, bad};
use super::kind::{Framing, Kind};
use super::{anthropic, gemini, lines, ollama, openai, responses, sse};

/// What one reader holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Bytes of one line.
    pub line_bytes: usize,
    /// Bytes of one event.
    pub event_bytes: usize,
    /// Parallel tool calls.
    pub calls: u32,
}

/// Reads the answer of one kind of provider from pieces that may be cut anywhere.
#[derive(Debug)]
pub struct Reader {
    frames: Frames,
    decoder: Box<dyn Decode>,
    finished: bool,
}

#[derive(Debug)]
enum Frames {
    Events(Box<sse::Decoder>),
    Lines(lines::Decoder),
}

impl Reader {
    /// A reader at the start of an answer.
    pub fn new(kind: Kind, limits: ReaderLimits) -> Self {
        let calls = limits.calls;
        Self {
            frames: match kind.framing() {
                Framing::Events => Frames::Events(Box::new(sse::Decoder::new(sse::Limits {
                    line_bytes: limits.line_bytes,
                    event_bytes: limits.event_bytes,
                }))),
                Framing::Lines => Frames::Lines(lines::Decoder::new(limits.line_bytes)),
            },
            decoder: match kind {
                Kind::OpenAi => Box::new(openai::Decoder::new(calls)),
                Kind::Anthropic => Box::new(anthropic::Decoder::new(calls)),
                Kind::Gemini => Box::new(gemini::Decoder::new(calls)),
                Kind::Ollama => Box::new(ollama::Decoder::new(calls)),
                Kind::Responses => Box::new(responses::Decoder::new(calls)),
            },
            finished: false,
        }
    }

    /// Whether the finish was seen; usage may still follow.
    pub const fn finished(&self) -> bool {
        self.finished
    }

    /// Takes the next bytes: the chunks they complete go to `out`. True: the answer has said that it is over, and
    /// [`Reader::end`] comes next.
    ///
    /// # Errors
    /// The stream is broken, or the provider says that something is. Nothing may follow.
    pub fn feed(&mut self, bytes: &[u8], out: &mut Chunks) -> Result<bool, LlmError> {
        let decoder = &mut self.decoder;
        let mut done = Ok(Flow::More);
        let mut read = |frame: &str| read_frame(&mut **decoder, frame, &mut done, out);
        let framed = match &mut self.frames {
            Frames::Events(events) => events
                .feed(bytes, |event| read(&event.data))
                .map_err(|error| bad(error.to_string())),
            Frames::Lines(lines) => lines.feed(bytes, read).map_err(|error| bad(error.to_string())),
        };
        self.settle(framed, done)
    }

    /// The bytes are over: what the server left without its end counts if it is whole, and else was cut.
    ///
    /// # Errors
    /// As [`Reader::feed`] and [`Reader::end`].
    pub fn finish(&mut self, out: &mut Chunks) -> Result<(), LlmError> {
        let mut last = None;
        let framed = match &mut self.frames {
            Frames::Events(events) => match events.finish() {
                Ok(event) => {
                    last = event.map(|event| event.data);
                    Ok(())
                }
                Err(sse::SseError::NotUtf8) => Ok(()),
                Err(error) => Err(bad(error.to_string())),
            },
            // What is no UTF-8 was cut, and the line has kept to its limit so far.
            Frames::Lines(lines) => {
                let _ = lines.finish(|line| last = Some(line.to_owned()));
                Ok(())
            }
        };
        framed?;
        if let Some(frame) = last {
            let frame = frame.trim();
            let mut done = Ok(Flow::More);
            read_frame(&mut *self.decoder, frame, &mut done, out);
            let is_whole = serde_json::from_str::<IgnoredAny>(frame).is_ok();
            if is_whole {
                done?;
            }
        }
        self.end(out)
    }

    /// An answer that came whole, as one JSON text.
    ///
    /// # Errors
    /// As [`Reader::feed`] and [`Reader::end`].
    pub fn whole(&mut self, body: &str, out: &mut Chunks) -> Result<(), LlmError> {
        self.decoder.frame(body, out)?;
        self.end(out)
    }

    /// The end of the answer: usage and finish, in this order.
    ///
    /// # Errors
    /// The finish is missing ([`super::LlmErrorKind::Cut`]), or the text ends within a character.
    pub fn end(&mut self, out: &mut Chunks) -> Result<(), LlmError> {
        self.decoder.gathered().end(out)
    }

    /// What the decoder said of the frames counts before what was wrong with the bytes behind them.
    fn settle(
        &mut self,
        framed: Result<(), LlmError>,
        done: Result<Flow, LlmError>,
    ) -> Result<bool, LlmError> {
        self.finished = self.decoder.gathered().finish.is_some();
        let is_over = done? == Flow::Over;
        if is_over {
            return Ok(true);
        }
        framed.map(|()| false)
    }
}

/// Reads a frame, unless the one before was the last.
fn read_frame(decoder: &mut dyn Decode, frame: &str, done: &mut Result<Flow, LlmError>, out: &mut Chunks) {
    let frame = frame.trim();
    if matches!(done, Ok(Flow::More)) && !frame.is_empty() {
        *done = decoder.frame(frame, out);
    }
}
