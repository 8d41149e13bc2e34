//! The models that a job may be answered by, in their order, and the one that is asked now.

use std::sync::Arc;

use super::prepare::{Prepared, Preparing, Unfit};
use crate::llm::{LlmError, Providers, Target, UnknownModel};

/// A job's models: one, or those of a chain.
pub(super) struct Route {
    targets: Result<Vec<Target>, UnknownModel>,
    at: usize,
    /// For the one that is asked.
    prepared: Option<Arc<Prepared>>,
    /// What viewers were not told yet of the modes it is asked in.
    warnings: Vec<String>,
}

impl Route {
    /// At its first. What admission has checked is checked again: the configuration may have changed since.
    pub(super) fn of(providers: &Providers, model: &str) -> Self {
        Self {
            targets: providers.route(model),
            at: 0,
            prepared: None,
            warnings: Vec::new(),
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
        let prepared = preparing.whole(target).await?;
        Ok(self.take(prepared))
    }

    /// Asks the same model in another mode, where it has refused this one and the job leaves that open; false where
    /// there is none.
    pub(super) async fn lower(&mut self, preparing: &Preparing, error: &LlmError) -> bool {
        let Some(refused) = &self.prepared else {
            return false;
        };
        let lower = preparing.lower(refused, error).await;
        lower.map(|lower| self.take(lower)).is_some()
    }

    fn take(&mut self, prepared: Prepared) -> Arc<Prepared> {
        let mut prepared = prepared;
        self.warnings.append(&mut prepared.warnings);
        let prepared = Arc::new(prepared);
        self.prepared = Some(Arc::clone(&prepared));
        prepared
    }

    /// What viewers are to be told of modes, each once.
    pub(super) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// Whether the first is asked.
    pub(super) const fn is_first(&self) -> bool {
        self.at == 0
    }

    /// The model of this name, as `provider/model`, if it is one of the job's.
    pub(super) fn named(&self, name: &str) -> Option<&Target> {
        let targets = self.targets.as_ref().ok()?;
        targets.iter().find(|target| target.to_string() == name)
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
