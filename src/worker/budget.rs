//! What a job may spend: tokens, money and attempts, looked at before each call and while its answer streams.

use super::WorkerOptions;
use super::prepare::Prepared;
use crate::event::EndError;
use crate::job::{AttemptRecord, JobLimits, Money, Usage};
use crate::llm::{Price, Request};

/// The code of an end for which nothing else was left.
pub(super) const BUDGET_EXCEEDED: &str = "budget_exceeded";
/// Bytes of a token in the mean, as everywhere here.
const TOKEN_BYTES: u64 = 4;
/// No tokenizer gets more out of a token in the mean: an answer of more has surely passed its limit.
const TOKEN_BYTES_MAX: u64 = 8;

/// What a job may spend that asks for no bound of its own, and what others may ask for at the most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BudgetOptions {
    /// Tokens of all attempts, in both directions.
    pub total_tokens: u64,
    /// Money, where a price is known; `None` for any.
    pub cost: Option<Money>,
    /// Attempts.
    pub attempts: u32,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self {
            total_tokens: 10_000_000,
            cost: None,
            attempts: 64,
        }
    }
}

/// The bounds of one job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    total_tokens: u64,
    cost: Option<Money>,
    attempts: u32,
}

/// What the answer of one call may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Allowance {
    /// Tokens that are left for it.
    tokens: u64,
    /// Whether its provider was told so, because the job may have less than it asks for.
    pub(super) is_cut: bool,
    /// Whether its provider was told a maximum at all.
    is_told: bool,
}

impl Budget {
    pub(super) fn of(limits: &JobLimits, options: &WorkerOptions) -> Self {
        let most = options.budget;
        let cost = match (limits.cost, most.cost) {
            (Some(cost), Some(most)) => Some(cost.min(most)),
            (cost, most) => cost.or(most),
        };
        Self {
            total_tokens: limits.total_tokens.unwrap_or(u64::MAX).min(most.total_tokens),
            cost,
            attempts: limits.attempts.unwrap_or(u32::MAX).min(most.attempts),
        }
    }

    /// Whether another attempt may begin.
    pub(super) fn attempt(&self, record: &AttemptRecord) -> Result<(), EndError> {
        if record.n < self.attempts {
            return Ok(());
        }
        let message = format!("the job has made the {} attempts that it may make", self.attempts);
        Err(exceeded(record, message))
    }

    /// What a call's answer may have, once its prompt is paid. The request is told where that is less than it asks for.
    pub(super) fn call(
        &self,
        record: &AttemptRecord,
        asked: &Prepared,
        request: &mut Request,
    ) -> Result<Allowance, EndError> {
        let spent = record.total();
        let prompt = Usage::estimate(request.bytes(), 0);
        let by_tokens = self
            .total_tokens
            .saturating_sub(spent.tokens())
            .saturating_sub(prompt.tokens());
        let by_cost = self
            .cost
            .zip(asked.target.price())
            .and_then(|(cost, price)| affordable(cost.less(record.known_cost()), prompt, price));
        let tokens = by_cost.map_or(by_tokens, |by_cost| by_cost.min(by_tokens));
        if tokens == 0 {
            return Err(exceeded(record, self.message(record)));
        }
        let max = &mut request.sampling.max_output_tokens;
        // What nobody bounds is bounded where an ordinary answer would not fit: more might be over what the model takes.
        let wanted = max.unwrap_or_else(|| asked.target.provider.output_tokens());
        let is_cut = tokens < u64::from(wanted);
        if is_cut {
            *max = u32::try_from(tokens).ok();
        }
        Ok(Allowance {
            tokens,
            is_cut,
            is_told: max.is_some(),
        })
    }

    fn message(&self, record: &AttemptRecord) -> String {
        let cost = self.cost.map_or_else(String::new, |most| {
            format!(", and {} of {most}", record.known_cost())
        });
        let (tokens, most) = (record.total().tokens(), self.total_tokens);
        format!(
            "what is left of the job's budget does not pay another call: {tokens} of {most} tokens are spent{cost}"
        )
    }
}

/// How many tokens of an answer the rest of the money buys, once the prompt is paid.
fn affordable(left: Money, prompt: Usage, price: &Price) -> Option<u64> {
    let prompt = price.of(&prompt);
    if prompt > left {
        return Some(0);
    }
    price.output_tokens(left.less(prompt))
}

impl Allowance {
    /// Bytes at which the answer is over it. A provider that was told counts better than we, so only what is surely over
    /// is dropped.
    pub(super) fn bytes(self) -> usize {
        let token_bytes = if self.is_told {
            TOKEN_BYTES_MAX
        } else {
            TOKEN_BYTES
        };
        usize::try_from(self.tokens.saturating_mul(token_bytes)).unwrap_or(usize::MAX)
    }
}

/// The end, with what was wrong with the last answer.
fn exceeded(record: &AttemptRecord, message: String) -> EndError {
    EndError {
        errors: record.mends.clone().unwrap_or_default(),
        ..EndError::new(BUDGET_EXCEEDED, message)
    }
}
