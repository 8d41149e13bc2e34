//! What hooks tell of an attempt: sizes and names, never a prompt or a key.

use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Answer, Stopped};
use super::journal::Closed;
use super::judge::Verdict;
use super::run::{Asking, Delivery};
use crate::clock;
use crate::event::{Hook, HookKind};
use crate::job::AttemptRecord;
use crate::llm::{Finish, LlmError};

/// Deferrals of a job behind which failed calls are told no more: one that waits for long is not to fill its log.
const DEFERRALS_TOLD_MAX: u32 = 100;

/// The model was asked, and has begun its answer in this attempt.
pub(super) fn request(attempt: u32, asking: &Asking<'_>) -> Hook {
    let Asking { asked, request, .. } = asking;
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
        after_ms: Some(after_ms(asking.at)),
        ..Hook::new(HookKind::Request, attempt)
    }
}

impl Delivery {
    /// Tells of a call that failed before anything of its answer was told, where hooks are.
    pub(super) async fn hook_failed(&mut self, asking: &Asking<'_>, error: &LlmError) -> Result<(), Closed> {
        let record = &self.journal.record;
        if !self.spec.hooks || record.refusals >= DEFERRALS_TOLD_MAX {
            return Ok(());
        }
        let hook = Hook {
            finish: Some(error.kind.code().to_owned()),
            ..request(record.n + u32::from(self.is_untold), asking)
        };
        self.journal.tell(hook).await
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
    verdict: &Verdict,
    since: Instant,
) -> Hook {
    Hook {
        after_ms: Some(after_ms(since)),
        finish: Some(finish(answer).to_owned()),
        errors: match verdict {
            Verdict::Invalid(fault, _) => fault.errors(answer),
            Verdict::Valid(_)
            | Verdict::Broken(_)
            | Verdict::Ends(..)
            | Verdict::Cancelled
            | Verdict::Drain => Vec::new(),
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
        Stopped::Late => "attempt_time",
        Stopped::Overrun(overrun) => overrun.code(),
        Stopped::Astray => "astray",
        Stopped::Cancelled => "cancelled",
        Stopped::Drain => "drain",
    }
}
