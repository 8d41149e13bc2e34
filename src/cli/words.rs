//! What is said about a job, in words.

use super::paint::{Row, Tone};
use crate::client::Tally;
use crate::event::{AttemptBegins, Hook, HookKind, StatusChange};
use crate::job::{AttemptError, Outcome, Reason, Usage};
use crate::wire::JobEnd;

/// `1 frame`, `2 frames`.
pub(super) fn count(n: u64, word: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {word}{plural}")
}

/// Bytes in the unit that reads well.
pub(super) fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{:.1} kB", n as f64 / 1e3),
        _ => format!("{:.1} MB", n as f64 / 1e6),
    }
}

/// Milliseconds in the unit that reads well.
pub(super) fn millis(ms: u64) -> String {
    if ms < 1_000 {
        format!("{ms} ms")
    } else {
        format!("{:.1} s", ms as f64 / 1e3)
    }
}

/// `attempt 2: /age must be an integer`.
pub(super) fn attempt(begins: &AttemptBegins) -> Row {
    let head = Row::of(Tone::Bold, &format!("attempt {}", begins.attempt));
    let why = match begins.reason {
        Reason::First => return head,
        Reason::Invalid => wrong(&begins.errors),
        Reason::Provider => "the provider failed".to_owned(),
        Reason::Truncated => "the answer was cut short".to_owned(),
        Reason::WorkerLost => "its worker was lost".to_owned(),
        Reason::Astray => "the model did not go on from its answer".to_owned(),
    };
    let kept = if begins.reset { "" } else { "; the rest stays" };
    head.with(Tone::Warn, &format!(": {why}{kept}"))
}

/// The first error, and how many more there are.
pub(super) fn wrong(errors: &[AttemptError]) -> String {
    let Some(first) = errors.first() else {
        return "the answer was invalid".to_owned();
    };
    let place = if first.path.is_empty() {
        "the value"
    } else {
        first.path.as_str()
    };
    let more = match errors.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    format!("{place} {}{more}", first.message)
}

/// `waiting: rate_limited`.
pub(super) fn status(change: &StatusChange) -> Row {
    let row = Row::of(Tone::Dim, change.status.as_str());
    match &change.reason {
        Some(reason) => row.with(Tone::Dim, &format!(": {reason}")),
        None => row,
    }
}

/// `request: openai gpt-x by tools · 2 messages, 310 B beside them · after 412 ms`.
pub(super) fn hook(hook: &Hook) -> Row {
    let after = hook.after_ms.map(|ms| format!("after {}", millis(ms)));
    let word = |word: &Option<String>| word.clone().unwrap_or_default();
    let (kind, mut told) = match hook.kind {
        HookKind::Request => {
            let beside = hook.schema_bytes.map(|n| format!(", {} beside them", bytes(n)));
            let asked = format!(
                "{} {} by {}",
                word(&hook.provider),
                word(&hook.model),
                word(&hook.mode)
            );
            let sent = format!(
                "{} of {}{}",
                count(u64::from(hook.messages.unwrap_or(0)), "message"),
                bytes(hook.prompt_bytes.unwrap_or(0)),
                beside.unwrap_or_default()
            );
            ("request", vec![asked, sent])
        }
        HookKind::FirstToken => ("first token", Vec::new()),
        HookKind::AttemptEnd => {
            let tokens = |usage: Usage| {
                let about = if usage.estimated { "about " } else { "" };
                format!(
                    "{about}{} tokens in, {} out",
                    usage.input_tokens, usage.output_tokens
                )
            };
            let told = [Some(word(&hook.finish)), hook.usage.map(tokens)];
            ("attempt end", told.into_iter().flatten().collect())
        }
    };
    told.extend(after);
    Row::of(Tone::Dim, &format!("{kind}: {}", told.join(" · ")))
}

/// `completed in 1.9 s · 2 attempts · 620 + 310 tokens · cost 0.0125 · 142 frames · 9.1 kB`.
pub(super) fn ended(end: &JobEnd, tally: &Tally) -> Row {
    let (tone, word) = match end.outcome {
        Outcome::Completed => (Tone::Good, "completed"),
        Outcome::Failed => (Tone::Bad, "failed"),
        Outcome::Cancelled => (Tone::Warn, "cancelled"),
        Outcome::Incomplete => (Tone::Bad, "incomplete"),
    };
    let told = format!(
        " in {} · {} · {} · {} · {}",
        millis(end.timings.total_ms),
        count(u64::from(end.attempt), "attempt"),
        spent(&end.usage),
        count(tally.frames, "frame"),
        bytes(tally.bytes),
    );
    Row::of(tone, word).with(Tone::Dim, &told)
}

/// `620 + 310 tokens · cost 0.0125`, in and out; `about` where it is estimated.
fn spent(usage: &Usage) -> String {
    let about = if usage.estimated { "about " } else { "" };
    let (input, output) = (usage.input_tokens, usage.output_tokens);
    let cost = usage
        .cost
        .map_or_else(String::new, |cost| format!(" · cost {cost}"));
    format!("{about}{input} + {output} tokens{cost}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Money;

    fn error(path: &str) -> AttemptError {
        AttemptError {
            path: path.to_owned(),
            keyword: "type".to_owned(),
            message: "must be an integer".to_owned(),
            value: None,
        }
    }

    #[test]
    fn errors_are_told_by_the_first() {
        assert_eq!(wrong(&[error("/age")]), "/age must be an integer");
        assert_eq!(
            wrong(&[error(""), error("/b"), error("/c")]),
            "the value must be an integer (and 2 more)"
        );
        assert_eq!(wrong(&[]), "the answer was invalid");
    }

    #[test]
    fn what_was_spent_is_told() {
        let mut usage = Usage {
            input_tokens: 620,
            output_tokens: 310,
            ..Usage::default()
        };
        assert_eq!(spent(&usage), "620 + 310 tokens");
        usage.cost = Some(Money::micros(12_500));
        usage.estimated = true;
        assert_eq!(spent(&usage), "about 620 + 310 tokens · cost 0.0125");
    }

    #[test]
    fn amounts_read_well() {
        assert_eq!(count(1, "frame"), "1 frame");
        assert_eq!(count(0, "frame"), "0 frames");
        assert_eq!([bytes(999), bytes(9_140)], ["999 B", "9.1 kB"]);
        assert_eq!([millis(20), millis(1_920)], ["20 ms", "1.9 s"]);
    }
}
