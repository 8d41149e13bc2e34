//! An answer on the wire: bytes → events → chunks, under the time limits.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::Instant;

use super::decode::Decoder;
use super::{Voice, options::OpenAiOptions};
use crate::clock;
use crate::llm::chunk::{Chunk, LlmError, LlmErrorKind};
use crate::llm::sse;

/// An answer over HTTP.
#[derive(Debug)]
pub(in crate::llm) struct OpenAiStream {
    /// None once the stream is over: the connection is closed or back in the pool.
    response: Option<Response>,
    voice: Voice,
    sse: sse::Decoder,
    decoder: Decoder,
    ready: VecDeque<Chunk>,
    failure: Option<LlmError>,
    /// Silence until then is an error.
    deadline: Instant,
    idle: Duration,
    /// How long usage and `[DONE]` may follow the finish frame.
    after_finish: Duration,
    first_byte_seen: bool,
}

impl OpenAiStream {
    /// A stream whose first byte must come before `deadline`.
    pub(super) fn new(response: Response, voice: Voice, options: &OpenAiOptions, deadline: Instant) -> Self {
        Self {
            response: Some(response),
            voice,
            sse: sse::Decoder::new(sse::Limits {
                line_bytes: options.line_bytes_max,
                event_bytes: options.event_bytes_max,
            }),
            decoder: Decoder::new(options.calls_max),
            ready: VecDeque::new(),
            failure: None,
            deadline,
            idle: Duration::from_millis(options.idle_ms),
            after_finish: Duration::from_millis(options.after_finish_ms),
            first_byte_seen: false,
        }
    }

    /// A stream that is already over: a server that did not stream sent `body`.
    pub(super) fn whole(body: &str, voice: Voice, options: &OpenAiOptions, response: Response) -> Self {
        let mut stream = Self::new(response, voice, options, clock::now());
        match stream.decoder.frame(body, &mut stream.ready) {
            Ok(()) => stream.end(),
            Err(error) => stream.fail(error),
        }
        stream
    }

    /// Only the read from the socket is awaited, and it is the first thing a turn does: a dropped call loses nothing.
    pub(in crate::llm) async fn next(&mut self) -> Option<Result<Chunk, LlmError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if let Some(error) = self.failure.take() {
                return Some(Err(error));
            }
            let response = self.response.as_mut()?;
            let read = tokio::select! {
                biased;
                () = clock::sleep_until(self.deadline), if self.decoder.finished() => None,
                read = response.chunk() => Some(read),
                () = clock::sleep_until(self.deadline) => None,
            };
            match read {
                Some(Ok(Some(bytes))) => self.bytes(&bytes),
                Some(Ok(None)) => self.last_event(),
                _ if self.decoder.finished() => self.end(),
                Some(Err(error)) => {
                    let reason = super::reason(error);
                    self.fail(LlmError::new(
                        LlmErrorKind::Cut,
                        format!("the stream broke: {reason}"),
                    ));
                }
                None => self.silence(),
            }
        }
    }

    fn bytes(&mut self, bytes: &Bytes) {
        self.first_byte_seen = true;
        let finished_before = self.decoder.finished();
        let mut events = Vec::new();
        let fed = self.sse.feed(bytes, |event| events.push(event));
        for event in events {
            if !self.event(&event.data) {
                return;
            }
        }
        if let Err(error) = fed {
            self.fail(LlmError::new(LlmErrorKind::BadStream, error.to_string()));
        }
        if !self.decoder.finished() {
            self.deadline = clock::now() + self.idle;
        } else if !finished_before {
            // Once: comments that keep coming do not keep the answer open.
            self.deadline = clock::now() + self.after_finish;
        }
    }

    /// The bytes are over. What the server left without a blank line counts if it is whole.
    fn last_event(&mut self) {
        match self.sse.finish() {
            Ok(Some(event)) => {
                self.event(&event.data);
                if self.response.is_some() {
                    self.end();
                }
            }
            Ok(None) => self.end(),
            Err(error) => self.fail(LlmError::new(LlmErrorKind::BadStream, error.to_string())),
        }
    }

    /// Whether the stream goes on after this event.
    fn event(&mut self, data: &str) -> bool {
        let data = data.trim();
        if data == "[DONE]" {
            // The client reads the end of the body by itself where it came in the same packet.
            self.end();
            return false;
        }
        if data.is_empty() {
            return true;
        }
        match self.decoder.frame(data, &mut self.ready) {
            Ok(()) => true,
            Err(error) => {
                self.fail(error);
                false
            }
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
        self.response = None;
        if let Err(error) = self.decoder.end(&mut self.ready) {
            self.fail(error);
        }
    }

    fn fail(&mut self, error: LlmError) {
        self.response = None;
        self.failure = Some(self.voice.speak(error));
    }
}
