//! What the Redis engine does where something is amiss: ways that lead elsewhere or fall silent, jobs that cannot be read,
//! readers that go without a word, and what grows unless somebody looks after it.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::*;
use livedraft::wire::Deliver;
use redis::Commands as _;
use tokio::sync::Notify;

use crate::harness::statuses;
use crate::redis_cluster::{again, next};
use crate::redis_engine::{behind, claim, end, epoch, patch, promote, submission, write};
use crate::redis_server::{RedisServer, Way};

/// Steps within which something must have come about that needs a few.
const TURNS_MAX: usize = 20_000;

pub(crate) fn hasty() -> RedisOptions {
    RedisOptions {
        connect: Duration::from_millis(500),
        response: Duration::from_millis(300),
        probe: Duration::from_millis(50),
        ..RedisOptions::default()
    }
}

pub(crate) async fn engine_at(url: &str, options: &RedisOptions) -> Redis {
    Redis::open(&url.parse().unwrap(), options, EngineOptions::default())
        .await
        .unwrap()
}

async fn defer(engine: &Redis, claim: &Claim, record: AttemptRecord, wait_ms: u64) {
    let waiting = StatusChange {
        status: JobState::Waiting,
        reason: None,
        until_ms: None,
    };
    let deferral = Deferral {
        write: write(behind(claim.position, 1), Event::Status(waiting)),
        record,
        until_ms: clock::now_ms() + wait_ms,
    };
    let told = engine.defer(claim.id, claim.token(), deferral).await.unwrap();
    assert_eq!(told, Fenced::Ok);
}

async fn finish(engine: &Redis, claim: &Claim, by: u64) {
    let end = write(behind(claim.position, by), end());
    let told = engine.finish(claim.id, claim.token(), end).await.unwrap();
    assert_eq!(told, Fenced::Ok);
}

/// A job that is written to all the time is viewed all the time, too: its node says so again and again.
#[tokio::test]
async fn a_job_that_streams_is_said_to_be_viewed() {
    let server = RedisServer::start();
    let engine = Arc::new(server.engine(1, EngineOptions::default()).await);
    let spec =
        r#"{"model":"scripted","input":"x","schema":{},"on_last_viewer_gone":{"cancel_after_ms":5000}}"#;
    let kept = Submission {
        spec: Arc::new(serde_json::from_str(spec).unwrap()),
        ..submission(&engine, "one", None)
    };
    engine.submit(kept.clone()).await.unwrap();
    let claimed = claim(&engine).await;
    let options = HubOptions {
        poll: Duration::from_secs(1),
        ..HubOptions::default()
    };
    let hub = Hub::new(Arc::clone(&engine) as Arc<dyn Backend>, options);
    let wake = Arc::new(Notify::new());
    let _viewer = hub
        .watch(kept.id, None, Deliver::default(), &wake)
        .await
        .unwrap()
        .unwrap();
    let mut connection = server.connection();
    let mut said = || -> Option<f64> {
        let view = format!("{{livedraft:0}}:view:{}", kept.id);
        let all: Vec<(String, f64)> = connection.zrange_withscores(view, 0, -1).unwrap();
        all.first().map(|(_, at)| *at)
    };
    let mut first = None;
    for by in 1..=TURNS_MAX as u64 {
        let append = patch(&claimed, by, if by == 1 { r#"["","a",0]"# } else { r#"["b"]"# });
        engine.append(claimed.id, claimed.token(), &append).await.unwrap();
        if by % 50 == 0 {
            let now = said();
            if first.is_none() && now.is_some() {
                first = now;
                server.pass(Duration::from_secs(30));
            } else if first.is_some() && now > first.map(|at| at + 20_000.0) {
                return;
            }
        }
    }
    panic!("nothing more is said of its viewer");
}

/// A job whose viewer was heard of lately is not given up, whatever the index says.
#[tokio::test]
async fn a_fresh_viewer_keeps_a_job() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let spec =
        r#"{"model":"scripted","input":"x","schema":{},"on_last_viewer_gone":{"cancel_after_ms":5000}}"#;
    let kept = Submission {
        spec: Arc::new(serde_json::from_str(spec).unwrap()),
        ..submission(&engine, "one", None)
    };
    engine.submit(kept.clone()).await.unwrap();
    engine.viewed(kept.id, 7, true).await.unwrap();
    let mut connection = server.connection();
    let () = connection
        .zadd("{livedraft:0}:unviewed", kept.id.to_string(), 1)
        .unwrap();
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().unviewed, 0);
    assert_eq!(
        statuses(engine.states(&[kept.id]).await),
        [Some(JobState::Queued)]
    );
    server.pass(Duration::from_secs(66));
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().unviewed, 1);
}

