//! What an answer means for its job.

use std::sync::Arc;

use super::attempt::{Answer, Stopped};
use super::budget::BUDGET_EXCEEDED;
use super::conversation::{Fault, fault_of};
use super::guard::Overrun;
use crate::event::EndError;
use crate::job::{AttemptError, Outcome, Reason};
use crate::llm::{Finish, LlmError, LlmErrorKind};
use crate::partial::{End, ParseErrorKind, Value};
use crate::schema::Schema;

/// The judgement.
pub(super) enum Verdict {
    /// The value is valid.
    Valid(Value),
    /// It is not; the value is given where it was whole.
    Invalid(Fault, Option<Value>),
    /// The answer broke off.
    Broken(Broken),
    /// The job ends, without a valid value.
    Ends(Outcome, EndError),
    /// Somebody asked for the job's end.
    Cancelled,
    /// The job is put back.
    Drain,
}

/// How an answer broke off.
#[derive(Debug)]
pub(super) struct Broken {
    /// The reason of an attempt that goes on from it.
    pub(super) reason: Reason,
    /// How the job ends where none does.
    pub(super) outcome: Outcome,
    pub(super) error: EndError,
    /// Whether it would be the same with every call of this model.
    pub(super) stays: bool,
    /// Whether it was the provider's limit of rate, which is no break that counts.
    pub(super) is_limit: bool,
    /// Whether a new answer may fare better where this one cannot be gone on with; not where it would meet the same limit
    /// at the same place.
    pub(super) anew: bool,
    /// Whether the model said the same again and again.
    pub(super) is_loop: bool,
    /// A place that is not to be gone on with as it is.
    pub(super) dropped: Option<String>,
}

impl Broken {
    fn cut(code: &str, message: &str, anew: bool) -> Self {
        Self {
            reason: Reason::Truncated,
            outcome: Outcome::Incomplete,
            error: EndError::new(code, message),
            stays: false,
            is_limit: false,
            anew,
            is_loop: false,
            dropped: None,
        }
    }

    /// A fault of the provider. Some do not pass by being asked again.
    fn by(error: &LlmError) -> Self {
        let stays = matches!(
            error.kind,
            LlmErrorKind::Quota
                | LlmErrorKind::Unauthorized
                | LlmErrorKind::BadRequest
                | LlmErrorKind::UnknownModel
        );
        let is_limit = error.kind == LlmErrorKind::RateLimited;
        let (outcome, error) = provider(error);
        Self {
            reason: Reason::Provider,
            outcome,
            error,
            stays,
            is_limit,
            anew: true,
            is_loop: false,
            dropped: None,
        }
    }

    /// What viewers are told of it.
    pub(super) fn told(&self) -> AttemptError {
        AttemptError {
            path: self.dropped.clone().unwrap_or_default(),
            keyword: self.error.code.clone(),
            message: self.error.message.clone(),
            value: None,
        }
    }
}

/// Judges an answer; `own_limit` is the job's own on its tokens, where it has named no budget.
pub(super) async fn judge(schema: &Arc<Schema>, answer: &Answer, own_limit: Option<u32>) -> Verdict {
    match &answer.stopped {
        Stopped::Cancelled => Verdict::Cancelled,
        Stopped::Drain => Verdict::Drain,
        Stopped::Deadline => late(),
        // A value that was whole before the break is whole: nothing that could follow would change it.
        Stopped::Provider(_) | Stopped::Late | Stopped::Overrun(_) | Stopped::Budget if has_all(answer) => {
            whole(schema, answer).await
        }
        Stopped::Provider(error) => Verdict::Broken(Broken::by(error)),
        Stopped::Budget => {
            let message =
                "the answer would cost more than is left of the job's budget; what was reached is kept";
            Verdict::Ends(Outcome::Incomplete, EndError::new(BUDGET_EXCEEDED, message))
        }
        Stopped::Late => Verdict::Broken(Broken::cut(
            "attempt_time",
            "the attempt's time is over; what was reached is kept",
            false,
        )),
        Stopped::Overrun(overrun) => overran(overrun),
        Stopped::Astray => {
            let message = "the model did not go on from the beginning of its answer";
            Verdict::Broken(Broken {
                reason: Reason::Astray,
                ..Broken::cut("astray", message, true)
            })
        }
        Stopped::Aborted => Verdict::Invalid(Fault::Cut(answer.doomed.clone()), None),
        Stopped::BadText => bad_text(schema, answer).await,
        Stopped::Finish(_) if !answer.refusal.is_empty() => refused(&answer.refusal),
        Stopped::Finish(Finish::ContentFilter) => {
            let message = "the provider's filter stopped the answer";
            Verdict::Ends(Outcome::Failed, EndError::new("content_filter", message))
        }
        Stopped::Finish(Finish::Length) if !has_all(answer) => {
            let length = Broken::cut(
                "length",
                "the model stopped at its limit of tokens; what was reached is kept",
                false,
            );
            // Who has bounded the tokens has not asked for more of them.
            let spent = answer.usage.map(|usage| usage.output_tokens);
            let is_own = own_limit.is_some_and(|own| spent.is_none_or(|spent| spent >= u64::from(own)));
            if is_own {
                return Verdict::Ends(length.outcome, length.error);
            }
            Verdict::Broken(length)
        }
        Stopped::Finish(Finish::Stop | Finish::ToolCalls | Finish::Length | Finish::Other(_)) => {
            whole(schema, answer).await
        }
    }
}

