//! What can be set for one provider over HTTP.

use crate::llm::kind::Kind;
use crate::llm::price::Prices;
use crate::llm::secret::Secret;
use crate::schema::dialect::Dialect;

/// One provider over HTTP, as configured.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The provider's name among ours: letters, digits, `-`, `_`.
    pub name: String,
    /// How it is spoken with. Default: OpenAI's chat completions.
    pub kind: Kind,
    /// Where the paths of its API are appended, such as `https://api.openai.com/v1`; empty for the kind's own. Only
    /// configuration sets it, never a job; redirects are not followed.
    pub base_url: String,
    /// Sent in the header that the kind and the host want; none for local servers.
    pub key: Option<Secret>,
    /// Which header that is, of kinds `openai` and `responses`. Default: by host.
    pub key_header: KeyHeader,
    /// The `api-version` in the query of each request, as Azure's older addresses demand it; empty: none.
    pub api_version: String,
    /// Which models may be asked for.
    pub models: Models,
    /// What mode `auto` means for this provider. Default: by kind and host.
    pub dialect: DialectChoice,
    /// Modes refused by models that are remembered, so that `auto` does not try them again. Default 256.
    pub modes_refused_max: usize,
    /// Milliseconds for which they are. Default 3,600,000.
    pub modes_refused_ms: u64,
    /// How the limit on output tokens is called by the kind `openai`. Default: by host.
    pub max_tokens_field: MaxTokensField,
    /// Output tokens of an attempt of a job that names no limit, where the kind demands one (Anthropic). Default 8,192.
    pub output_tokens: u32,
    /// What tokens of its models cost.
    pub prices: Prices,
    /// Milliseconds for name, TCP and TLS. Default 5,000.
    pub connect_ms: u64,
    /// Milliseconds from sending the request to the first byte of the answer's body. Default 60,000.
    pub first_byte_ms: u64,
    /// Milliseconds of silence allowed later; any byte, also of a comment, ends the silence. Default 30,000.
    pub idle_ms: u64,
    /// Bytes of one event of the stream. Default 4 MiB: some servers send a tool call's arguments whole.
    pub event_bytes_max: usize,
    /// Bytes of one line of the stream. Default 4 MiB.
    pub line_bytes_max: usize,
    /// Bytes of an answer that is not streamed. Default 16 MiB.
    pub body_bytes_max: usize,
    /// Bytes read of an error's body; the rest is not read. Default 16 KiB.
    pub body_error_bytes_max: usize,
    /// Parallel tool calls of one answer: items of a list under `wrap: iterable`. Default 128.
    pub calls_max: u32,
    /// Milliseconds that usage may follow the finish frame; later it is not waited for. Default 2,000.
    pub after_finish_ms: u64,
    /// Milliseconds an unused connection is kept; below the provider's own keep-alive. Default 20,000.
    pub pool_idle_ms: u64,
}

impl RemoteOptions {
    /// A provider with every default.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            kind: Kind::OpenAi,
            base_url: base_url.into(),
            key: None,
            key_header: KeyHeader::ByHost,
            api_version: String::new(),
            models: Models::Any,
            dialect: DialectChoice::ByHost,
            modes_refused_max: 256,
            modes_refused_ms: 3_600_000,
            max_tokens_field: MaxTokensField::ByHost,
            output_tokens: 8_192,
            prices: Prices::default(),
            connect_ms: 5_000,
            first_byte_ms: 60_000,
            idle_ms: 30_000,
            event_bytes_max: 4 << 20,
            line_bytes_max: 4 << 20,
            body_bytes_max: 16 << 20,
            body_error_bytes_max: 16 << 10,
            calls_max: 128,
            after_finish_ms: 2_000,
            pool_idle_ms: 20_000,
        }
    }

    /// Whether the configuration lists `model` by itself.
    pub(in crate::llm) fn lists(&self, model: &str) -> bool {
        match &self.models {
            Models::Any => false,
            Models::Only(models) => models.iter().any(|listed| listed == model),
        }
    }

    /// Whether `model` is `provider/model` with this provider's name and one of its models.
    pub(in crate::llm) fn owns(&self, model: &str) -> bool {
        let Some(bare) = self.without_prefix(model) else {
            return false;
        };
        match &self.models {
            Models::Any => !bare.is_empty(),
            Models::Only(_) => self.lists(bare),
        }
    }

    pub(in crate::llm) fn without_prefix<'a>(&self, model: &'a str) -> Option<&'a str> {
        model.strip_prefix(&self.name)?.strip_prefix('/')
    }

    /// The base URL, the kind's own where none is given; empty where it has none.
    pub fn base_url(&self) -> &str {
        match self.kind {
            _ if !self.base_url.is_empty() => &self.base_url,
            // Whom this kind asks differs too much to guess.
            Kind::OpenAi => "",
            Kind::Anthropic => "https://api.anthropic.com/v1",
            Kind::Gemini => "https://generativelanguage.googleapis.com/v1beta",
            Kind::Ollama => "http://127.0.0.1:11434/api",
            Kind::Responses => "https://api.openai.com/v1",
        }
    }
}

/// In which header the key stands, where servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHeader {
    /// `api-key` at Azure, `Authorization` elsewhere.
    ByHost,
    /// `Authorization: Bearer`.
    Authorization,
    /// `api-key`, as Azure has it, also behind an address of one's own.
    ApiKey,
}

/// Which models of a provider may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// Any: the provider decides.
    Any,
    /// Only these.
    Only(Vec<String>),
}

/// What mode `auto` means for a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectChoice {
    /// What its kind, and its host, do best.
    ByHost,
    /// This.
    Always(Dialect),
}

/// How the limit on output tokens is called in the request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_completion_tokens` at OpenAI and Azure, whose reasoning models refuse the old name; `max_tokens`
    /// elsewhere, where many servers know only that.
    ByHost,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
    /// `max_tokens`.
    MaxTokens,
}
