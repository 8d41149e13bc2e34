//! The closed set of providers, and which model belongs to which.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use super::chain::{ChainOptions, Target};
use super::chunk::{Chunk, LlmError};
use super::health::{Barred, BreakerOptions, Pass};
use super::modes;
use super::news::{News, Teller};
use super::price::Price;
use super::remote::{Models, Remote, RemoteOptions, RemoteStream};
use super::request::Request;
use super::scripted::{Scripted, ScriptedStream};
use crate::job::{Script, ScriptedPrefill};
use crate::nearest::nearest;
use crate::schema::dialect::{Dialect, Taken, subset};

/// The scripted model's name, everywhere.
pub(super) const SCRIPTED: &str = "scripted";

/// Output tokens that an answer of the scripted model is thought to have where nobody says how many.
const SCRIPTED_TOKENS: u32 = 8_192;

/// What the application's configuration says about models.
#[derive(Clone, Debug)]
pub struct ProvidersOptions {
    /// Offer the scripted model beside real providers; without any provider it is always offered. Default: true.
    pub scripted: bool,
    /// Providers over HTTP, in order of preference.
    pub remote: Vec<RemoteOptions>,
    /// Names that stand for several models, one after the other.
    pub chains: Vec<ChainOptions>,
    /// When a model is given up for a while.
    pub breaker: BreakerOptions,
}

