//! The invariants of an engine, behind every step of random ways through its contract: one reference, the same steps, the
//! embedded engine and the real scripts in a Redis of the test's own. Answers are lost, steps are
//! refused, writes are sent again, workers go on as zombies, time passes, and the engine fails over to what a lagging
//! replica had.
//!
//! | invariant | is looked at |
//! |---|---|
//! | I1 one current token; every entry was written under it | `seen::must_hold`, and every answer is the reference's |
//! | I2 one end, and nothing behind it | `seen::is_a_log` |
//! | I3 no gap; (epoch, seq) → bytes for ever; openings (E1, E5) | `seen::is_a_log`, `Seen::note` |
//! | I4 fold(snapshot, tail) = what the raw text says | `World::worker`, `seen::is_as_it_should_be` |
//! | I5 in exactly one of line, leases, waiting | `seen::must_hold` by the counts, `seen::should_be` in Redis's own keys |
//! | I6 no tenant has more running than it may | `Store::next`, of every job that is given |
//! | I7 every job comes to its end | `World::end` |
//! | I8 a key names one job | `World::submit_again`, against the reference |
//! | I9 nothing but the end behind an acknowledged cancel | `seen::ends_behind` |
//! | I10 who holds a position holds what the log had there | `World::hear`, `World::poll` |
//! | I11 deliveries and losses are bounded, a deferral costs none | `seen::is_bounded`, the reference's count |
//! | I12 who is in line together is charged alike, by weight | `fair::Ledger` |
//! | I13 nothing is left when all is over | `World::end`, `Engine::must_be_empty` |
//!
//! `INVARIANT_CASES=n` makes as many ways of each engine, of at most `INVARIANT_STEPS=n` steps.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails; what came about is counted aloud"
)]

mod engine;
mod fair;
mod found;
mod seen;
mod step;
mod store;
mod worker;
mod world;

use std::sync::Arc;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{Appended, Fenced};
use livedraft::job::{JobSpec, LeaseTimes};
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestError, TestRunner};

use self::engine::Engine;
use self::step::{Step, step};
use self::worker::Told;
use self::world::World;
use crate::redis_server::RedisServer;

/// Time passes by hundreds of seconds, and everything is due in between: the time that a case itself takes decides nothing.
const LEASE_MS: u64 = 250_000;
const GRACE_MS: u64 = 150_000;
const WAIT_MS: u64 = 350_000;
const RETRY_MS: u64 = 150_000;
const RETENTION_MS: u64 = 2_050_000;
const DEAD_MS: u64 = 5_050_000;
const LOSSES_MAX: u32 = 2;
const DELIVERIES_MAX: u32 = 2;
const QUEUED_MAX: usize = 6;
const REASKS_MAX: u32 = JobSpec::DEFAULT_REASKS;

fn options() -> EngineOptions {
    EngineOptions {
        lease: LeaseTimes {
            lease_ms: LEASE_MS,
            cancel_grace_ms: GRACE_MS,
            losses_max: LOSSES_MAX,
            ..LeaseTimes::default()
        },
        queued_max: QUEUED_MAX,
        // Time passes by so much that any job would wait too long.
        line_wait_max_ms: 0,
        deliveries_max: DELIVERIES_MAX,
        retention_ms: RETENTION_MS,
        dead_ms: DEAD_MS,
        ..EngineOptions::default()
    }
}

/// A request, the longer and dearer the greater its size.
fn spec(size: u8) -> JobSpec {
    let input = "x".repeat(usize::from(size) * 4_000);
    let spec = serde_json::json!({"model": "scripted", "input": input, "schema": {}});
    serde_json::from_value(spec).expect("a spec")
}

/// What a job is thought to cost, tokens: an answer of a thousand, and a token for every four bytes that it asks.
fn cost_of(spec: &JobSpec) -> u64 {
    1_000 + spec.bytes() as u64 / 4
}

fn tenant_name(tenant: u8) -> String {
    format!("tenant-{tenant}")
}

/// How often what came about that is rare.
#[derive(Clone, Copy, Default, Debug)]
struct Counts {
    dup: u64,
    rolled_back: u64,
    zombies: u64,
    cancels: u64,
    takeovers: u64,
    claims_again: u64,
    reaped: u64,
    failovers: u64,
    repaired: u64,
    by_lineage: u64,
    full: u64,
    existing: u64,
    redriven: u64,
    ruled: u64,
    together: u64,
}

