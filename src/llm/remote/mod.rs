//! Providers over HTTP: what all of them share, whatever is spoken (client, keys, statuses, time limits, sizes).

mod client;
mod failure;
mod host;
mod options;
mod probe;
mod refused;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, Url};
use serde_json::Value;
use tokio::time::Instant;

pub use self::options::{DialectChoice, KeyHeader, MaxTokensField, Models, PrefillChoice, RemoteOptions};
pub use self::probe::{Probe, probe};
use self::refused::RefusedModes;
pub(super) use self::stream::RemoteStream;
use super::chunk::{LlmError, LlmErrorKind};
use super::health::{BreakerOptions, Health};
use super::kind::{Framing, Kind};
use super::news::Teller;
use super::openai::Manner;
use super::price::Price;
use super::provider::ProvidersError;
use super::request::{Prefill, Request};
use super::secret::Secret;
use super::{anthropic, gemini, ollama, openai, responses};
use crate::clock;
use crate::schema::dialect::Dialect;

/// One provider over HTTP.
#[derive(Debug)]
pub struct Remote {
    options: RemoteOptions,
    client: Client,
    base: Url,
    headers: HeaderMap,
    manner: Manner,
    dialect: Dialect,
    refused: RefusedModes,
    health: Arc<Health>,
}

impl Remote {
    pub(super) fn new(
        options: RemoteOptions,
        breaker: BreakerOptions,
        teller: Teller,
    ) -> Result<Self, ProvidersError> {
        let base = options.base()?;
        let headers = client::headers(&options, &base)?;
        let client = client::client(&options, &base).map_err(|error| ProvidersError::Client {
            name: options.name.clone(),
            reason: client::reason(error),
        })?;
        Ok(Self {
            manner: host::manner(&options, &base),
            dialect: host::dialect(&options, &base),
            refused: RefusedModes::new(&options),
            health: Arc::new(Health::new(&options.name, options.kind, breaker, teller)),
            options,
            client,
            base,
            headers,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    pub(super) fn models(&self) -> &Models {
        &self.options.models
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How `model`, by its name as it is offered, is told to go on from the beginning of its answer, if it can be.
    pub(super) fn prefill(&self, model: &str) -> Option<Prefill> {
        host::prefill(&self.options, &self.base, self.model_name(model))
    }

    pub(super) const fn kind(&self) -> Kind {
        self.options.kind
    }

    pub(super) const fn refused(&self) -> &RefusedModes {
        &self.refused
    }

    pub(super) fn health(&self) -> &Arc<Health> {
        &self.health
    }

    pub(super) fn price(&self, model: &str) -> Option<&Price> {
        self.options.prices.of(model)
    }

    pub(super) fn output_tokens(&self) -> u32 {
        self.options.output_tokens
    }

    pub(super) fn options(&self) -> &RemoteOptions {
        &self.options
    }

    pub(super) fn model_name<'a>(&self, offered: &'a str) -> &'a str {
        if self.options.lists(offered) {
            return offered;
        }
        self.options.without_prefix(offered).unwrap_or(offered)
    }

    /// The first byte of the body must come within `first_byte_ms` of this call, whatever the status.
    pub(super) async fn open(&self, request: &Request) -> Result<RemoteStream, LlmError> {
        let voice = Voice::of(&self.options);
        self.ask(request, voice.clone())
            .await
            .map_err(|error| voice.speak(error))
    }

    async fn ask(&self, request: &Request, voice: Voice) -> Result<RemoteStream, LlmError> {
        let deadline = clock::now() + Duration::from_millis(self.options.first_byte_ms);
        let mut response = self.send(request, deadline).await?;
        let status = response.status();
        if !status.is_success() {
            let limit = self.options.body_error_bytes_max;
            // An error's body that does not come whole still leaves the status to tell.
            let (body, _) = read_body(&mut response, limit, deadline).await;
            return Err(failure::from_status(status, response.headers(), &body));
        }
        let expected = media_type(self.options.kind);
        match content_type(&response).as_str() {
            media if media.is_empty() || media == expected => {
                Ok(RemoteStream::new(response, voice, &self.options, deadline))
            }
            "application/json" => {
                let (body, end) = read_body(&mut response, self.options.body_bytes_max, deadline).await;
                end?;
                let body = String::from_utf8(body).map_err(|_| bad_stream("the answer is not UTF-8"))?;
                Ok(RemoteStream::whole(&body, voice, &self.options, response))
            }
            other => Err(bad_stream(&format!(
                "an answer of type `{other}` is no stream of type `{expected}`"
            ))),
        }
    }

    async fn send(&self, request: &Request, deadline: Instant) -> Result<Response, LlmError> {
        let model = self.model_name(&request.model);
        let post = self
            .client
            .post(self.url(model)?)
            .json(&self.body(request, model)?);
        let post = post
            .headers(self.headers.clone())
            .header(ACCEPT, media_type(self.options.kind));
        tokio::select! {
            biased;
            sent = post.send() => sent.map_err(|error| LlmError::new(LlmErrorKind::Connect, client::reason(error))),
            () = clock::sleep_until(deadline) => Err(late()),
        }
    }

    fn url(&self, model: &str) -> Result<Url, LlmError> {
        let mut url = match self.options.kind {
            Kind::OpenAi => below(&self.base, "chat/completions"),
            Kind::Anthropic => below(&self.base, "messages"),
            Kind::Gemini => {
                let mut url = below(&self.base, &gemini::path(model)?);
                // Without it, the answer is one JSON list.
                url.set_query(Some("alt=sse"));
                url
            }
            Kind::Ollama => below(&self.base, "chat"),
            Kind::Responses => below(&self.base, "responses"),
        };
        self.options.put_version(&mut url);
        Ok(url)
    }

    fn body(&self, request: &Request, model: &str) -> Result<Value, LlmError> {
        match self.options.kind {
            Kind::OpenAi => {
                let prefill = request.prefilled.then(|| self.prefill(&request.model));
                openai::body(request, model, self.manner, prefill.flatten())
            }
            Kind::Anthropic => anthropic::body(request, model, self.options.output_tokens),
            Kind::Gemini => gemini::body(request, model),
            Kind::Ollama => ollama::body(request, model),
            Kind::Responses => responses::body(request, model),
        }
    }
}

/// Makes errors safe to show: the provider's name in front, one short line, the key taken out.
#[derive(Clone, Debug)]
struct Voice {
    name: String,
    key: Option<Secret>,
}

impl Voice {
    fn of(options: &RemoteOptions) -> Self {
        Self {
            name: options.name.clone(),
            key: options.key.clone(),
        }
    }

    fn speak(&self, mut error: LlmError) -> LlmError {
        // The key goes first: a cut through the middle of it would hide it from the search.
        let message = self.key.as_ref().map(|key| key.scrub(&error.message));
        let message = failure::shortened(message.as_ref().unwrap_or(&error.message));
        error.message = format!("{}: {message}", self.name);
        error
    }
}

impl RemoteOptions {
    /// Whether a provider can be made of this, as far as it can be told without a client.
    ///
    /// # Errors
    /// A base URL ([`base_url_fault`]) or a key that cannot be used.
    pub fn check(&self) -> Result<(), ProvidersError> {
        client::headers(self, &self.base()?).map(|_| ())
    }

    fn put_version(&self, url: &mut Url) {
        if !self.api_version.is_empty() {
            url.query_pairs_mut()
                .append_pair("api-version", &self.api_version);
        }
    }

    fn base(&self) -> Result<Url, ProvidersError> {
        base(self.base_url()).map_err(|reason| ProvidersError::BaseUrl {
            name: self.name.clone(),
            reason,
        })
    }
}

/// What is wrong with a base URL, if anything; never the URL itself, which may carry credentials.
pub fn base_url_fault(url: &str) -> Option<&'static str> {
    base(url).err()
}

fn base(url: &str) -> Result<Url, &'static str> {
    let base = Url::parse(url).map_err(|_| "the base URL is no URL")?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err("the base URL is neither http nor https");
    }
    if !base.username().is_empty() || base.password().is_some() {
        return Err("the base URL carries credentials; give the key by itself");
    }
    if base.query().is_some() || base.fragment().is_some() {
        return Err("the base URL carries a query or a fragment");
    }
    Ok(base)
}

