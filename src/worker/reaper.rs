//! The reaper and the promoter: every worker takes back what others lost, and wakes what has waited long enough.

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Backend;
use crate::clock;
use crate::event::Epoch;

/// Jobs handled in one step.
const BATCH_MAX: usize = 100;

/// Reaps and promotes about once in `tick`, for ever. No leader: the steps are idempotent.
pub(super) async fn reap(backend: Arc<dyn Backend>, tick: Duration) {
    loop {
        clock::sleep(tick / 2 + clock::jitter(tick)).await;
        let mut epoch = || Epoch::new(clock::nonce());
        match backend.reap(BATCH_MAX, &mut epoch).await {
            Ok(reaped) if reaped.recovering + reaped.ended > 0 => {
                tracing::warn!(
                    recovering = reaped.recovering,
                    ended = reaped.ended,
                    "leases ran out"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "leases cannot be reaped"),
        }
        if let Err(error) = backend.promote(BATCH_MAX, &mut epoch).await {
            tracing::warn!(%error, "waiting jobs cannot be promoted");
        }
    }
}
