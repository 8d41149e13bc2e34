//! The layout of keys in Redis: a newer one is refused, an older one taken forward once nobody uses it any more.

use std::collections::BTreeMap;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::job::*;

use crate::backend_contract::{behind, end, epoch, submission, waiting, write};
use crate::harness::statuses;
use crate::redis_server::RedisServer;

const META: &str = "livedraft:meta";
/// What a normal job's band added to its score in layout 2.
const BAND: f64 = 4_398_046_511_104.0;

async fn open(server: &RedisServer, shards: u32) -> Result<Redis, RedisStartError> {
    let url: RedisUrl = server.url().parse().unwrap();
    let options = RedisOptions {
        shards,
        ..RedisOptions::default()
    };
    Redis::open(&url, &options, EngineOptions::default()).await
}

fn meta(server: &RedisServer) -> BTreeMap<String, String> {
    let mut asked = redis::cmd("HGETALL");
    asked.arg(META).query(&mut server.connection()).unwrap()
}

fn set_meta(server: &RedisServer, fields: &[(&str, &str)]) {
    let mut asked = redis::cmd("HSET");
    asked.arg(META);
    for (field, value) in fields {
        asked.arg(*field).arg(*value);
    }
    let _: u64 = asked.query(&mut server.connection()).unwrap();
}

/// Makes of the keys of a shard what layout 2 had: one band for all jobs in line, which was in the line of all, too, and
/// nothing of who runs, who waits, and who came back.
fn turn_back(server: &RedisServer, shards: u32) {
    let mut connection = server.connection();
    let ask = |asked: &mut redis::Cmd, connection: &mut redis::Connection| -> redis::Value {
        asked.query(connection).unwrap()
    };
    for shard in 0..shards {
        let name = |end: &str| format!("{{livedraft:{shard}}}:{end}");
        let mut asked = redis::cmd("ZRANGE");
        asked.arg(name("ready")).arg(0).arg(-1).arg("WITHSCORES");
        let ready: Vec<(String, f64)> = asked.query(&mut connection).unwrap();
        for (job, at) in ready {
            let held = redis::cmd("HMGET")
                .arg(name(&format!("job:{job}")))
                .arg(&["tenant", "st"])
                .query::<(String, String)>(&mut connection);
            let (tenant, state) = held.unwrap();
            let score = if state == "recovering" { at } else { BAND + at };
            for line in [name("ready"), name(&format!("line:{tenant}"))] {
                ask(redis::cmd("ZADD").arg(line).arg(score).arg(&job), &mut connection);
            }
        }
        let pattern = name("*").replace('{', "\\{");
        let all: Vec<String> = redis::cmd("KEYS").arg(pattern).query(&mut connection).unwrap();
        let new = ["back", "aside", "whose", "shares", "paused", "drain"].map(&name);
        let is_new = |key: &String| {
            new.contains(key) || key.starts_with(&name("run:")) || key.starts_with(&name("own:"))
        };
        for key in all.iter().filter(|key| is_new(key)) {
            ask(redis::cmd("DEL").arg(key), &mut connection);
        }
    }
    set_meta(server, &[("layout", "2")]);
}

async fn come(engine: &Redis, tenant: &str) -> JobId {
    let own = Submission {
        tenant: tenant.into(),
        ..submission()
    };
    engine.submit(own.clone()).await.unwrap();
    own.id
}

async fn next(engine: &Redis) -> Option<Claim> {
    engine.claim(clock::nonce(), epoch()).await.unwrap()
}

#[tokio::test]
async fn a_newer_layout_is_refused_in_a_sentence() {
    for layout in ["4", "100", "next"] {
        let server = RedisServer::start();
        open(&server, 1).await.unwrap();
        set_meta(&server, &[("layout", layout)]);
        let told = open(&server, 1).await.unwrap_err();
        assert!(matches!(&told, RedisStartError::Newer { .. }), "{told:?}");
        let words = told.to_string();
        assert!(
            words.contains(&format!("layout {layout}")) && words.contains("newer version"),
            "{words}"
        );
        assert_eq!(meta(&server)["layout"], layout, "nothing was changed");
    }
}

#[tokio::test]
async fn a_layout_that_is_too_old_or_divided_otherwise_is_refused() {
    for (fields, shards) in [(("layout", "1"), 1), (("layout", "2"), 3)] {
        let server = RedisServer::start();
        open(&server, 1).await.unwrap();
        set_meta(&server, &[fields]);
        let told = open(&server, shards).await.unwrap_err();
        assert!(matches!(told, RedisStartError::Layout { .. }), "{told:?}");
        assert_eq!(meta(&server)["layout"], fields.1);
    }
}

