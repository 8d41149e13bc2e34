//! What many ask for at the same time, and which therefore leaves together (`gather`).

use std::sync::Arc;

use super::gather::{Gather, Held, Item, Kind};
use super::keys::Keys;
use super::link::Link;
use super::queue::{GRACE_MS, text_of};
use super::scripts::Scripts;
use crate::backend::BackendError;
use crate::backend::embedded::EngineOptions;
use crate::backend::own::status;
use crate::job::JobState;

/// Appends, submissions and ends that leave together.
const WRITES_MAX: usize = 64;
/// Promises that are waited for together: all that came before, since what comes behind waits as long once more.
const PROMISES_MAX: usize = 4_096;
/// Claims that do: each is answered with all that a job asks for and has so far.
const CLAIMS_MAX: usize = 16;

/// The kinds.
#[derive(Debug)]
pub(super) struct Gathers {
    pub(super) appends: Gather,
    pub(super) submissions: Gather,
    pub(super) claims: Gather,
    pub(super) finishes: Gather,
    pub(super) promises: Gather,
}

impl Gathers {
    /// Must be called on the runtime on which all are sent.
    pub(super) fn new(
        link: &Arc<Link>,
        keys: &Arc<Keys>,
        scripts: &Scripts,
        engine: &EngineOptions,
        held: Held,
    ) -> Result<Self, BackendError> {
        let writes = |script: &redis::Script, head| Kind {
            script: script.clone(),
            head,
            together_max: WRITES_MAX,
            outlives_caller: true,
            held: None,
        };
        let mut submission = Item::new();
        submission
            .arg(keys.share(engine.queued_max))
            .arg(keys.share(engine.asked_bytes_max))
            .arg(text_of(&status(JobState::Queued, None, None))?);
        submission.arg(engine.retention_ms).arg(GRACE_MS);
        submission.arg(engine.line_wait_max_ms);
        let mut claim = Item::new();
        claim
            .arg(engine.lease.lease_ms)
            .arg(text_of(&status(JobState::Running, None, None))?);
        let mut finish = Item::new();
        finish.arg(engine.retention_ms).arg(GRACE_MS);
        // A job that nobody waits for any more is given to nobody, where that is known in time.
        let claims = Kind {
            script: scripts.claim.clone(),
            head: claim,
            together_max: CLAIMS_MAX,
            outlives_caller: false,
            held: None,
        };
        let promises = Kind {
            script: scripts.mark.clone(),
            head: Item::new(),
            together_max: PROMISES_MAX,
            outlives_caller: false,
            held: Some(held),
        };
        Ok(Self {
            appends: Gather::new(link, keys, writes(&scripts.append, Item::new())),
            submissions: Gather::new(link, keys, writes(&scripts.submit, submission)),
            claims: Gather::new(link, keys, claims),
            finishes: Gather::new(link, keys, writes(&scripts.finish, finish)),
            promises: Gather::new(link, keys, promises),
        })
    }
}
