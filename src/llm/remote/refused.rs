//! Which modes a provider has refused for a model: `auto` does not try them again for a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::options::RemoteOptions;
use crate::clock;
use crate::recent::Recent;
use crate::schema::dialect::Dialect;

/// What the provider has refused, by model and mode.
#[derive(Debug)]
pub(in crate::llm) struct RefusedModes {
    until: Mutex<Recent<(String, Dialect), Instant>>,
    kept: Duration,
}

impl RefusedModes {
    pub(super) fn new(options: &RemoteOptions) -> Self {
        Self {
            until: Mutex::new(Recent::new(options.modes_refused_max, usize::MAX)),
            kept: Duration::from_millis(options.modes_refused_ms),
        }
    }

    /// The provider has refused a mode for a model, and taken another.
    pub(in crate::llm) fn note(&self, model: &str, dialect: Dialect) {
        let until = clock::now() + self.kept;
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert((model.to_owned(), dialect), until, 0);
    }

    /// Whether it has, not long ago.
    pub(in crate::llm) fn knows(&self, model: &str, dialect: Dialect) -> bool {
        let mut all = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let until = all.get(&(model.to_owned(), dialect));
        until.is_some_and(|until| *until > clock::now())
    }
}