fn late() -> Verdict {
    let message = "the job's time is over; what was reached is kept";
    Verdict::Ends(Outcome::Incomplete, EndError::new("time_limit", message))
}

/// Whether all that was asked for has come.
fn has_all(answer: &Answer) -> bool {
    let has_places = || answer.draft.is_grafted() && answer.draft.unanswered().is_empty();
    match &answer.end {
        End::Complete => true,
        End::Truncated => has_places(),
        End::Invalid(error) => error.kind == ParseErrorKind::BlanksLimit && has_places(),
    }
}

/// A text that cannot become a value.
async fn bad_text(schema: &Arc<Schema>, answer: &Answer) -> Verdict {
    let kind = match &answer.end {
        End::Invalid(error) => Some(error.kind),
        End::Complete | End::Truncated => None,
    };
    match kind {
        Some(ParseErrorKind::BytesLimit) => Verdict::Ends(
            Outcome::Incomplete,
            EndError::new(
                "bytes_limit",
                "the answer is longer than the job's limit of bytes; what was reached is kept",
            ),
        ),
        Some(ParseErrorKind::BlanksLimit) if !has_all(answer) => Verdict::Broken(Broken::cut(
            "blanks_limit",
            "the model said blanks alone; what was reached is kept",
            true,
        )),
        _ => whole(schema, answer).await,
    }
}

fn overran(overrun: &Overrun) -> Verdict {
    let broken = Broken::cut(overrun.code(), overrun.message(), true);
    match overrun {
        Overrun::Loop(place) => Verdict::Broken(Broken {
            is_loop: true,
            dropped: Some(place.clone()).filter(|place| !place.is_empty()),
            ..broken
        }),
        // What came next would be as long again.
        Overrun::Text(_) | Overrun::Beside | Overrun::Behind => Verdict::Ends(broken.outcome, broken.error),
    }
}

/// Holds a whole answer against the schema; on the blocking pool, since a large value takes milliseconds.
async fn whole(schema: &Arc<Schema>, answer: &Answer) -> Verdict {
    if let Some(fault) = fault_of(answer).filter(|_| !has_all(answer)) {
        return Verdict::Invalid(fault, None);
    }
    // A value that broke off may be valid without what it lacks, and is not whole for that.
    let due = answer.draft.unanswered();
    if answer.draft.is_rest() && !due.is_empty() {
        return Verdict::Invalid(Fault::Unanswered(due), None);
    }
    let Some(value) = answer.draft.value() else {
        return Verdict::Invalid(Fault::NoValue, None);
    };
    let schema = Arc::clone(schema);
    let judged = tokio::task::spawn_blocking(move || (schema.validate(&value), value)).await;
    match judged {
        Ok((violations, value)) if violations.is_empty() => Verdict::Valid(value),
        Ok((violations, value)) => Verdict::Invalid(Fault::Violations(violations), Some(value)),
        Err(_) => {
            let message = "the value could not be held against the schema";
            Verdict::Ends(Outcome::Failed, EndError::new("internal", message))
        }
    }
}

fn refused(refusal: &str) -> Verdict {
    let shown = &refusal[..refusal.floor_char_boundary(512)];
    Verdict::Ends(
        Outcome::Failed,
        EndError::new("refused", format!("the model refused: {shown}")),
    )
}

/// A fault of the provider, as the job ends by it.
pub(super) fn provider(error: &LlmError) -> (Outcome, EndError) {
    let outcome = match error.kind {
        LlmErrorKind::Cut | LlmErrorKind::IdleTimeout => Outcome::Incomplete,
        LlmErrorKind::Connect
        | LlmErrorKind::FirstByteTimeout
        | LlmErrorKind::RateLimited
        | LlmErrorKind::Quota
        | LlmErrorKind::Overloaded
        | LlmErrorKind::Unauthorized
        | LlmErrorKind::BadRequest
        | LlmErrorKind::UnsupportedMode
        | LlmErrorKind::UnsupportedSchema
        | LlmErrorKind::UnknownModel
        | LlmErrorKind::Server
        | LlmErrorKind::BadStream
        | LlmErrorKind::InStream => Outcome::Failed,
    };
    let code = format!("provider_{}", error.kind.code());
    (outcome, EndError::new(code, error.message.clone()))
}
