//! How a provider says no: statuses, `Retry-After`, messages that are safe to show.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::clock;
use crate::llm::chunk::{LlmError, LlmErrorKind};
use crate::llm::complaint::{Complaint, bounded, wait};

/// Characters of a provider's message that are kept: it is told to clients, on one line.
const MESSAGE_CHARS_MAX: usize = 400;
/// The error behind a status other than 200.
pub(super) fn from_status(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> LlmError {
    let complaint = Complaint::in_refusal(&String::from_utf8_lossy(body)).unwrap_or_default();
    let said = complaint.message.trim();
    let message = match (said, status.is_redirection()) {
        ("", true) => format!("HTTP {}: redirects are not followed", status.as_u16()),
        ("", false) => format!("HTTP {}", status.as_u16()),
        (said, _) => format!("HTTP {}: {said}", status.as_u16()),
    };
    LlmError {
        retry_after: retry_after(headers, clock::now_ms()).or(complaint.retry_after),
        status: Some(status.as_u16()),
        ..LlmError::new(kind(status, &complaint), message)
    }
}

fn kind(status: StatusCode, complaint: &Complaint) -> LlmErrorKind {
    match status.as_u16() {
        402 => LlmErrorKind::Quota,
        429 if complaint.is_quota() => LlmErrorKind::Quota,
        401 | 403 => LlmErrorKind::Unauthorized,
        400 if complaint.bad_key => LlmErrorKind::Unauthorized,
        // Who hands requests on says so where none of those behind it has what is asked for.
        404 if complaint.is_about_mode() => LlmErrorKind::UnsupportedMode,
        404 => LlmErrorKind::UnknownModel,
        429 => LlmErrorKind::RateLimited,
        503 | 529 => LlmErrorKind::Overloaded,
        _ if complaint.code.as_deref() == Some("model_not_found") => LlmErrorKind::UnknownModel,
        400 | 422 | 501 if complaint.is_about_schema() => LlmErrorKind::UnsupportedSchema,
        400 | 422 | 501 if complaint.is_about_mode() => LlmErrorKind::UnsupportedMode,
        408 | 500.. => LlmErrorKind::Server,
        _ => LlmErrorKind::BadRequest,
    }
}

/// One line of at most 400 characters.
pub(super) fn shortened(message: &str) -> String {
    let mut clean: String = message
        .chars()
        .take(MESSAGE_CHARS_MAX)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    if message.chars().nth(MESSAGE_CHARS_MAX).is_some() {
        clean.push('…');
    }
    clean
}

/// `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110 §10.2.3). `now_ms` is since 1970.
fn retry_after(headers: &HeaderMap, now_ms: u64) -> Option<Duration> {
    let text = |value: &reqwest::header::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    if let Some(asked) = headers
        .get("retry-after-ms")
        .and_then(text)
        .and_then(|text| wait(&text, 0.001))
    {
        return Some(asked);
    }
    let text = headers.get(RETRY_AFTER).and_then(text)?;
    let by_date = || {
        Some(bounded(Duration::from_millis(
            date_ms(&text)?.saturating_sub(now_ms),
        )))
    };
    wait(&text, 1.0).or_else(by_date)
}

/// Milliseconds since 1970 of a date, such as `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7).
fn date_ms(text: &str) -> Option<u64> {
    let date = httpdate::parse_http_date(text).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_rfc_9110() {
        assert_eq!(date_ms("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(date_ms("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(date_ms("Tue, 29 Feb 2000 23:59:59 GMT"), Some(951_868_799_000));
        assert_eq!(date_ms("Sat, 21 Nov 2026 04:00:00 GMT"), Some(1_795_233_600_000));
        for bad in [
            "",
            "soon",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 GMT",
        ] {
            assert_eq!(date_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn advice_in_every_form() {
        let advice = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, reqwest::header::HeaderValue::from_static(value));
            retry_after(&headers, 784_111_770_000)
        };
        assert_eq!(advice("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(advice("retry-after", "0.5"), Some(Duration::from_millis(500)));
        assert_eq!(advice("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(
            advice("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            advice("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT"),
            Some(Duration::ZERO)
        );
        assert_eq!(
            advice("retry-after", "99999999999999"),
            Some(Duration::from_secs(86_400))
        );
        assert_eq!(advice("retry-after", "-3"), None);
        assert_eq!(advice("retry-after", "NaN"), None);
    }
}