/// What takes no writes is left: the connection is made anew, and leads to the master.
#[tokio::test]
async fn a_master_that_became_a_replica_is_left() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let way = Way::to(&old.address()).await;
    let engine = engine_at(&way.url(), &RedisOptions::default()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    way.lead_to(&new.address());
    old.follow(Some(&new));
    for _ in 0..TURNS_MAX {
        if engine.submit(submission(&engine, "one", None)).await.is_ok() {
            return;
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection still leads to the replica");
}

/// A master that follows another one and has nothing from it yet.
struct Demoted {
    _old: RedisServer,
    _new: RedisServer,
    /// Who was at the old one, and whose way leads to the new one from now on.
    stayed: Redis,
    /// Who is at the new one.
    writes: Redis,
    _way: Way,
}

/// Behind `before`, with the engine that stays.
async fn demoted(options: &RedisOptions, before: impl AsyncFnOnce(&Redis)) -> Demoted {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let way = Way::to(&old.address()).await;
    let stayed = engine_at(&way.url(), options).await;
    let writes = engine_at(&new.url(), options).await;
    before(&stayed).await;
    let mut connection = new.connection();
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "repl-diskless-sync-delay", "1000000"])
        .query(&mut connection)
        .unwrap();
    old.follow(Some(&new));
    way.lead_to(&new.address());
    Demoted {
        _old: old,
        _new: new,
        stayed,
        writes,
        _way: way,
    }
}

/// What a replica does not have is not said to be unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_does_not_say_what_is_unknown() {
    let options = RedisOptions {
        probe: Duration::from_secs(1_000_000),
        ..hasty()
    };
    let fleet = demoted(&options, async |stays| {
        assert!(
            stays
                .read(JobId::new(clock::job_uuid()), None)
                .await
                .unwrap()
                .is_none()
        );
    });
    let fleet = fleet.await;
    let one = submission(&fleet.writes, "one", None);
    fleet.writes.submit(one.clone()).await.unwrap();
    let reads = &fleet.stayed;
    for _ in 0..TURNS_MAX {
        let jobs = [one.id];
        let states = reads.states(&jobs).await.map(|is| is[0].is_some());
        let at = reads.positions(&jobs).await.map(|at| at[0].is_some());
        let facts = reads.facts(one.id).await.map(|facts| facts.is_some());
        let read = reads.read(one.id, None).await.map(|read| read.is_some());
        let all = [states, at, facts, read];
        assert!(!all.iter().any(|told| matches!(told, Ok(false))), "{all:?}");
        if all.iter().all(Result::is_ok) {
            return;
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
    panic!("the connection still leads to the replica");
}

/// Who only hears leaves a master that follows another one, too: it is asked now and then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_hears_leaves_a_replica() {
    let job = JobId::new(clock::job_uuid());
    let mut live = None;
    let options = hasty();
    let fleet = demoted(&options, async |stays| {
        live = Some(stays.subscribe(job).await.unwrap());
    });
    let fleet = fleet.await;
    assert!(next(&mut live.unwrap()).await.is_none(), "its channel ends");
    for _ in 0..TURNS_MAX {
        let one = submission(&fleet.writes, "one", None);
        let mut live = again(|| fleet.stayed.subscribe(one.id)).await;
        fleet.writes.submit(one.clone()).await.unwrap();
        // Where the way was the old one still, the channel ends.
        if let Some(entry) = next(&mut live).await {
            assert_eq!(entry.position.epoch, one.epoch);
            return;
        }
    }
    panic!("the connection still leads to the replica");
}

