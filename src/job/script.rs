//! The stage directions of the scripted model: what it shall do, and which faults it shall show.

use serde::{Deserialize, Serialize};

/// How the scripted model answers a job; part of the job's spec, ignored by every other model.
///
/// A *token* is `token_chars` characters. The `…_after` faults count every token of the stream, reasoning included;
/// where several are due at the same token, the order is hang, error, cut, length, blanks, loop.
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
    /// After so many hundredths of the answer's own tokens the stream ends without its finish frame. 1 to 99.
    pub cut_at_percent: Option<u32>,
    /// The same, finishing with `length`. 1 to 99.
    pub stop_by_length_at_percent: Option<u32>,
    /// After n tokens there are blanks without end.
    pub blanks_after: Option<u64>,
    /// After n tokens the last 32 characters come again and again without end.
    pub loop_after: Option<u64>,
    /// What the model does where it is given the beginning of its answer.
    pub prefill: ScriptedPrefill,
    /// The `…_after` and `…_percent` faults strike only in the first n attempts, an attempt counted again for each retry
    /// within it; absent = in every attempt.
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

/// What the scripted model does where it is given the beginning of its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptedPrefill {
    /// It cannot be given one.
    #[default]
    None,
    /// It goes on.
    GoesOn,
    /// It says the beginning again, and goes on.
    Echoes,
    /// It answers anew.
    Restarts,
    /// It opens a fence, and answers anew.
    Fences,
    /// It refuses to be asked so.
    Refuses,
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
            cut_at_percent: None,
            stop_by_length_at_percent: None,
            blanks_after: None,
            loop_after: None,
            prefill: ScriptedPrefill::None,
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
        let percents = [
            ("cut_at_percent", self.cut_at_percent),
            ("stop_by_length_at_percent", self.stop_by_length_at_percent),
        ];
        for (member, percent) in percents {
            if percent.is_some_and(|percent| !(1..=99).contains(&percent)) {
                return limit(member, 1, 99);
            }
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
