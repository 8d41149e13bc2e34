//! What hooks tell of an attempt: sizes and names, never a prompt or a key.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Answer, Stopped};
use super::judge::Verdict;
use super::prepare::Prepared;
use crate::clock;
use crate::event::{Hook, HookKind};
use crate::job::AttemptRecord;
use crate::llm::{Finish, Request};

/// The model was asked and has begun its answer.
pub(super) fn request(record: &AttemptRecord, asked: &Prepared, request: &Request, since: Instant) -> Hook {
    let beside = [&request.tools, &request.response_format];
    let contents = request
        .messages
        .iter()
        .map(|message| message.content.to_string().len());
    let prompt_bytes: usize = contents.sum();
    let schema_bytes: usize = beside
        .into_iter()
        .flatten()
        .map(|json| json.to_string().len())
        .sum();
    Hook {
        provider: Some(asked.target.provider.name().to_owned()),
        model: Some(request.model.clone()),
        mode: Some(asked.dialect.mode().word.to_owned()),
        messages: u32::try_from(request.messages.len()).ok(),
        prompt_bytes: u64::try_from(prompt_bytes).ok(),
        schema_bytes: u64::try_from(schema_bytes).ok().filter(|bytes| *bytes > 0),
        max_tokens: request.sampling.max_output_tokens,
        after_ms: Some(after_ms(since)),
        ..Hook::new(HookKind::Request, record.n)
    }
}

/// The first of an answer has come.
pub(super) fn first_token(attempt: u32, since: Instant) -> Hook {
    Hook {
        after_ms: Some(after_ms(since)),
        ..Hook::new(HookKind::FirstToken, attempt)
    }
}

/// An answer has stopped, and was judged.
pub(super) fn attempt_end(
    record: &AttemptRecord,
    answer: &Answer,
    verdict: Option<&Verdict>,
    since: Instant,
) -> Hook {
    Hook {
        after_ms: Some(after_ms(since)),
        finish: Some(finish(answer).to_owned()),
        errors: match verdict {
            Some(Verdict::Invalid(fault, _)) => fault.errors(answer),
            None | Some(Verdict::Valid(_) | Verdict::Ends(..) | Verdict::Cancelled | Verdict::Drain) => {
                Vec::new()
            }
        },
        usage: record.usage.last().map(|attempt| attempt.usage),
        total: Some(record.total()),
        ..Hook::new(HookKind::AttemptEnd, record.n)
    }
}

fn after_ms(since: Instant) -> u64 {
    let after: Duration = clock::now() - since;
    u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
}

fn finish(answer: &Answer) -> &str {
    match &answer.stopped {
        Stopped::Finish(_) if !answer.refusal.is_empty() => "refusal",
        Stopped::Finish(Finish::Stop) => "stop",
        Stopped::Finish(Finish::ToolCalls) => "tool_calls",
        Stopped::Finish(Finish::Length) => "length",
        Stopped::Finish(Finish::ContentFilter) => "content_filter",
        Stopped::Finish(Finish::Other(word)) => word,
        Stopped::Aborted => "aborted",
        Stopped::Budget => "budget",
        Stopped::BadText => "bad_text",
        Stopped::Provider(error) => error.kind.code(),
        Stopped::Deadline => "deadline",
        Stopped::Cancelled => "cancelled",
        Stopped::Drain => "drain",
    }
}
