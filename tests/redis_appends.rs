//! Appends of many jobs that leave as one step: what becomes of one is nothing to the others.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use futures_util::future::join_all;
use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use redis::Commands as _;

use crate::redis_engine::{behind, claim, patch, submission};
use crate::redis_server::RedisServer;

const JOBS: usize = 40;

async fn claims(engine: &Redis) -> Vec<Claim> {
    let mut claims = Vec::new();
    for _ in 0..JOBS {
        engine.submit(submission(engine, "one", None)).await.unwrap();
        claims.push(claim(engine).await);
    }
    claims
}

/// How often scripts were called.
fn calls(server: &RedisServer) -> u64 {
    let mut connection = server.connection();
    let stats: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut connection)
        .unwrap();
    let line = stats
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.and_then(|line| line.split(',').next())
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test]
async fn those_that_come_together_leave_together() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let claims = claims(&engine).await;
    // The script is known from here on.
    let first = patch(&claims[0], 1, r#"["","a",0]"#);
    engine
        .append(claims[0].id, claims[0].token(), &first)
        .await
        .unwrap();
    let before = calls(&server);
    let appends = claims[1..].iter().map(|claim| {
        let engine = &engine;
        async move {
            let append = patch(claim, 1, r#"["","a",0]"#);
            engine.append(claim.id, claim.token(), &append).await
        }
    });
    assert_eq!(join_all(appends).await, vec![Ok(Appended::Ok); JOBS - 1]);
    let calls = calls(&server) - before;
    assert!(calls <= 2, "{calls} calls for {} appends", JOBS - 1);
    let jobs: Vec<_> = claims.iter().map(|claim| claim.id).collect();
    let ends: Vec<_> = claims
        .iter()
        .map(|claim| Some(behind(claim.position, 1)))
        .collect();
    assert_eq!(engine.positions(&jobs).await.unwrap(), ends);
}

#[tokio::test]
async fn one_that_is_refused_or_broken_holds_no_other_up() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let claims = claims(&engine).await;
    let raw = format!("{{livedraft:0}}:raw:{}", claims[1].id);
    let _: () = server.connection().lpush(raw, "no text").unwrap();
    let append = |place: usize| {
        let (claim, engine) = (&claims[place], &engine);
        let mut append = patch(claim, if place == 3 { 2 } else { 1 }, r#"["","a",0]"#);
        append.raw = "a".to_owned();
        let token = if place == 2 {
            claims[0].token()
        } else {
            claim.token()
        };
        async move { engine.append(claim.id, token, &append).await }
    };
    let answers = join_all((0..JOBS).map(append)).await;
    assert!(
        matches!(&answers[1], Err(BackendError::Corrupt(what)) if what.contains("WRONGTYPE")),
        "{:?}",
        answers[1]
    );
    assert_eq!(answers[2], Ok(Appended::Lost));
    assert_eq!(answers[3], Ok(Appended::RolledBack(claims[3].position)));
    for answer in answers[..1].iter().chain(&answers[4..]) {
        assert_eq!(*answer, Ok(Appended::Ok));
    }
    assert_eq!(append(0).await, Ok(Appended::Dup));
}

/// Who waits for its answer no more is no hindrance, and what was sent stands.
#[tokio::test]
async fn one_that_nobody_waits_for_is_written() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let claims = claims(&engine).await;
    let append = |place: usize| {
        let (claim, engine) = (&claims[place], &engine);
        let append = patch(claim, 1, r#"["","a",0]"#);
        async move { engine.append(claim.id, claim.token(), &append).await }
    };
    {
        let mut left = Box::pin(append(0));
        assert!(futures_util::poll!(&mut left).is_pending());
    }
    assert_eq!(append(1).await, Ok(Appended::Ok));
    assert_eq!(append(0).await, Ok(Appended::Dup));
}
