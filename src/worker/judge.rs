//! What an answer means for its job.

use std::sync::Arc;

use super::attempt::{Answer, Stopped};
use super::budget::BUDGET_EXCEEDED;
use super::conversation::{Fault, fault_of};
use crate::event::EndError;
use crate::job::Outcome;
use crate::llm::{Finish, LlmError, LlmErrorKind};
use crate::partial::{End, ParseErrorKind, Value};
use crate::schema::Schema;

/// The judgement.
pub(super) enum Verdict {
    /// The value is valid.
    Valid(Value),
    /// It is not; the value is given where it was whole.
    Invalid(Fault, Option<Value>),
    /// The job ends, without a valid value.
    Ends(Outcome, EndError),
    /// Somebody asked for the job's end.
    Cancelled,
    /// The job is put back.
    Drain,
}

/// Judges an answer.
pub(super) async fn judge(schema: &Arc<Schema>, answer: &Answer) -> Verdict {
    let incomplete =
        |code: &str, message: &str| Verdict::Ends(Outcome::Incomplete, EndError::new(code, message));
    match &answer.stopped {
        Stopped::Cancelled => Verdict::Cancelled,
        Stopped::Drain => Verdict::Drain,
        Stopped::Deadline => incomplete("time_limit", "the job's time is over; what was reached is kept"),
        Stopped::Provider(error) => {
            let (outcome, error) = provider(error);
            Verdict::Ends(outcome, error)
        }
        Stopped::Budget if !matches!(answer.end, End::Complete) => incomplete(
            BUDGET_EXCEEDED,
            "the answer would cost more than is left of the job's budget; what was reached is kept",
        ),
        Stopped::Budget => whole(schema, answer).await,
        Stopped::BadText if is_too_long(&answer.end) => incomplete(
            "bytes_limit",
            "the answer is longer than the job's limit of bytes; what was reached is kept",
        ),
        Stopped::Aborted => Verdict::Invalid(Fault::Cut(answer.doomed.clone()), None),
        Stopped::BadText => whole(schema, answer).await,
        Stopped::Finish(_) if !answer.refusal.is_empty() => refused(&answer.refusal),
        Stopped::Finish(Finish::ContentFilter) => {
            let message = "the provider's filter stopped the answer";
            Verdict::Ends(Outcome::Failed, EndError::new("content_filter", message))
        }
        // A value that was whole before the cut is whole.
        Stopped::Finish(Finish::Length) if !matches!(answer.end, End::Complete) => incomplete(
            "length",
            "the model stopped at its limit of tokens; what was reached is kept",
        ),
        Stopped::Finish(Finish::Stop | Finish::ToolCalls | Finish::Length | Finish::Other(_)) => {
            whole(schema, answer).await
        }
    }
}

/// Holds a whole answer against the schema; on the blocking pool, since a large value takes milliseconds.
async fn whole(schema: &Arc<Schema>, answer: &Answer) -> Verdict {
    if let Some(fault) = fault_of(answer) {
        return Verdict::Invalid(fault, None);
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

/// A fault of the provider: a stream that was cut leaves what was reached, the others end the job.
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

fn is_too_long(end: &End) -> bool {
    matches!(end, End::Invalid(error) if error.kind == ParseErrorKind::BytesLimit)
}
