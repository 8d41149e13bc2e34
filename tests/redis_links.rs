//! The ways to a Redis: what is told when it is away.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::hub::{Hub, HubOptions, Viewer};
use livedraft::job::JobId;
use livedraft::wire::Deliver;
use serde_json::Value as Json;
use tokio::sync::Notify;

use crate::redis_engine::{claim, patch, submission};
use crate::redis_faults::{engine_at, hasty};
use crate::redis_server::{RedisServer, Way};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// A viewer, and what wakes it.
pub(crate) struct Seen(Viewer, Arc<Notify>);

impl Seen {
    pub(crate) async fn watch(hub: &Arc<Hub>, job: JobId) -> Self {
        let wake = Arc::new(Notify::new());
        let viewer = hub.watch(job, None, Deliver::default(), &wake).await.unwrap();
        Self(viewer.unwrap(), wake)
    }

    /// One more of a job that is viewed already.
    async fn join(hub: &Arc<Hub>, job: JobId) -> Self {
        let wake = Arc::new(Notify::new());
        let viewer = hub.join(job, "one", None, Deliver::default(), &wake).await;
        Self(viewer.unwrap(), wake)
    }

    /// All that is told up to the first message of a name.
    pub(crate) async fn until(&mut self, name: &str) -> Vec<Json> {
        let mut all = Vec::new();
        loop {
            for told in self.0.take(clock::now_ms(), 1 << 20) {
                all.push(serde_json::from_str(&told.text).unwrap());
                if told.name == name {
                    return all;
                }
            }
            self.1.notified().await;
        }
    }

    /// All that is told now.
    pub(crate) fn now(&mut self) -> Vec<Json> {
        let told = self.0.take(clock::now_ms(), 1 << 20);
        told.iter()
            .map(|told| serde_json::from_str(&told.text).unwrap())
            .collect()
    }

    async fn degraded(&mut self) -> bool {
        let all = self.until("degraded").await;
        all.last().unwrap()["active"].as_bool().unwrap()
    }
}

fn hub(engine: &Arc<Redis>) -> Arc<Hub> {
    let options = HubOptions {
        poll: Duration::from_millis(100),
        degraded: Duration::from_millis(300),
        ..HubOptions::default()
    };
    Hub::new(Arc::clone(engine) as Arc<dyn Backend>, options)
}

/// Redis is away: who views is told once, who comes too, a submission is refused at once; what was missed comes behind.
#[tokio::test]
async fn viewers_are_told_that_redis_is_away() {
    let server = RedisServer::start();
    let way = Way::to(&server.address()).await;
    let engine = Arc::new(engine_at(&way.url(), &hasty()).await);
    let beside = engine_at(&server.url(), &hasty()).await;
    engine.submit(submission(&engine, "one", None)).await.unwrap();
    let held = claim(&engine).await;
    let hub = hub(&engine);
    let mut viewer = Seen::watch(&hub, held.id).await;
    viewer.until("job.snapshot").await;
    way.lead_to(NOWHERE);
    way.silence();
    assert!(viewer.degraded().await);
    assert!(Seen::join(&hub, held.id).await.degraded().await);
    let refused = engine.submit(submission(&engine, "one", None)).await;
    assert!(
        matches!(refused, Err(BackendError::Unavailable(_))),
        "{refused:?}"
    );
    let written = patch(&held, 1, r#"["","meanwhile",0]"#);
    beside.append(held.id, held.token(), &written).await.unwrap();
    way.lead_to(&server.address());
    let told = viewer.until("degraded").await;
    assert_eq!(told.last().unwrap()["active"], false);
    let said = |message: &Json| message.to_string().contains("meanwhile");
    if !told.iter().any(said) {
        let behind = viewer.until("patch").await;
        assert!(behind.iter().any(said), "{behind:?}");
    }
}

/// Redis answers, and what is written cannot be heard.
#[tokio::test]
async fn viewers_are_told_that_nothing_can_be_heard() {
    let server = RedisServer::start();
    let user = |rule: &str| {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER")
            .arg("me")
            .arg(rule.split(' ').collect::<Vec<_>>());
        let () = set.query(&mut server.connection()).unwrap();
    };
    user("on >word allkeys allchannels +@all");
    let url = server.url().replace("//", "//me:word@");
    let engine = Arc::new(engine_at(&url, &hasty()).await);
    let beside = server.engine(1, EngineOptions::default()).await;
    beside.submit(submission(&beside, "one", None)).await.unwrap();
    let held = claim(&beside).await;
    let mut viewer = Seen::watch(&hub(&engine), held.id).await;
    viewer.until("job.snapshot").await;
    // Who may not hear any more is cut off.
    user("resetchannels");
    assert!(viewer.degraded().await);
    // The polls go on meanwhile.
    let written = patch(&held, 1, r#"["","meanwhile",0]"#);
    beside.append(held.id, held.token(), &written).await.unwrap();
    viewer.until("patch").await;
    user("allchannels");
    assert!(!viewer.degraded().await);
}
