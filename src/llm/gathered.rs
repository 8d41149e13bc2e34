//! What the decoders of every wire format gather of an answer, and how an answer ends.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{Finish, LlmError, LlmErrorKind};
use super::chunks::{Chunks, Said};
use super::text::{Growing, LoneSurrogate};
use crate::job::Usage;

/// Characters of a provider's own word for a finish that are kept.
const FINISH_CHARS_MAX: usize = 64;

/// A decoder: frames of one wire format in, chunks out.
pub(super) trait Decode: std::fmt::Debug + Send {
    /// Reads one frame.
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError>;
    /// What was gathered.
    fn gathered(&mut self) -> &mut Gathered;
}

/// Whether frames can follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// They can.
    More,
    /// That was the last one.
    Over,
}

/// What was read of one answer.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    calls_max: u32,
    text: Growing,
    reasoning: Growing,
    refusal: Growing,
    calls: BTreeMap<u32, Call>,
    frames: u64,
    /// What it cost, as told last.
    pub(super) usage: Option<Usage>,
    /// Why it is over, once that was told.
    pub(super) finish: Option<Finish>,
}

#[derive(Debug, Default)]
struct Call {
    arguments: Growing,
    id: Option<String>,
    name_told: bool,
}

/// More of a tool call.
#[derive(Debug, Default)]
pub(super) struct CallPiece<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) name: Option<&'a str>,
    /// A JSON string that holds more of the arguments' text, or the arguments themselves, whole.
    pub(super) arguments: Option<&'a RawValue>,
}

impl Gathered {
    /// Of an answer of at most so many tool calls.
    pub(super) fn new(calls_max: u32) -> Self {
        Self {
            calls_max,
            ..Self::default()
        }
    }

    /// Reads a frame as what it should be. The position of a fault is told and not the text: it may be anything, keys
    /// included.
    pub(super) fn read<'a, T: Deserialize<'a>>(&mut self, text: &'a str) -> Result<T, LlmError> {
        self.frames += 1;
        serde_json::from_str(text).map_err(|error| {
            let (frames, line, column) = (self.frames, error.line(), error.column());
            bad(format!(
                "frame {frames} of the answer is malformed (line {line} column {column})"
            ))
        })
    }

    /// More of the message's text.
    pub(super) fn text(&mut self, raw: Option<&RawValue>, out: &mut Chunks) -> Result<(), LlmError> {
        push(&mut self.text, raw, Said::Text, out)
    }

    /// More of the thinking.
    pub(super) fn reasoning(&mut self, raw: Option<&RawValue>, out: &mut Chunks) -> Result<(), LlmError> {
        push(&mut self.reasoning, raw, Said::Reasoning, out)
    }

    /// More of a refusal.
    pub(super) fn refusal(&mut self, raw: Option<&RawValue>, out: &mut Chunks) -> Result<(), LlmError> {
        push(&mut self.refusal, raw, Said::Refusal, out)
    }

    /// The number of a call that comes behind those there are.
    pub(super) fn next_call(&self) -> u32 {
        u32::try_from(self.calls.len()).unwrap_or(u32::MAX)
    }

    /// More of the call of this number.
    pub(super) fn call(
        &mut self,
        index: u32,
        piece: &CallPiece<'_>,
        out: &mut Chunks,
    ) -> Result<(), LlmError> {
        if index >= self.calls_max {
            return Err(bad(format!("more than {} parallel tool calls", self.calls_max)));
        }
        let known = self.calls.entry(index).or_default();
        let id = piece.id.filter(|id| !id.is_empty());
        let name = piece.name.filter(|name| !name.is_empty());
        // Some servers give every call the same index. A new id with a name begins another call there; one without
        // a name does not, for others draw a new id for each piece of one call.
        if name.is_some() && id.is_some() && known.id.is_some() && known.id.as_deref() != id {
            *known = Call::default();
        }
        let id = id.filter(|_| known.id.is_none());
        if let Some(id) = id {
            known.id = Some(id.to_owned());
        }
        let name = name.filter(|_| !known.name_told);
        known.name_told |= name.is_some();
        let arguments = &mut known.arguments;
        out.call(index, id, name, |text| match piece.arguments.map(RawValue::get) {
            Some(raw) if raw.starts_with('"') => arguments.add(raw, text).map_err(lone),
            Some(raw) => {
                text.push_str(raw);
                Ok(())
            }
            None => Ok(()),
        })
    }

    /// What a model that was done finished with: providers that have one word for both do not tell calls apart.
    pub(super) fn done(&self) -> Finish {
        if self.calls.is_empty() {
            Finish::Stop
        } else {
            Finish::ToolCalls
        }
    }

    /// The end of the answer: usage and finish, in this order.
    pub(super) fn end(&mut self, out: &mut Chunks) -> Result<(), LlmError> {
        let is_counted = self.finish.is_some();
        // What was counted of an answer that was cut is not all of it.
        let usage = self.usage.take().map(|usage| Usage {
            estimated: !is_counted,
            ..usage
        });
        if let Some(usage) = usage {
            out.usage(usage);
        }
        let Some(finish) = self.finish.take() else {
            return Err(LlmError::new(
                LlmErrorKind::Cut,
                "the stream ended without a finish reason",
            ));
        };
        // A half pair at a cut is the cut's doing.
        if finish != Finish::Length {
            let open = self
                .calls
                .values()
                .map(|call| &call.arguments)
                .chain([&self.text]);
            for text in open {
                text.end().map_err(lone)?;
            }
        }
        out.finish(finish);
        Ok(())
    }
}

fn push(growing: &mut Growing, raw: Option<&RawValue>, what: Said, out: &mut Chunks) -> Result<(), LlmError> {
    // Only text counts: some servers send lists of parts beside it, or objects of their own.
    match raw.map(RawValue::get).filter(|raw| raw.starts_with('"')) {
        Some(raw) => out.said(what, |text| growing.add(raw, text).map_err(lone)),
        None => Ok(()),
    }
}

/// A finish for which there is no word here.
pub(super) fn other(reason: &str) -> Finish {
    Finish::Other(reason.chars().take(FINISH_CHARS_MAX).collect())
}

/// A stream that is not what it should be.
pub(super) fn bad(message: impl Into<String>) -> LlmError {
    LlmError::new(LlmErrorKind::BadStream, message)
}

fn lone(_: LoneSurrogate) -> LlmError {
    bad("half a surrogate pair in the answer")
}
