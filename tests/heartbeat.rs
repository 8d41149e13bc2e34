//! Leases outlive a worker that has no time for them: they are extended on a thread of their own.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::app::{Options, WorkerNode};
use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::Epoch;
use livedraft::job::{JobState, LeaseTimes};
use livedraft::worker::WorkerOptions;
use tokio::runtime::Builder;

use crate::redis_engine::submission;
use crate::redis_server::RedisServer;

const LEASE: Duration = Duration::from_secs(2);

fn lease() -> LeaseTimes {
    LeaseTimes {
        lease_ms: LEASE.as_millis() as u64,
        extend_ms: 500,
        ..LeaseTimes::default()
    }
}

fn options(redis: &RedisServer) -> Options {
    Options {
        redis: RedisOptions {
            url: Some(redis.url().parse().unwrap()),
            ..RedisOptions::default()
        },
        engine: EngineOptions {
            lease: lease(),
            ..EngineOptions::default()
        },
        worker: WorkerOptions {
            lease: lease(),
            // Nobody but the test takes leases back.
            reap_tick: Duration::from_secs(3_600),
            ..WorkerOptions::default()
        },
        ..Options::default()
    }
}

/// The only thread of a worker's runtime is busy for longer than its leases.
#[test]
fn leases_are_kept_while_a_worker_does_not_turn() {
    let redis = RedisServer::start();
    let theirs = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let ours = Builder::new_current_thread().enable_all().build().unwrap();
    let worker = theirs.block_on(async { WorkerNode::start(options(&redis)).await.unwrap() });
    ours.block_on(async {
        let engine = redis.engine(1, options(&redis).engine).await;
        let slow = r#"{"model":"scripted","input":"x","schema":{"type":"string"},
            "script":{"tokens_per_second":5,"text_chars":4000}}"#;
        let job = Submission {
            spec: Arc::new(serde_json::from_str(slow).unwrap()),
            ..submission(&engine, "one", None)
        };
        let id = job.id;
        engine.submit(job).await.unwrap();
        let state = async || engine.states(&[id]).await.unwrap()[0].clone().unwrap().status;
        // It has begun to write: it knows of its lease.
        let reached = async || engine.positions(&[id]).await.unwrap()[0].unwrap().seq;
        while reached().await < 4 {}
        let (free, parked) = std::sync::mpsc::channel::<()>();
        theirs.spawn(async move { parked.recv() });
        let mut epoch = || Epoch::new(clock::nonce());
        let until = clock::now() + 3 * LEASE;
        while clock::now() < until {
            assert_eq!(engine.reap(100, &mut epoch).await.unwrap(), Reaped::default());
        }
        drop(free);
        assert_eq!(state().await, JobState::Running);
        engine.cancel(id, Epoch::new(clock::nonce())).await.unwrap();
        while !state().await.is_end() {}
    });
    theirs.block_on(worker.stop());
}
