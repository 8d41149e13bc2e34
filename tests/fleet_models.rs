//! What one worker of a fleet has found of a model the others keep to: over Redis, and without it each by itself.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::app::{Options, WorkerNode};
use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::Event;
use livedraft::job::JobState;
use livedraft::llm::ProvidersOptions;

use crate::llm_openai::server::{Server, answer, options};
use crate::redis_engine::submission;
use crate::redis_server::RedisServer;

async fn worker(redis: &RedisServer, model: &Server) -> WorkerNode {
    let options = Options {
        redis: RedisOptions {
            url: Some(redis.url().parse().unwrap()),
            ..RedisOptions::default()
        },
        providers: ProvidersOptions {
            remote: vec![options(&model.base)],
            ..ProvidersOptions::default()
        },
        ..Options::default()
    };
    WorkerNode::start(options).await.unwrap()
}

/// Submits a job, and waits until it is put back because the model is asked too often.
async fn put_back(engine: &Redis) {
    let spec = r#"{"model":"test/m","input":"x","schema":{"type":"object"}}"#;
    let own = Submission {
        spec: Arc::new(serde_json::from_str(spec).unwrap()),
        ..submission(engine, "one", None)
    };
    let mut live = engine.subscribe(own.id).await.unwrap();
    engine.submit(own.clone()).await.unwrap();
    loop {
        let entry = live.recv().await.expect("the wire holds");
        match &entry.event {
            Event::Status(change) if change.status == JobState::Waiting => {
                assert_eq!(change.reason.as_deref(), Some("rate_limited"));
                return;
            }
            Event::End(end) => panic!("{end:?}"),
            _ => {}
        }
    }
}

/// A node that comes later asks no model that has asked to be left alone, and neither does one that is there already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_rate_holds_for_the_fleet() {
    let redis = RedisServer::start();
    let engine = redis.engine(1, EngineOptions::default()).await;
    let busy = || answer("429 Too Many Requests", "retry-after: 600\r\n", "");
    let model = Server::playing(move |_, _| busy()).await;
    let first = worker(&redis, &model).await;
    put_back(&engine).await;
    assert_eq!(model.requests.lock().unwrap().len(), 1);
    while engine.notices().await.unwrap().is_empty() {
        clock::sleep(Duration::from_millis(10)).await;
    }
    first.stop().await;
    let second = worker(&redis, &model).await;
    put_back(&engine).await;
    assert_eq!(model.requests.lock().unwrap().len(), 1);
    second.stop().await;
    // What no longer holds is gone.
    redis.pass(Duration::from_secs(601));
    assert_eq!(engine.notices().await.unwrap(), []);
}

/// Words are heard of by all nodes, hold as long as they are said to, and are bounded.
#[tokio::test]
async fn words_hold_for_a_while() {
    let redis = RedisServer::start();
    let (one, other) = (
        redis.engine(1, EngineOptions::default()).await,
        redis.engine(1, EngineOptions::default()).await,
    );
    loop {
        // A hint is only a hint: it is told again until it is heard.
        one.notice(&clock::nonce().to_string(), Duration::from_secs(5))
            .await
            .unwrap();
        tokio::select! {
            () = other.noticed() => break,
            () = clock::sleep(Duration::from_millis(50)) => {}
        }
    }
    one.notice("long", Duration::from_secs(60)).await.unwrap();
    one.notice("long", Duration::from_secs(1)).await.unwrap();
    redis.pass(Duration::from_secs(10));
    let held = other.notices().await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
    assert!(held[0].0 == "long" && held[0].1 > Duration::from_secs(40));
    for word in 0..1_100 {
        one.notice(&word.to_string(), Duration::from_secs(5))
            .await
            .unwrap();
    }
    let held = other.notices().await.unwrap();
    assert_eq!(held.len(), 1_000);
    assert!(
        held.iter().any(|(word, _)| word == "long"),
        "what holds longest stays"
    );
}
