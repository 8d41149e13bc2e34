//! The model: providers, their request bodies and their streams.
//!
//! One [`Request`] goes in, a [`Stream`] of [`Chunk`]s comes out, whoever answers. Dropping the stream (or the
//! future of [`Provider::open`]) closes the provider's connection: that is how an attempt is cancelled.

mod chunk;
mod openai;
mod provider;
mod request;
mod scripted;
mod secret;
pub mod sse;

pub use chunk::{Chunk, Finish, LlmError, LlmErrorKind};
pub use openai::{MaxTokensField, Models, OpenAi, OpenAiOptions, Probe, base_url_fault, probe};
pub use provider::{Provider, Providers, ProvidersError, ProvidersOptions, Stream, UnknownModel};
pub use request::{Carrier, Request, Sampling};
pub use scripted::Scripted;
pub use secret::Secret;
