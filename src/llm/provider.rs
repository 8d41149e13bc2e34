//! The closed set of providers, and which model belongs to which.

use std::sync::Arc;

use super::chunk::{Chunk, LlmError};
use super::remote::{Models, Remote, RemoteOptions, RemoteStream};
use super::request::Request;
use super::scripted::{Scripted, ScriptedStream};
use crate::job::{Script, ScriptedPrefill};
use crate::nearest::nearest;
use crate::schema::dialect::Dialect;

/// The scripted model's name, everywhere.
const SCRIPTED: &str = "scripted";

/// What the application's configuration says about models.
#[derive(Clone, Debug)]
pub struct ProvidersOptions {
    /// Offer the scripted model beside real providers; without any provider it is always offered. Default: true.
    pub scripted: bool,
    /// Providers over HTTP, in order of preference.
    pub remote: Vec<RemoteOptions>,
}

impl Default for ProvidersOptions {
    fn default() -> Self {
        Self {
            scripted: true,
            remote: Vec::new(),
        }
    }
}

/// A configuration of providers that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProvidersError {
    /// Two providers carry the same name, or one is named like the scripted model, or not at all.
    #[error("provider name `{0}` is empty, taken or reserved")]
    Name(String),
    /// The base URL is no plain http(s) URL, or carries credentials or a query.
    #[error("provider `{name}`: {reason}")]
    BaseUrl {
        /// Which provider.
        name: String,
        /// What is wrong with it; never the URL itself.
        reason: &'static str,
    },
    /// The key cannot be a header's value.
    #[error("provider `{0}`: the key holds characters that no header may carry")]
    Key(String),
    /// The HTTP client could not be made (mostly: no trusted certificates on this machine).
    #[error("provider `{name}`: {reason}")]
    Client {
        /// Which provider.
        name: String,
        /// What the client said.
        reason: String,
    },
}

/// A model nobody here offers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown model `{model}`{}", hint(nearest.as_deref()))]
pub struct UnknownModel {
    /// What was asked for.
    pub model: String,
    /// The offered name that looks most like it, if one is near.
    pub nearest: Option<String>,
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// Every model that can be asked.
#[derive(Debug)]
pub struct Providers {
    scripted: Option<Arc<Provider>>,
    remote: Vec<Arc<Provider>>,
}

impl Providers {
    /// Builds the HTTP clients; nothing is connected yet.
    ///
    /// # Errors
    /// A name that is taken, a base URL or key that cannot be used, an HTTP client that cannot be made.
    pub fn new(options: ProvidersOptions) -> Result<Self, ProvidersError> {
        let scripted = options.scripted || options.remote.is_empty();
        let mut names = vec![String::new(), SCRIPTED.to_owned()];
        let mut remote = Vec::new();
        for one in options.remote {
            if names.contains(&one.name) {
                return Err(ProvidersError::Name(one.name));
            }
            names.push(one.name.clone());
            remote.push(Arc::new(Provider::Remote(Box::new(Remote::new(one)?))));
        }
        Ok(Self {
            scripted: scripted.then(|| Arc::new(Provider::Scripted(Scripted::new()))),
            remote,
        })
    }

    /// The offered names. A provider that takes any model is listed as `name/*`.
    pub fn models(&self) -> Vec<String> {
        let mut names: Vec<String> = self.scripted.iter().map(|_| SCRIPTED.to_owned()).collect();
        for provider in self.remote.iter().filter_map(|provider| provider.remote()) {
            match provider.models() {
                Models::Any => names.push(format!("{}/*", provider.name())),
                Models::Only(models) => {
                    for model in models {
                        if !names.contains(model) {
                            names.push(model.clone());
                        }
                    }
                }
            }
        }
        names
    }

