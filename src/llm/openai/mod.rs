//! Providers that speak OpenAI's chat completions: OpenAI itself, and by base URL vLLM, llama.cpp, Groq, OpenRouter,
//! Mistral, DeepSeek, Azure, LM Studio, Ollama's `/v1` and many more.

mod body;
mod decode;
mod failure;
mod frame;
mod options;
mod probe;
mod stream;
mod text;

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, Url};
use tokio::time::Instant;

pub use self::options::{MaxTokensField, Models, OpenAiOptions};
pub use self::probe::{Probe, probe};
pub(super) use self::stream::OpenAiStream;
use super::chunk::{LlmError, LlmErrorKind};
use super::provider::ProvidersError;
use super::request::Request;
use super::secret::Secret;
use crate::clock;
use crate::schema::dialect::Dialect;

/// One OpenAI-compatible provider.
#[derive(Debug)]
pub struct OpenAi {
    options: OpenAiOptions,
    client: Client,
    endpoint: Url,
    authorization: Option<HeaderValue>,
}

impl OpenAi {
    pub(super) fn new(options: OpenAiOptions) -> Result<Self, ProvidersError> {
        let endpoint = endpoint(&options)?;
        let authorization = authorization(&options)?;
        let client = client(&options, &endpoint).map_err(|error| ProvidersError::Client {
            name: options.name.clone(),
            reason: reason(error),
        })?;
        Ok(Self {
            options,
            client,
            endpoint,
            authorization,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.options.name
    }

    pub(super) fn models(&self) -> &Models {
        &self.options.models
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.options.dialect
    }

    /// Whether the configuration lists `model` by itself.
    pub(super) fn lists(&self, model: &str) -> bool {
        match &self.options.models {
            Models::Any => false,
            Models::Only(models) => models.iter().any(|listed| listed == model),
        }
    }

    /// Whether `model` is `provider/model` with this provider's name and one of its models.
    pub(super) fn owns(&self, model: &str) -> bool {
        let Some(bare) = self.without_prefix(model) else {
            return false;
        };
        match &self.options.models {
            Models::Any => !bare.is_empty(),
            Models::Only(_) => self.lists(bare),
        }
    }

    pub(super) fn model_name<'a>(&self, offered: &'a str) -> &'a str {
        if self.lists(offered) {
            return offered;
        }
        self.without_prefix(offered).unwrap_or(offered)
    }

