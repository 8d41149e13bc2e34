//! Events in, chunks out.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::frame::{Frame, Item, Response, UsageFrame};
use crate::job::Usage;
use crate::llm::chunk::{Finish, LlmError};
use crate::llm::chunks::Chunks;
use crate::llm::complaint::Complaint;
use crate::llm::gathered::{CallPiece, Decode, Flow, Gathered, bad, other};

/// What was read of one answer.
#[derive(Debug)]
pub(in crate::llm) struct Decoder {
    gathered: Gathered,
    /// The calls, by their items.
    calls: BTreeMap<u32, Call>,
}

#[derive(Debug)]
struct Call {
    /// Among our calls.
    number: u32,
    /// Whether its arguments came in pieces; else they come whole at its end.
    has_pieces: bool,
}

impl Decoder {
    /// A decoder of an answer of at most so many tool calls.
    pub(in crate::llm) fn new(calls_max: u32) -> Self {
        Self {
            gathered: Gathered::new(calls_max),
            calls: BTreeMap::new(),
        }
    }

    fn item(&mut self, index: u32, item: &Item<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        if item.kind != "function_call" || self.calls.contains_key(&index) {
            return Ok(());
        }
        let number = self.gathered.next_call();
        let call = Call {
            number,
            has_pieces: false,
        };
        self.calls.insert(index, call);
        let piece = CallPiece {
            id: item.call_id.as_deref(),
            name: item.name.as_deref(),
            arguments: None,
        };
        self.gathered.call(number, &piece, out)
    }

    fn arguments(
        &mut self,
        index: u32,
        arguments: Option<&RawValue>,
        out: &mut Chunks,
    ) -> Result<(), LlmError> {
        let Some(call) = self.calls.get_mut(&index) else {
            return Ok(());
        };
        call.has_pieces |= arguments.is_some_and(|raw| raw.get() != r#""""#);
        let piece = CallPiece {
            arguments,
            ..CallPiece::default()
        };
        self.gathered.call(call.number, &piece, out)
    }

    /// Arguments that are told whole count where no pieces of them came.
    fn whole(&mut self, index: u32, arguments: Option<&RawValue>, out: &mut Chunks) -> Result<(), LlmError> {
        if self.calls.get(&index).is_some_and(|call| call.has_pieces) {
            return Ok(());
        }
        self.arguments(index, arguments, out)
    }

    fn over(&mut self, kind: &str, response: Option<Response<'_>>) -> Result<Flow, LlmError> {
        let response = response.ok_or_else(|| bad("an event that ends the answer has no `response`"))?;
        self.gathered.usage = response.usage.map(Usage::from);
        let reason = response.incomplete_details.map(|details| details.reason);
        self.gathered.finish = Some(match (kind, reason.as_deref()) {
            ("response.completed", _) => self.gathered.done(),
            (_, Some("max_output_tokens" | "max_tokens")) => Finish::Length,
            (_, Some("content_filter")) => Finish::ContentFilter,
            (kind, reason) => other(reason.unwrap_or(kind)),
        });
        Ok(Flow::Over)
    }
}

impl Decode for Decoder {
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError> {
        let mut frame: Frame<'_> = self.gathered.read(text)?;
        let failed = frame.response.as_ref().and_then(|response| response.error);
        if let Some(error) = frame.error.or(failed) {
            // What failed was paid for, too.
            let usage = frame.response.take().and_then(|response| response.usage);
            if let Some(usage) = usage {
                out.usage(usage.into());
            }
            return Err(Complaint::of(error).in_stream());
        }
        let index = frame.output_index;
        match &*frame.kind {
            "response.output_text.delta" => self.gathered.text(frame.delta, out)?,
            "response.refusal.delta" => self.gathered.refusal(frame.delta, out)?,
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.gathered.reasoning(frame.delta, out)?;
            }
            "response.output_item.added" | "response.output_item.done" => {
                if let Some(item) = &frame.item {
                    self.item(index, item, out)?;
                    self.whole(index, item.arguments, out)?;
                }
            }
            "response.function_call_arguments.delta" => self.arguments(index, frame.delta, out)?,
            "response.function_call_arguments.done" => self.whole(index, frame.arguments, out)?,
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                return self.over(&frame.kind, frame.response.take());
            }
            "response.failed" => return Err(Complaint::without_words().in_stream()),
            // The error is the event itself.
            "error" => {
                let error: &RawValue = self.gathered.read(text)?;
                return Err(Complaint::of(error).in_stream());
            }
            _ if frame.object.as_deref() == Some("response") => {
                return Err(bad("the answer came whole where a stream was asked for"));
            }
            _ => {}
        }
        Ok(Flow::More)
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }
}

impl From<UsageFrame> for Usage {
    fn from(frame: UsageFrame) -> Self {
        let reasoning = frame
            .output_tokens_details
            .and_then(|details| details.reasoning_tokens);
        let cached = frame
            .input_tokens_details
            .and_then(|details| details.cached_tokens);
        Self {
            input_tokens: frame.input_tokens.unwrap_or(0),
            output_tokens: frame.output_tokens.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
            cached_input_tokens: cached.unwrap_or(0),
            estimated: false,
            cost: None,
        }
    }
}
