//! The reaper and the promoter: every worker takes back what others lost, and wakes what has waited long enough.

use std::sync::Arc;

use super::WorkerOptions;
use crate::backend::Backend;
use crate::clock;
use crate::event::Epoch;

/// Reaps and promotes about once in a tick, for ever. No leader: the steps are idempotent.
pub(super) async fn reap(backend: Arc<dyn Backend>, options: WorkerOptions) {
    let tick = options.reap_tick;
    loop {
        clock::sleep(tick / 2 + clock::jitter(tick)).await;
        while turn(&*backend, options.reap_max).await {}
    }
}

/// One step of each; whether there may be more to do at once.
async fn turn(backend: &dyn Backend, limit: usize) -> bool {
    let mut epoch = || Epoch::new(clock::nonce());
    let (reaped, unviewed) = match backend.reap(limit, &mut epoch).await {
        Ok(reaped) => (reaped.recovering + reaped.ended, reaped.unviewed),
        Err(error) => {
            tracing::warn!(%error, "leases cannot be reaped");
            (0, 0)
        }
    };
    if reaped > 0 {
        tracing::warn!(jobs = reaped, "leases ran out");
    }
    if unviewed > 0 {
        tracing::info!(jobs = unviewed, "jobs are cancelled that nobody views any more");
    }
    let promoted = match backend.promote(limit, &mut epoch).await {
        Ok(promoted) => promoted,
        Err(error) => {
            tracing::warn!(%error, "waiting jobs cannot be promoted");
            0
        }
    };
    reaped.max(unviewed).max(promoted) >= limit
}
