//! Frames in, chunks out.

use std::collections::{BTreeMap, VecDeque};

use serde_json::value::RawValue;

use super::frame::{Choice, Delta, Frame, ToolCall, UsageFrame};
use super::text::{Growing, LoneSurrogate};
use crate::job::Usage;
use crate::llm::chunk::{Chunk, Finish, LlmError, LlmErrorKind};

/// What was read of one answer.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    calls_max: u32,
    text: Growing,
    reasoning: Growing,
    refusal: Growing,
    calls: BTreeMap<u32, Call>,
    usage: Option<Usage>,
    finish: Option<Finish>,
    frames: u64,
}

#[derive(Debug, Default)]
struct Call {
    arguments: Growing,
    id: Option<String>,
    name_told: bool,
}

impl Decoder {
    /// A decoder of an answer of at most so many tool calls.
    pub(super) fn new(calls_max: u32) -> Self {
        Self {
            calls_max,
            ..Self::default()
        }
    }

    /// Whether the finish frame was seen; usage may still follow.
    pub(super) fn finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Reads one frame.
    pub(super) fn frame(&mut self, text: &str, out: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        self.frames += 1;
        let frame = Frame::read(text).map_err(|error| {
            // The position is told and not the text: it may be anything, keys included.
            let frames = self.frames;
            let (line, column) = (error.line(), error.column());
            bad(format!(
                "event {frames} is no completion chunk (line {line} column {column})"
            ))
        })?;
        if let Some(complaint) = frame.complaint() {
            let code = complaint
                .code
                .map_or_else(String::new, |code| format!(" ({code})"));
            let message = format!("error in the stream{code}: {}", complaint.message);
            return Err(LlmError::new(LlmErrorKind::InStream, message));
        }
        if let Some(usage) = frame.usage {
            self.usage = Some(usage.into());
        }
        for choice in frame.choices.into_iter().flatten() {
            if choice.index.unwrap_or(0) == 0 {
                self.choice(&choice, out)?;
            }
        }
        Ok(())
    }

    /// The end of the answer: usage and finish, in this order.
    pub(super) fn end(&mut self, out: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        out.extend(self.usage.take().map(Chunk::Usage));
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
        out.push_back(Chunk::Finish(finish));
        Ok(())
    }

    fn choice(&mut self, choice: &Choice<'_>, out: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
            self.delta(delta, out)?;
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some(reason) => self.finish = Some(finish(reason)),
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        let reasoning = delta.reasoning_content.or(delta.reasoning);
        push(&mut self.reasoning, reasoning, Chunk::Reasoning, out)?;
        push(&mut self.text, delta.content, Chunk::Text, out)?;
        push(&mut self.refusal, delta.refusal, Chunk::Refusal, out)?;
        for (position, call) in (0_u32..).zip(delta.tool_calls.iter().flatten()) {
            self.call(call.index.unwrap_or(position), call, out)?;
        }
        Ok(())
    }

    fn call(&mut self, index: u32, call: &ToolCall<'_>, out: &mut VecDeque<Chunk>) -> Result<(), LlmError> {
        if index >= self.calls_max {
            return Err(bad(format!("more than {} parallel tool calls", self.calls_max)));
        }
        let known = self.calls.entry(index).or_default();
        let function = call.function.as_ref();
        let id = call.id.as_deref().filter(|id| !id.is_empty());
        let name = function.and_then(|function| function.name.as_deref());
        let name = name.filter(|name| !name.is_empty());
        // Some servers give every call the same index. A new id with a name begins another call there; one without
        // a name does not, for others draw a new id for each piece of one call.
        if name.is_some() && id.is_some() && known.id.is_some() && known.id.as_deref() != id {
            *known = Call::default();
        }
        let id = id.filter(|_| known.id.is_none()).map(str::to_owned);
        known.id = known.id.take().or_else(|| id.clone());
        let name = name.filter(|_| !known.name_told).map(str::to_owned);
        known.name_told |= name.is_some();
        let arguments = match function
            .and_then(|function| function.arguments)
            .map(RawValue::get)
        {
            Some(raw) if raw.starts_with('"') => known.arguments.add(raw).map_err(lone)?,
            // Arguments that came as an object and not as its text.
            Some(raw) => raw.to_owned(),
            None => String::new(),
        };
        if id.is_some() || name.is_some() || !arguments.is_empty() {
            out.push_back(Chunk::Call {
                index,
                id,
                name,
                arguments,
            });
        }
        Ok(())
    }
}

fn push(
    growing: &mut Growing,
    raw: Option<&RawValue>,
    chunk: fn(String) -> Chunk,
    out: &mut VecDeque<Chunk>,
) -> Result<(), LlmError> {
    // Only text counts: some servers send lists of parts beside it, or objects of their own.
    let Some(raw) = raw.map(RawValue::get).filter(|raw| raw.starts_with('"')) else {
        return Ok(());
    };
    let text = growing.add(raw).map_err(lone)?;
    if !text.is_empty() {
        out.push_back(chunk(text));
    }
    Ok(())
}

fn finish(reason: &str) -> Finish {
    match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" => Finish::Stop,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        other => Finish::Other(other.chars().take(64).collect()),
    }
}

fn bad(message: String) -> LlmError {
    LlmError::new(LlmErrorKind::BadStream, message)
}

fn lone(_: LoneSurrogate) -> LlmError {
    bad("half a surrogate pair in the answer".to_owned())
}

impl From<UsageFrame> for Usage {
    fn from(frame: UsageFrame) -> Self {
        let reasoning = frame
            .completion_tokens_details
            .and_then(|details| details.reasoning_tokens);
        let cached = frame
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        Self {
            input_tokens: frame.prompt_tokens.unwrap_or(0),
            output_tokens: frame.completion_tokens.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
            cached_input_tokens: cached.unwrap_or(0),
            estimated: false,
        }
    }
}