impl Counts {
    fn note(&mut self, told: &Told) {
        match told {
            Told::Append(Appended::Dup) | Told::Fenced(Fenced::Dup) => self.dup += 1,
            Told::Append(Appended::RolledBack(_)) | Told::Fenced(Fenced::RolledBack(_)) => {
                self.rolled_back += 1
            }
            Told::Append(Appended::Lost) | Told::Fenced(Fenced::Lost) => self.zombies += 1,
            Told::Append(Appended::Cancel) | Told::Fenced(Fenced::Cancel) => self.cancels += 1,
            Told::Append(Appended::Ok) | Told::Fenced(Fenced::Ok) => {}
        }
    }

    fn all(&mut self) -> [(&'static str, &mut u64); 15] {
        [
            ("a write sent again", &mut self.dup),
            ("a write rolled back", &mut self.rolled_back),
            ("a zombie refused", &mut self.zombies),
            ("a worker told of a cancel", &mut self.cancels),
            ("a takeover", &mut self.takeovers),
            ("a claim sent again", &mut self.claims_again),
            ("a lease reaped", &mut self.reaped),
            ("a failover", &mut self.failovers),
            ("a node that repaired a gap", &mut self.repaired),
            ("a snapshot by lineage", &mut self.by_lineage),
            ("a full line", &mut self.full),
            ("a key known before", &mut self.existing),
            ("a letter redriven", &mut self.redriven),
            ("a verdict", &mut self.ruled),
            ("tenants in line together for long", &mut self.together),
        ]
    }

    fn add(&mut self, mut more: Self) {
        for ((_, count), (_, more)) in self.all().into_iter().zip(more.all()) {
            *count += *more;
        }
    }
}

fn number(variable: &str, usual: u32) -> u32 {
    let given = std::env::var(variable).ok();
    given.map_or(usual, |given| given.parse().expect("a number"))
}

/// Tries so many ways over an engine; a failing one is made as short as can be and told.
fn try_ways(cases: u32, try_one: impl Fn(Vec<Step>) -> Counts) -> Counts {
    let config = Config {
        cases: number("INVARIANT_CASES", cases),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let steps = number("INVARIANT_STEPS", 120) as usize;
    let counts = std::cell::Cell::new(Counts::default());
    let ran = TestRunner::new(config).run(&vec(step(), 1..=steps), |way| {
        let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| try_one(way)));
        let came_about = tried.map_err(|why| {
            let text = why.downcast_ref::<String>().map(String::as_str);
            TestCaseError::fail(
                text.or_else(|| why.downcast_ref::<&str>().copied())
                    .unwrap_or("?")
                    .to_owned(),
            )
        })?;
        let mut all = counts.get();
        all.add(came_about);
        counts.set(all);
        Ok(())
    });
    match ran {
        Ok(()) => {}
        Err(TestError::Fail(why, way)) => panic!("{why}\nby {way:#?}"),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    counts.get()
}

/// The rare branches ran, or the run proves nothing.
fn must_have_come_about(mut counts: Counts) {
    println!("{counts:?}");
    for (what, times) in counts.all() {
        assert!(*times > 0, "{what}: never");
    }
}

async fn walk(engine: Engine, way: Vec<Step>) -> Counts {
    let mut world = World::new(engine);
    for step in way.into_iter().flat_map(Step::parts) {
        world.take(step).await;
    }
    world.end().await
}

fn paused() -> tokio::runtime::Runtime {
    // The house's clock begins now, and not at a time that a case has put ahead.
    livedraft::clock::now_ms();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap()
}

#[test]
fn the_embedded_engine_holds_them() {
    let over = |way| paused().block_on(walk(Engine::Embedded(Arc::new(Embedded::new(options()))), way));
    must_have_come_about(try_ways(256, over));
    for way in found::ways() {
        over(way);
    }
}

#[test]
fn the_scripts_hold_them() {
    let server = Arc::new(RedisServer::start());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let over = |way| runtime.block_on(async { walk(Engine::over(&server, 1).await, way).await });
    must_have_come_about(try_ways(160, over));
    for way in found::ways() {
        over(way);
    }
}
