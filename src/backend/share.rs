//! What a tenant may have of an engine, and which tenants get nothing for now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one tenant may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Its weight in the line: of two tenants with jobs in line, one of weight 2 is served twice as much as one of 1.
    pub weight: u32,
    /// Its jobs that may run at a time; 0: any number.
    pub running_max: u32,
    /// Its jobs that may wait, in line or for their time; 0: any number.
    pub queued_max: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            weight: 1,
            running_max: 0,
            queued_max: 0,
        }
    }
}

/// What every tenant may have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shares {
    /// A tenant that is not named below.
    pub each: Share,
    /// Those that are.
    pub own: BTreeMap<Arc<str>, Share>,
}

impl Shares {
    /// What this tenant may have.
    pub fn of(&self, tenant: &str) -> Share {
        self.own.get(tenant).copied().unwrap_or(self.each)
    }
}

/// Settings of what tenants may have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TenantsOptions {
    /// Jobs of one tenant that may run at a time; 0: any number. Default: 0.
    pub running_max: u32,
    /// Jobs of one tenant that may wait; 0: as many as of all. Default: 0.
    pub queued_max: u32,
    /// Tenants that have more or less than others.
    pub own: Vec<TenantOptions>,
}

/// Settings of one tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantOptions {
    /// Whose they are.
    pub name: String,
    /// Its weight in the line. Default: 1.
    pub weight: u32,
    /// In the place of that of all; `None`: that.
    pub running_max: Option<u32>,
    /// In the place of that of all; `None`: that.
    pub queued_max: Option<u32>,
}

impl TenantOptions {
    /// One that has what all have.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            weight: Share::default().weight,
            running_max: None,
            queued_max: None,
        }
    }
}

impl TenantsOptions {
    /// What they come to.
    pub fn shares(&self) -> Shares {
        let share = |one: &TenantOptions| Share {
            weight: one.weight,
            running_max: one.running_max.unwrap_or(self.running_max),
            queued_max: one.queued_max.unwrap_or(self.queued_max),
        };
        Shares {
            each: Share {
                running_max: self.running_max,
                queued_max: self.queued_max,
                ..Share::default()
            },
            own: self
                .own
                .iter()
                .map(|one| (one.name.as_str().into(), share(one)))
                .collect(),
        }
    }
}

/// Who gets no worker for now: what runs goes on, what is in line waits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Paused {
    /// Nobody gets one.
    pub all: bool,
    /// These tenants get none.
    pub tenants: BTreeSet<Arc<str>>,
}

impl Paused {
    /// Tenants that may be paused at a time.
    pub const TENANTS_MAX: usize = 1_000;

    /// Whether this tenant is paused, or the whole queue where none is named.
    pub fn has(&self, tenant: Option<&str>) -> bool {
        match tenant {
            None => self.all,
            Some(tenant) => self.tenants.contains(tenant),
        }
    }

    /// Sets it. Returns false where as many are paused as may, and nothing was changed.
    pub(super) fn set(&mut self, tenant: Option<&str>, paused: bool) -> bool {
        match tenant {
            None => self.all = paused,
            Some(tenant) if !paused => {
                self.tenants.remove(tenant);
            }
            Some(tenant) => {
                let room = self.tenants.len() < Self::TENANTS_MAX || self.tenants.contains(tenant);
                if !room {
                    return false;
                }
                self.tenants.insert(tenant.into());
            }
        }
        true
    }
}
