//! Whether a provider is there and takes the key, asked without spending a token.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::DATE;

use super::client::{client, headers, reason};
use super::{RemoteOptions, Voice, below, late};
use crate::clock;
use crate::llm::chunk::{LlmError, LlmErrorKind};
use crate::llm::kind::Kind;

/// How a provider answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The HTTP status.
    pub status: u16,
    /// The time by the provider's clock, milliseconds since 1970, where its answer carries one.
    pub clock_ms: Option<u64>,
}

/// Asks a provider for the list of its models, and reads no further than the head of the answer. An answer of any
/// status is one; `first_byte_ms` is the time it has.
///
/// # Errors
/// No answer, or options of which no provider can be made.
pub async fn probe(options: &RemoteOptions) -> Result<Probe, LlmError> {
    let voice = Voice::of(options);
    ask(options).await.map_err(|error| voice.speak(error))
}

async fn ask(options: &RemoteOptions) -> Result<Probe, LlmError> {
    let unfit = |error: &dyn ToString| LlmError::new(LlmErrorKind::Connect, error.to_string());
    let path = match options.kind {
        Kind::Ollama => "tags",
        Kind::OpenAi | Kind::Anthropic | Kind::Gemini | Kind::Responses => "models",
    };
    let base = options.base().map_err(|error| unfit(&error))?;
    let mut url = below(&base, path);
    options.put_version(&mut url);
    let headers = headers(options, &base).map_err(|error| unfit(&error))?;
    let client = client(options, &url).map_err(|error| unfit(&reason(error)))?;
    let get = client.get(url).headers(headers);
    let answer = tokio::select! {
        biased;
        answer = get.send() => answer.map_err(|error| unfit(&reason(error)))?,
        () = clock::sleep(Duration::from_millis(options.first_byte_ms)) => return Err(late()),
    };
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
    let time = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(Probe {
        status: answer.status().as_u16(),
        clock_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
    })
}
