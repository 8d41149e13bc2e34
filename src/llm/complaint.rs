//! What providers say when something is wrong, in the body of a status or inside a stream.
//!
//! The forms: `{"error": {message, code | type | status, details}}` (OpenAI, Anthropic, Gemini), `{"error": "…"}`
//! (Ollama), `{"object": "error", "message": …}` (older vLLM, Mistral), and a list that holds one of them (Gemini,
//! where it does not stream).

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::chunk::{LlmError, LlmErrorKind};

/// No advice is read as more; how long a job waits at the most is `worker.rate_limit_wait_max_ms`.
const RETRY_MAX: Duration = Duration::from_secs(86_400);
/// What providers call a quota that is used up; some say it with the status of a rate limit.
const QUOTA_CODES: &[&str] = &[
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
    "insufficient_credits",
];

/// What modes are called by those who do not have them.
const MODE_WORDS: &[&str] = &[
    "json_schema",
    "json schema",
    "json_object",
    "json mode",
    "response_format",
    "response format",
    "responsejsonschema",
    "response_json_schema",
    "responseschema",
    "responsemimetype",
    "response_mime_type",
    "text.format",
    "output_config",
    "output_format",
    "structured output",
    "strict",
    "tools",
    "tool_choice",
    "tool choice",
    "tool use",
    "tool call",
    "tool-call",
    "function call",
    "function-call",
    "requested parameters",
];
const DENIALS: &[&str] = &[
    "not support",
    "unsupported",
    "n't support",
    "not available",
    "not enabled",
    "not allowed",
    "not permitted",
    "unrecognized",
    "unknown parameter",
    "unknown field",
    "unknown name",
    "no endpoints found",
    "cannot find field",
];
/// What is said of schemas that a mode does not take.
const SCHEMA_WORDS: &[&str] = &[
    "invalid schema",
    "invalid json schema",
    "schema is too complex",
    "too many states",
    "schema too complex",
    "compile grammar",
    "failed to parse grammar",
    "grammar is too large",
    "invalid grammar",
    "unsupported schema",
    "schema is not supported",
];

/// What an error object says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) message: String,
    /// The provider's word for it.
    pub(super) code: Option<String>,
    /// How long to wait, where the object says it (Gemini's `retryDelay`).
    pub(super) retry_after: Option<Duration>,
    /// Gemini tells a bad key as a bad request, and why beside.
    pub(super) bad_key: bool,
}

#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(rename = "retryDelay")]
    retry_delay: Option<String>,
    reason: Option<String>,
}

impl Complaint {
    /// The complaint in a body, if it is one.
    pub(super) fn in_body(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('[') {
            let all: Vec<Outer<'_>> = serde_json::from_str(text).ok()?;
            return all.iter().find_map(Outer::complaint);
        }
        serde_json::from_str::<Outer<'_>>(text).ok()?.complaint()
    }

    /// The complaint in the body of a refusal, where a bare `message` or `detail` is one, too (FastAPI, Mistral).
    pub(super) fn in_refusal(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Bare<'a> {
            #[serde(borrow, default, alias = "detail")]
            message: Option<&'a RawValue>,
        }
        Self::in_body(text).or_else(|| {
            let bare: Bare<'_> = serde_json::from_str(text.trim()).ok()?;
            Some(Self {
                message: plain(bare.message?),
                ..Self::default()
            })
        })
    }

    /// Of one who says only that something failed.
    pub(super) fn without_words() -> Self {
        Self {
            message: "the provider does not say which".to_owned(),
            ..Self::default()
        }
    }

    /// The complaint that is an `error` member, an object or a text.
    pub(super) fn of(error: &RawValue) -> Self {
        let Ok(inner) = serde_json::from_str::<Inner<'_>>(error.get()) else {
            return Self {
                message: plain(error),
                ..Self::default()
            };
        };
        let words = [inner.code, inner.status, inner.kind].into_iter().flatten();
        // A word says more than a number: Gemini has a `code` of the status, and its name in `status`.
        let word = words
            .clone()
            .find(|raw| raw.get().starts_with('"'))
            .or_else(|| words.clone().next());
        let details: Vec<Detail> = inner
            .details
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        let delays = details.iter().filter_map(|detail| detail.retry_delay.as_deref());
        Self {
            message: inner.message.map(plain).unwrap_or_default(),
            code: word.map(plain),
            retry_after: delays
                .filter_map(|delay| wait(delay.strip_suffix('s')?, 1.0))
                .next(),
            bad_key: details
                .iter()
                .any(|detail| detail.reason.as_deref() == Some("API_KEY_INVALID")),
        }
    }

    /// Whether the account's quota or money is used up.
    pub(super) fn is_quota(&self) -> bool {
        self.code
            .as_deref()
            .is_some_and(|code| QUOTA_CODES.contains(&code))
    }

    /// Whether it says that the mode is not to be had: one of its words beside a denial.
    pub(super) fn is_about_mode(&self) -> bool {
        let said = self.message.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        says(MODE_WORDS) && says(DENIALS)
    }

    /// Whether it says that the schema cannot be told in this mode.
    pub(super) fn is_about_schema(&self) -> bool {
        let said = self.message.to_lowercase();
        SCHEMA_WORDS.iter().any(|word| said.contains(word))
    }

    /// The error of a stream that began well.
    pub(super) fn in_stream(self) -> LlmError {
        let kind = match self.code.as_deref() {
            Some("overloaded_error" | "UNAVAILABLE" | "503" | "529") => LlmErrorKind::Overloaded,
            Some("rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" | "429") => {
                LlmErrorKind::RateLimited
            }
            _ if self.is_quota() => LlmErrorKind::Quota,
            _ => LlmErrorKind::InStream,
        };
        let code = self.code.map_or_else(String::new, |code| format!(" ({code})"));
        LlmError {
            retry_after: self.retry_after,
            ..LlmError::new(kind, format!("error in the stream{code}: {}", self.message))
        }
    }
}