    fn without_prefix<'a>(&self, model: &'a str) -> Option<&'a str> {
        model.strip_prefix(&self.options.name)?.strip_prefix('/')
    }

    /// The first byte of the body must come within `first_byte_ms` of this call, whatever the status.
    pub(super) async fn open(&self, request: &Request) -> Result<OpenAiStream, LlmError> {
        let voice = Voice {
            name: self.options.name.clone(),
            key: self.options.key.clone(),
        };
        self.ask(request, voice.clone())
            .await
            .map_err(|error| voice.speak(error))
    }

    async fn ask(&self, request: &Request, voice: Voice) -> Result<OpenAiStream, LlmError> {
        let deadline = clock::now() + Duration::from_millis(self.options.first_byte_ms);
        let mut response = self.send(request, deadline).await?;
        let status = response.status();
        if !status.is_success() {
            let limit = self.options.body_error_bytes_max;
            // An error's body that does not come whole still leaves the status to tell.
            let (body, _) = read_body(&mut response, limit, deadline).await;
            return Err(failure::from_status(status, response.headers(), &body));
        }
        match media_type(&response).as_str() {
            "" | "text/event-stream" => Ok(OpenAiStream::new(response, voice, &self.options, deadline)),
            "application/json" => {
                let (body, end) = read_body(&mut response, self.options.body_bytes_max, deadline).await;
                end?;
                let body = String::from_utf8(body).map_err(|_| bad_stream("the answer is not UTF-8"))?;
                Ok(OpenAiStream::whole(&body, voice, &self.options, response))
            }
            other => Err(bad_stream(&format!(
                "an answer of type `{other}` is no event stream"
            ))),
        }
    }

    async fn send(&self, request: &Request, deadline: Instant) -> Result<Response, LlmError> {
        let model = self.model_name(&request.model);
        let body = body::body(request, model, self.max_tokens_field());
        let mut post = self.client.post(self.endpoint.clone()).json(&body);
        post = post.header(ACCEPT, "text/event-stream");
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization.clone());
        }
        tokio::select! {
            biased;
            sent = post.send() => sent.map_err(|error| LlmError::new(LlmErrorKind::Connect, reason(error))),
            () = clock::sleep_until(deadline) => Err(late()),
        }
    }

    fn max_tokens_field(&self) -> &'static str {
        let host = self.endpoint.host_str().unwrap_or_default();
        let new_name = match self.options.max_tokens_field {
            MaxTokensField::ByHost => host.ends_with("openai.com") || host.ends_with("azure.com"),
            MaxTokensField::MaxCompletionTokens => true,
            MaxTokensField::MaxTokens => false,
        };
        if new_name {
            "max_completion_tokens"
        } else {
            "max_tokens"
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
    fn speak(&self, mut error: LlmError) -> LlmError {
        // The key goes first: a cut through the middle of it would hide it from the search.
        let message = self.key.as_ref().map(|key| key.scrub(&error.message));
        let message = failure::shortened(message.as_ref().unwrap_or(&error.message));
        error.message = format!("{}: {message}", self.name);
        error
    }
}

impl OpenAiOptions {
    /// Whether a provider can be made of this, as far as it can be told without a client.
    ///
    /// # Errors
    /// A base URL ([`base_url_fault`]) or a key that cannot be used.
    pub fn check(&self) -> Result<(), ProvidersError> {
        endpoint(self)?;
        authorization(self).map(|_| ())
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

fn endpoint(options: &OpenAiOptions) -> Result<Url, ProvidersError> {
    below(options, "chat/completions")
}

/// A URL of the provider's API.
fn below(options: &OpenAiOptions, path: &str) -> Result<Url, ProvidersError> {
    let mut url = base(&options.base_url).map_err(|reason| ProvidersError::BaseUrl {
        name: options.name.clone(),
        reason,
    })?;
    url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    Ok(url)
}

fn authorization(options: &OpenAiOptions) -> Result<Option<HeaderValue>, ProvidersError> {
    let Some(key) = &options.key else { return Ok(None) };
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.reveal()))
        .map_err(|_| ProvidersError::Key(options.name.clone()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn client(options: &OpenAiOptions, endpoint: &Url) -> reqwest::Result<Client> {
    // Another crate may have installed one already; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_millis(options.connect_ms))
        .pool_idle_timeout(Duration::from_millis(options.pool_idle_ms))
        .tcp_nodelay(true)
        .user_agent(concat!("livedraft/", env!("CARGO_PKG_VERSION")));
    if is_loopback(endpoint) {
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // No certificate is ever looked at, so a machine without any must do.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|address| address.is_loopback());
    loopback || host == "localhost" || host.ends_with(".localhost")
}

fn media_type(response: &Response) -> String {
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
            Err(error) => return (body, Err(LlmError::new(LlmErrorKind::Cut, reason(error)))),
        }
    }
}

fn late() -> LlmError {
    LlmError::new(LlmErrorKind::FirstByteTimeout, "no answer in time")
}

fn bad_stream(message: &str) -> LlmError {
    LlmError::new(LlmErrorKind::BadStream, message)
}

/// The innermost cause of an HTTP client's error: it says what happened, the outer ones name the URL.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = if error.is_connect() {
        "cannot connect: "
    } else {
        ""
    };
    let innermost = if error.source().is_some() {
        cause.to_string()
    } else {
        error.to_string()
    };
    format!("{what}{innermost}")
}