impl Default for ProvidersOptions {
    fn default() -> Self {
        Self {
            scripted: true,
            remote: Vec::new(),
            chains: Vec::new(),
            breaker: BreakerOptions::default(),
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
    /// A chain that cannot be asked.
    #[error("chain `{name}`: {reason}")]
    Chain {
        /// Which chain.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
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
    chains: Vec<(String, Vec<Target>)>,
    teller: Teller,
}

impl Providers {
    /// Builds the HTTP clients; nothing is connected yet.
    ///
    /// # Errors
    /// A name that is taken, a base URL or key that cannot be used, an HTTP client that cannot be made.
    pub fn new(options: ProvidersOptions) -> Result<Self, ProvidersError> {
        let scripted = options.scripted || options.remote.is_empty();
        for chain in &options.chains {
            if let Some(reason) = chain.fault(&options) {
                let name = chain.name.clone();
                return Err(ProvidersError::Chain { name, reason });
            }
        }
        let mut names = vec![String::new(), SCRIPTED.to_owned()];
        let (mut remote, teller) = (Vec::new(), Teller::default());
        for one in options.remote {
            if names.contains(&one.name) {
                return Err(ProvidersError::Name(one.name));
            }
            names.push(one.name.clone());
            let one = Remote::new(one, options.breaker.clone(), teller.clone())?;
            remote.push(Arc::new(Provider::Remote(Box::new(one))));
        }
        let mut providers = Self {
            scripted: scripted.then(|| Arc::new(Provider::Scripted(Scripted::new()))),
            remote,
            chains: Vec::new(),
            teller,
        };
        let chains = options.chains.into_iter().map(|one| providers.chain(one));
        providers.chains = chains.collect::<Result<_, _>>()?;
        Ok(providers)
    }

    fn chain(&self, options: ChainOptions) -> Result<(String, Vec<Target>), ProvidersError> {
        let fault = |reason: String| ProvidersError::Chain {
            name: options.name.clone(),
            reason,
        };
        let target = |model: &String| self.target(model).map_err(|unknown| fault(unknown.to_string()));
        let targets = options.models.iter().map(target).collect::<Result<_, _>>()?;
        Ok((options.name, targets))
    }

    /// What this node finds from now on that others had better know. It is told at once, and to nobody where nobody hears.
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.teller.hear()
    }

    /// Takes over what another node has found. Of a provider that is not known here there is nothing to be known.
    pub fn hear(&self, news: &News) {
        let mut all = self.remote.iter().filter_map(|provider| provider.remote());
        if let Some(one) = all.find(|one| one.name() == news.provider) {
            one.health().heard(&news.model, news.bar, news.wait);
        }
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
        names.extend(self.chains.iter().map(|(name, _)| name.clone()));
        names
    }

    /// What is asked for `model`, in its order: the models of the chain of this name, or the one it names. Never none.
    ///
    /// # Errors
    /// Nobody answers for it.
    pub fn route(&self, model: &str) -> Result<Vec<Target>, UnknownModel> {
        match self.chains.iter().find(|(name, _)| name == model) {
            Some((_, targets)) => Ok(targets.clone()),
            None => Ok(vec![self.target(model)?]),
        }
    }

    fn target(&self, model: &str) -> Result<Target, UnknownModel> {
        Ok(Target {
            provider: self.resolve(model)?,
            model: model.to_owned(),
        })
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
        by(&|one| one.options().lists(model))
            .or_else(|| by(&|one| one.options().owns(model)))
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

    /// What mode `auto` means here, before the schema is looked at ([`plan`](crate::schema::dialect::plan)).
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

    /// Which schemas an offered model takes in a mode, as far as that is known of its kind and name.
    pub fn takes(&self, offered: &str, dialect: Dialect) -> Taken {
        match self {
            Self::Remote(provider) => modes::takes(provider.kind(), provider.model_name(offered), dialect),
            Self::Scripted(_) if dialect.mode().strict => Taken::Within(&subset::OPENAI),
            Self::Scripted(_) => Taken::Whole,
        }
    }

    /// Whether an offered model has refused a mode not long ago.
    pub fn has_refused(&self, offered: &str, dialect: Dialect) -> bool {
        match self {
            Self::Remote(provider) => provider.refused().knows(provider.model_name(offered), dialect),
            Self::Scripted(_) => false,
        }
    }

    /// Remembers that an offered model has refused a mode, and taken another.
    pub fn note_refused(&self, offered: &str, dialect: Dialect) {
        match self {
            Self::Remote(provider) => provider.refused().note(provider.model_name(offered), dialect),
            Self::Scripted(_) => {}
        }
    }

    /// What a million tokens of a model cost, by its name at the provider, where that is known.
    pub fn price(&self, model: &str) -> Option<&Price> {
        self.remote()?.price(model)
    }

    /// Leave to ask a model now, by its name at the provider. The scripted model fails only where it is told to, and is
    /// always well.
    ///
    /// # Errors
    /// It is to be left alone: it said so, or it fails again and again.
    pub fn admit(&self, model: &str) -> Result<Pass, Barred> {
        self.remote()
            .map_or_else(|| Ok(Pass::free()), |one| one.health().admit(model))
    }

    /// Nobody asks a model for so long.
    pub fn block(&self, model: &str, wait: Duration) {
        if let Some(one) = self.remote() {
            one.health().block(model, wait);
        }
    }

    /// Output tokens that an answer may have as long as nobody says how many.
    pub fn output_tokens(&self) -> u32 {
        self.remote().map_or(SCRIPTED_TOKENS, |one| one.output_tokens())
    }

    /// Asks the model. Dropping the future closes the connection, also before the first byte.
    ///
    /// # Errors
    /// The request was not answered with a stream: connection, status, time, content type.
    pub async fn open(&self, request: &Request) -> Result<Stream, LlmError> {
        let source = match self {
            Self::Remote(provider) => Source::Remote(Box::new(provider.open(request).await?)),
            Self::Scripted(provider) => Source::Scripted(Box::new(provider.open(request).await?)),
        };
        Ok(Stream {
            source,
            pass: Pass::free(),
        })
    }

    /// The same with leave, which hears what comes of it.
    ///
    /// # Errors
    /// As [`Provider::open`].
    pub async fn open_with(&self, mut pass: Pass, request: &Request) -> Result<Stream, LlmError> {
        match self.open(request).await {
            Ok(stream) => Ok(Stream { pass, ..stream }),
            Err(error) => {
                pass.failed(&error);
                Err(error)
            }
        }
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
pub struct Stream {
    source: Source,
    pass: Pass,
}

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
    pub async fn next(&mut self) -> Option<Result<Chunk<'_>, LlmError>> {
        let next = match &mut self.source {
            Source::Remote(stream) => stream.next().await,
            Source::Scripted(stream) => stream.next().await,
        };
        match &next {
            Some(Ok(_)) => self.pass.answered(),
            Some(Err(error)) => self.pass.failed(error),
            None => {}
        }
        next
    }

    /// Whether the model has finished: what is still to come, its usage and the end, is not waited for long.
    pub fn is_ending(&self) -> bool {
        match &self.source {
            Source::Remote(stream) => stream.is_ending(),
            Source::Scripted(_) => false,
        }
    }

    /// The next piece, where one has been read already.
    pub fn ready(&mut self) -> Option<Chunk<'_>> {
        match &mut self.source {
            Source::Remote(stream) => stream.ready(),
            Source::Scripted(_) => None,
        }
    }
}
