//! What comes back from a model, piece by piece, and how it goes wrong.

use std::borrow::Cow;
use std::time::Duration;

use crate::job::Usage;

/// One piece of an answer. Usage comes before the finish; nothing comes after it. Its texts lie in the stream's own
/// buffer, so that a piece costs no memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk<'a> {
    /// More of the message's text.
    Text(Cow<'a, str>),
    /// More of a tool call.
    Call {
        /// Which of the parallel calls.
        index: u32,
        /// The call's id, on its first piece.
        id: Option<Cow<'a, str>>,
        /// The tool's name, on its first piece.
        name: Option<Cow<'a, str>>,
        /// More of the arguments' JSON text; may be empty.
        arguments: Cow<'a, str>,
    },
    /// More of the model's thinking, where the provider tells it.
    Reasoning(Cow<'a, str>),
    /// More of the reason why the model will not answer.
    Refusal(Cow<'a, str>),
    /// What the answer cost; at most once.
    Usage(Usage),
    /// The provider's finish frame; the stream is over.
    Finish(Finish),
}

impl Chunk<'_> {
    /// The same, for who keeps it.
    pub fn into_owned(self) -> Chunk<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Text(text) => Chunk::Text(owned(text)),
            Self::Call {
                index,
                id,
                name,
                arguments,
            } => Chunk::Call {
                index,
                id: id.map(owned),
                name: name.map(owned),
                arguments: owned(arguments),
            },
            Self::Reasoning(text) => Chunk::Reasoning(owned(text)),
            Self::Refusal(text) => Chunk::Refusal(owned(text)),
            Self::Usage(usage) => Chunk::Usage(usage),
            Self::Finish(finish) => Chunk::Finish(finish),
        }
    }
}

/// Why an answer is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model was done, or met a stop text.
    Stop,
    /// The limit on tokens was met.
    Length,
    /// The provider's filter stepped in.
    ContentFilter,
    /// The model was done and called tools.
    ToolCalls,
    /// A reason this list does not know, in the provider's word.
    Other(String),
}

/// A model that did not answer, or stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.code())]
pub struct LlmError {
    /// What went wrong.
    pub kind: LlmErrorKind,
    /// Safe to show: no key, no URL with credentials, no headers.
    pub message: String,
    /// How long the provider asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
}

impl LlmError {
    /// An error without HTTP status and advice.
    pub fn new(kind: LlmErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after: None,
            status: None,
        }
    }
}

/// What went wrong between us and a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LlmErrorKind {
    /// No connection (name, TCP, TLS, time).
    Connect,
    /// The request was sent and not one byte of an answer came in time.
    FirstByteTimeout,
    /// The answer fell silent.
    IdleTimeout,
    /// 429.
    RateLimited,
    /// 402, or a 429 that says so: the account's quota or money is used up, and waiting does not help.
    Quota,
    /// 503, 529: busy, not broken.
    Overloaded,
    /// 401, 403.
    Unauthorized,
    /// 400 and the other refusals of the request itself.
    BadRequest,
    /// A refusal of the request that says that it does not have the mode.
    UnsupportedMode,
    /// A refusal of the request that says that it does not take the schema in this mode.
    UnsupportedSchema,
    /// The provider does not know the model.
    UnknownModel,
    /// 5xx.
    Server,
    /// A malformed frame, a frame over a limit, a wrong content type.
    BadStream,
    /// An error object inside a stream that began well.
    InStream,
    /// The stream ended without the finish frame.
    Cut,
}

impl LlmErrorKind {
    /// Whether it says that the provider does not do well just now, so that another call may meet a better moment,
    /// whatever was asked; others say that it answers, though not what was hoped for.
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Connect
            | Self::FirstByteTimeout
            | Self::IdleTimeout
            | Self::Overloaded
            | Self::Server
            | Self::BadStream
            | Self::InStream
            | Self::Cut => true,
            Self::RateLimited
            | Self::Quota
            | Self::Unauthorized
            | Self::BadRequest
            | Self::UnsupportedMode
            | Self::UnsupportedSchema
            | Self::UnknownModel => false,
        }
    }

    /// Every kind, for tables and metrics.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::FirstByteTimeout,
        Self::IdleTimeout,
        Self::RateLimited,
        Self::Quota,
        Self::Overloaded,
        Self::Unauthorized,
        Self::BadRequest,
        Self::UnsupportedMode,
        Self::UnsupportedSchema,
        Self::UnknownModel,
        Self::Server,
        Self::BadStream,
        Self::InStream,
        Self::Cut,
    ];

    /// The stable name in `snake_case`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::BadRequest => "bad_request",
            Self::UnsupportedMode => "unsupported_mode",
            Self::UnsupportedSchema => "unsupported_schema",
            Self::UnknownModel => "unknown_model",
            Self::Server => "server",
            Self::BadStream => "bad_stream",
            Self::InStream => "in_stream",
            Self::Cut => "cut",
        }
    }
}
