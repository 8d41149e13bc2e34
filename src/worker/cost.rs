//! What calls have cost: as the provider counted, or as we estimate where it did not say.

use super::attempt::{Answer, Stopped};
use super::prepare::Prepared;
use super::run::Delivery;
use crate::job::{AttemptUsage, Usage};
use crate::llm::{LlmError, LlmErrorKind, Request};

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

    /// Counts what a worker that was lost had read, as far as the log has it: nobody else will.
    pub(super) fn count_lost(&mut self, prepared: &Prepared) {
        let Some(answer_bytes) = self.lost_bytes.take() else {
            return;
        };
        let request = prepared.request(&self.journal.record);
        let lost = Some(self.journal.record.n);
        self.add(prepared, lost, Usage::estimate(request.bytes(), answer_bytes), 0);
    }

    /// To an attempt, or beside all where none has begun with it.
    fn add(&mut self, asked: &Prepared, attempt: Option<u32>, usage: Usage, repairs: u64) {
        let cost = asked.target.price().map(|price| price.of(&usage));
        let usage = Usage { cost, ..usage };
        let record = &mut self.journal.record;
        let Some(n) = attempt else {
            record.dropped = record.dropped.plus(usage);
            return;
        };
        let model = Some(asked.target.to_string());
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
