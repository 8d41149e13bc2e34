//! How much a model of Anthropic thinks.

use serde_json::{Value, json};

use crate::job::{Effort, Role};
use crate::llm::chunk::LlmError;
use crate::llm::request::Request;
use crate::llm::turns::unfit;

/// Models, by what their names hold, that think for a number of tokens; later ones decide, by a word.
const BUDGETED: [&str; 9] = [
    "claude-3",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2",
    "claude-haiku-4-5",
    "claude-sonnet-4-5",
    "claude-opus-4-5",
];
/// The fewest tokens that there may be for thinking.
const BUDGET_MIN: u32 = 1_024;

/// What is said of thinking.
pub(super) struct Thinking {
    /// The limit on output tokens, those of the thinking included.
    pub(super) max_tokens: u32,
    /// Whether it thinks, and for how long.
    pub(super) told: Option<Value>,
    pub(super) effort: Option<&'static str>,
}

impl Thinking {
    pub(super) fn of(request: &Request, model: &str, output_tokens: u32) -> Result<Self, LlmError> {
        let limit = request.sampling.max_output_tokens;
        let mut thinking = Self {
            max_tokens: limit.unwrap_or(output_tokens),
            told: None,
            effort: None,
        };
        // A turn that goes on behind a call must bring the thoughts that led to it, which nobody keeps.
        let goes_on = request
            .messages
            .last()
            .is_some_and(|last| last.role == Role::Tool);
        let (effort, tokens) = (request.reasoning.effort, request.reasoning.tokens);
        if goes_on || matches!((effort, tokens), (None | Some(Effort::None), None)) {
            return Ok(thinking);
        }
        if request.sampling.temperature.is_some() || request.sampling.top_p.is_some() {
            return Err(unfit(
                "with `reasoning`, this provider takes neither `sampling.temperature` nor `sampling.top_p`: leave them out",
            ));
        }
        if let (Some(effort), false) = (effort, BUDGETED.iter().any(|name| model.contains(name))) {
            thinking.told = Some(json!({ "type": "adaptive" }));
            thinking.effort = Some(word(effort));
            return Ok(thinking);
        }
        let wanted = tokens.or_else(|| effort.map(budget)).unwrap_or(BUDGET_MIN);
        let budget = match limit {
            // Half of what there is stays for the answer, where the job named a word.
            Some(limit) if tokens.is_none() => wanted.min(limit / 2),
            _ => wanted,
        };
        if budget < BUDGET_MIN {
            return Err(unfit(
                "this provider thinks for 1,024 tokens at least: raise `reasoning.tokens`, or `limits.tokens`",
            ));
        }
        thinking.max_tokens = limit.unwrap_or(output_tokens.saturating_add(budget));
        thinking.told = Some(json!({ "type": "enabled", "budget_tokens": budget }));
        Ok(thinking)
    }

    pub(super) const fn is_on(&self) -> bool {
        self.told.is_some()
    }
}

const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

const fn budget(effort: Effort) -> u32 {
    match effort {
        Effort::None | Effort::Minimal => BUDGET_MIN,
        Effort::Low => 2_048,
        Effort::Medium => 8_192,
        Effort::High => 16_384,
    }
}
