//! A fleet over a master that a Sentinel looks after.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::hub::{Hub, HubOptions};

use crate::redis_cluster::again;
use crate::redis_engine::{behind, claim, end, patch, submission, write};
use crate::redis_faults::hasty;
use crate::redis_links::Seen;
use crate::redis_server::{RedisServer, say, until};

/// A master, its replica, and who looks after them.
pub(crate) struct Watch {
    pub(crate) master: RedisServer,
    pub(crate) replica: RedisServer,
    sentinel: RedisServer,
}

impl Watch {
    pub(crate) async fn start() -> Self {
        let (master, replica) = (RedisServer::start(), RedisServer::start());
        replica.follow_closely(&master).await;
        let sentinel = RedisServer::start_sentinel(&master);
        until("the Sentinel knows the replica", || {
            let told: String = say(&sentinel, "INFO sentinel");
            told.contains("slaves=1").then_some(())
        })
        .await;
        Self {
            master,
            replica,
            sentinel,
        }
    }

    /// One of the Sentinels that are named is away.
    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:1,{}/main", self.sentinel.address())
    }

    async fn engine(&self) -> Arc<Redis> {
        let opened = Redis::open(&self.url().parse().unwrap(), &hasty(), EngineOptions::default()).await;
        Arc::new(opened.unwrap())
    }

    /// The replica hears nothing any more: it is cut off, and may not come back.
    pub(crate) fn cut_replica(&self) {
        let () = say(&self.replica, "CONFIG SET masterauth wrong");
        let _: usize = say(&self.master, "CLIENT KILL TYPE replica");
    }

    /// Has the replica take the master's place.
    async fn fail_over(&self) {
        let mut command = redis::cmd("SENTINEL");
        command.arg("FAILOVER").arg("main");
        // It takes a while until it thinks the replica good.
        until("the Sentinel takes the order", || {
            command.query::<()>(&mut self.sentinel.connection()).ok()
        })
        .await;
    }

    pub(crate) async fn until_replaced(&self) {
        until("the replica takes over", || {
            let told: String = say(&self.replica, "INFO replication");
            told.contains("role:master").then_some(())
        })
        .await;
    }
}

fn hub(engine: &Arc<Redis>) -> Arc<Hub> {
    let options = HubOptions {
        poll: Duration::from_millis(200),
        ..HubOptions::default()
    };
    Hub::new(Arc::clone(engine) as Arc<dyn Backend>, options)
}

/// The master is replaced in order: what runs goes on, new jobs come in, live messages are heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_order_is_followed() {
    let watch = Watch::start().await;
    let engine = watch.engine().await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let mut viewer = Seen::watch(&hub(&engine), held.id).await;
    viewer.until("job.snapshot").await;
    watch.master.settle(1);
    watch.fail_over().await;
    watch.until_replaced().await;
    let next = patch(&held, 1, r#"["","a",0]"#);
    let told = again(|| engine.append(held.id, held.token(), &next)).await;
    assert!(matches!(told, Appended::Ok | Appended::Dup), "{told:?}");
    let last = write(behind(held.position, 2), end());
    let told = again(|| engine.finish(held.id, held.token(), last.clone())).await;
    assert!(matches!(told, Fenced::Ok | Fenced::Dup), "{told:?}");
    viewer.until("job.completed").await;
    let one = submission(&engine, "one", None);
    again(|| engine.submit(one.clone())).await;
    assert_eq!(claim(&engine).await.id, one.id);
}

/// The master dies, and its replica has not all of it: who saw more gets a state that replaces, and the writer is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_saw_more_than_is_left_gets_a_state_that_replaces() {
    let mut watch = Watch::start().await;
    let engine = watch.engine().await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let kept = patch(&held, 1, r#"["","kept",0]"#);
    engine.append(held.id, held.token(), &kept).await.unwrap();
    let mut viewer = Seen::watch(&hub(&engine), held.id).await;
    viewer.until("job.snapshot").await;
    watch.master.settle(1);
    watch.cut_replica();
    let lost = patch(&held, 2, r#"["","lost",0]"#);
    engine.append(held.id, held.token(), &lost).await.unwrap();
    viewer.until("patch").await;
    watch.master.kill();
    watch.until_replaced().await;
    let told = viewer.until("job.snapshot").await;
    assert_eq!(told.last().unwrap()["value"], "kept");
    let next = patch(&held, 3, r#"["","next",0]"#);
    let told = again(|| engine.append(held.id, held.token(), &next)).await;
    let last = behind(held.position, 1);
    assert_eq!(told, Appended::RolledBack(last));
}

/// A master that nobody knows by this name is told, and how one would be named.
#[tokio::test]
async fn a_name_that_sentinels_do_not_know_is_told() {
    let watch = Watch::start().await;
    let url = format!("redis+sentinel://{}/other", watch.sentinel.address());
    let opened = Redis::open(&url.parse().unwrap(), &hasty(), EngineOptions::default()).await;
    let told = opened.err().unwrap().to_string();
    assert!(told.contains("the Sentinels know no master `other`"), "{told}");
    let url = format!("redis://{}", watch.sentinel.address());
    let opened = Redis::open(&url.parse().unwrap(), &hasty(), EngineOptions::default()).await;
    let told = opened.err().unwrap().to_string();
    assert!(told.contains("redis+sentinel://"), "{told}");
}
