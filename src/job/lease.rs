//! The right to work: tokens, leases, and the arithmetic of waiting.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What every write of a worker carries. Compared for equality only: a bare counter repeats after a failover that
/// lost writes, the nonce does not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct LeaseToken {
    /// Which claim of the job this is, from 1.
    pub delivery: u32,
    /// Drawn by the claimer, new for every claim that is sent.
    pub nonce: u64,
}

/// A token and the time until which it is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// The right.
    pub token: LeaseToken,
    /// Its end, milliseconds since 1970 by the engine's clock.
    pub until_ms: u64,
}

/// The times of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseTimes {
    /// How long a lease is good without being extended, ms.
    pub lease_ms: u64,
    /// How often it is extended, ms.
    pub extend_ms: u64,
    /// How long a worker may take to end a job that was cancelled before the reaper ends it, ms.
    pub cancel_grace_ms: u64,
    /// How many leases may be lost without progress before the job is poison.
    pub losses_max: u32,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            lease_ms: 15_000,
            extend_ms: 5_000,
            cancel_grace_ms: 5_000,
            losses_max: 3,
        }
    }
}

impl fmt::Display for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:016x}", self.delivery, self.nonce)
    }
}

/// The longest wait before delivery `n + 1` after `n` failed ones: doubling from one second, at most a minute. The
/// caller draws the wait below it (full jitter).
pub fn backoff_ms(deliveries: u32) -> u64 {
    1_000_u64
        .saturating_mul(1 << deliveries.saturating_sub(1).min(6))
        .min(60_000)
}
