//! Events in, chunks out.

use std::collections::BTreeMap;

use super::frame::{Block, Delta, Frame, UsageFrame};
use crate::job::Usage;
use crate::llm::chunk::{Finish, LlmError};
use crate::llm::chunks::Chunks;
use crate::llm::complaint::Complaint;
use crate::llm::gathered::{CallPiece, Decode, Flow, Gathered, bad, other};

/// What was read of one answer.
#[derive(Debug)]
pub(in crate::llm) struct Decoder {
    gathered: Gathered,
    /// The numbers of the calls among ours, by their blocks; blocks of other types have deltas that look the same.
    calls: BTreeMap<u32, u32>,
    counts: UsageFrame,
    /// Told before the message stops, and true only then.
    stop_reason: Option<Finish>,
}

impl Decoder {
    /// A decoder of an answer of at most so many tool calls.
    pub(in crate::llm) fn new(calls_max: u32) -> Self {
        Self {
            gathered: Gathered::new(calls_max),
            calls: BTreeMap::new(),
            counts: UsageFrame::default(),
            stop_reason: None,
        }
    }

    fn block(&mut self, index: u32, block: &Block<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        match &*block.kind {
            "text" => self.gathered.text(block.text, out),
            "thinking" => self.gathered.reasoning(block.thinking, out),
            "tool_use" => {
                let number = self.gathered.next_call();
                self.calls.insert(index, number);
                let piece = CallPiece {
                    id: block.id.as_deref(),
                    name: block.name.as_deref(),
                    arguments: None,
                };
                self.gathered.call(number, &piece, out)
            }
            _ => Ok(()),
        }
    }

    fn delta(&mut self, index: u32, delta: &Delta<'_>, out: &mut Chunks) -> Result<(), LlmError> {
        match &*delta.kind {
            "text_delta" => self.gathered.text(delta.text, out),
            "thinking_delta" => self.gathered.reasoning(delta.thinking, out),
            "input_json_delta" => {
                let Some(number) = self.calls.get(&index) else {
                    return Ok(());
                };
                let piece = CallPiece {
                    arguments: delta.partial_json,
                    ..CallPiece::default()
                };
                self.gathered.call(*number, &piece, out)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, newer: &UsageFrame) {
        let known = &mut self.counts;
        known.input_tokens = newer.input_tokens.or(known.input_tokens);
        known.cache_creation_input_tokens = newer
            .cache_creation_input_tokens
            .or(known.cache_creation_input_tokens);
        known.cache_read_input_tokens = newer.cache_read_input_tokens.or(known.cache_read_input_tokens);
        known.output_tokens = newer.output_tokens.or(known.output_tokens);
    }
}

impl Decode for Decoder {
    fn frame(&mut self, text: &str, out: &mut Chunks) -> Result<Flow, LlmError> {
        let frame: Frame<'_> = self.gathered.read(text)?;
        if let Some(error) = frame.error {
            return Err(Complaint::of(error).in_stream());
        }
        let usage = frame
            .usage
            .or_else(|| frame.message.and_then(|message| message.usage));
        if let Some(usage) = usage {
            self.count(&usage);
        }
        match (&*frame.kind, &frame.content_block, &frame.delta) {
            ("content_block_start", Some(block), _) => self.block(frame.index, block, out)?,
            ("content_block_delta", _, Some(delta)) => self.delta(frame.index, delta, out)?,
            ("message_delta", _, Some(delta)) => {
                // The output of before is not counted, only begun.
                let has_counts = self.counts.output_tokens.is_some();
                self.gathered.usage = has_counts.then(|| Usage::from(&self.counts));
                let reason = delta.stop_reason.as_deref().map(finish);
                self.stop_reason = reason.or_else(|| self.stop_reason.take());
            }
            ("message_stop", ..) => {
                self.gathered.finish = self.stop_reason.take();
                return Ok(Flow::Over);
            }
            ("message", ..) => return Err(bad("the answer came whole where a stream was asked for")),
            _ => {}
        }
        Ok(Flow::More)
    }

    fn gathered(&mut self) -> &mut Gathered {
        &mut self.gathered
    }
}

fn finish(reason: &str) -> Finish {
    match reason {
        "end_turn" | "stop_sequence" => Finish::Stop,
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "tool_use" => Finish::ToolCalls,
        // Classifiers stepped in; the model's own refusals are text.
        "refusal" => Finish::ContentFilter,
        reason => other(reason),
    }
}

/// What is read from the cache, or written to it, is not among the input here.
impl From<&UsageFrame> for Usage {
    fn from(frame: &UsageFrame) -> Self {
        let cached = frame.cache_read_input_tokens.unwrap_or(0);
        let written = frame.cache_creation_input_tokens.unwrap_or(0);
        let input = frame.input_tokens.unwrap_or(0);
        Self {
            input_tokens: input.saturating_add(cached).saturating_add(written),
            output_tokens: frame.output_tokens.unwrap_or(0),
            reasoning_tokens: 0,
            cached_input_tokens: cached,
            estimated: false,
            cost: None,
        }
    }
}