/// A URL of the provider's API.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}

/// The type of a stream.
const fn media_type(kind: Kind) -> &'static str {
    match kind.framing() {
        Framing::Events => "text/event-stream",
        Framing::Lines => "application/x-ndjson",
    }
}

fn content_type(response: &Response) -> String {
    let value = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let media = value.unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().to_ascii_lowercase()
}

/// The body up to `limit` bytes, and what kept it from coming whole.
async fn read_body(
    response: &mut Response,
    limit: usize,
    deadline: Instant,
) -> (Vec<u8>, Result<(), LlmError>) {
    let mut body = Vec::new();
    loop {
        let read = tokio::select! {
            biased;
            read = response.chunk() => read,
            () = clock::sleep_until(deadline) => return (body, Err(late())),
        };
        match read {
            Ok(None) => return (body, Ok(())),
            Ok(Some(bytes)) if bytes.len() > limit - body.len() => {
                body.extend_from_slice(&bytes[..limit - body.len()]);
                return (
                    body,
                    Err(bad_stream(&format!("the answer is longer than {limit} bytes"))),
                );
            }
            Ok(Some(bytes)) => body.extend_from_slice(&bytes),
            Err(error) => return (body, Err(LlmError::new(LlmErrorKind::Cut, client::reason(error)))),
        }
    }
}

fn late() -> LlmError {
    LlmError::new(LlmErrorKind::FirstByteTimeout, "no answer in time")
}

fn bad_stream(message: &str) -> LlmError {
    LlmError::new(LlmErrorKind::BadStream, message)
}
