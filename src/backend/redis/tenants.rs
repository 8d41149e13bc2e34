//! What tenants may have, and who is paused: kept in each shard, so that a claim there sees it in its own step.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Redis, flag};
use crate::backend::{BackendError, Paused, Share, Shares};

/// Tenants of one step.
const TENANTS_MAX: usize = 500;
/// In the place of a tenant: any that is not named, or all of them.
const ANY: &str = "";

impl Redis {
    /// A bound of a tenant is divided over the shards as others are, each part rounded up: of `n` jobs that may run, over `s`
    /// shards at most `n + s - 1` do.
    pub(super) async fn set_shares(&self, shares: &Shares) -> Result<(), BackendError> {
        let own = shares.own.iter().map(|(tenant, share)| (&**tenant, share));
        let all: Vec<(&str, String)> = own
            .filter(|(tenant, _)| !tenant.is_empty())
            .chain([(ANY, &shares.each)])
            .map(|(tenant, share)| (tenant, self.share_text(*share)))
            .collect();
        for shard in 0..self.keys.count() {
            let mut step = self.on(&self.scripts.govern, shard);
            step.arg(TENANTS_MAX);
            for (tenant, share) in &all {
                step.arg(*tenant).arg(share);
            }
            while self.link.step::<u8>(&step).await? == 1 {
                step = self.on(&self.scripts.govern, shard);
                step.arg(TENANTS_MAX);
            }
        }
        Ok(())
    }

    fn share_text(&self, share: Share) -> String {
        let part = |all: u32| self.keys.share(all as usize);
        format!(
            "{} {} {}",
            share.weight.max(1),
            part(share.running_max),
            part(share.queued_max)
        )
    }

    pub(super) async fn set_paused(&self, tenant: Option<&str>, paused: bool) -> Result<bool, BackendError> {
        for shard in 0..self.keys.count() {
            let mut step = self.on(&self.scripts.pause, shard);
            step.arg(tenant.unwrap_or(ANY)).arg(flag(paused));
            step.arg(Paused::TENANTS_MAX);
            // All shards hold the same names: the first has no room where none has.
            if self.link.step::<u8>(&step).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Of a pause that reached some shards and not others, it holds: who asked for it was not answered, and asks again.
    pub(super) async fn all_paused(&self) -> Result<Paused, BackendError> {
        let mut asked = redis::pipe();
        for shard in 0..self.keys.count() {
            asked.cmd("SMEMBERS").arg(self.keys.paused(shard));
        }
        let mut paused = Paused::default();
        let told: Vec<BTreeSet<String>> = self.ask_all(&asked).await?;
        for tenant in told.into_iter().flatten() {
            match tenant.as_str() {
                ANY => paused.all = true,
                tenant => {
                    paused.tenants.insert(Arc::from(tenant));
                }
            }
        }
        Ok(paused)
    }
}
