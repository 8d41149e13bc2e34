//! Models that are asked one after the other, under a name of their own.

use std::sync::Arc;

use super::price::Price;
use super::provider::{Provider, ProvidersOptions, SCRIPTED};

/// A chain, as the configuration says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChainOptions {
    /// What a job names as its model.
    pub name: String,
    /// What is asked for it: the first, and where that one cannot be asked the next. Each as a job may name it, but no
    /// chain.
    pub models: Vec<String>,
}

/// Models of one chain, at most.
const MODELS_MAX: usize = 8;

impl ChainOptions {
    /// What is wrong with it beside these providers.
    pub fn fault(&self, beside: &ProvidersOptions) -> Option<String> {
        let is_offered = beside.scripted || beside.remote.is_empty();
        let is_known = |model: &str| {
            (model == SCRIPTED && is_offered)
                || beside
                    .remote
                    .iter()
                    .any(|one| one.lists(model) || one.owns(model))
        };
        let count = self.models.len();
        if !(1..=MODELS_MAX).contains(&count) {
            return Some(format!("names 1 to {MODELS_MAX} models, not {count}"));
        }
        let is_taken = beside.chains.iter().filter(|one| one.name == self.name).count() > 1;
        if self.name.is_empty() || is_taken || is_known(&self.name) {
            return Some("is the name of another model".to_owned());
        }
        let unknown = self.models.iter().find(|model| !is_known(model))?;
        Some(format!(
            "names {unknown:?}: give `provider/model` with a provider and a model of it, or `{SCRIPTED}` where that is offered"
        ))
    }
}

/// One model, and who answers for it.
#[derive(Clone, Debug)]
pub struct Target {
    /// Who answers.
    pub provider: Arc<Provider>,
    /// The model, as a job may name it.
    pub model: String,
}

impl Target {
    /// The model's name at its provider.
    pub fn model_name(&self) -> &str {
        self.provider.model_name(&self.model)
    }

    /// What a million of its tokens cost, where that is known.
    pub fn price(&self) -> Option<&Price> {
        self.provider.price(self.model_name())
    }
}

/// As records and viewers are told it: `provider/model`.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.provider.name(), self.model_name()) {
            (provider, model) if provider == model => f.write_str(model),
            (provider, model) => write!(f, "{provider}/{model}"),
        }
    }
}
