//! The stage directions of the scripted model: what it shall do, and which faults it shall show.

use serde::{Deserialize, Serialize};

/// How the scripted model answers a job; part of the job's spec, ignored by every other model.
///
/// A *token* is `token_chars` characters. The `…_after` faults count every token of the stream, reasoning included;
/// where several are due at the same token, the order is hang, error, cut, length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Tokens a second, on an absolute schedule; 0 = as fast as possible. At most 1,000,000.
    pub tokens_per_second: f64,
    /// Characters of one token. 1 to 10,000.
    pub token_chars: u32,
    /// The first n attempts answer a value that violates the schema.
    pub invalid_attempts: u32,
    /// The places that those break, as pointers, where their answer has them; empty: one that the model finds. At most 64.
    pub invalid_at: Vec<String>,
    /// The first n attempts answer prose without any JSON.
    pub broken_attempts: u32,
    /// The first n attempts answer text that is not quite JSON: a comment, a comma too many.
    pub sloppy_attempts: u32,
    /// The first n attempts are refused before the stream, as by a rate limit; that burns none, so what is refused is
    /// tried again, and counts here each time.
    pub rate_limited_attempts: u32,
    /// After n tokens the stream finishes with `length`.
    pub stop_by_length_after: Option<u64>,
    /// After n tokens the stream ends without its finish frame.
    pub cut_after: Option<u64>,
    /// After n tokens there is silence until the stream is dropped; 0 = before the first token.
    pub hang_after: Option<u64>,
    /// After n tokens the stream carries an error.
    pub error_after: Option<u64>,
    /// The four `…_after` faults strike only in the first n attempts, an attempt counted again for each retry within it;
    /// absent = in every attempt.
    pub fault_attempts: Option<u32>,
    /// The model refuses instead of answering.
    pub refuse: bool,
    /// Prose and a Markdown fence stand around the answer; nothing to do where the answer travels in a tool call.
    pub prose: bool,
    /// The model thinks first: as reasoning, or as a `<think>` block where the answer is fenced or in prose.
    pub think: bool,
    /// Another number, another value of the same schema.
    pub seed: u64,
    /// Items of an array whose schema leaves the length open. At most 100,000.
    pub items: u32,
    /// Characters of a free string. At most 1,000,000.
    pub text_chars: u32,
}

/// A member of a [`Script`] that lies outside its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("script.{member} must be between {min} and {max}")]
pub struct ScriptLimit {
    /// The member's name.
    pub member: &'static str,
    /// The least value allowed.
    pub min: u64,
    /// The greatest value allowed.
    pub max: u64,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tokens_per_second: 100.0,
            token_chars: 4,
            invalid_attempts: 0,
            invalid_at: Vec::new(),
            broken_attempts: 0,
            sloppy_attempts: 0,
            rate_limited_attempts: 0,
            stop_by_length_after: None,
            cut_after: None,
            hang_after: None,
            error_after: None,
            fault_attempts: None,
            refuse: false,
            prose: false,
            think: false,
            seed: 0,
            items: 3,
            text_chars: 80,
        }
    }
}

impl Script {
    /// Checks every member against its limits.
    ///
    /// # Errors
    /// The first member that lies outside.
    pub fn check(&self) -> Result<(), ScriptLimit> {
        let rate = self.tokens_per_second;
        let limit = |member, min, max| Err(ScriptLimit { member, min, max });
        if !(0.0..=1e6).contains(&rate) {
            return limit("tokens_per_second", 0, 1_000_000);
        }
        if !(1..=10_000).contains(&self.token_chars) {
            return limit("token_chars", 1, 10_000);
        }
        if self.invalid_at.len() > 64 {
            return limit("invalid_at", 0, 64);
        }
        if self.items > 100_000 {
            return limit("items", 0, 100_000);
        }
        if self.text_chars > 1_000_000 {
            return limit("text_chars", 0, 1_000_000);
        }
        Ok(())
    }
}
