//! What calls have cost: as the provider counted, or as we estimate where it did not say.

use super::attempt::{Answer, Stopped};
use super::journal::Opening;
use super::prepare::Prepared;
use super::run::Delivery;
use crate::job::{AttemptUsage, Running, Usage};
use crate::llm::{LlmError, LlmErrorKind, Request, Target};

/// Whether a fault leaves it open if the model has read the prompt. One who says himself that he failed did not begin.
const fn may_have_begun(kind: LlmErrorKind) -> bool {
    match kind {
        LlmErrorKind::FirstByteTimeout
        | LlmErrorKind::IdleTimeout
        | LlmErrorKind::Cut
        | LlmErrorKind::BadStream => true,
        LlmErrorKind::Connect
        | LlmErrorKind::RateLimited
        | LlmErrorKind::Quota
        | LlmErrorKind::Overloaded
        | LlmErrorKind::Unauthorized
        | LlmErrorKind::BadRequest
        | LlmErrorKind::UnsupportedMode
        | LlmErrorKind::UnsupportedSchema
        | LlmErrorKind::UnknownModel
        | LlmErrorKind::Server
        | LlmErrorKind::InStream => false,
    }
}

/// A call whose answer begins, for whoever has to count it.
pub(super) fn running(asked: &Prepared, request: &Request, opening: &Opening) -> Running {
    Running {
        model: asked.target.to_string(),
        prompt_bytes: request.bytes() as u64,
        given_bytes: opening.text.len() as u64,
    }
}

impl Delivery {
    /// Counts a call that was answered.
    pub(super) fn count(&mut self, asked: &Prepared, request: &Request, answer: &Answer) {
        let estimate = || match &answer.stopped {
            Stopped::Provider(error) if answer.bytes == 0 && !may_have_begun(error.kind) => Usage::default(),
            _ => Usage::estimate(request.bytes(), answer.bytes),
        };
        let usage = answer.usage.unwrap_or_else(estimate);
        let (job, attempt) = (self.journal.job, self.journal.record.n);
        self.add(asked, Some(attempt), usage, answer.repairs as u64);
        self.journal.record.running = None;
        let early = answer.closing.violations().len();
        if early > 0 {
            tracing::debug!(%job, attempt, violations = early, "found while the answer streamed");
        }
        if let Stopped::Provider(error) = &answer.stopped {
            let kind = error.kind.code();
            tracing::warn!(%job, attempt, kind, "the provider failed");
        }
    }

    /// Counts a call that was not.
    pub(super) fn count_failed(&mut self, asked: &Prepared, request: &Request, error: &LlmError) {
        // Behind another head than that of a stream, a page for example, there is no model.
        if may_have_begun(error.kind) && error.kind != LlmErrorKind::BadStream {
            self.count_dropped(asked, request);
        }
    }

    /// Counts a call that was dropped before its answer began: the model may have read the prompt.
    pub(super) fn count_dropped(&mut self, asked: &Prepared, request: &Request) {
        let running = (!self.is_untold).then_some(self.journal.record.n);
        self.add(asked, running, Usage::estimate(request.bytes(), 0), 0);
    }

    /// Counts what a worker that was lost had read, as far as the log has it: nobody else will. What the model was given
    /// of its answer it has read, and not said.
    pub(super) fn count_lost(&mut self, prepared: &Prepared) {
        let Some(text_bytes) = self.lost_bytes.take() else {
            return;
        };
        let record = &mut self.journal.record;
        let lost = Some(record.n);
        let Some(running) = record.running.take() else {
            // A record of an older version.
            let record = &self.journal.record;
            let prompt_bytes = prepared.request(record).bytes();
            return self.add(prepared, lost, Usage::estimate(prompt_bytes, text_bytes), 0);
        };
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let said_bytes = text_bytes.saturating_sub(bytes(running.given_bytes));
        let usage = Usage::estimate(bytes(running.prompt_bytes), said_bytes);
        let target = self.route.named(&running.model);
        let cost = target.and_then(Target::price).map(|price| price.of(&usage));
        self.enter(running.model, lost, Usage { cost, ..usage }, 0);
    }

    /// To an attempt, or beside all where none has begun with it.
    fn add(&mut self, asked: &Prepared, attempt: Option<u32>, usage: Usage, repairs: u64) {
        let cost = asked.target.price().map(|price| price.of(&usage));
        self.enter(
            asked.target.to_string(),
            attempt,
            Usage { cost, ..usage },
            repairs,
        );
    }

    fn enter(&mut self, model: String, attempt: Option<u32>, usage: Usage, repairs: u64) {
        let record = &mut self.journal.record;
        let Some(n) = attempt else {
            record.dropped = record.dropped.plus(usage);
            return;
        };
        let model = Some(model);
        match record.usage.last_mut() {
            // The last of an attempt's calls is the one that answered.
            Some(last) if last.n == n => {
                last.usage = last.usage.plus(usage);
                last.repairs += repairs;
                last.model = model;
            }
            _ => record.usage.push(AttemptUsage {
                n,
                model,
                usage,
                repairs,
            }),
        }
    }
}
