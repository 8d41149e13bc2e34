//! The bounds that a server sets to requests, and what is told of one that does not keep them.

use super::choice::Priority;
use super::spec::{JobSpec, SCRIPTED};
use super::{Money, TemplateLimits};

/// The server's bounds on a spec.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpecLimits {
    /// Messages of a conversation.
    pub messages_max: usize,
    /// Bytes of all messages, or of the input, together.
    pub prompt_bytes_max: usize,
    /// Bytes of `context` as compact JSON.
    pub context_bytes_max: usize,
    /// Steps that the templates of a job may take together.
    pub template_steps_max: u64,
    /// Re-asks of a job.
    pub reasks_max: u32,
    /// The longest flush window, ms.
    pub flush_ms_max: u32,
    /// Output tokens of an attempt.
    pub tokens_max: u32,
    /// Bytes of an answer.
    pub answer_bytes_max: u64,
    /// Seconds of work of a job.
    pub seconds_max: u32,
    /// Tokens of all attempts of a job together.
    pub total_tokens_max: u64,
    /// Money for a job; `None` for any.
    pub cost_max: Option<Money>,
    /// Attempts of a job.
    pub attempts_max: u32,
    /// Entries of `metadata`.
    pub metadata_max: usize,
    /// Bytes of a metadata key or value.
    pub metadata_bytes_max: usize,
    /// The longest wait for a verdict from outside, ms.
    pub verdict_ms_max: u32,
    /// Errors of a verdict that asks again.
    pub verdict_errors_max: usize,
    /// Bytes of one of these errors.
    pub verdict_error_bytes_max: usize,
    /// The longest time that a job goes on without viewers where it does not go on to its end, ms.
    pub unviewed_ms_max: u32,
}

/// A spec that cannot be accepted: where, what, and the way out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct SpecError {
    /// JSON Pointer into the request.
    pub path: String,
    /// What is wrong, with the limit.
    pub message: String,
}

impl Default for SpecLimits {
    fn default() -> Self {
        Self {
            messages_max: 256,
            prompt_bytes_max: 512 * 1024,
            context_bytes_max: 64 * 1024,
            template_steps_max: 100_000,
            reasks_max: 10,
            flush_ms_max: 10_000,
            tokens_max: 128_000,
            answer_bytes_max: 8 * 1024 * 1024,
            seconds_max: 3_600,
            total_tokens_max: 10_000_000,
            cost_max: None,
            attempts_max: 64,
            metadata_max: 32,
            metadata_bytes_max: 1_024,
            verdict_ms_max: 3_600_000,
            verdict_errors_max: 64,
            verdict_error_bytes_max: 4_096,
            unviewed_ms_max: 3_600_000,
        }
    }
}

impl JobSpec {
    /// Checks every field against the server's bounds; the first fault is told.
    pub fn check(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        self.check_prompt(limits)?;
        self.check_context(limits)?;
        self.check_sampling()?;
        self.check_reasoning(limits)?;
        self.check_script()?;
        at_most("/max_reasks", self.max_reasks, limits.reasks_max)?;
        at_most("/flush_ms", self.flush_ms, limits.flush_ms_max)?;
        positive_at_most("/verdict_ms", self.verdict_ms, limits.verdict_ms_max)?;
        let unviewed_ms = self.on_last_viewer_gone.cancel_after_ms().unwrap_or(0);
        at_most(
            "/on_last_viewer_gone/cancel_after_ms",
            unviewed_ms,
            limits.unviewed_ms_max,
        )?;
        self.check_priority()?;
        positive_at_most("/limits/tokens", self.limits.tokens, limits.tokens_max)?;
        positive_at_most("/limits/bytes", self.limits.bytes, limits.answer_bytes_max)?;
        positive_at_most("/limits/seconds", self.limits.seconds, limits.seconds_max)?;
        let total_tokens = self.limits.total_tokens;
        positive_at_most("/limits/total_tokens", total_tokens, limits.total_tokens_max)?;
        positive_at_most("/limits/attempts", self.limits.attempts, limits.attempts_max)?;
        self.check_cost(limits)?;
        self.check_metadata(limits)
    }

    fn check_priority(&self) -> Result<(), SpecError> {
        let Priority(said) = self.priority;
        let (last, first) = (Priority::LAST, Priority::FIRST);
        if (last..=first).contains(&self.priority) {
            return Ok(());
        }
        let message = format!(
            "{said} is out of range: {}, which goes last, to {}",
            last.0, first.0
        );
        Err(fault("/priority", message))
    }

    fn check_cost(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        let most = limits.cost_max.unwrap_or(Money::micros(u64::MAX));
        match self.limits.cost {
            Some(cost) if cost == Money::default() || cost > most => Err(fault(
                "/limits/cost",
                format!("{cost} is out of range: more than 0, at most {most}"),
            )),
            _ => Ok(()),
        }
    }

