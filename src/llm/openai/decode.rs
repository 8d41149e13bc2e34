//! Frames in, chunks out.

use serde_json::value::RawValue;

use super::frame::{Choice, Delta, Frame, Part, UsageFrame};
use crate::job::Usage;
use crate::llm::chunk::{Finish, LlmError};
use crate::llm::chunks::Chunks;
use crate::llm::complaint::Complaint;
use crate::llm::few::Few;
use crate::llm::gathered::{CallPiece, Decode, Flow, Gathered, other};

/// What was read of one answer.
#[derive(Debug)]
pub(in crate::llm) struct Decoder {
    gathered: Gathered,
}

impl Decoder {
    /// A decoder of an answer of at most so many tool calls.
    pub(in crate::llm) fn new(calls_max: u32) -> Self {
        Self {
            gathered: Gathered::new(calls_max),
        }
    }

    fn choice(&mut self, choice: &Choice<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        if let Some(delta) = choice.delta.as_ref().or(choice.message.as_ref()) {
            self.delta(delta, out)?;
        }
        match choice.finish_reason.as_deref() {
            None | Some("") => {}
            Some(reason) => self.gathered.finish = Some(finish(reason)),
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        let gathered = &mut self.gathered;
        // Some have both members, and one of them empty.
        let thoughts = [delta.reasoning_content, delta.reasoning];
        let thoughts = thoughts.into_iter().flatten().find(|raw| raw.get() != r#""""#);
        gathered.reasoning(thoughts, out)?;
        match delta.content.filter(|raw| raw.get().starts_with('[')) {
            Some(parts) => parts_of(gathered, parts, out)?,
            None => gathered.text(delta.content, out)?,
        }
        gathered.refusal(delta.refusal, out)?;
        for (position, call) in (0_u32..).zip(delta.tool_calls.iter()) {
            let function = call.function.as_ref();
            let piece = CallPiece {
                id: call.id.as_deref(),
                name: function.and_then(|function| function.name.as_deref()),
                arguments: function.and_then(|function| function.arguments),
            };
            gathered.call(call.index.unwrap_or(position), &piece, out)?;
        }
        Ok(())
    }
}

impl Decode for Decoder {
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError> {
        if text == "[DONE]" {
            return Ok(Flow::Over);
        }
        let frame: Frame<'_> = self.gathered.read(text)?;
        if frame.is_complaint() {
            return Err(Complaint::in_body(text).unwrap_or_default().in_stream());
        }
        if let Some(usage) = frame.usage {
            self.gathered.usage = Some(usage.into());
        }
        for choice in frame.choices.iter() {
            if choice.index.unwrap_or(0) == 0 {
                self.choice(choice, out)?;
            }
        }
        Ok(Flow::More)
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }
}

/// Content in parts (Mistral's reasoning models); parts of other types are skipped.
fn parts_of(gathered: &mut Gathered, parts: &RawValue, out: &mut Chunks) -> Result<(), LlmError> {
    let Ok(parts) = serde_json::from_str::<Few<Part<'_>>>(parts.get()) else {
        return Ok(());
    };
    for part in parts.iter() {
        match part.kind.as_deref() {
            Some("text") => gathered.text(part.text, out)?,
            Some("thinking") => {
                for thought in part.thinking.iter() {
                    gathered.reasoning(thought.text, out)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn finish(reason: &str) -> Finish {
    match reason {
        "stop" | "eos" | "eos_token" | "stop_sequence" => Finish::Stop,
        "length" | "max_tokens" | "model_length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        reason => other(reason),
    }
}

impl Frame<'_> {
    /// Whether it carries an error, or is an object that calls itself one (older vLLM).
    fn is_complaint(&self) -> bool {
        self.error.is_some() || self.object.map(RawValue::get) == Some(r#""error""#)
    }
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
            cost: None,
        }
    }
}
