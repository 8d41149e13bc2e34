//! A fleet of real processes over a Redis Cluster, and over a master that a Sentinel looks after: two gateways, two workers, a
//! worker that is killed, a master that is killed with jobs running. Each job is submitted over one gateway, watched over the
//! other, and told the same on both.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::client::ClientError;
use livedraft::clock;
use livedraft::event::Event;
use livedraft::job::{JobId, JobState, Outcome};
use livedraft::partial::Value;
use livedraft::wire::Deliver;

use crate::fleet::{Heard, Node, Viewer, client_of, submit};
use crate::redis_cluster::again;
use crate::redis_faults::hasty;
use crate::redis_sentinel::Watch;
use crate::redis_server::{RedisCluster, RedisServer, say, until};

/// What was accepted, and what has ended, is held by a replica before anybody is told.
const HELD: [&str; 2] = ["--set", "durability.replicas=1"];
/// Jobs that run at a time; one worker has room for all of them.
const JOBS: usize = 6;

/// A job on its way, in the sight of both gateways.
struct Watched {
    job: JobId,
    viewers: [Viewer; 2],
    cancelled: bool,
}

impl Watched {
    async fn until(&mut self, what: &str, changes: usize) {
        for viewer in &mut self.viewers {
            viewer.until(what, |heard| heard.changes > changes).await;
        }
    }
}

/// The processes, and the jobs that they have accepted.
struct Fleet {
    url: String,
    gateways: [Node; 2],
    workers: Vec<Node>,
    ends: BTreeMap<JobId, Outcome>,
}

impl Fleet {
    /// Two gateways, and one worker: what it is given first is its own.
    fn start(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            gateways: [0, 1].map(|_| Node::api(url, &HELD)),
            workers: vec![Node::worker(url, &HELD)],
            ends: BTreeMap::new(),
        }
    }

    fn address(&self, gateway: usize) -> SocketAddr {
        self.gateways[gateway % 2].address()
    }

    /// Jobs that have been accepted by one gateway, and are watched over the other, too.
    async fn submit(&self) -> Vec<Watched> {
        let mut all = Vec::new();
        for number in 0..JOBS {
            let (creator, job) = submit(&client_of(self.address(number))).await;
            let other = client_of(self.address(number + 1));
            let viewer = Viewer::of(other.follow(&job, Deliver::default()).await.unwrap());
            all.push(Watched {
                job: job.parse().unwrap(),
                viewers: [creator, viewer],
                cancelled: false,
            });
        }
        all
    }

    /// Asks the second gateway for the end of a job that the first one has accepted, until it is answered.
    async fn cancel(&self, watched: &mut Watched) {
        let client = client_of(self.address(1));
        let path = format!("/v1/jobs/{}/cancel", watched.job);
        until_answered(|| client.http("POST", &path)).await;
        watched.cancelled = true;
    }

    /// Every job ends, the same in both sights.
    async fn all_end(&mut self, all: Vec<Watched>) {
        for Watched {
            job,
            viewers,
            cancelled,
        } in all
        {
            let mut drafts = Vec::new();
            for viewer in viewers {
                let (follower, _) = viewer.end().await;
                let end = follower.end().expect("an end");
                let outcome = if cancelled {
                    Outcome::Cancelled
                } else {
                    Outcome::Completed
                };
                assert_eq!(end.outcome, outcome, "{job}: {:?}", end.error);
                assert_eq!(follower.tally().duplicated, 0);
                self.ends.insert(job, outcome);
                drafts.push((follower.value().map(Value::to_json), follower.position()));
            }
            assert_eq!(drafts[0], drafts[1], "{job}");
        }
    }

    /// A worker is killed with all jobs running: the other one takes them over, but for the one that is cancelled.
    async fn lose_a_worker(&mut self) {
        let mut all = self.submit().await;
        for watched in &mut all {
            watched.until("a draft", 3).await;
        }
        self.cancel(&mut all[0]).await;
        self.workers.push(Node::worker(&self.url, &HELD));
        self.workers.remove(0).kill();
        for watched in &mut all[1..] {
            for viewer in &mut watched.viewers {
                let recovering = |heard: &Heard| heard.statuses.contains(&JobState::Recovering);
                viewer.until("recovering", recovering).await;
            }
        }
        self.workers.push(Node::worker(&self.url, &HELD));
        self.all_end(all).await;
    }

    /// A master is killed with jobs running: they go on, one of them to its cancel, and others come in.
    async fn lose_a_master(&mut self, kill: impl FnOnce(JobId)) {
        let mut all = self.submit().await;
        for watched in &mut all {
            watched.until("a draft", 3).await;
        }
        kill(all[0].job);
        self.cancel(&mut all[0]).await;
        all.extend(self.submit().await);
        self.all_end(all).await;
    }

    /// Each accepted job has one end in its log, nothing is left behind, and both gateways take more.
    async fn is_ready(&mut self) {
        let options = RedisOptions {
            replicas: 1,
            ..hasty()
        };
        let opened = Redis::open(&self.url.parse().unwrap(), &options, EngineOptions::default()).await;
        let engine = opened.unwrap();
        for (job, outcome) in &self.ends {
            let reading = engine.read(*job, None).await.unwrap().expect("its log");
            let ends = |event: &Event| matches!(event, Event::End(_));
            let count = reading.tail.iter().filter(|entry| ends(&entry.event)).count();
            assert_eq!(count, 1, "{job}");
            let Some(Event::End(end)) = reading.tail.last().map(|last| &last.event) else {
                panic!("{job}: its end is not the last of its log");
            };
            assert_eq!(end.outcome, *outcome, "{job}");
        }
        let stats = again(|| engine.stats()).await;
        let left = (stats.queued, stats.running, stats.waiting, stats.dead);
        assert_eq!((left, stats.ended), ((0, 0, 0, 0), self.ends.len()));
        for gateway in 0..2 {
            let client = client_of(self.address(gateway));
            let told = client.http("GET", "/readyz").await.unwrap();
            assert!(told.contains(r#""ready":true"#), "{told}");
        }
        let more = self.submit().await;
        self.all_end(more).await;
    }
}

async fn until_answered<F: Future<Output = Result<String, ClientError>>>(
    mut ask: impl FnMut() -> F,
) -> String {
    loop {
        match ask().await {
            Ok(told) => return told,
            Err(error) => assert!(error.may_pass(), "{error}"),
        }
        clock::sleep(Duration::from_millis(50)).await;
    }
}

/// The old master is a replica by now.
async fn follows(server: &RedisServer) {
    until("the old master follows", || {
        let told: String = say(server, "INFO replication");
        let is_so = told.contains("role:slave") && told.contains("master_link_status:up");
        is_so.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_over_a_cluster_loses_a_worker_and_a_master() {
    let mut cluster = RedisCluster::start("1000").await;
    let mut fleet = Fleet::start(&cluster.url());
    fleet.lose_a_worker().await;
    let mut dies = 0;
    let kill = |job: JobId| {
        dies = cluster.place_of_job(job).0;
        cluster.nodes[dies].kill();
    };
    fleet.lose_a_master(kill).await;
    cluster.until_replaced(dies).await;
    cluster.nodes[dies].start_again();
    follows(&cluster.nodes[dies]).await;
    fleet.is_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_over_sentinels_loses_a_worker_and_a_master() {
    let mut watch = Watch::start().await;
    let mut fleet = Fleet::start(&watch.url());
    fleet.lose_a_worker().await;
    fleet.lose_a_master(|_| watch.master.kill()).await;
    watch.until_replaced().await;
    watch.master.start_again();
    follows(&watch.master).await;
    fleet.is_ready().await;
}
