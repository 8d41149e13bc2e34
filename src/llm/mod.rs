//! The model: providers, their request bodies and their streams.
//!
//! One [`Request`] goes in, a [`Stream`] of [`Chunk`]s comes out, whoever answers. Dropping the stream (or the
//! future of [`Provider::open`]) closes the provider's connection: that is how an attempt is cancelled.
//!
//! What is spoken is a [`Kind`]: each has a module with its body (the conversation, in its shape) and its decoder
//! (frames in, chunks out), both pure. `remote` is the HTTP they share, [`Reader`] the way from bytes to chunks.

mod anthropic;
mod body;
mod chain;
mod chunk;
mod chunks;
mod complaint;
mod few;
mod gathered;
mod gemini;
mod health;
mod kind;
mod lines;
mod modes;
mod news;
mod ollama;
mod openai;
mod price;
mod provider;
mod reader;
mod remote;
mod request;
mod responses;
mod scripted;
mod secret;
pub mod sse;
mod text;
mod turns;

pub use chain::{ChainOptions, Target};
pub use chunk::{Chunk, Finish, LlmError, LlmErrorKind};
pub use chunks::Chunks;
pub use health::{Bar, Barred, BreakerOptions, Pass};
pub use kind::Kind;
pub use modes::{MODE_ROWS, ModeRow};
pub use news::News;
pub use price::{Price, Prices};
pub use provider::{Provider, Providers, ProvidersError, ProvidersOptions, Stream, UnknownModel};
pub use reader::{Reader, ReaderLimits};
pub use remote::{
    DialectChoice, KeyHeader, MaxTokensField, Models, PrefillChoice, Probe, Remote, RemoteOptions,
    base_url_fault, probe,
};
pub use request::{Carrier, Prefill, Request, RestOf, Sampling};
pub use scripted::Scripted;
pub use secret::Secret;
