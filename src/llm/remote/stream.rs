//! An answer on the wire: bytes → chunks, under the time limits.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::Instant;

use super::Voice;
use super::client::reason;
use super::options::RemoteOptions;
use crate::clock;
use crate::llm::chunk::{Chunk, LlmError, LlmErrorKind};
use crate::llm::chunks::Chunks;
use crate::llm::kind::Kind;
use crate::llm::reader::{Reader, ReaderLimits};

/// An answer over HTTP.
#[derive(Debug)]
pub(in crate::llm) struct RemoteStream {
    /// None once the stream is over: the connection is closed or back in the pool.
    response: Option<Response>,
    voice: Voice,
    reader: Reader,
    ready: Chunks,
    failure: Option<LlmError>,
    /// Silence until then is an error.
    deadline: Instant,
    idle: Duration,
    /// How long usage and the end may follow the finish frame.
    after_finish: Duration,
    first_byte_seen: bool,
}

impl RemoteStream {
    /// A stream whose first byte must come before `deadline`.
    pub(super) fn new(response: Response, voice: Voice, options: &RemoteOptions, deadline: Instant) -> Self {
        let limits = ReaderLimits {
            line_bytes: options.line_bytes_max,
            event_bytes: options.event_bytes_max,
            calls: options.calls_max,
        };
        Self {
            response: Some(response),
            voice,
            reader: Reader::new(options.kind, limits),
            ready: Chunks::default(),
            failure: None,
            deadline,
            idle: Duration::from_millis(options.idle_ms),
            after_finish: Duration::from_millis(match options.kind {
                // Older models tell their finish with every piece, so more of the answer may follow it.
                Kind::Gemini => options.idle_ms.max(options.after_finish_ms),
                Kind::OpenAi | Kind::Anthropic | Kind::Ollama | Kind::Responses => options.after_finish_ms,
            }),
            first_byte_seen: false,
        }
    }

    /// A stream that is already over: a server that did not stream sent `body`.
    pub(super) fn whole(body: &str, voice: Voice, options: &RemoteOptions, response: Response) -> Self {
        let mut stream = Self::new(response, voice, options, clock::now());
        let read = stream.reader.whole(body, &mut stream.ready);
        stream.over(read);
        stream
    }

    /// Only the read from the socket is awaited, and it is the first thing a turn does: a dropped call loses nothing.
    pub(in crate::llm) async fn next(&mut self) -> Option<Result<Chunk<'_>, LlmError>> {
        while self.ready.is_empty() {
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            let response = self.response.as_mut()?;
            // What has come is read first, however late that is.
            let read = tokio::select! {
                biased;
                read = response.chunk() => Some(read),
                () = clock::sleep_until(self.deadline) => None,
            };
            match read {
                Some(Ok(Some(bytes))) => self.bytes(&bytes),
                Some(Ok(None)) => {
                    let read = self.reader.finish(&mut self.ready);
                    self.over(read);
                }
                _ if self.reader.finished() => self.end(),
                Some(Err(error)) => {
                    let reason = reason(error);
                    self.fail(LlmError::new(
                        LlmErrorKind::Cut,
                        format!("the stream broke: {reason}"),
                    ));
                }
                None => self.silence(),
            }
        }
        self.ready.take().map(Ok)
    }

    /// Whether the finish was read; usage and the end may follow.
    pub(in crate::llm) const fn is_ending(&self) -> bool {
        self.reader.finished()
    }

    /// The next chunk that needs no read.
    pub(in crate::llm) fn ready(&mut self) -> Option<Chunk<'_>> {
        self.ready.take()
    }

    fn bytes(&mut self, bytes: &Bytes) {
        self.first_byte_seen = true;
        let (finished_before, told_before) = (self.reader.finished(), self.ready.len());
        match self.reader.feed(bytes, &mut self.ready) {
            // The client reads the end of the body by itself where it came in the same packet.
            Ok(true) => return self.end(),
            Ok(false) => {}
            Err(error) => return self.fail(error),
        }
        if !self.reader.finished() {
            self.deadline = clock::now() + self.idle;
        } else if !finished_before || self.ready.len() > told_before {
            self.deadline = clock::now() + self.after_finish;
        } else if clock::now() >= self.deadline {
            // Comments that keep coming do not keep the answer open.
            self.end();
        }
    }

    fn silence(&mut self) {
        let idle = self.idle.as_millis();
        self.fail(if self.first_byte_seen {
            LlmError::new(LlmErrorKind::IdleTimeout, format!("silent for {idle} ms"))
        } else {
            LlmError::new(LlmErrorKind::FirstByteTimeout, "no byte of an answer in time")
        });
    }

    fn end(&mut self) {
        let read = self.reader.end(&mut self.ready);
        self.over(read);
    }

    fn over(&mut self, read: Result<(), LlmError>) {
        self.response = None;
        if let Err(error) = read {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: LlmError) {
        self.response = None;
        self.failure = Some(self.voice.speak(error));
    }
}
