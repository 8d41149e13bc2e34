//! The one door to time, randomness and ids.
//!
//! Nothing else in the house reads a clock, sleeps or draws a random number (`clippy.toml` holds this), so a test
//! that pauses tokio's time has all of it in its hand.
#![allow(clippy::disallowed_methods)]

use std::cell::Cell;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use uuid::Uuid;

/// Milliseconds since 1970, rising with tokio's clock and not with steps of the wall clock.
pub fn now_ms() -> u64 {
    let (wall, start) = start();
    wall.saturating_add(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// When the clock was first looked at: in milliseconds since 1970, and as an instant.
fn start() -> (u64, Instant) {
    static START: OnceLock<(u64, Instant)> = OnceLock::new();
    if SEED.get().is_some() {
        let start = SEEDED_START.get().unwrap_or_else(Instant::now);
        SEEDED_START.set(Some(start));
        return (SEEDED_START_MS, start);
    }
    *START.get_or_init(|| {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (
            u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            Instant::now(),
        )
    })
}

/// The instant now, for deadlines.
pub fn now() -> Instant {
    Instant::now()
}

/// Waits for `time`.
pub async fn sleep(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits until `deadline`.
pub async fn sleep_until(deadline: Instant) {
    tokio::time::sleep_until(deadline).await;
}

/// A timer that is set again and again.
#[derive(Debug)]
pub struct Timer(Pin<Box<tokio::time::Sleep>>);

impl Timer {
    /// One that goes off at `deadline`.
    pub fn at(deadline: Instant) -> Self {
        Self(Box::pin(tokio::time::sleep_until(deadline)))
    }

    /// Has it go off at `deadline`, and not when it was to before.
    pub fn set(&mut self, deadline: Instant) {
        self.0.as_mut().reset(deadline);
    }

    /// Waits until it has gone off. May be dropped and called again.
    pub async fn gone_off(&mut self) {
        self.0.as_mut().await;
    }
}

/// The first instant at or behind `at` that lies on a beat of `every`, which is the same for the whole process; `at` itself
/// where there is none.
pub fn on_beat(at: Instant, every: Duration) -> Instant {
    let (_, start) = start();
    let every = every.as_nanos();
    if every == 0 {
        return at;
    }
    let nanos = |rest: u128| Duration::from_nanos(u64::try_from(rest).unwrap_or(0));
    match at.checked_duration_since(start) {
        Some(since) => at + nanos((every - since.as_nanos() % every) % every),
        // A paused clock may stand before the start of another.
        None => at + nanos((start - at).as_nanos() % every),
    }
}

/// When the clock of a simulation begins, in milliseconds since 1970.
const SEEDED_START_MS: u64 = 1_700_000_000_000;

thread_local! {
    static SEED: Cell<Option<u64>> = const { Cell::new(None) };
    static SEEDED_START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Makes all randomness of this thread follow from a seed, and its clock begin anew with its first look, so that a
/// simulation on one thread can be run again; `None` makes both as they were.
pub fn seed(seed: Option<u64>) {
    SEED.set(seed);
    SEEDED_START.set(None);
}

/// A new job id: UUIDv7, so ids sort by time of submission.
pub fn job_uuid() -> Uuid {
    match SEED.get() {
        None => Uuid::now_v7(),
        Some(_) => {
            let random = (u128::from(nonce()) << 64 | u128::from(nonce())).to_be_bytes();
            let mut tail = [0; 10];
            tail.copy_from_slice(&random[..10]);
            uuid::Builder::from_unix_timestamp_millis(now_ms(), &tail).into_uuid()
        }
    }
}

/// 64 random bits, never zero.
pub fn nonce() -> u64 {
    if let Some(state) = SEED.get() {
        // SplitMix64 (Steele, Lea, Flood 2014).
        let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SEED.set(Some(state));
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        return (mixed ^ (mixed >> 31)).max(1);
    }
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // The fixed version and variant bits of a v4 UUID lie in different places of the two halves.
    (high ^ low.rotate_left(17)).max(1)
}

/// 256 random bits of the system's, for a secret; no seed makes them follow.
///
/// # Errors
/// The system gives none.
pub fn secret() -> Result<[u8; 32], getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(bits)
}

/// A random duration below `limit`.
pub fn jitter(limit: Duration) -> Duration {
    let share = (nonce() >> 11) as f64 / (1u64 << 53) as f64;
    limit.mul_f64(share)
}
