//! What is promised is held by a replica before it is told (`durability.replicas`): no viewer ever sees two ends.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::event::Event;
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::{JobId, JobState};
use redis::Commands as _;
use serde_json::Value as Json;

use crate::backend_contract::waiting;
use crate::harness::statuses;
use crate::redis_cluster::again;
use crate::redis_engine::{behind, claim, end, epoch, patch, promote, submission, write};
use crate::redis_faults::hasty;
use crate::redis_links::Seen;
use crate::redis_sentinel::Watch;
use crate::redis_server::{RedisServer, until};

fn options(wait: Duration) -> RedisOptions {
    RedisOptions {
        replicas: 1,
        replicas_wait: wait,
        ..hasty()
    }
}

async fn engine_at(url: &str, wait: Duration) -> Arc<Redis> {
    let (url, options) = (url.parse().unwrap(), options(wait));
    let opened = Redis::open(&url, &options, EngineOptions::default()).await;
    Arc::new(opened.unwrap())
}

fn hub(engine: &Arc<Redis>) -> Arc<Hub> {
    let options = HubOptions {
        poll: Duration::from_millis(100),
        ..HubOptions::default()
    };
    Hub::new(Arc::clone(engine) as Arc<dyn Backend>, options)
}

/// Another master, that has the job and not its end, is asked whether the end is held: whoever wrote it is not told that it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_lost_is_not_answered_as_taken() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_secs(5)).await;
    for cancels in [false, true] {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
        let held = claim(&engine).await;
        let one = submission(&engine, "one", None);
        engine.submit(one.clone()).await.unwrap();
        let ends = if cancels { one.id } else { held.id };
        let before = server.copy();
        let last = write(behind(held.position, 1), end());
        let step = async {
            if cancels {
                engine.cancel(one.id, epoch()).await.map(|_| ())
            } else {
                engine
                    .finish(held.id, held.token(), last.clone())
                    .await
                    .map(|_| ())
            }
        };
        let lose = async {
            until_kept(&server, ends).await;
            server.put_back(&before);
        };
        let (told, ()) = tokio::join!(step, lose);
        assert!(matches!(told, Err(BackendError::Unavailable(_))), "{told:?}");
        let told = engine.finish(held.id, held.token(), last).await.unwrap();
        assert_eq!(told, Fenced::Ok);
        assert_eq!(
            engine.cancel(one.id, epoch()).await.unwrap(),
            Some(Cancelled::Now)
        );
    }
}

/// A delivery that failed and is told so twice is put back once, and no end of it is looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_is_told_twice_is_no_lost_end() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_millis(1)).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let Event::End(give_up) = end() else {
        panic!("an end")
    };
    let failure = Failure {
        again: waiting(behind(held.position, 1)),
        retry_ms: 500,
        give_up,
    };
    for expected in [Fenced::Ok, Fenced::Dup] {
        let told = engine.fail(held.id, held.token(), failure.clone()).await;
        assert_eq!(told.unwrap(), expected);
    }
}

/// Until an end is kept that is not told.
async fn until_kept(server: &RedisServer, job: JobId) {
    let mut connection = server.connection();
    until("the end is kept", || {
        let kept: bool = connection
            .hexists(format!("{{livedraft:0}}:job:{job}"), "fin")
            .unwrap();
        kept.then_some(())
    })
    .await;
}

fn ends(told: &[Json]) -> Vec<&Json> {
    told.iter()
        .filter(|message| message["type"] == "job.completed")
        .collect()
}

/// The master dies right behind a finish that its replica has not heard of: nobody has seen that end, and the next one is
/// the only one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_viewer_sees_an_end_that_is_lost() {
    let mut watch = Watch::start().await;
    let engine = engine_at(&watch.url(), Duration::from_secs(2)).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let first = patch(&held, 1, r#"["","a",0]"#);
    engine.append(held.id, held.token(), &first).await.unwrap();
    let mut viewer = Seen::watch(&hub(&engine), held.id).await;
    viewer.until("job.snapshot").await;
    watch.master.settle(1);
    watch.cut_replica();
    let last = write(behind(held.position, 2), end());
    let finishes = {
        let (engine, last, held) = (Arc::clone(&engine), last.clone(), (held.id, held.token()));
        tokio::spawn(async move { engine.finish(held.0, held.1, last).await })
    };
    until_kept(&watch.master, held.id).await;
    let states = statuses(engine.states(&[held.id]).await);
    assert_eq!(states, [Some(JobState::Running)], "it is told to nobody");
    assert!(ends(&viewer.now()).is_empty());
    watch.master.kill();
    assert!(finishes.await.unwrap().is_err());
    watch.until_replaced().await;
    let told = again(|| engine.finish(held.id, held.token(), last.clone())).await;
    assert!(matches!(told, Fenced::Ok | Fenced::Dup), "{told:?}");
    let told = viewer.until("job.completed").await;
    let ends = ends(&told);
    // There is no replica left to hold it.
    assert_eq!((ends.len(), &ends[0]["durable"]), (1, &Json::Bool(false)));
}

