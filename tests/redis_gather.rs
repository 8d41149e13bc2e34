//! Steps of many jobs that leave as one: what becomes of one is nothing to the others.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use futures_util::future::join_all;
use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::job::JobId;
use redis::Commands as _;

use crate::redis_cluster::again;
use crate::redis_engine::{behind, claim, end, epoch, patch, submission, write};
use crate::redis_faults::{engine_at, hasty};
use crate::redis_server::{RedisServer, Way};

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
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().unwrap())
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

/// Claims of one engine at the same time.
async fn claim_together(engine: &Redis, nonces: &[u64]) -> Vec<Result<Option<Claim>, BackendError>> {
    join_all(nonces.iter().map(|nonce| engine.claim(*nonce, epoch()))).await
}

fn ids(claims: &[Result<Option<Claim>, BackendError>]) -> Vec<JobId> {
    let given = claims.iter().filter_map(|claim| claim.as_ref().unwrap().as_ref());
    given.map(|claim| claim.id).collect()
}

/// Submissions, claims and ends: each leaves with the others, and is answered by itself.
#[tokio::test]
async fn whole_lives_leave_together() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let all: Vec<Submission> = (0..JOBS).map(|_| submission(&engine, "one", None)).collect();
    let before = calls(&server);
    let kept = join_all(all.iter().map(|one| engine.submit(one.clone()))).await;
    assert!(kept.iter().all(|kept| matches!(kept, Ok(Submitted::New { .. }))));
    let nonces: Vec<u64> = (0..=JOBS).map(|_| clock::nonce()).collect();
    let claims = claim_together(&engine, &nonces).await;
    let (mut given, mut asked) = (ids(&claims), all.iter().map(|one| one.id).collect::<Vec<_>>());
    // One more than there are jobs is given none, and none is given twice.
    given.sort_unstable();
    asked.sort_unstable();
    assert_eq!(given, asked);
    let again = claim_together(&engine, &nonces).await;
    assert_eq!(ids(&again), ids(&claims), "sent again, each gives the same");
    let held: Vec<Claim> = claims.into_iter().filter_map(Result::unwrap).collect();
    let ends = held.iter().map(|claim| {
        let last = write(behind(claim.position, 1), end());
        engine.finish(claim.id, claim.token(), last)
    });
    assert_eq!(join_all(ends).await, vec![Ok(Fenced::Ok); JOBS]);
    let stats = engine.stats().await.unwrap();
    assert_eq!((stats.ended, stats.running, stats.queued), (JOBS, 0, 0));
    let calls = calls(&server) - before;
    assert!(calls < JOBS as u64, "{calls} calls for four steps of {JOBS} jobs");
}

/// A tenant's bound on its running jobs holds within a step, and counts what the step itself has begun.
#[tokio::test]
async fn claims_of_one_step_keep_to_what_a_tenant_may_have() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let each = Share {
        running_max: 3,
        ..Share::default()
    };
    let shares = Shares {
        each,
        ..Shares::default()
    };
    engine.govern(&shares).await.unwrap();
    for tenant in ["one", "one", "one", "one", "one", "two"] {
        engine.submit(submission(&engine, tenant, None)).await.unwrap();
    }
    let nonces: Vec<u64> = (0..6).map(|_| clock::nonce()).collect();
    let claims = claim_together(&engine, &nonces).await;
    assert_eq!(ids(&claims).len(), 4);
    let held = claims.into_iter().find_map(Result::unwrap).unwrap();
    let last = write(behind(held.position, 1), end());
    engine.finish(held.id, held.token(), last).await.unwrap();
    assert_eq!(ids(&claim_together(&engine, &nonces[..2]).await).len(), 2);
}

/// A job whose log is broken is no claim's, and ends no other.
#[tokio::test]
async fn a_broken_job_among_others_is_told_by_itself() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let claims = claims(&engine).await;
    let log = format!("{{livedraft:0}}:log:{}", claims[1].id);
    let () = server.connection().set(log, "no log").unwrap();
    let ends = claims.iter().map(|claim| {
        let last = write(behind(claim.position, 1), end());
        engine.finish(claim.id, claim.token(), last)
    });
    for (at, told) in join_all(ends).await.into_iter().enumerate() {
        match at {
            1 => assert!(matches!(told, Err(BackendError::Corrupt(_))), "{told:?}"),
            _ => assert_eq!(told, Ok(Fenced::Ok)),
        }
    }
}

/// The answers of two claims are lost: what they were given is given to the next ones, and no job to two.
#[tokio::test]
async fn what_was_given_to_lost_claims_is_given_once_more_and_to_one() {
    let server = RedisServer::start();
    let way = Way::to(&server.address()).await;
    let engine = engine_at(&way.url(), &hasty()).await;
    for _ in 0..6 {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
    }
    way.silence();
    let claim = || engine.claim(clock::nonce(), epoch());
    let lost = join_all([claim(), claim()]).await;
    assert!(lost.iter().all(Result::is_err), "{lost:?}");
    let mut given = vec![again(claim).await.unwrap().id];
    for count in [2, 2, 1] {
        let found = join_all((0..count).map(|_| claim())).await;
        given.extend(ids(&found));
    }
    given.sort_unstable();
    given.dedup();
    assert_eq!(given.len(), 6, "{given:?}");
}
