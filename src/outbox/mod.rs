//! The way of ends into the archive, beside the hot path.

use std::time::Duration;

use tokio::sync::watch;

use crate::archive::Archive;
use crate::clock;
use crate::store::StoreError;

/// Moves what the outbox holds until the sender of `working` is gone, and then once more: jobs still end while the
/// server goes down.
pub async fn run(archive: Archive, mut working: watch::Receiver<()>) {
    let options = *archive.options();
    let mut forget_at = clock::now();
    loop {
        let done = working.has_changed().is_err();
        if clock::now() >= forget_at {
            forget_at = clock::now() + Duration::from_millis(options.forget_ms);
            told(until_done(|| archive.forget(clock::now_ms())).await);
            told(archive.tidy(clock::now_ms()).await);
        }
        told(until_done(|| archive.drain()).await);
        if done {
            return;
        }
        tokio::select! {
            _ = working.changed() => {}
            () = clock::sleep(Duration::from_millis(options.outbox_ms)) => {}
        }
    }
}

async fn until_done<F: Future<Output = Result<bool, StoreError>>>(
    mut step: impl FnMut() -> F,
) -> Result<(), StoreError> {
    while step().await? {}
    Ok(())
}

/// What could not be moved stays where it is, and is tried again.
fn told(result: Result<(), StoreError>) {
    if let Err(error) = result {
        tracing::warn!(%error, "the archive cannot be written now");
    }
}
