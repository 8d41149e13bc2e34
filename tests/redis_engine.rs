//! What the Redis engine promises beyond the contract: nothing is left behind, a full memory ends no job badly, forgotten
//! scripts come back, writes that are lost in a failover are noticed, shards agree, tenants take turns.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;
use redis::Commands as _;

use crate::harness::{frame, statuses};
use crate::redis_server::{RedisServer, as_user_of_the_page, tls_folder};

pub(crate) fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

pub(crate) fn submission(engine: &Redis, tenant: &str, key: Option<&str>) -> Submission {
    let idempotency = key.map(|key| Idempotency {
        key: key.into(),
        request: [1; 32],
    });
    let spec = serde_json::from_str(r#"{"model":"scripted","input":"x","schema":{}}"#).unwrap();
    Submission {
        id: engine.draw(tenant, idempotency.as_ref()),
        epoch: epoch(),
        tenant: tenant.into(),
        spec: Arc::new(spec),
        shape: Arc::default(),
        idempotency,
    }
}

pub(crate) async fn claim(engine: &Redis) -> Claim {
    engine
        .claim(clock::nonce(), epoch())
        .await
        .unwrap()
        .expect("in line")
}

pub(crate) fn behind(position: Position, by: u64) -> Position {
    Position {
        seq: position.seq + by,
        ..position
    }
}

pub(crate) fn write(position: Position, event: Event) -> Write {
    Write {
        position,
        opens: false,
        event,
    }
}

pub(crate) fn patch(claim: &Claim, by: u64, ops: &str) -> Append {
    let position = behind(claim.position, by);
    Append {
        write: write(position, Event::Patch(frame(claim.id, position.seq, ops).into())),
        raw: "r".to_owned(),
        raw_anew: false,
        record: None,
        snapshot: None,
    }
}

pub(crate) fn end() -> Event {
    Event::End(Box::new(End {
        outcome: Outcome::Completed,
        error: None,
        sha256: None,
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    }))
}

pub(crate) async fn promote(engine: &Redis) -> usize {
    engine.promote(100, &mut epoch).await.unwrap()
}

fn keys(connection: &mut redis::Connection) -> Vec<String> {
    let mut keys: Vec<String> = connection.keys("*").unwrap();
    keys.sort();
    keys
}

/// Jobs of every fate: finished, cancelled in line, deferred and cancelled, lost.
async fn live_through(engine: &Redis, server: &RedisServer) {
    for number in 0..4 {
        let key = format!("key-{number}");
        let kept = submission(engine, "one", Some(&key));
        engine.submit(kept.clone()).await.unwrap();
        match number {
            0 => {
                let claim = claim(engine).await;
                engine
                    .append(claim.id, claim.token(), &patch(&claim, 1, r#"["","a",0]"#))
                    .await
                    .unwrap();
                let end = write(behind(claim.position, 2), end());
                assert_eq!(
                    engine.finish(claim.id, claim.token(), end).await.unwrap(),
                    Fenced::Ok
                );
            }
            1 => assert_eq!(
                engine.cancel(kept.id, epoch()).await.unwrap(),
                Some(Cancelled::Now)
            ),
            2 => {
                let claim = claim(engine).await;
                let waiting = StatusChange {
                    status: JobState::Waiting,
                    reason: None,
                    until_ms: None,
                };
                let deferral = Deferral {
                    write: write(behind(claim.position, 1), Event::Status(waiting)),
                    record: AttemptRecord::default(),
                    until_ms: clock::now_ms() + 60_000,
                };
                engine.defer(claim.id, claim.token(), deferral).await.unwrap();
                assert_eq!(
                    engine.cancel(kept.id, epoch()).await.unwrap(),
                    Some(Cancelled::Now)
                );
            }
            _ => {
                while statuses(engine.states(&[kept.id]).await) != [Some(JobState::Failed)] {
                    claim(engine).await;
                    server.pass(Duration::from_secs(16));
                    engine.reap(100, &mut epoch).await.unwrap();
                }
            }
        }
    }
}

/// Once all have ended and their time is over, only the layout's own key is left: by the promoter, and without one.
#[tokio::test]
async fn nothing_is_left_behind() {
    for promoted in [true, false] {
        let server = RedisServer::start();
        let engine = server.engine(1, EngineOptions::default()).await;
        let mut connection = server.connection();
        let baseline = keys(&mut connection);
        assert_eq!(baseline, ["livedraft:meta"]);
        live_through(&engine, &server).await;
        // The job that was given up is kept longest.
        server.pass(Duration::from_secs(604_801 + if promoted { 0 } else { 120 }));
        if promoted {
            promote(&engine).await;
            server.pass(Duration::from_secs(61));
        }
        let left = keys(&mut connection);
        // What each tenant was served is forgotten by the promoter's next turn.
        let pace = |key: &&String| promoted || !key.ends_with(":pace");
        let left: Vec<&String> = left.iter().filter(pace).collect();
        assert_eq!(left, ["livedraft:meta"]);
    }
}

/// Where memory is full nothing new is taken, and what runs is written to its end.
#[tokio::test]
async fn a_full_memory_refuses_new_jobs_and_ends_running_ones() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let claimed = claim(&engine).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let mut connection = server.connection();
    let _: () = redis::cmd("CONFIG")
        .arg("SET")
        .arg("maxmemory")
        .arg(1_024)
        .query(&mut connection)
        .unwrap();
    let refused = engine.submit(submission(&engine, "one", None)).await;
    assert!(matches!(refused, Err(BackendError::NoRoom(_))), "{refused:?}");
    for by in 1..=3 {
        let append = patch(&claimed, by, if by == 1 { r#"["","a",0]"# } else { r#"["b"]"# });
        assert_eq!(
            engine.append(claimed.id, claimed.token(), &append).await.unwrap(),
            Appended::Ok
        );
    }
    let end = write(behind(claimed.position, 4), end());
    assert_eq!(
        engine.finish(claimed.id, claimed.token(), end).await.unwrap(),
        Fenced::Ok
    );
    // What was let in is worked on, given up and taken back all the same.
    let waits = claim(&engine).await;
    assert_eq!(
        engine.cancel(waits.id, epoch()).await.unwrap(),
        Some(Cancelled::Requested)
    );
    server.pass(Duration::from_secs(16));
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().ended, 1);
}

/// A server that has forgotten the scripts is sent them again.
#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let mut connection = server.connection();
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let claim = claim(&engine).await;
    for by in 1..=3 {
        let _: () = redis::cmd("SCRIPT").arg("FLUSH").query(&mut connection).unwrap();
        let append = patch(&claim, by, if by == 1 { r#"["","a",0]"# } else { r#"["b"]"# });
        assert_eq!(
            engine.append(claim.id, claim.token(), &append).await.unwrap(),
            Appended::Ok
        );
    }
}

#[tokio::test]
async fn a_failover_that_lost_writes_is_noticed() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let before_claim = server.copy();
    let claimed = claim(&engine).await;
    engine
        .append(claimed.id, claimed.token(), &patch(&claimed, 1, r#"["","a",0]"#))
        .await
        .unwrap();
    let lagged = server.copy();
    engine
        .append(claimed.id, claimed.token(), &patch(&claimed, 2, r#"["b"]"#))
        .await
        .unwrap();
    let seen = behind(claimed.position, 2);
    server.put_back(&lagged);

    // The writer is told where the log ends, and opens a new epoch there.
    let told = engine
        .append(claimed.id, claimed.token(), &patch(&claimed, 3, r#"["c"]"#))
        .await
        .unwrap();
    assert_eq!(told, Appended::RolledBack(behind(claimed.position, 1)));
    let position = Position {
        epoch: epoch(),
        seq: claimed.position.seq + 2,
    };
    let state = Fold {
        status: JobState::Running,
        ..Fold::submitted(position)
    };
    let restate = Append {
        write: Write {
            position,
            opens: true,
            event: Event::State(Box::new(state.clone())),
        },
        snapshot: Some(Arc::new(state)),
        ..patch(&claimed, 2, "")
    };
    assert_eq!(
        engine
            .append(claimed.id, claimed.token(), &restate)
            .await
            .unwrap(),
        Appended::Ok
    );
    // A viewer that saw what was lost gets a state that replaces, although its seq is not ahead.
    let reading = engine.read(claimed.id, Some(seen)).await.unwrap().unwrap();
    assert!(matches!(reading.start, Start::Snapshot(_)));

    // Where the claim itself was lost, its token means nothing, whatever the next claim is called.
    server.put_back(&before_claim);
    let next = claim(&engine).await;
    assert_eq!(
        (next.id, next.token().delivery),
        (claimed.id, claimed.token().delivery)
    );
    let told = engine
        .append(claimed.id, claimed.token(), &patch(&claimed, 3, r#"["c"]"#))
        .await
        .unwrap();
    assert_eq!(told, Appended::Lost);
}

/// Jobs of all shards are found, claimed, counted and named by their keys.
#[tokio::test]
async fn shards_are_one_engine() {
    let server = RedisServer::start();
    let engine = server.engine(8, EngineOptions::default()).await;
    let mut submitted = Vec::new();
    for number in 0..40 {
        let key = format!("key-{number}");
        let first = submission(&engine, "one", Some(&key));
        engine.submit(first.clone()).await.unwrap();
        let again = engine
            .submit(submission(&engine, "one", Some(&key)))
            .await
            .unwrap();
        assert_eq!(again, Submitted::existing(first.id));
        submitted.push(first.id);
    }
    assert_eq!(engine.stats().await.unwrap().queued, 40);
    let mut leases = Vec::new();
    for _ in 0..40 {
        let claim = claim(&engine).await;
        leases.push((claim.id, claim.token()));
    }
    assert!(engine.claim(clock::nonce(), epoch()).await.unwrap().is_none());
    let extended = engine.extend(&leases).await.unwrap();
    assert!(
        extended.iter().all(|told| matches!(told, Extended::Until(_))),
        "{extended:?}"
    );
    let mut claimed: Vec<JobId> = leases.iter().map(|(job, _)| *job).collect();
    claimed.sort();
    submitted.sort();
    assert_eq!(claimed, submitted);
    let states = statuses(engine.states(&submitted).await);
    assert!(states.iter().all(|state| *state == Some(JobState::Running)));
    server.pass(Duration::from_secs(16));
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().recovering, 40);
}

/// Who has submitted much does not keep the others waiting.
#[tokio::test]
async fn tenants_take_turns() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    for tenant in ["much", "much", "much", "much", "little", "little"] {
        engine.submit(submission(&engine, tenant, None)).await.unwrap();
    }
    let mut turns = Vec::new();
    for _ in 0..6 {
        let claim = claim(&engine).await;
        turns.push(engine.facts(claim.id).await.unwrap().unwrap().tenant.to_string());
    }
    let early = turns[..4].iter().filter(|tenant| *tenant == "little").count();
    assert_eq!(early, 2, "{turns:?}");
}

/// A worker that waits is woken, and hints of cancels come.
#[tokio::test]
async fn waiting_workers_are_woken_and_hinted() {
    let server = RedisServer::start();
    let engine = Arc::new(server.engine(1, EngineOptions::default()).await);
    let other = server.engine(1, EngineOptions::default()).await;
    let mut hints = engine.cancels();
    let kept = submission(&other, "one", None);
    let woken = {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            loop {
                engine.ready().await;
                if let Some(claim) = engine.claim(clock::nonce(), epoch()).await.unwrap() {
                    return claim;
                }
            }
        })
    };
    other.submit(kept.clone()).await.unwrap();
    assert_eq!(woken.await.unwrap().id, kept.id);
    // The hint is only a hint: it is asked for again until the control channel is heard.
    loop {
        other.cancel(kept.id, epoch()).await.unwrap();
        tokio::select! {
            hint = hints.recv() => break assert_eq!(hint, Some(kept.id)),
            () = clock::sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// All that a fleet does.
async fn do_all(engine: &Redis, server: &RedisServer) {
    live_through(engine, server).await;
    let kept = submission(engine, "one", None);
    let mut live = engine.subscribe(kept.id).await.unwrap();
    engine.submit(kept.clone()).await.unwrap();
    assert_eq!(live.recv().await.unwrap().position.epoch, kept.epoch);
    engine.ready().await;
    promote(engine).await;
    assert_eq!(engine.stats().await.unwrap().queued, 1);
    assert!(engine.positions(&[kept.id]).await.unwrap()[0].is_some());
    engine.notice("word", Duration::from_secs(5)).await.unwrap();
    assert_eq!(engine.notices().await.unwrap().len(), 1);
    engine.govern(&Shares::default()).await.unwrap();
    assert!(engine.pause(Some("one"), true).await.unwrap());
    assert!(engine.paused().await.unwrap().has(Some("one")));
    assert_eq!(engine.dead_letters(None, 10).await.unwrap().letters.len(), 1);
}

/// The ACL line of the page is all that a user needs.
#[tokio::test]
async fn the_acl_line_is_enough() {
    let server = RedisServer::start();
    server.add_user_of_the_page();
    let url = as_user_of_the_page(&server.url()).parse().unwrap();
    let engine = Redis::open(&url, &RedisOptions::default(), EngineOptions::default())
        .await
        .unwrap();
    do_all(&engine, &server).await;
}

/// TLS by an authority of one's own, and the same user: every connection of the engine goes that way.
#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let (server, tls) = RedisServer::start_tls();
    server.add_user_of_the_page();
    let open = async |url: &str, ca_file: &str| {
        let options = RedisOptions {
            ca_file: ca_file.to_owned(),
            ..RedisOptions::default()
        };
        let url = as_user_of_the_page(url).parse().unwrap();
        Redis::open(&url, &options, EngineOptions::default()).await
    };
    let ca_file = format!("{}/ca.pem", tls_folder());
    let engine = open(&tls, &ca_file).await.unwrap();
    do_all(&engine, &server).await;
    let of_another = format!("{}/server.pem", tls_folder());
    let key = format!("{}/server.key", tls_folder());
    for (url, ca_file, told) in [
        (&tls, "", "cannot be spoken to by TLS"),
        (&tls, &of_another, "cannot be spoken to by TLS"),
        (&tls, "/no/such/file", "/no/such/file"),
        (&tls, &key, "no certificate"),
        (&server.url(), &ca_file, "does not speak TLS"),
    ] {
        let refused = open(url, ca_file).await.err().unwrap().to_string();
        assert!(refused.contains(told), "{refused}");
        assert!(!refused.contains("PASSWORD"), "{refused}");
    }
}

/// As many tenants may be named as one likes: more than a command takes words from a script at once.
#[tokio::test]
async fn thousands_of_tenants_have_shares_of_their_own() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let own = (0..9_000).map(|number| (format!("tenant-{number}").into(), Share::default()));
    let shares = Shares {
        own: own.collect(),
        ..Shares::default()
    };
    engine.govern(&shares).await.unwrap();
    let mut connection = server.connection();
    let known: usize = redis::cmd("HLEN")
        .arg("{livedraft:0}:shares")
        .query(&mut connection)
        .unwrap();
    assert_eq!(known, 9_001);
}

/// An older binary puts a job to wait without a word for lists, beside what a newer one has left: nothing wrong is told.
#[tokio::test]
async fn why_a_job_waits_is_of_the_wait_it_was_said_of() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let claim = claim(&engine).await;
    let waiting = StatusChange {
        status: JobState::Waiting,
        reason: Some("rate_limited".to_owned()),
        until_ms: Some(5),
    };
    let deferral = Deferral {
        write: write(behind(claim.position, 1), Event::Status(waiting.clone())),
        record: AttemptRecord::default(),
        until_ms: clock::now_ms() + 60_000,
    };
    engine.defer(claim.id, claim.token(), deferral).await.unwrap();
    let key = format!("{{livedraft:0}}:job:{}", claim.id);
    let mut connection = server.connection();
    let said: String = connection.hget(&key, "why").unwrap();
    let stands = async || engine.states(&[claim.id]).await.unwrap();
    assert_eq!(stands().await, [Some(waiting.clone())]);
    let (at, payload) = said.split_once(' ').unwrap();
    let before = format!("{} {payload}", at.parse::<u64>().unwrap() - 1);
    for other in [
        before.as_str(),
        "",
        payload,
        &format!("{at} "),
        &format!("{at} {{no"),
    ] {
        let () = connection.hset(&key, "why", other).unwrap();
        let bare = StatusChange::bare(JobState::Waiting);
        assert_eq!(stands().await, [Some(bare)], "{other:?}");
    }
    let () = connection.hdel(&key, "why").unwrap();
    assert_eq!(stands().await, [Some(StatusChange::bare(JobState::Waiting))]);
}
