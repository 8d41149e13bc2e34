//! What bounds the engine.

use crate::job::LeaseTimes;

/// Bounds and times of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EngineOptions {
    /// Leases.
    pub lease: LeaseTimes,
    /// Jobs that may wait, in line or for their time.
    pub queued_max: usize,
    /// About how long a job may have to wait in line, by how fast jobs leave it, ms; 0: any time.
    pub line_wait_max_ms: u64,
    /// About how many bytes the requests of jobs that have not ended may take.
    pub asked_bytes_max: usize,
    /// How long a job that was put back may still wait at the start, ms: more is so by a clock that was set back.
    pub wait_max_ms: u64,
    /// How often in a row the process may end while a job runs, without progress, before the job ends.
    pub restarts_max: u32,
    /// Deliveries of a job that may fail before it ends.
    pub deliveries_max: u32,
    /// How long an ended job is kept, and its idempotency key with it, ms.
    pub retention_ms: u64,
    /// How many ended jobs are kept.
    pub retained_max: usize,
    /// About how many bytes of ended jobs are kept: their values and the tails of their logs.
    pub retained_bytes_max: usize,
    /// How long a job that was given up is kept with what it asks for, ms.
    pub dead_ms: u64,
    /// How many of them.
    pub dead_max: usize,
    /// About how many bytes of them, their requests included.
    pub dead_bytes_max: usize,
    /// Bytes of a running job's log that may be told before they are stored; what is less waits for
    /// `checkpoint_ms`.
    pub checkpoint_bytes: usize,
    /// How long a change of a running job may be told before it is stored, ms.
    pub checkpoint_ms: u64,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            lease: LeaseTimes::default(),
            queued_max: 10_000,
            line_wait_max_ms: 60 * 60 * 1_000,
            asked_bytes_max: 512 * 1024 * 1024,
            wait_max_ms: 60 * 60 * 1_000,
            restarts_max: 10,
            deliveries_max: 5,
            retention_ms: 60 * 60 * 1_000,
            retained_max: 10_000,
            retained_bytes_max: 512 * 1024 * 1024,
            dead_ms: 7 * 24 * 60 * 60 * 1_000,
            dead_max: 1_000,
            dead_bytes_max: 256 * 1024 * 1024,
            checkpoint_bytes: 16 * 1024,
            checkpoint_ms: 1_000,
        }
    }
}