/// A peer that answers nothing any more is left, and what it was asked is asked of the next.
#[tokio::test]
async fn a_silent_peer_is_left() {
    let server = RedisServer::start();
    let way = Way::to(&server.address()).await;
    let engine = engine_at(&way.url(), &hasty()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let leases = [(held.id, held.token())];
    engine.extend(&leases).await.unwrap();
    way.silence();
    assert!(engine.stats().await.is_err());
    assert!(engine.extend(&leases).await.is_err());
    for _ in 0..20 {
        if engine.stats().await.is_ok() && engine.extend(&leases).await.is_ok() {
            return;
        }
    }
    panic!("the connections stay with the silent peer");
}

/// A node that is pointed at a replica does not start, and says so.
#[tokio::test]
async fn a_replica_is_refused() {
    let (master, replica) = (RedisServer::start(), RedisServer::start());
    replica.follow(Some(&master));
    let url = replica.url().parse().unwrap();
    let refused = Redis::open(&url, &RedisOptions::default(), EngineOptions::default()).await;
    let told = refused.err().unwrap().to_string();
    assert!(told.contains("is a replica"), "{told}");
}

/// What a job costs is charged once, however often it is given to a worker.
#[tokio::test]
async fn a_job_is_charged_once() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let put_back = submission(&engine, "one", None);
    engine.submit(put_back.clone()).await.unwrap();
    for _ in 0..12 {
        engine.submit(submission(&engine, "other", None)).await.unwrap();
    }
    let (mut again, mut others) = (0, 0);
    while again < 6 {
        let held = claim(&engine).await;
        if held.id == put_back.id {
            again += 1;
            defer(&engine, &held, AttemptRecord::default(), 0).await;
            assert_eq!(promote(&engine).await, 1);
        } else {
            others += 1;
        }
    }
    // Were each charged, the other's jobs came in turn with it.
    assert!(others <= 2, "{others}");
}

/// One job that cannot be read holds no other up.
#[tokio::test]
async fn an_unreadable_job_holds_no_other_up() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let mut connection = server.connection();
    let mut spoil = |job: JobId| {
        let () = connection
            .hset(format!("{{livedraft:0}}:job:{job}"), "rec", "{no")
            .unwrap();
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
        held.push(claim(&engine).await);
    }
    // Of two leases that run out one is of an unreadable job; so it is of two values that wait for a verdict.
    spoil(held[0].id);
    for claimed in &held[2..] {
        let awaited = Awaited {
            attempt: 1,
            sha256: "5a".to_owned(),
            turns: Vec::new(),
            since_ms: 0,
        };
        let record = AttemptRecord {
            n: 1,
            awaited: Some(awaited),
            ..AttemptRecord::default()
        };
        defer(&engine, claimed, record, 1_000).await;
    }
    spoil(held[2].id);
    let mut connection = server.connection();
    let () = connection.zadd("{livedraft:0}:lease", "no-id", 1).unwrap();
    let () = connection.zadd("{livedraft:0}:wait", "no-id", 1).unwrap();
    let () = connection.zadd("{livedraft:0}:unviewed", "no-id", 1).unwrap();
    server.pass(Duration::from_secs(16));
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().recovering, 2);
    promote(&engine).await;
    let states = statuses(engine.states(&[held[1].id, held[3].id]).await);
    assert_eq!(states, [Some(JobState::Recovering), Some(JobState::Completed)]);
    // The others stay where they are: they may be cancelled, and a newer binary may read them.
    let told = engine.cancel(held[2].id, epoch()).await.unwrap();
    assert_eq!(told, Some(Cancelled::Now));
}

/// A job that its worker cannot read is put back as it is, without a fault of its own, and the next one is given.
#[tokio::test]
async fn what_cannot_be_read_is_given_to_nobody() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    let [spoilt, good] = [0, 1].map(|_| submission(&engine, "one", None));
    engine.submit(spoilt.clone()).await.unwrap();
    engine.submit(good.clone()).await.unwrap();
    let key = format!("{{livedraft:0}}:job:{}", spoilt.id);
    let mut connection = server.connection();
    let spec: String = connection.hget(&key, "spec").unwrap();
    let () = connection.hset(&key, "spec", r#"{"newer": 1}"#).unwrap();
    let record = AttemptRecord {
        n: 2,
        ..AttemptRecord::default()
    };
    let record = serde_json::to_string(&record).unwrap();
    let () = connection.hset(&key, "rec", record).unwrap();
    for times in 1..8 {
        if let Some(claim) = engine.claim(clock::nonce(), epoch()).await.unwrap() {
            assert_eq!(claim.id, good.id);
            finish(&engine, &claim, 1).await;
        }
        let states = statuses(engine.states(&[spoilt.id, good.id]).await);
        assert_eq!(states, [Some(JobState::Waiting), Some(JobState::Completed)]);
        server.pass(Duration::from_secs(61 * times));
        assert_eq!(promote(&engine).await, 1);
    }
    let () = connection.hset(&key, "spec", spec).unwrap();
    let held = claim(&engine).await;
    assert_eq!(held.id, spoilt.id);
    assert_eq!(held.checkpoint.record.n, 2);
    let deliveries: u32 = connection.hget(&key, "dels").unwrap();
    assert_eq!(deliveries, 1);
}