/// The master dies right behind an end that was told: it stands where the replica is the master, and is the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_told_outlives_the_master() {
    let mut watch = Watch::start().await;
    let engine = engine_at(&watch.url(), Duration::from_secs(30)).await;
    let one = submission(&engine, "one", None);
    let kept = engine.submit(one).await.unwrap();
    assert!(matches!(kept, Submitted::New { durable: true, .. }), "{kept:?}");
    let held = claim(&engine).await;
    let hub = hub(&engine);
    let mut viewer = Seen::watch(&hub, held.id).await;
    let last = write(behind(held.position, 1), end());
    engine.finish(held.id, held.token(), last).await.unwrap();
    watch.master.kill();
    let told = viewer.until("job.completed").await;
    assert!(told.last().unwrap()["durable"].is_null(), "{told:?}");
    watch.until_replaced().await;
    // One that kept it and had not told it yet tells it, by any worker.
    again(|| async { engine.promote(100, &mut epoch).await }).await;
    watch.replica.pass(Duration::from_secs(120));
    again(|| async { engine.promote(100, &mut epoch).await }).await;
    let reading = again(|| engine.read(held.id, None)).await.unwrap();
    assert_eq!(reading.last, behind(held.position, 1));
    assert!(matches!(reading.tail.last().unwrap().event, Event::End(_)));
}

/// Whoever ended a job is gone before it could tell it: any worker does, later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_left_untold_is_told_by_others() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_secs(2)).await;
    let kept = engine.submit(submission(&engine, "one", None)).await.unwrap();
    assert!(matches!(kept, Submitted::New { durable: false, .. }), "{kept:?}");
    let held = claim(&engine).await;
    let last = write(behind(held.position, 1), end());
    let finishes = {
        let (engine, held) = (Arc::clone(&engine), (held.id, held.token()));
        tokio::spawn(async move { engine.finish(held.0, held.1, last).await })
    };
    until_kept(&server, held.id).await;
    let lease = engine.extend(&[(held.id, held.token())]).await.unwrap();
    assert!(
        matches!(lease[0], Extended::Until(_)),
        "whoever tells it is let be"
    );
    finishes.abort();
    let _ = finishes.await;
    promote(&engine).await;
    assert_eq!(
        statuses(engine.states(&[held.id]).await),
        [Some(JobState::Running)]
    );
    server.pass(Duration::from_secs(60));
    let mut viewer = Seen::watch(&hub(&engine), held.id).await;
    promote(&engine).await;
    let told = viewer.until("job.completed").await;
    assert_eq!(told.last().unwrap()["durable"], false);
    assert_eq!(
        statuses(engine.states(&[held.id]).await),
        [Some(JobState::Completed)]
    );
    // It is told once.
    server.pass(Duration::from_secs(60));
    promote(&engine).await;
    let untold: Vec<String> = server.connection().zrange("{livedraft:0}:untold", 0, -1).unwrap();
    assert!(untold.is_empty(), "{untold:?}");
}

/// A key that is sent again says of its job what holds now: too few have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_sent_again_promises_no_more_than_holds() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_millis(50)).await;
    let one = submission(&engine, "one", Some("key"));
    let kept = engine.submit(one.clone()).await.unwrap();
    assert!(matches!(kept, Submitted::New { durable: false, .. }), "{kept:?}");
    let again = engine
        .submit(submission(&engine, "one", Some("key")))
        .await
        .unwrap();
    let expected = Submitted::Existing {
        job: one.id,
        durable: false,
    };
    assert_eq!(again, expected);
}

/// An end that is kept and not told, as by a worker that is gone.
async fn kept_and_not_told(server: &RedisServer, engine: &Arc<Redis>) -> JobId {
    engine.submit(submission(engine, "one", None)).await.unwrap();
    let held = claim(engine).await;
    let last = write(behind(held.position, 1), end());
    let finishes = {
        let (engine, held) = (Arc::clone(engine), (held.id, held.token()));
        tokio::spawn(async move { engine.finish(held.0, held.1, last).await })
    };
    until_kept(server, held.id).await;
    finishes.abort();
    let _ = finishes.await;
    held.id
}

/// Whoever asks for the end of a job that has one sees it told: what is answered is what readers are told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_tells_the_end_that_it_finds() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_secs(2)).await;
    let job = kept_and_not_told(&server, &engine).await;
    let mut viewer = Seen::watch(&hub(&engine), job).await;
    let told = engine.cancel(job, epoch()).await.unwrap();
    assert_eq!(told, Some(Cancelled::Already(JobState::Completed)));
    let told = viewer.until("job.completed").await;
    assert_eq!(told.last().unwrap()["durable"], false);
}

/// Replicas are no longer asked for: what was kept for them is told, and one end that cannot be read holds no other up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_a_time_with_replicas_are_told_without() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_secs(2)).await;
    let unreadable = kept_and_not_told(&server, &engine).await;
    let job = kept_and_not_told(&server, &engine).await;
    let key = format!("{{livedraft:0}}:job:{unreadable}");
    let () = server.connection().hset(key, "fin", "{").unwrap();
    drop(engine);
    let engine = Arc::new(crate::redis_faults::engine_at(&server.url(), &hasty()).await);
    server.pass(Duration::from_secs(60));
    promote(&engine).await;
    let states = statuses(engine.states(&[unreadable, job]).await);
    assert_eq!(states, [Some(JobState::Running), Some(JobState::Completed)]);
    let mut viewer = Seen::watch(&hub(&engine), job).await;
    let told = viewer.until("job.completed").await;
    assert_eq!(ends(&told).len(), 1);
}

/// Replicas stay away, and many come at once: each is told that it is accepted, and none is refused for want of a connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_promises_are_waited_for_together() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), Duration::from_millis(200)).await;
    let all: Vec<Submission> = (0..40).map(|_| submission(&engine, "one", None)).collect();
    let kept = futures_util::future::join_all(all.iter().map(|one| engine.submit(one.clone()))).await;
    for told in kept {
        assert!(
            matches!(told, Ok(Submitted::New { durable: false, .. })),
            "{told:?}"
        );
    }
}
