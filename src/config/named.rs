//! Parts of which there may be several, each with a name: what stands for `*` in a key.

use super::Config;
use super::key::names_in;
use crate::access::{ApiKey, KeyHash, Scopes};
use crate::backend::TenantOptions;
use crate::job::SCRIPTED;
use crate::llm::{ChainOptions, Price, RemoteOptions};

/// Where OpenAI itself is.
const OPENAI: (&str, &str) = ("openai", "https://api.openai.com/v1");

/// A kind of named parts.
pub(super) struct Named {
    /// Their section, as in `providers.*`.
    pub(super) section: &'static str,
    /// A name that stands for any in the file to begin with.
    pub(super) example: &'static str,
    /// What a name may have beside letters, digits and `-`.
    pub(super) also: &'static str,
    /// The name that none of them may have.
    pub(super) reserved: Option<&'static str>,
    /// How many there may be.
    pub(super) count_max: usize,
    /// The names there are, in their order.
    pub(super) names: fn(&Config) -> Vec<String>,
    /// Makes the one of this name, if it is not there.
    pub(super) make: fn(&mut Config, &str),
}

/// Every kind.
pub(super) const NAMED: &[Named] = &[
    Named {
        section: "keys.*",
        example: "ci",
        also: ".",
        reserved: None,
        count_max: 1_024,
        names: |config| {
            config
                .parts
                .server
                .keys
                .iter()
                .map(|one| one.id.clone())
                .collect()
        },
        make: |config, name| {
            config.key(name);
        },
    },
    Named {
        section: "tenants.*",
        example: "acme",
        also: "_.:@",
        reserved: None,
        count_max: 1_024,
        names: |config| {
            let own = &config.parts.tenants.own;
            own.iter().map(|one| one.name.clone()).collect()
        },
        make: |config, name| {
            config.tenant(name);
        },
    },
    Named {
        section: "providers.*",
        example: OPENAI.0,
        also: "_",
        reserved: Some(SCRIPTED),
        count_max: 64,
        names: |config| {
            config
                .parts
                .providers
                .remote
                .iter()
                .map(|one| one.name.clone())
                .collect()
        },
        make: |config, name| {
            config.provider(name);
        },
    },
    Named {
        section: "providers.*.prices.*",
        example: "openai/gpt-5",
        also: "_.:/@*",
        reserved: None,
        count_max: 1_024,
        names: |config| {
            let remote = &config.parts.providers.remote;
            let named = |one: &RemoteOptions| -> Vec<String> {
                let models = one.prices.models();
                models.map(|model| format!("{}/{model}", one.name)).collect()
            };
            remote.iter().flat_map(named).collect()
        },
        make: |config, name| {
            config.price(name);
        },
    },
    Named {
        section: "models.*",
        example: "best",
        also: "_.",
        reserved: Some(SCRIPTED),
        count_max: 64,
        names: |config| {
            let chains = &config.parts.providers.chains;
            chains.iter().map(|one| one.name.clone()).collect()
        },
        make: |config, name| {
            config.chain(name);
        },
    },
];

/// The kind whose section this is.
pub(super) fn kind(section: &str) -> Option<&'static Named> {
    NAMED.iter().find(|named| named.section == section)
}

impl Named {
    /// What stands before the name.
    pub(super) fn head(&self) -> &'static str {
        self.section.split('.').next().unwrap_or_default()
    }

    /// Makes the one of this name, if there may be another.
    pub(super) fn admit(&self, config: &mut Config, name: &str) -> Result<(), String> {
        let names = (self.names)(config);
        if names.len() >= self.count_max && !names.iter().any(|known| known == name) {
            return Err(format!(
                "is one too many: there may be {} `{}`",
                self.count_max, self.section
            ));
        }
        (self.make)(config, name);
        Ok(())
    }
}

impl Config {
    /// The API key of this id, made without hash and tenant if it is not there.
    pub(super) fn key(&mut self, id: &str) -> &mut ApiKey {
        let all = &mut self.parts.server.keys;
        let at = all.iter().position(|one| one.id == id).unwrap_or_else(|| {
            all.push(ApiKey {
                id: id.to_owned(),
                sha256: KeyHash::NONE,
                tenant: String::new(),
                scopes: Scopes::default(),
                expires: None,
            });
            all.len() - 1
        });
        &mut all[at]
    }

    /// What the tenant of this name may have, made as all have it if it is not there.
    pub(super) fn tenant(&mut self, name: &str) -> &mut TenantOptions {
        let all = &mut self.parts.tenants.own;
        let at = all.iter().position(|one| one.name == name).unwrap_or_else(|| {
            all.push(TenantOptions::new(name));
            all.len() - 1
        });
        &mut all[at]
    }

    /// The price of a model, named behind its provider; both are made if they are not there.
    pub(super) fn price(&mut self, name: &str) -> &mut Price {
        let (provider, model) = names_in(name);
        self.provider(provider).prices.entry(model)
    }

    /// The chain of this name, made without models if it is not there.
    pub(super) fn chain(&mut self, name: &str) -> &mut ChainOptions {
        let all = &mut self.parts.providers.chains;
        let at = all.iter().position(|one| one.name == name).unwrap_or_else(|| {
            all.push(ChainOptions {
                name: name.to_owned(),
                models: Vec::new(),
            });
            all.len() - 1
        });
        &mut all[at]
    }

    /// The provider of this name, made with every default if it is not there.
    pub(super) fn provider(&mut self, name: &str) -> &mut RemoteOptions {
        let all = &mut self.parts.providers.remote;
        let at = all.iter().position(|one| one.name == name).unwrap_or_else(|| {
            let base_url = if name == OPENAI.0 { OPENAI.1 } else { "" };
            all.push(RemoteOptions::new(name, base_url));
            all.len() - 1
        });
        &mut all[at]
    }
}
