//! A fleet over a Redis Cluster: masters that die, slots that move, and what is refused at the start.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::{Entry, Event, Position};
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::{JobId, JobState, LeaseTimes};
use tokio::sync::mpsc;

use crate::backend_contract::heard_behind;
use crate::harness::statuses;
use crate::redis_engine::{behind, claim, end, epoch, patch, submission, write};
use crate::redis_faults::hasty;
use crate::redis_links::Seen;
use crate::redis_server::{RedisCluster, RedisServer, say};

/// Tries within which a step must be taken while a replica takes over.
const TRIES_MAX: usize = 2_000;
/// Behind that time what was published is not on its way any more.
const NEXT: Duration = Duration::from_secs(60);

pub(crate) async fn again<T, F: Future<Output = Result<T, BackendError>>>(mut step: impl FnMut() -> F) -> T {
    let mut told = None;
    for _ in 0..TRIES_MAX {
        match step().await {
            Ok(answer) => return answer,
            Err(error) => told = Some(error),
        }
        clock::sleep(Duration::from_millis(10)).await;
    }
    panic!("never answered: {told:?}");
}

/// What comes next on a channel; `None` where it ends.
pub(crate) async fn next(live: &mut mpsc::Receiver<Arc<Entry>>) -> Option<Arc<Entry>> {
    tokio::select! {
        heard = live.recv() => heard,
        () = clock::sleep(NEXT) => panic!("nothing is heard"),
    }
}

/// A slot that was another's goes back to its master, without its keys, and the engine finds that out.
pub(crate) async fn give_back(cluster: &RedisCluster, engine: &Redis, slot: u16, from: usize) {
    cluster.clear();
    cluster.move_slot(slot, from);
    again(|| engine.stats()).await;
}

fn key_of(job: JobId, shard: usize) -> String {
    format!("{{livedraft:{shard}}}:job:{job}")
}

/// The keys of the shards, by the place of their master.
fn places(cluster: &RedisCluster) -> Vec<usize> {
    let place = |shard| cluster.place_of(&format!("{{livedraft:{shard}}}:ready")).0;
    (0..16).map(place).collect()
}