impl Outer<'_> {
    fn complaint(&self) -> Option<Complaint> {
        if let Some(error) = self.error {
            return Some(Complaint::of(error));
        }
        let is_error = self.object.is_some_and(|object| object.get() == r#""error""#);
        is_error.then(|| Complaint {
            message: self.message.map(plain).unwrap_or_default(),
            ..Complaint::default()
        })
    }
}

/// A wait of so many units of seconds, if it is one.
pub(super) fn wait(text: &str, unit: f64) -> Option<Duration> {
    let value: f64 = text.parse().ok()?;
    let is_one = value.is_finite() && value >= 0.0;
    is_one.then(|| {
        bounded(Duration::from_secs_f64(
            (value * unit).min(RETRY_MAX.as_secs_f64()),
        ))
    })
}

/// No longer than advice may ask.
pub(super) fn bounded(wait: Duration) -> Duration {
    wait.min(RETRY_MAX)
}

/// A string without its quotes; everything else as it is written.
fn plain(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| {
            let complaint = Complaint::in_body(text)?;
            Some((complaint.message, complaint.code.unwrap_or_default()))
        };
        let pair = |message: &str, code: &str| Some((message.to_owned(), code.to_owned()));
        for (text, expected) in [
            (
                r#"{"error":{"message":"m","type":"t","code":null}}"#,
                pair("m", "t"),
            ),
            (
                r#"{"error":{"message":"m","type":"t","code":"c"}}"#,
                pair("m", "c"),
            ),
            (r#"{"error":{"message":"m","code":502}}"#, pair("m", "502")),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"}}"#,
                pair("m", "overloaded_error"),
            ),
            (
                r#"[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]"#,
                pair("m", "RESOURCE_EXHAUSTED"),
            ),
            (r#"{"error":"m"}"#, pair("m", "")),
            (
                r#"{"object":"error","message":{"detail":[]}}"#,
                pair(r#"{"detail":[]}"#, ""),
            ),
            (r#"{"choices":[]}"#, None),
            ("<html>", None),
            ("[1]", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_may_be_bare() {
        let read = |text: &str| Complaint::in_refusal(text).map(|complaint| complaint.message);
        for (text, expected) in [
            (r#"{"error":{"message":"m"}}"#, Some("m")),
            (r#"{"detail":"m"}"#, Some("m")),
            (r#"{"detail":[{"msg":"m"}]}"#, Some(r#"[{"msg":"m"}]"#)),
            (r#"{"message":"m","request_id":"r"}"#, Some("m")),
            (r#"{"status":"m"}"#, None),
            ("<html>", None),
        ] {
            assert_eq!(read(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn advice_stands_in_the_details() {
        let delay = |delay: &str| {
            let text = format!(
                r#"{{"error":{{"code":429,"details":[{{"@type":"a","x":1}},{{"@type":"b","retryDelay":"{delay}"}}]}}}}"#
            );
            Complaint::in_body(&text).and_then(|complaint| complaint.retry_after)
        };
        assert_eq!(delay("34s"), Some(Duration::from_secs(34)));
        assert_eq!(delay("0.25s"), Some(Duration::from_millis(250)));
        assert_eq!(delay("99999999999s"), Some(RETRY_MAX));
        assert_eq!(
            [delay("34"), delay("-1s"), delay("soon"), delay("NaNs")],
            [None; 4]
        );
    }
}
