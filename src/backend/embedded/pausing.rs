//! Pauses: stored before they hold, so that a restart finds them.

use super::{Embedded, Shared};
use crate::backend::BackendError;
use crate::store::{Store, StoreError};

/// What stands in the store in the place of a tenant where the whole queue is paused.
const ALL: &str = "";

impl Embedded {
    pub(super) async fn set_paused(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError> {
        // One behind the other, so that the store and the line have the same last word.
        let _turn = self.pausing.lock().await;
        let mut wanted = self.lock().state.line.paused().clone();
        if !wanted.set(tenant, paused) {
            return Ok(false);
        }
        if let Some(durable) = &self.durable {
            let stored = durable.writing.store.pause(tenant.unwrap_or(ALL), paused).await;
            stored.map_err(|error| match error {
                StoreError::Full => BackendError::NoRoom(error.to_string()),
                other => BackendError::Unavailable(other.to_string()),
            })?;
        }
        self.lock().state.line.pause(tenant, paused);
        self.shared.work.notify_one();
        Ok(true)
    }
}

impl Shared {
    /// The pauses of before.
    pub(super) async fn take_up_pauses(&self, store: &Store) -> Result<(), StoreError> {
        let pauses = store.pauses().await?;
        let mut inner = self.lock();
        for tenant in pauses {
            let tenant = (tenant != ALL).then_some(&*tenant);
            inner.state.line.pause(tenant, true);
        }
        Ok(())
    }
}
