//! The models that a job may be answered by, in their order, and the one that is asked now.

use std::sync::Arc;

use super::prepare::{Prepared, Preparing, Unfit};
use crate::llm::{Providers, Target, UnknownModel};

/// A job's models: one, or those of a chain.
pub(super) struct Route {
    targets: Result<Vec<Target>, UnknownModel>,
    at: usize,
    /// For the one that is asked.
    prepared: Option<Arc<Prepared>>,
}

impl Route {
    /// At its first. What admission has checked is checked again: the configuration may have changed since.
    pub(super) fn of(providers: &Providers, model: &str) -> Self {
        Self {
            targets: providers.route(model),
            at: 0,
            prepared: None,
        }
    }

    /// What it takes to ask the model that is asked now, made once.
    pub(super) async fn prepared(&mut self, preparing: &Preparing) -> Result<Arc<Prepared>, Unfit> {
        if let Some(prepared) = &self.prepared {
            return Ok(Arc::clone(prepared));
        }
        let targets = self.targets.as_ref().map_err(|unknown| Unfit {
            code: "unknown_model",
            message: unknown.to_string(),
        })?;
        let target = targets[self.at].clone();
        let prepared = Arc::new(preparing.whole(target).await?);
        self.prepared = Some(Arc::clone(&prepared));
        Ok(prepared)
    }

    /// The model behind the one that is asked now.
    pub(super) fn next(&self) -> Option<&Target> {
        self.targets.as_ref().ok()?.get(self.at + 1)
    }

    /// From now on the next is asked; false where there is none.
    pub(super) fn advance(&mut self) -> bool {
        let there = self.next().is_some();
        if there {
            self.at += 1;
            self.prepared = None;
        }
        there
    }
}
