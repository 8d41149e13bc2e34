//! What is known of providers by their kind and host: where the key goes, how the request is worded, and what they do
//! best. Local servers (vLLM, llama.cpp, LM Studio) have no host of their own, and are served by the defaults.

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName};

use super::options::{DialectChoice, KeyHeader, MaxTokensField, RemoteOptions};
use crate::llm::kind::Kind;
use crate::llm::openai::{Manner, Thinks};
use crate::schema::dialect::Dialect;

/// A header of Azure, in front of any kind of model there.
const API_KEY: HeaderName = HeaderName::from_static("api-key");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

const MISTRAL: &str = "mistral.ai";
const OPENROUTER: &str = "openrouter.ai";
const DEEPSEEK: &str = "deepseek.com";
/// What mode `auto` means at hosts that speak OpenAI's formats: those of OpenAI hold an answer to the schema, others take
/// no schema, or not while they stream.
const DIALECTS: &[(&str, Dialect)] = &[
    ("openai.com", Dialect::JsonSchemaStrict),
    ("azure.com", Dialect::JsonSchemaStrict),
    ("groq.com", Dialect::Tools),
    (DEEPSEEK, Dialect::Json),
];

/// Whether `url` is at `domain` or below it.
fn is_at(url: &Url, domain: &str) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_azure(url: &Url) -> bool {
    is_at(url, "azure.com")
}

/// The header that the key stands in, and what stands before it there.
pub(super) fn key_header(options: &RemoteOptions, base: &Url) -> (HeaderName, &'static str) {
    let is_azure = match options.key_header {
        KeyHeader::ByHost => is_azure(base),
        KeyHeader::Authorization => false,
        KeyHeader::ApiKey => true,
    };
    match options.kind {
        Kind::OpenAi | Kind::Responses if is_azure => (API_KEY, ""),
        Kind::OpenAi | Kind::Responses | Kind::Ollama => (AUTHORIZATION, "Bearer "),
        Kind::Anthropic => (X_API_KEY, ""),
        Kind::Gemini => (X_GOOG_API_KEY, ""),
    }
}

/// How a chat completion is asked for there.
pub(super) fn manner(options: &RemoteOptions, base: &Url) -> Manner {
    let is_new = match options.max_tokens_field {
        MaxTokensField::ByHost => is_at(base, "openai.com") || is_azure(base),
        MaxTokensField::MaxCompletionTokens => true,
        MaxTokensField::MaxTokens => false,
    };
    // It refuses every field it does not know, and tells usage always.
    let is_mistral = is_at(base, MISTRAL);
    Manner {
        max_tokens: if is_new {
            "max_completion_tokens"
        } else {
            "max_tokens"
        },
        seed: if is_mistral { "random_seed" } else { "seed" },
        asks_usage: !is_mistral,
        hands_on: is_at(base, OPENROUTER),
        thinks: match () {
            () if is_at(base, OPENROUTER) => Thinks::Object,
            () if is_at(base, DEEPSEEK) => Thinks::Switch,
            () => Thinks::Effort,
        },
    }
}

/// What mode `auto` means there.
pub(super) fn dialect(options: &RemoteOptions, base: &Url) -> Dialect {
    match (options.dialect, options.kind) {
        (DialectChoice::Always(dialect), _) => dialect,
        // Every model takes tools, the older ones nothing else.
        (DialectChoice::ByHost, Kind::Anthropic) => Dialect::Tools,
        (DialectChoice::ByHost, Kind::OpenAi | Kind::Responses) => {
            let known = DIALECTS.iter().find(|(domain, _)| is_at(base, domain));
            known.map_or(Dialect::JsonSchema, |(_, dialect)| *dialect)
        }
        // Calls come whole from Gemini and Ollama, text as it is written.
        (DialectChoice::ByHost, Kind::Gemini | Kind::Ollama) => Dialect::JsonSchema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str) -> (RemoteOptions, Url) {
        (RemoteOptions::new("a", base), Url::parse(base).unwrap())
    }

    #[test]
    fn hosts_are_known_by_their_domain() {
        for (base, header, max_tokens, best) in [
            (
                "https://api.openai.com/v1",
                "authorization",
                "max_completion_tokens",
                Dialect::JsonSchemaStrict,
            ),
            (
                "https://x.openai.azure.com/openai/v1",
                "api-key",
                "max_completion_tokens",
                Dialect::JsonSchemaStrict,
            ),
            (
                "https://notopenai.com/v1",
                "authorization",
                "max_tokens",
                Dialect::JsonSchema,
            ),
            (
                "https://api.groq.com/openai/v1",
                "authorization",
                "max_tokens",
                Dialect::Tools,
            ),
            (
                "https://api.deepseek.com/v1",
                "authorization",
                "max_tokens",
                Dialect::Json,
            ),
            (
                "http://127.0.0.1:8000/v1",
                "authorization",
                "max_tokens",
                Dialect::JsonSchema,
            ),
        ] {
            let (options, url) = at(base);
            assert_eq!(key_header(&options, &url).0, header, "{base}");
            assert_eq!(manner(&options, &url).max_tokens, max_tokens, "{base}");
            assert_eq!(dialect(&options, &url), best, "{base}");
        }
        let (mut options, url) = at("https://api.mistral.ai/v1");
        let mistral = manner(&options, &url);
        assert_eq!((mistral.seed, mistral.asks_usage), ("random_seed", false));
        options.dialect = DialectChoice::Always(Dialect::MdJson);
        assert_eq!(dialect(&options, &url), Dialect::MdJson);
        let (options, url) = at("https://openrouter.ai/api/v1");
        assert!(manner(&options, &url).hands_on);
    }
}