/// A node of the layout before hears its channel of hints: while one does, nothing is changed.
#[tokio::test]
async fn nodes_of_two_layouts_never_work_side_by_side() {
    let server = RedisServer::start();
    let engine = open(&server, 1).await.unwrap();
    let job = come(&engine, "one").await;
    drop(engine);
    turn_back(&server, 1);
    let mut older = server.connection();
    let mut hears = older.as_pubsub();
    hears.subscribe("livedraft:control").unwrap();
    let told = open(&server, 1).await.unwrap_err();
    assert!(
        matches!(told, RedisStartError::InUse { nodes: 1, .. }),
        "{told:?}"
    );
    assert!(told.to_string().contains("stop those first"), "{told}");
    assert_eq!((&*meta(&server)["layout"], meta(&server).len()), ("2", 2));
    hears.unsubscribe("livedraft:control").unwrap();
    let engine = open(&server, 1).await.unwrap();
    assert_eq!((&*meta(&server)["layout"], meta(&server).len()), ("3", 2));
    assert_eq!(next(&engine).await.map(|claim| claim.id), Some(job));
}

/// Jobs in every state, as an older version has left them.
struct Left {
    jobs: Vec<JobId>,
    lost: JobId,
    runs: Claim,
}

async fn finish(engine: &Redis, claim: &Claim) -> Fenced {
    let last = write(behind(claim.position, 1), end(Outcome::Completed));
    engine.finish(claim.id, claim.token(), last).await.unwrap()
}

/// One ended, one lost, one that waits, one that runs; and two of each tenant in line.
async fn leave(engine: &Redis, server: &RedisServer) -> Left {
    let mut jobs = Vec::new();
    let mut claims = Vec::new();
    for _ in 0..4 {
        jobs.push(come(engine, "one").await);
        claims.push(next(engine).await.unwrap());
    }
    let [ended, lost, put_back, runs] = <[Claim; 4]>::try_from(claims).unwrap();
    finish(engine, &ended).await;
    server.pass(Duration::from_secs(10));
    let rest = [&put_back, &runs].map(|claim| (claim.id, claim.token()));
    engine.extend(&rest).await.unwrap();
    server.pass(Duration::from_secs(6));
    assert_eq!(engine.reap(100, &mut epoch).await.unwrap().recovering, 1);
    let deferral = Deferral {
        write: waiting(behind(put_back.position, 1)),
        record: AttemptRecord::default(),
        until_ms: clock::now_ms() + 60_000,
    };
    let (id, token) = (put_back.id, put_back.token());
    engine.defer(id, token, deferral).await.unwrap();
    for tenant in ["one", "one", "two", "two"] {
        jobs.push(come(engine, tenant).await);
    }
    Left {
        jobs,
        lost: lost.id,
        runs,
    }
}

/// Jobs in every state go on: none is lost, and what a tenant may have holds for them.
#[tokio::test]
async fn an_older_layout_is_taken_forward() {
    // The second time it was begun before, and not ended.
    for (shards, begun) in [(1, false), (3, false), (1, true)] {
        let server = RedisServer::start();
        let engine = open(&server, shards).await.unwrap();
        let left = leave(&engine, &server).await;
        drop(engine);
        turn_back(&server, shards);
        if begun {
            set_meta(&server, &[("layout", "3"), ("from", "2")]);
        }

        let engine = open(&server, shards).await.unwrap();
        assert_eq!((&*meta(&server)["layout"], meta(&server).len()), ("3", 2));
        let stats = engine.stats().await.unwrap();
        let counts = (stats.queued, stats.running, stats.waiting, stats.ended);
        assert_eq!(counts, (5, 1, 1, 1));
        if shards == 1 {
            keeps_to_bounds(&engine, &left).await;
        } else {
            assert_eq!(finish(&engine, &left.runs).await, Fenced::Ok);
        }
        server.pass(Duration::from_secs(61));
        engine.promote(100, &mut epoch).await.unwrap();
        engine.reap(100, &mut epoch).await.unwrap();
        while let Some(claim) = next(&engine).await {
            finish(&engine, &claim).await;
        }
        let states = statuses(engine.states(&left.jobs).await);
        let is_done = |state: &Option<JobState>| *state == Some(JobState::Completed);
        assert!(states.iter().all(is_done), "{states:?}");
    }
}

/// Where each tenant may have one running, the one that the older version gave to its worker counts.
async fn keeps_to_bounds(engine: &Redis, left: &Left) {
    let each = Share {
        running_max: 1,
        ..Share::default()
    };
    let own = BTreeMap::new();
    engine.govern(&Shares { each, own }).await.unwrap();
    let other = next(engine).await.unwrap();
    assert!(left.jobs[6..].contains(&other.id), "one runs of the other tenant");
    assert!(next(engine).await.is_none());
    finish(engine, &other).await;
    let told = finish(engine, &left.runs).await;
    assert_eq!(told, Fenced::Ok, "its worker goes on by the token of before");
    let first = next(engine).await.unwrap();
    assert_eq!(first.id, left.lost, "it comes before the others");
    finish(engine, &first).await;
    engine.govern(&Shares::default()).await.unwrap();
}