/// What each tenant was served is forgotten in time, also where the engine is never idle.
#[tokio::test]
async fn tenants_are_forgotten() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    engine.submit(submission(&engine, "long", None)).await.unwrap();
    let long = claim(&engine).await;
    for number in 0..30 {
        let own = submission(&engine, &format!("tenant-{number}"), None);
        engine.submit(own).await.unwrap();
        finish(&engine, &claim(&engine).await, 1).await;
    }
    for _ in 0..5 {
        server.pass(Duration::from_secs(1_000));
        engine.extend(&[(long.id, long.token())]).await.unwrap();
        promote(&engine).await;
    }
    let traces: Vec<String> = redis::Script::new(
        "local found = {} \
         local function note(name) if string.find(name, 'tenant-', 1, true) then found[#found + 1] = name end end \
         for _, key in ipairs(redis.call('KEYS', '*')) do \
             note(key) \
             local kind = redis.call('TYPE', key).ok \
             if kind == 'hash' then for _, field in ipairs(redis.call('HKEYS', key)) do note(field) end end \
             if kind == 'zset' then for _, name in ipairs(redis.call('ZRANGE', key, 0, -1)) do note(name) end end \
         end return found",
    )
    .invoke(&mut server.connection())
    .unwrap();
    assert_eq!(traces, Vec::<String>::new());
}

/// Any number may be subscribed to at once, and what nobody reads any more is not heard on.
#[tokio::test]
async fn subscriptions_come_and_go() {
    let server = RedisServer::start();
    let engine = engine_at(&server.url(), &hasty()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let mut live = engine.subscribe(held.id).await.unwrap();
    // Too long for the wire: whoever reads the job is to read it anew.
    let long = format!(r#"["","{}",0]"#, "x".repeat(300_000));
    engine
        .append(held.id, held.token(), &patch(&held, 1, &long))
        .await
        .unwrap();
    while live.recv().await.is_some() {}
    let jobs: Vec<JobId> = (0..3_000).map(|_| JobId::new(clock::job_uuid())).collect();
    let asked = jobs.iter().map(|job| engine.subscribe(*job));
    let told = futures_util::future::join_all(asked).await;
    let refused = told.iter().filter(|told| told.is_err()).count();
    assert_eq!(refused, 0);
    drop(told);
    let mut connection = server.connection();
    for _ in 0..TURNS_MAX {
        let channels: Vec<String> = redis::cmd("PUBSUB")
            .arg("CHANNELS")
            .arg("*:live:*")
            .query(&mut connection)
            .unwrap();
        if channels.is_empty() {
            return;
        }
        clock::sleep(Duration::from_millis(5)).await;
    }
    panic!("channels are heard on that nobody reads");
}

/// A look for what is due costs little where nothing is.
#[tokio::test]
async fn an_idle_tick_costs_little() {
    let server = RedisServer::start();
    let engine = server.engine(1, EngineOptions::default()).await;
    promote(&engine).await;
    let mut connection = server.connection();
    let mut sent = || -> u64 {
        let told: String = redis::cmd("INFO").arg("stats").query(&mut connection).unwrap();
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("total_net_input_bytes:"));
        line.unwrap().parse().unwrap()
    };
    let before = sent();
    promote(&engine).await;
    let bytes = sent() - before;
    assert!(bytes < 1_500, "{bytes} bytes");
    // And all that is due is put in line, however much.
    for _ in 0..150 {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
        let held = claim(&engine).await;
        defer(&engine, &held, AttemptRecord::default(), 1_000).await;
    }
    server.pass(Duration::from_secs(2));
    assert_eq!(promote(&engine).await, 100);
    assert_eq!(promote(&engine).await, 50);
}

/// What is kept of jobs that have ended is bounded by its bytes, wherever in the job they are.
#[tokio::test]
async fn ended_jobs_are_kept_up_to_a_bound_of_bytes() {
    let server = RedisServer::start();
    let options = EngineOptions {
        retained_bytes_max: 10_000,
        ..EngineOptions::default()
    };
    let engine = server.engine(1, options).await;
    for (letters, kept) in [(10, 1), (20_000, 0)] {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
        let held = claim(&engine).await;
        let ops = format!(r#"["","{}",0]"#, "x".repeat(letters));
        engine
            .append(held.id, held.token(), &patch(&held, 1, &ops))
            .await
            .unwrap();
        finish(&engine, &held, 2).await;
        promote(&engine).await;
        assert_eq!(engine.stats().await.unwrap().ended, kept, "{letters}");
    }
}
