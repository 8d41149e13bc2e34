//! A fleet over a Redis Cluster: masters that die, slots that move, and what is refused at the start.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::Event;
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::JobId;

use crate::redis_engine::{behind, claim, end, epoch, patch, submission, write};
use crate::redis_faults::hasty;
use crate::redis_links::Seen;
use crate::redis_server::{RedisCluster, RedisServer};

/// Tries within which a step must be taken while a replica takes over.
const TRIES_MAX: usize = 2_000;

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

fn key_of(job: JobId, shard: usize) -> String {
    format!("{{livedraft:{shard}}}:job:{job}")
}

/// The keys of the shards, by the place of their master.
fn places(cluster: &RedisCluster) -> Vec<usize> {
    let place = |shard| cluster.place_of(&format!("{{livedraft:{shard}}}:ready")).0;
    (0..16).map(place).collect()
}

/// A master is killed: its replica takes over, and all jobs go on to their ends, in the sight of who views them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_costs_no_job() {
    let mut cluster = RedisCluster::start("1000").await;
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
    let dies = (0..3).max_by_key(|place| places(&cluster).iter().filter(|one| *one == place).count());
    let dies = dies.unwrap();
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
                .flat_map(|node| crate::redis_server::say::<Vec<String>>(node, "PUBSUB SHARDCHANNELS"))
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
    cluster.clear();
    cluster.move_slot(slot, from);
    again(|| engine.stats()).await;
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
