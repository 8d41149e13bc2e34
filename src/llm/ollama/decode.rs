//! Lines in, chunks out.

use super::frame::{Call, Frame, Message};
use crate::job::Usage;
use crate::llm::chunk::{Finish, LlmError};
use crate::llm::chunks::Chunks;
use crate::llm::complaint::Complaint;
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

    fn message(&mut self, message: &Message<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        self.gathered.reasoning(message.thinking, out)?;
        self.gathered.text(message.content, out)?;
        for call in message.tool_calls.iter() {
            self.call(call, out)?;
        }
        Ok(())
    }

    /// Calls come whole, mostly without an id; an answer to one needs it.
    fn call(&mut self, call: &Call<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        let number = self.gathered.next_call();
        let made_up = format!("call_{number}");
        let id = call.id.as_deref().filter(|id| !id.is_empty());
        let piece = CallPiece {
            id: id.or(Some(&made_up)),
            name: Some(&call.function.name),
            arguments: call.function.arguments,
        };
        self.gathered.call(number, &piece, out)
    }

    fn finish(&self, reason: Option<&str>) -> Finish {
        match reason {
            None | Some("stop" | "") => self.gathered.done(),
            Some("length") => Finish::Length,
            Some(reason) => other(reason),
        }
    }
}

impl Decode for Decoder {
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError> {
        let frame: Frame<'_> = self.gathered.read(text)?;
        if let Some(error) = frame.error {
            return Err(Complaint::of(error).in_stream());
        }
        if let Some(message) = &frame.message {
            self.message(message, out)?;
        }
        if !frame.done {
            return Ok(Flow::More);
        }
        if frame.prompt_eval_count.is_some() || frame.eval_count.is_some() {
            self.gathered.usage = Some(Usage {
                input_tokens: frame.prompt_eval_count.unwrap_or(0),
                output_tokens: frame.eval_count.unwrap_or(0),
                ..Usage::default()
            });
        }
        self.gathered.finish = Some(self.finish(frame.done_reason.as_deref()));
        Ok(Flow::Over)
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }
}
