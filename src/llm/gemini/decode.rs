//! Responses in, chunks out.

use super::frame::{Call, Candidate, Frame, Part, UsageFrame};
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

    fn candidate(&mut self, candidate: &Candidate<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        for part in candidate.content.iter().flat_map(|content| content.parts.iter()) {
            self.part(part, out)?;
            // A finish that more of the answer follows was none: older models tell one with every piece.
            self.gathered.finish = None;
        }
        if let Some(reason) = candidate.finish_reason.as_deref() {
            self.gathered.finish = Some(self.finish(reason));
        }
        Ok(())
    }

    fn part(&mut self, part: &Part<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        if let Some(call) = &part.function_call {
            return self.call(call, out);
        }
        if part.thought {
            self.gathered.reasoning(part.text, out)
        } else {
            self.gathered.text(part.text, out)
        }
    }

    /// Calls come whole, mostly without an id; an answer to one needs it.
    fn call(&mut self, call: &Call<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        let number = self.gathered.next_call();
        let made_up = format!("call_{number}");
        let piece = CallPiece {
            id: Some(call.id.as_deref().unwrap_or(&made_up)),
            name: Some(&call.name),
            arguments: call.args,
        };
        self.gathered.call(number, &piece, out)
    }

    fn finish(&self, reason: &str) -> Finish {
        match reason {
            "STOP" => self.gathered.done(),
            "MAX_TOKENS" => Finish::Length,
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Finish::ContentFilter,
            reason => other(reason),
        }
    }
}

impl Decode for Decoder {
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError> {
        let frame: Frame<'_> = self.gathered.read(text)?;
        if let Some(error) = frame.error {
            return Err(Complaint::of(error).in_stream());
        }
        if let Some(usage) = frame.usage_metadata {
            self.gathered.usage = Some(usage.into());
        }
        for candidate in frame.candidates.iter().filter(|one| one.index == 0) {
            self.candidate(candidate, out)?;
        }
        // A prompt that is blocked has no candidate, so nothing else says that the answer is over.
        let blocked = frame.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if blocked.is_some() {
            self.gathered.finish = Some(Finish::ContentFilter);
        }
        Ok(Flow::More)
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }
}

/// Thoughts are not among the candidates' tokens here, and paid like them.
impl From<UsageFrame> for Usage {
    fn from(frame: UsageFrame) -> Self {
        Self {
            input_tokens: frame.prompt_token_count,
            output_tokens: frame
                .candidates_token_count
                .saturating_add(frame.thoughts_token_count),
            reasoning_tokens: frame.thoughts_token_count,
            cached_input_tokens: frame.cached_content_token_count,
            estimated: false,
            cost: None,
        }
    }
}