    /// Who answers for `model`: the first provider that lists the name, or the one named in `provider/model`, or the
    /// first that takes any.
    ///
    /// # Errors
    /// Nobody does.
    pub fn resolve(&self, model: &str) -> Result<Arc<Provider>, UnknownModel> {
        if let (SCRIPTED, Some(provider)) = (model, &self.scripted) {
            return Ok(Arc::clone(provider));
        }
        let by = |rule: &dyn Fn(&Remote) -> bool| {
            let found = self
                .remote
                .iter()
                .find(|provider| provider.remote().is_some_and(rule));
            found.map(Arc::clone)
        };
        by(&|one| one.lists(model))
            .or_else(|| by(&|one| one.owns(model)))
            .or_else(|| {
                by(&|one| matches!(one.models(), Models::Any) && model != SCRIPTED && !model.is_empty())
            })
            .ok_or_else(|| UnknownModel {
                model: model.to_owned(),
                nearest: nearest(model, &self.models()).map(str::to_owned),
            })
    }
}

/// Someone who answers: a closed set.
#[derive(Debug)]
pub enum Provider {
    /// A model asked over HTTP, by any of the [kinds](super::Kind) of speech.
    Remote(Box<Remote>),
    /// The built-in model for demos, tests and load.
    Scripted(Scripted),
}

impl Provider {
    /// The provider's name in the configuration; `scripted` for the scripted model.
    pub fn name(&self) -> &str {
        match self {
            Self::Remote(provider) => provider.name(),
            Self::Scripted(_) => SCRIPTED,
        }
    }

    /// The name of an offered model at the provider itself: `provider/model` loses its first half.
    pub fn model_name<'a>(&self, offered: &'a str) -> &'a str {
        match self {
            Self::Remote(provider) => provider.model_name(offered),
            Self::Scripted(_) => offered,
        }
    }

    /// What mode `auto` means here, before the schema's root is looked at (`schema::dialect::fitting`).
    pub fn native_dialect(&self) -> Dialect {
        match self {
            Self::Remote(provider) => provider.dialect(),
            Self::Scripted(_) => Dialect::JsonSchema,
        }
    }

    /// Whether a model, by its name as it is offered, is known to go on from the beginning of an answer. What the
    /// scripted one does is its script's.
    pub fn goes_on(&self, model: &str, script: &Script) -> bool {
        match self {
            Self::Remote(provider) => provider.prefill(model).is_some(),
            Self::Scripted(_) => script.prefill != ScriptedPrefill::None,
        }
    }

    /// Asks the model. Dropping the future closes the connection, also before the first byte.
    ///
    /// # Errors
    /// The request was not answered with a stream: connection, status, time, content type.
    pub async fn open(&self, request: &Request) -> Result<Stream, LlmError> {
        Ok(Stream(match self {
            Self::Remote(provider) => Source::Remote(Box::new(provider.open(request).await?)),
            Self::Scripted(provider) => Source::Scripted(Box::new(provider.open(request).await?)),
        }))
    }

    fn remote(&self) -> Option<&Remote> {
        match self {
            Self::Remote(provider) => Some(provider),
            Self::Scripted(_) => None,
        }
    }
}

/// An answer on its way. Dropping it closes the provider's connection.
#[derive(Debug)]
pub struct Stream(Source);

#[derive(Debug)]
enum Source {
    Remote(Box<RemoteStream>),
    Scripted(Box<ScriptedStream>),
}

impl Stream {
    /// The next piece; `None` after the finish or after an error. One read from the socket may hold many pieces:
    /// they are queued, so the calls after it return at once.
    ///
    /// Cancel-safe: a dropped call loses nothing.
    ///
    /// # Errors
    /// The stream broke; it is over then. An end without the finish frame is [`super::LlmErrorKind::Cut`].
    pub async fn next(&mut self) -> Option<Result<Chunk, LlmError>> {
        match &mut self.0 {
            Source::Remote(stream) => stream.next().await,
            Source::Scripted(stream) => stream.next().await,
        }
    }
}
