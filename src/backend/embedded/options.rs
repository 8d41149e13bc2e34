//! What bounds the engine.

use crate::job::LeaseTimes;

/// Bounds and times of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// Leases.
    pub lease: LeaseTimes,
    /// Jobs that may wait in line.
    pub queued_max: usize,
    /// Deliveries of a job that may fail before it ends.
    pub deliveries_max: u32,
    /// How long an ended job is kept, ms.
    pub retention_ms: u64,
    /// How many ended jobs are kept.
    pub retained_max: usize,
    /// How long an idempotency key is remembered, ms.
    pub idempotency_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lease: LeaseTimes::default(),
            queued_max: 10_000,
            deliveries_max: 5,
            retention_ms: 60 * 60 * 1_000,
            retained_max: 10_000,
            idempotency_ms: 24 * 60 * 60 * 1_000,
        }
    }
}
