//! Providers that speak OpenAI's chat completions: OpenAI itself, and by base URL vLLM, llama.cpp, Groq, OpenRouter,
//! Mistral, DeepSeek, Azure, LM Studio, Ollama's `/v1` and many more.

mod options;

pub use options::{MaxTokensField, Models, OpenAiOptions};

use super::chunk::{Chunk, LlmError, LlmErrorKind};
use super::provider::ProvidersError;
use super::request::Request;
use crate::schema::dialect::Dialect;

/// One OpenAI-compatible provider.
#[derive(Debug)]
pub struct OpenAi {
    options: OpenAiOptions,
}

impl OpenAi {
    pub(super) fn new(options: OpenAiOptions) -> Result<Self, ProvidersError> {
        Ok(Self { options })
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

    pub(super) async fn open(&self, _request: &Request) -> Result<OpenAiStream, LlmError> {
        Err(LlmError::new(LlmErrorKind::Connect, "not built yet"))
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(super) struct OpenAiStream;

impl OpenAiStream {
    pub(super) async fn next(&mut self) -> Option<Result<Chunk, LlmError>> {
        None
    }
}