    fn check_prompt(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        match (self.messages.len(), &self.input) {
            (0, None) => {
                return Err(fault(
                    "/messages",
                    "give `messages` or `input`: there is nothing to extract from",
                ));
            }
            (1.., Some(_)) => return Err(fault("/input", "give either `messages` or `input`, not both")),
            (count, None) if count > limits.messages_max => {
                return Err(fault(
                    "/messages",
                    format!("{count} messages, at most {}", limits.messages_max),
                ));
            }
            _ => {}
        }
        for (index, message) in self.messages.iter().enumerate() {
            let calls = message.tool_calls.is_some() && message.content.is_null();
            if !(calls || message.content.is_string() || message.content.is_array()) {
                return Err(fault(
                    format!("/messages/{index}/content"),
                    "must be a string or an array of parts",
                ));
            }
        }
        let bytes = self.prompt_bytes();
        if bytes > limits.prompt_bytes_max {
            let message = format!(
                "the prompt has {bytes} bytes, at most {}: shorten it",
                limits.prompt_bytes_max
            );
            return Err(fault("/messages", message));
        }
        Ok(())
    }

    fn check_context(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        let Some(context) = &self.context else {
            return Ok(());
        };
        if !context.is_object() {
            return Err(fault(
                "/context",
                "must be an object: its members are what templates name",
            ));
        }
        let (bytes, bytes_max) = (context.to_string().len(), limits.context_bytes_max);
        if bytes > bytes_max {
            return Err(fault(
                "/context",
                format!("{bytes} bytes, at most {bytes_max}: shorten it"),
            ));
        }
        let limits = TemplateLimits {
            steps: limits.template_steps_max,
            bytes: limits.prompt_bytes_max,
        };
        self.opening(limits).map(drop)
    }

    fn check_reasoning(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        let Some(reasoning) = self.reasoning else {
            return Ok(());
        };
        if reasoning.effort.is_some() && reasoning.tokens.is_some() {
            return Err(fault(
                "/reasoning",
                "`effort` and `tokens` say the same: give one of them",
            ));
        }
        positive_at_most("/reasoning/tokens", reasoning.tokens, limits.tokens_max)?;
        match (reasoning.tokens, self.limits.tokens) {
            (Some(thought), Some(all)) if thought >= all => {
                let message = format!(
                    "{thought} of {all} output tokens leave none for the answer: raise `limits.tokens`"
                );
                Err(fault("/reasoning/tokens", message))
            }
            _ => Ok(()),
        }
    }

    fn check_sampling(&self) -> Result<(), SpecError> {
        within("/sampling/temperature", self.sampling.temperature, 2.0)?;
        within("/sampling/top_p", self.sampling.top_p, 1.0)?;
        match self.sampling.stop.len() {
            0..=4 => Ok(()),
            count => Err(fault("/sampling/stop", format!("{count} texts, at most 4"))),
        }
    }

    fn check_script(&self) -> Result<(), SpecError> {
        let Some(script) = &self.script else { return Ok(()) };
        if self.model != SCRIPTED {
            return Err(fault(
                "/script",
                format!("only the model {SCRIPTED:?} is told what to do"),
            ));
        }
        script
            .check()
            .map_err(|limit| fault(format!("/script/{}", limit.member), limit.to_string()))
    }

    fn check_metadata(&self, limits: &SpecLimits) -> Result<(), SpecError> {
        if self.metadata.len() > limits.metadata_max {
            let message = format!("{} entries, at most {}", self.metadata.len(), limits.metadata_max);
            return Err(fault("/metadata", message));
        }
        let long = self
            .metadata
            .iter()
            .find(|(key, value)| key.len().max(value.len()) > limits.metadata_bytes_max);
        match long {
            Some(_) => {
                let message = format!(
                    "a key or value is longer than {} bytes",
                    limits.metadata_bytes_max
                );
                Err(fault("/metadata", message))
            }
            None => Ok(()),
        }
    }
}

pub(super) fn fault(path: impl Into<String>, message: impl Into<String>) -> SpecError {
    SpecError {
        path: path.into(),
        message: message.into(),
    }
}

fn at_most(path: &str, value: u32, limit: u32) -> Result<(), SpecError> {
    if value > limit {
        Err(fault(path, format!("{value} is out of range: 0 to {limit}")))
    } else {
        Ok(())
    }
}

fn positive_at_most<N: Copy + Into<u64>>(path: &str, value: Option<N>, limit: N) -> Result<(), SpecError> {
    let limit = limit.into();
    match value.map(Into::into) {
        Some(value) if value == 0 || value > limit => {
            Err(fault(path, format!("{value} is out of range: 1 to {limit}")))
        }
        _ => Ok(()),
    }
}

fn within(path: &str, value: Option<f64>, limit: f64) -> Result<(), SpecError> {
    match value {
        Some(value) if !(0.0..=limit).contains(&value) => {
            Err(fault(path, format!("{value} is out of range: 0 to {limit}")))
        }
        _ => Ok(()),
    }
}
