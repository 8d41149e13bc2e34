//! One call of a model, as operators see it: what became of it, and how long it took.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Stopped;
use super::journal::Closed;
use crate::clock;
use crate::llm::{LlmError, Stream};
use crate::metrics;

/// A call that is being made. Dropped before it was answered, it counts as that.
pub(super) struct Call<'a> {
    provider: &'a str,
    began: Instant,
    answered: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(provider: &'a str) -> Self {
        Self {
            provider,
            began: clock::now(),
            answered: false,
        }
    }

    fn took(&self) -> Duration {
        clock::now() - self.began
    }

    /// The provider began its answer, or refused.
    pub(super) fn opened(&mut self, opened: &Result<Stream, LlmError>) {
        self.answered = true;
        let all = metrics::all();
        let outcome = match opened {
            Ok(_) => "ok",
            Err(error) => error.kind.code(),
        };
        all.provider_opens.one([self.provider, outcome]);
        all.provider_open_seconds.took([self.provider], self.took());
    }

    /// It was not made: the model is left alone.
    pub(super) const fn spared(&mut self) {
        self.answered = true;
    }

    /// The answer stopped.
    pub(super) fn stopped(&self, stopped: Result<&Stopped, Closed>) {
        let all = metrics::all();
        let outcome = match stopped {
            Ok(Stopped::Finish(_)) => "finish",
            Ok(Stopped::Aborted) => "aborted",
            Ok(Stopped::BadText) => "bad_text",
            Ok(Stopped::Provider(error)) => error.kind.code(),
            Ok(Stopped::Deadline) => "deadline",
            Ok(Stopped::Budget) => "budget",
            Ok(Stopped::Cancelled) | Err(Closed::Cancelled) => "cancelled",
            Ok(Stopped::Drain) => "drain",
            Err(Closed::Lost) => "lost",
        };
        all.provider_answers.one([self.provider, outcome]);
        all.attempt_seconds.took(self.took());
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.answered {
            metrics::all().provider_opens.one([self.provider, "dropped"]);
        }
    }
}
