//! The scripted model: believable answers to any schema, at any rate, with every fault on demand.
//!
//! The same schema and seed give the same value, so an attempt that follows an invalid one answers the same value
//! without its mistake; schema, seed and attempt together give the same text, byte for byte.

mod answer;
mod generate;
mod node;
mod number;
mod pattern;
mod play;
mod random;
mod spoil;
mod text;
mod words;

use std::borrow::Cow;
use std::time::Duration;

use tokio::time::Instant;

use self::play::{Ending, Kind, Play};
use super::chunk::{Chunk, Finish, LlmError, LlmErrorKind};
use super::request::Request;
use crate::clock;
use crate::job::Usage;

/// What a refused attempt is told to wait.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The built-in model.
#[derive(Debug)]
pub struct Scripted(());

impl Scripted {
    pub(super) const fn new() -> Self {
        Self(())
    }

    /// Its value may have megabytes, so it is written on the blocking pool; who drops the future does not wait for it.
    pub(super) async fn open(&self, request: &Request) -> Result<ScriptedStream, LlmError> {
        // A refusal burns no attempt, but it is one that was tried.
        let tried = request.refusals + request.attempt;
        if tried <= request.script.rate_limited_attempts {
            return Err(LlmError {
                retry_after: Some(RETRY_AFTER),
                status: Some(429),
                ..LlmError::new(LlmErrorKind::RateLimited, "the script asks for a rate limit")
            });
        }
        let request = request.clone();
        let written = tokio::task::spawn_blocking(move || ScriptedStream::new(&request)).await;
        written.map_err(|_| LlmError::new(LlmErrorKind::Server, "the script could not be written"))
    }
}

/// An answer of the scripted model.
#[derive(Debug)]
pub(super) struct ScriptedStream {
    play: Play,
    start: Instant,
    /// Tokens a second; 0 = as fast as possible.
    rate: f64,
    token_chars: usize,
    /// The act that is on, and the bytes of it that were told.
    act: usize,
    told: usize,
    announced: bool,
    tokens: u64,
    reasoning: u64,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq)]
enum Stage {
    Telling,
    Finishing(Finish),
    Over,
}

impl ScriptedStream {
    fn new(request: &Request) -> Self {
        let script = &request.script;
        let rate = script.tokens_per_second;
        Self {
            play: Play::new(request),
            start: clock::now(),
            rate: if rate.is_finite() {
                rate.clamp(0.0, 1e6)
            } else {
                0.0
            },
            token_chars: usize::try_from(script.token_chars.max(1)).unwrap_or(1),
            act: 0,
            told: 0,
            announced: false,
            tokens: 0,
            reasoning: 0,
            stage: Stage::Telling,
        }
    }

    /// Nothing is changed before the last await of a call: a dropped call loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Chunk<'_>, LlmError>> {
        match self.stage.clone() {
            Stage::Over => return None,
            Stage::Finishing(finish) => {
                self.stage = Stage::Over;
                return Some(Ok(Chunk::Finish(finish)));
            }
            Stage::Telling => {}
        }
        match self.play.ending_at(self.tokens) {
            None => {}
            Some(Ending::Hang) => return std::future::pending().await,
            Some(Ending::Length) => return Some(Ok(self.usage(Finish::Length))),
            Some(Ending::Error) => {
                return Some(self.broken(
                    LlmErrorKind::InStream,
                    "the script asks for an error in the stream",
                ));
            }
            Some(Ending::Cut) => return Some(self.broken(LlmErrorKind::Cut, "the script cut the stream")),
        }
        if self.play.acts.get(self.act).is_none() {
            let finish = self.play.finish.clone();
            return Some(Ok(self.usage(finish)));
        }
        if !std::mem::replace(&mut self.announced, true) && self.opening().is_some() {
            return self.opening().map(Ok);
        }
        self.wait_for_the_next_token().await;
        self.token().map(Ok)
    }

    fn broken(&mut self, kind: LlmErrorKind, message: &str) -> Result<Chunk<'static>, LlmError> {
        self.stage = Stage::Over;
        Err(LlmError::new(kind, message))
    }

    fn usage(&mut self, finish: Finish) -> Chunk<'static> {
        self.stage = Stage::Finishing(finish);
        Chunk::Usage(Usage {
            input_tokens: self.play.input_tokens,
            output_tokens: self.tokens,
            reasoning_tokens: self.reasoning,
            cached_input_tokens: 0,
            estimated: false,
            cost: None,
        })
    }

    /// A tool call is announced with its id and name before its arguments.
    fn opening(&self) -> Option<Chunk<'_>> {
        let Kind::Call { index, id, name } = &self.play.acts.get(self.act)?.kind else {
            return None;
        };
        Some(Chunk::Call {
            index: *index,
            id: Some(id.into()),
            name: Some(name.into()),
            arguments: "".into(),
        })
    }

    async fn wait_for_the_next_token(&self) {
        if self.rate > 0.0 {
            let due = self.start + Duration::from_secs_f64((self.tokens + 1) as f64 / self.rate);
            if due > clock::now() {
                return clock::sleep_until(due).await;
            }
        }
        // Others on this thread want to run too.
        tokio::task::consume_budget().await;
    }

    fn token(&mut self) -> Option<Chunk<'_>> {
        let act = self.play.acts.get(self.act)?;
        let rest = &act.text[self.told..];
        let length = rest
            .char_indices()
            .nth(self.token_chars)
            .map_or(rest.len(), |(at, _)| at);
        let token = Cow::Borrowed(&rest[..length]);
        let chunk = match &act.kind {
            Kind::Reasoning => Chunk::Reasoning(token),
            Kind::Text => Chunk::Text(token),
            Kind::Refusal => Chunk::Refusal(token),
            Kind::Call { index, .. } => Chunk::Call {
                index: *index,
                id: None,
                name: None,
                arguments: token,
            },
        };
        self.tokens += 1;
        self.reasoning += u64::from(act.kind == Kind::Reasoning);
        self.told += length;
        if self.told >= act.text.len() {
            self.act += 1;
            self.told = 0;
            self.announced = false;
        }
        Some(chunk)
    }
}
