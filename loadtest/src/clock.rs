//! The one door to time: model server and viewers share this process, so one clock measures both ends.
#![allow(clippy::disallowed_methods)]

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Microseconds since the first call.
pub(crate) fn micros() -> u64 {
    micros_at(Instant::now())
}

/// The microsecond of an instant; 0 before the first call.
pub(crate) fn micros_at(instant: Instant) -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(Instant::now);
    u64::try_from(instant.saturating_duration_since(start).as_micros()).unwrap_or(u64::MAX)
}

/// Seconds since 1970, to date a result.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |passed| passed.as_secs())
}

/// Waits for `time`.
pub(crate) async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits for a microsecond of [`micros`]; returns at once where it has passed.
pub(crate) async fn sleep_until(at: u64) {
    sleep(Duration::from_micros(at.saturating_sub(micros()))).await;
}

/// Puts this thread to sleep; by how many microseconds it woke late.
pub(crate) fn nap(time: Duration) -> u64 {
    let begun = std::time::Instant::now();
    std::thread::sleep(time);
    let late = begun.elapsed().saturating_sub(time);
    u64::try_from(late.as_micros()).unwrap_or(u64::MAX)
}

/// Ticks every `every`, first after `phase`. A late tick is made up for at once: the rate holds as a mean, and what
/// waits for a token that is late is not counted as the server's delay.
pub(crate) fn ticks(phase: Duration, every: Duration) -> Interval {
    let mut interval = tokio::time::interval_at(Instant::now() + phase, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Burst);
    interval
}