/// A master is killed: its replica takes over, and all jobs go on to their ends, in the sight of who views them.
async fn lose_a_master(mut cluster: RedisCluster, dies: usize) {
    let options = RedisOptions {
        shards: 16,
        ..hasty()
    };
    let engine = Arc::new(cluster.engine(&options, EngineOptions::default()).await);
    let hub = Hub::new(
        Arc::clone(&engine) as Arc<dyn Backend>,
        HubOptions {
            poll: Duration::from_millis(200),
            ..HubOptions::default()
        },
    );
    let mut running = Vec::new();
    for _ in 0..24 {
        engine.submit(submission(&engine, "one", None)).await.unwrap();
        let held = claim(&engine).await;
        let viewer = Seen::watch(&hub, held.id).await;
        engine
            .append(held.id, held.token(), &patch(&held, 1, r#"["","a",0]"#))
            .await
            .unwrap();
        running.push((held, viewer));
    }
    cluster.settle(dies);
    cluster.nodes[dies].kill();
    for (held, viewer) in &mut running {
        let next = patch(held, 2, r#"["","b",0]"#);
        let told = again(|| engine.append(held.id, held.token(), &next)).await;
        assert!(matches!(told, Appended::Ok | Appended::Dup), "{told:?}");
        let last = write(behind(held.position, 3), end());
        let told = again(|| engine.finish(held.id, held.token(), last.clone())).await;
        assert!(matches!(told, Fenced::Ok | Fenced::Dup), "{told:?}");
        viewer.until("job.completed").await;
    }
    cluster.until_replaced(dies).await;
    // And new ones come in, in every part.
    for _ in 0..24 {
        let one = submission(&engine, "one", None);
        again(|| engine.submit(one.clone())).await;
    }
    let mut found = 0;
    while found < 24 {
        let (nonce, epoch) = (clock::nonce(), epoch());
        found += usize::from(again(|| engine.claim(nonce, epoch)).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_costs_no_job() {
    let cluster = RedisCluster::start("1000").await;
    let dies = (0..3).max_by_key(|place| places(&cluster).iter().filter(|one| *one == place).count());
    lose_a_master(cluster, dies.unwrap()).await;
}

/// The one that tells all nodes what is written, where no other one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_speaks_for_all_and_dies_costs_no_job() {
    let cluster = RedisCluster::start("1000").await;
    cluster.publish_to_all();
    lose_a_master(cluster, 0).await;
}

/// A slot goes to another master, and all nodes go on hearing what is written there: their channels need not end.
#[tokio::test]
async fn what_is_published_to_all_is_heard_from_wherever_it_is() {
    let cluster = RedisCluster::shared().await;
    cluster.publish_to_all();
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let one = submission(&engine, "one", None);
    engine.submit(one.clone()).await.unwrap();
    let (from, slot) = cluster.place_of_job(one.id);
    let to = (from + 1) % 3;
    let mut live = engine.subscribe(one.id).await.unwrap();
    cluster.move_keys(slot, from, to);
    cluster.move_slot(slot, to);
    let (nonce, opens) = (clock::nonce(), epoch());
    let held = again(|| engine.claim(nonce, opens)).await.unwrap();
    let before = Position {
        epoch: one.epoch,
        seq: 1,
    };
    assert_eq!(heard_behind(&mut live, before).await.position, held.position);
    give_back(&cluster, &engine, slot, from).await;
}

/// Where a job's channel is subscribed to as one that all nodes tell, and where as its server's own.
fn heard_as(cluster: &RedisCluster, job: JobId) -> [usize; 2] {
    let listed = |command: &str| {
        let all = cluster
            .nodes
            .iter()
            .flat_map(|node| say::<Vec<String>>(node, command));
        all.filter(|channel| channel.ends_with(&format!(":live:{job}")))
            .count()
    };
    [listed("PUBSUB CHANNELS"), listed("PUBSUB SHARDCHANNELS")]
}

/// Two nodes of a fleet, whoever was first: each hears what the other writes, and in the way that was fixed by the first.
#[tokio::test]
async fn nodes_keep_to_how_messages_are_published() {
    let cluster = RedisCluster::shared().await;
    for to_all in [false, true] {
        cluster.clear();
        if to_all {
            cluster.publish_to_all();
        }
        let first = cluster.engine(&hasty(), EngineOptions::default()).await;
        let second = cluster.engine(&hasty(), EngineOptions::default()).await;
        let mut heard = 0;
        for times in 0.. {
            assert!(
                times < TRIES_MAX,
                "a connection may be made anew, and not for ever"
            );
            let (writes, hears) = if times % 2 == 0 {
                (&first, &second)
            } else {
                (&second, &first)
            };
            let one = submission(writes, "one", None);
            let mut live = again(|| hears.subscribe(one.id)).await;
            let ways = heard_as(&cluster, one.id);
            again(|| writes.submit(one.clone())).await;
            // Where the connection was lost meanwhile, its channel ends.
            let Some(entry) = next(&mut live).await else {
                continue;
            };
            assert_eq!(entry.position.epoch, one.epoch);
            assert_eq!(ways, if to_all { [1, 0] } else { [0, 1] });
            heard += 1;
            if heard == 32 {
                break;
            }
        }
    }
}

/// Jobs of two parts that one master has.
async fn neighbours(cluster: &RedisCluster, engine: &Redis) -> [JobId; 2] {
    let mut at: HashMap<usize, (u16, JobId)> = HashMap::new();
    for _ in 0..TRIES_MAX {
        let one = submission(engine, "one", None);
        engine.submit(one.clone()).await.unwrap();
        let (place, slot) = cluster.place_of_job(one.id);
        let (known, other) = *at.entry(place).or_insert((slot, one.id));
        if known != slot {
            return [one.id, other];
        }
    }
    panic!("all parts are on masters of their own");
}

/// A slot went to another master before this node heard of it: who subscribes there is led on, and nobody else notices.
#[tokio::test]
async fn who_subscribes_where_a_slot_was_ends_no_other_channel() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let [stays, goes] = neighbours(&cluster, &engine).await;
    let mut near = engine.subscribe(stays).await.unwrap();
    let (from, slot) = cluster.place_of_job(goes);
    let to = (from + 1) % 3;
    cluster.move_keys(slot, from, to);
    cluster.move_slot(slot, to);
    let mut far = engine.subscribe(goes).await.unwrap();
    for (job, live) in [(goes, &mut far), (stays, &mut near)] {
        again(|| engine.cancel(job, epoch())).await;
        assert_eq!(next(live).await.unwrap().event.kind(), "end");
    }
    give_back(&cluster, &engine, slot, from).await;
}

/// Until the reaper has taken all of these back; whatever it says of the others.
async fn until_recovering(engine: &Redis, jobs: &[JobId]) {
    for _ in 0..8 {
        let _ = engine.reap(100, &mut epoch).await;
        let states = statuses(engine.states(jobs).await);
        if states.iter().all(|is| *is == Some(JobState::Recovering)) {
            return;
        }
    }
    panic!("jobs on masters that answer are not taken back");
}

/// A master answers nobody, and no replica takes its place: what is on the others goes on. What was asked of it is found again
/// once it answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_silent_holds_no_other_up() {
    let cluster = RedisCluster::start("1000000000").await;
    let options = RedisOptions {
        shards: 16,
        ..hasty()
    };
    let engine = cluster.engine(&options, EngineOptions::default()).await;
    let mut queued = Vec::new();
    let mut place = HashMap::new();
    for _ in 0..48 {
        let one = submission(&engine, "one", None);
        engine.submit(one.clone()).await.unwrap();
        queued.push(one.id);
        place.insert(one.id, cluster.place_of_job(one.id).0);
    }
    let mut held = Vec::new();
    for _ in 0..24 {
        let claim = claim(&engine).await;
        queued.retain(|job| *job != claim.id);
        held.push((claim.id, claim.token()));
    }
    let places: Vec<usize> = held.iter().map(|(job, _)| place[job]).collect();
    let silent = places[0];
    let (mut there, mut elsewhere): (Vec<_>, Vec<_>) =
        queued.into_iter().partition(|job| place[job] == silent);
    cluster.nodes[silent].freeze();

    let extended = engine.extend(&held).await.unwrap();
    for (at, told) in places.iter().zip(extended) {
        assert_eq!(told == Extended::Unknown, *at == silent, "{told:?}");
    }
    engine.answers().await.unwrap();
    assert!(engine.stats().await.is_err(), "of all parts together");
    // What comes in goes where somebody answers.
    for _ in 0..12 {
        let one = submission(&engine, "one", None);
        engine.submit(one.clone()).await.unwrap();
        elsewhere.push(one.id);
    }
    let mut failed = 0;
    while !elsewhere.is_empty() {
        match engine.claim(clock::nonce(), epoch()).await {
            Ok(Some(claim)) => elsewhere.retain(|job| *job != claim.id),
            Ok(None) => panic!("{} jobs are not found", elsewhere.len()),
            Err(_) => failed += 1,
        }
        assert!(failed < 4, "it is left alone once it has not answered");
    }
    cluster.pass(Duration::from_secs(16));
    let lost: Vec<JobId> = held
        .iter()
        .map(|(job, _)| *job)
        .filter(|job| place[job] != silent)
        .collect();
    until_recovering(&engine, &lost).await;

    // Claims that it was asked and that nobody heard the answers of are not lost.
    cluster.nodes[silent].thaw();
    for _ in 0..TRIES_MAX {
        // As a heartbeat does: whoever is answered notices that it is back.
        let _ = engine.extend(&held).await;
        if let Ok(Some(claim)) = engine.claim(clock::nonce(), epoch()).await {
            there.retain(|job| *job != claim.id);
        }
        if there.is_empty() {
            break;
        }
    }
    assert_eq!(there, []);
}

/// However long an answer may take, what is told of the leases on other masters is told before the next heartbeat.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_on_masters_that_answer_are_extended_in_time() {
    let cluster = RedisCluster::start("1000000000").await;
    let patient = Duration::from_secs(1_000_000);
    let options = RedisOptions {
        connect: patient,
        response: patient,
        ..hasty()
    };
    let lease = LeaseTimes {
        lease_ms: 10_000,
        extend_ms: 4_000,
        ..LeaseTimes::default()
    };
    let engine = cluster
        .engine(
            &options,
            EngineOptions {
                lease,
                ..EngineOptions::default()
            },
        )
        .await;
    let mut held = Vec::new();
    let mut places = Vec::new();
    for _ in 0..24 {
        let one = submission(&engine, "one", None);
        engine.submit(one.clone()).await.unwrap();
        places.push(cluster.place_of_job(one.id).0);
        held.push((one.id, claim(&engine).await.token()));
    }
    cluster.nodes[places[0]].freeze();
    let told = engine.extend(&held).await.unwrap();
    for (at, told) in places.iter().zip(told) {
        assert_eq!(told == Extended::Unknown, *at == places[0], "{told:?}");
    }
}

/// A job that had been read too long an entry of is let go by its server: who subscribes again is led on.
#[tokio::test]
async fn a_channel_that_nobody_reads_goes_with_its_slot() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let mut live = engine.subscribe(held.id).await.unwrap();
    let long = format!(r#"["","{}",0]"#, "a".repeat(300_000));
    let told = engine
        .append(held.id, held.token(), &patch(&held, 1, &long))
        .await;
    assert_eq!(told.unwrap(), Appended::Ok);
    assert!(live.recv().await.is_none(), "it is to be read");
    let (from, slot) = cluster.place_of_job(held.id);
    let to = (from + 1) % 3;
    cluster.move_keys(slot, from, to);
    cluster.move_slot(slot, to);
    let mut live = again(|| engine.subscribe(held.id)).await;
    for by in 2.. {
        let more = patch(&held, by, r#"["","b",0]"#);
        again(|| engine.append(held.id, held.token(), &more)).await;
        if let Some(entry) = next(&mut live).await {
            assert_eq!(entry.position, behind(held.position, by));
            break;
        }
        // The connection was left with all that it had.
        live = again(|| engine.subscribe(held.id)).await;
    }
    give_back(&cluster, &engine, slot, from).await;
}

/// A slot goes to another master: steps follow it, and who hears of a job there is told to subscribe anew.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let one = submission(&engine, "one", Some("key"));
    let mut live = engine.subscribe(one.id).await.unwrap();
    let shard = (0..16)
        .find(|shard| {
            let channels: Vec<String> = cluster
                .nodes
                .iter()
                .flat_map(|node| say::<Vec<String>>(node, "PUBSUB SHARDCHANNELS"))
                .collect();
            channels.contains(&key_of(one.id, *shard).replace(":job:", ":live:"))
        })
        .unwrap();
    let (from, slot) = cluster.place_of(&key_of(one.id, shard));
    let to = (from + 1) % 3;
    cluster.move_slot(slot, to);
    assert!(live.recv().await.is_none(), "its channel ends");
    let mut live = again(|| engine.subscribe(one.id)).await;
    again(|| engine.submit(one.clone())).await;
    let heard = live.recv().await.unwrap();
    assert_eq!(heard.position.epoch, one.epoch);
    assert!(matches!(heard.event, Event::Status(_)));
    assert!(engine.positions(&[one.id]).await.unwrap()[0].is_some());
    assert_eq!(claim(&engine).await.id, one.id);
    give_back(&cluster, &engine, slot, from).await;
}

/// A worker that waits is woken by a job in whatever part.
#[tokio::test]
async fn who_waits_is_woken_by_every_part() {
    let cluster = RedisCluster::shared().await;
    let engine = Arc::new(cluster.engine(&hasty(), EngineOptions::default()).await);
    for _ in 0..32 {
        let (waits, _) = tokio::join!(engine.ready(), engine.submit(submission(&engine, "one", None)));
        let () = waits;
        claim(&engine).await;
    }
}

/// A named node that has left the Cluster knows of no slots: the others are believed.
#[tokio::test]
async fn a_node_without_slots_is_not_believed() {
    let cluster = RedisCluster::shared().await;
    let alone = RedisServer::start_with(&["--cluster-enabled", "yes", "--save", ""]);
    let url = cluster.url().replace("//", &format!("//{},", alone.address()));
    for _ in 0..8 {
        let opened = Redis::open(&url.parse().unwrap(), &hasty(), EngineOptions::default()).await;
        opened.unwrap().stats().await.unwrap();
    }
}

/// What is behind a URL must be what it says.
#[tokio::test]
async fn a_url_of_another_kind_is_refused() {
    let cluster = RedisCluster::shared().await;
    let server = RedisServer::start();
    let refused = async |url: &str| {
        let url = url.parse().unwrap();
        let opened = Redis::open(&url, &hasty(), EngineOptions::default()).await;
        opened.err().unwrap().to_string()
    };
    let node = cluster.nodes[0].address();
    for (url, told) in [
        (format!("redis://{node}"), "begins with `redis+cluster://`"),
        (format!("redis+cluster://{}", server.address()), "is no Cluster"),
        (
            format!("redis+sentinel://{}/main", server.address()),
            "no Sentinels",
        ),
        (
            "redis+cluster://127.0.0.1:1,127.0.0.1:2".to_owned(),
            "no Redis answers",
        ),
    ] {
        let said = refused(&url).await;
        assert!(said.contains(told), "{url}: {said}");
    }
    // Into how many parts the jobs are divided is fixed there, too.
    drop(cluster.engine(&hasty(), EngineOptions::default()).await);
    let options = RedisOptions { shards: 3, ..hasty() };
    let url = cluster.url().parse().unwrap();
    let opened = Redis::open(&url, &options, EngineOptions::default()).await;
    let told = opened.err().unwrap().to_string();
    assert!(told.contains("with 16 shards"), "{told}");
}
